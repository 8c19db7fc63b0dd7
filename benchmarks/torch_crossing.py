"""A JAX function among tensors: forward and backward through `to_torch`, beside PyTorch's own operation, in one thread.

The operation is sum(tanh(x)^2 + x), in float32: an elementwise function with residuals and a sum, as in a loss. XLA's tanh is
faster than PyTorch's, which hides a part of the crossing at 1e6; so the same is measured of sum(x^2 + x), where the arithmetic is
nothing. Each call is one forward and one backward pass from a leaf, without its gradient of before. "Plain" is the crossing as
one writes it by hand: `jax.dlpack.from_dlpack` both ways and a jitted `jax.vjp`, without any of the checks.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import _timing

SIZES = (10, 10_000, 1_000_000)
MICROSECONDS = {10: 100.0, 10_000: 200.0}  # targets
RATIO = {1_000_000: 1.5}
TANH, SQUARE = "tanh", "square"


def _programs(n: int) -> dict[str, Callable[[], object]]:
    import torch

    from spanax.torch import to_torch

    x = torch.tensor(np.random.default_rng(0).normal(size=n).astype(np.float32), requires_grad=True)

    def passes(f: Callable) -> Callable[[], object]:
        def step():
            x.grad = None
            f(x).backward()
            return x.grad

        return step

    def forward(f: Callable) -> Callable[[], object]:
        def step():
            with torch.no_grad():
                return f(x)

        return step

    ours = {
        TANH: to_torch(lambda x: jnp.sum(jnp.tanh(x) ** 2 + x)),
        SQUARE: to_torch(lambda x: jnp.sum(x**2 + x)),
    }
    native = {TANH: lambda x: (torch.tanh(x) ** 2 + x).sum(), SQUARE: lambda x: (x**2 + x).sum()}
    programs = {}
    for name in (TANH, SQUARE):
        programs[f"{name}: Spanax"] = passes(ours[name])
        programs[f"{name}: PyTorch"] = passes(native[name])
    programs[f"{TANH}: plain"] = passes(_plain(lambda x: jnp.sum(jnp.tanh(x) ** 2 + x)))
    programs[f"{TANH}, forward only: Spanax"] = forward(ours[TANH])
    programs[f"{TANH}, forward only: PyTorch"] = forward(native[TANH])
    # What JAX takes without a crossing.
    step, at = jax.jit(jax.value_and_grad(lambda x: jnp.sum(jnp.tanh(x) ** 2 + x))), jnp.asarray(x.detach().numpy())
    programs[f"{TANH}: JAX alone"] = lambda: jax.block_until_ready(step(at))
    return programs


def _plain(f: Callable) -> Callable:
    import torch
    from torch.utils.dlpack import from_dlpack

    forth, back = jax.jit(lambda x: jax.vjp(f, x)), jax.jit(lambda pullback, ct: pullback(ct)[0])

    class Plain(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y, ctx.pullback = forth(jax.dlpack.from_dlpack(x.detach().contiguous()))
            return from_dlpack(y.__dlpack__())

        @staticmethod
        def backward(ctx, ct):
            return from_dlpack(back(ctx.pullback, jax.dlpack.from_dlpack(ct.contiguous())).__dlpack__())

    return Plain.apply


def _check(programs: dict[str, Callable]) -> None:
    for name in (TANH, SQUARE):
        ours, native = (np.asarray(programs[f"{name}: {who}"]()) for who in ("Spanax", "PyTorch"))
        np.testing.assert_allclose(ours, native, rtol=1e-4, atol=1e-5)


def main() -> None:
    options = _timing.parser(__doc__, repeats=15)
    args = options.parse_args()
    _timing.limit_cores(args.cores)
    import torch

    torch.set_num_threads(1)
    _timing.versions("jax", "jaxlib", "torch", "numpy")
    for n in SIZES:
        programs = _programs(n)
        _check(programs)
        seconds = _timing.interleaved(programs, repeats=args.repeats)
        rows = [[name, *_timing.times(seconds, name, f"{name.split(':')[0]}: PyTorch", 1e-6)] for name in programs]
        _timing.table([f"n = {n:,}", *_timing.times_head("us")], rows)
        for name in (TANH, SQUARE):
            ours, native = f"{name}: Spanax", f"{name}: PyTorch"
            if n in MICROSECONDS:
                _timing.verdict(f"n={n}, {name}: us", statistics.median(seconds[ours]) * 1e6, MICROSECONDS[n])
            else:
                _timing.verdict(f"n={n}, {name}: Spanax by PyTorch", _timing.ratio(seconds, ours, native), RATIO[n])
        print()


if __name__ == "__main__":
    main()
