"""Soft ranks and sorts, forward and backward, batch 32, float32, beside torchsort, softjax and optax's perturbations."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import spanax as sx
from benchmarks import _timing

BATCH, SOFTNESS = 32, 0.1
SIZES = (100, 1_000, 10_000, 100_000)
SLOW = 10_000  # beyond it the quadratic peers are left out
AGAINST_TORCHSORT = {1_000: 1.0, 10_000: 3.0, 100_000: 3.0}
AGAINST_THE_SLOW = 50.0

RANK, SORT = "rank", "sort"


def spanax_rank(x):
    return sx.hard.rank(x, via=sx.Soft(SOFTNESS))


def spanax_sort(x):
    return sx.hard.sort(x, via=sx.Soft(SOFTNESS))


def _in_jax(f: Callable, x: np.ndarray, w: np.ndarray) -> Callable[[], object]:
    step = jax.jit(jax.value_and_grad(lambda x, w: jnp.sum(f(x) * w)))
    at, weights = jnp.asarray(x), jnp.asarray(w)
    return lambda: jax.block_until_ready(step(at, weights))


def _in_torch(f: Callable, x: np.ndarray, w: np.ndarray) -> Callable[[], object]:
    import torch  # pyright: ignore[reportMissingImports]

    at, weights = torch.tensor(x, requires_grad=True), torch.tensor(w)

    def step():
        at.grad = None
        (f(at) * weights).sum().backward()
        return at.grad

    return step


def _programs(n: int) -> dict[str, Callable[[np.ndarray, np.ndarray], Callable[[], object]]]:
    """name -> (x, w) -> a call that computes sum(f(x) w) and its gradient."""
    programs = {
        f"{RANK}: Spanax": lambda *a: _in_jax(spanax_rank, *a),
        f"{SORT}: Spanax": lambda *a: _in_jax(spanax_sort, *a),
        f"{SORT}, hard: Spanax": lambda *a: _in_jax(sx.hard.sort, *a),
        f"{SORT}, hard: jnp.sort": lambda *a: _in_jax(jnp.sort, *a),
    }
    try:
        import torchsort  # pyright: ignore[reportMissingImports]

        programs[f"{RANK}: torchsort"] = lambda *a: _in_torch(torchsort.soft_rank, *a)
        programs[f"{SORT}: torchsort"] = lambda *a: _in_torch(torchsort.soft_sort, *a)
    except ImportError as error:
        _timing.stage(f"torchsort is left out: {error}")
    if n <= SLOW:
        programs |= _slow_programs()
    return programs


def _slow_programs():
    programs = {}
    try:
        import softjax  # pyright: ignore[reportMissingImports]

        def fast_soft_sort(f):
            return lambda x: f(x, axis=-1, softness=SOFTNESS, method="fast_soft_sort")

        programs[f"{RANK}: softjax"] = lambda *a: _in_jax(fast_soft_sort(softjax.rank), *a)
        programs[f"{SORT}: softjax"] = lambda *a: _in_jax(fast_soft_sort(softjax.sort), *a)
    except ImportError as error:
        _timing.stage(f"softjax is left out: {error}")
    try:
        import optax

        perturbed = optax.perturbations.make_perturbed_fun(_hard_rank, num_samples=20, sigma=SOFTNESS)
        programs[f"{RANK}: optax, 20 samples"] = lambda *a: _in_jax(lambda x: perturbed(jax.random.key(0), x), *a)
    except ImportError as error:
        _timing.stage(f"optax is left out: {error}")
    return programs


def _hard_rank(x):
    return 1.0 + jnp.argsort(jnp.argsort(x, -1), -1)


def _memory(f: Callable, n: int) -> int:
    """Bytes that the compiled program needs besides its arguments and results."""
    x = jax.ShapeDtypeStruct((BATCH, n), jnp.float32)
    memory = jax.jit(jax.grad(lambda x, w: jnp.sum(f(x) * w))).lower(x, x).compile().memory_analysis()
    return memory.temp_size_in_bytes if memory else 0


def _check(kind: str, f: Callable, n: int = 50) -> None:
    """Against sums over all pairs, in float64 and NumPy."""
    x = np.random.default_rng(1).normal(size=n)
    got = np.asarray(f(jnp.asarray(x, jnp.float32)), float)

    def cdf(d):
        tail = np.exp(-np.abs(d) * np.sqrt(2) / SOFTNESS) / 2
        return np.where(d < 0, tail, 1 - tail)

    at = x if kind == RANK else got
    want = got if kind == RANK else np.arange(1, n + 1)
    if np.max(np.abs(0.5 + cdf(at[:, None] - x).sum(-1) - want)) > 1e-3:
        raise AssertionError(f"{kind} is wrong")


def _verdicts(n: int, seconds: _timing.Seconds) -> None:
    for kind in (RANK, SORT):
        ours = f"{kind}: Spanax"
        if n in AGAINST_TORCHSORT and f"{kind}: torchsort" in seconds:
            faster = _timing.ratio(seconds, f"{kind}: torchsort", ours)
            _timing.verdict(f"n={n}, {kind}: torchsort by Spanax", faster, AGAINST_TORCHSORT[n], at_least=True)
        for peer in ("softjax", "optax, 20 samples"):
            if n == SLOW and f"{kind}: {peer}" in seconds:
                faster = _timing.ratio(seconds, f"{kind}: {peer}", ours)
                _timing.verdict(f"n={n}, {kind}: {peer} by Spanax", faster, AGAINST_THE_SLOW, at_least=True)
    print()


def main() -> None:
    options = _timing.parser(__doc__, repeats=11)
    args = options.parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("jax", "jaxlib", "numpy", "torch", "torchsort", "softjax", "optax")
    _check(RANK, spanax_rank)
    _check(SORT, spanax_sort)
    random = np.random.default_rng(0)
    for n in SIZES:
        _timing.stage(f"n = {n}")
        x, w = (random.normal(size=(BATCH, n)).astype(np.float32) for _ in range(2))
        calls = {name: make(x, w) for name, make in _programs(n).items()}
        seconds = _timing.interleaved(calls, repeats=args.repeats)
        rows = [[name, *_timing.times(seconds, name, f"{name.split(':')[0]}: Spanax", 1e-3)] for name in sorted(calls)]
        _timing.table([f"n = {n}", *_timing.times_head("ms")], rows)
        print()
        _verdicts(n, seconds)
    for kind, f in {RANK: spanax_rank, SORT: spanax_sort}.items():
        small, large = _memory(f, 10_000), _memory(f, 100_000)
        print(f"{kind}: {small / 1e6:.1f} MB at n = 10,000, {large / 1e6:.1f} MB at 100,000: {large / small:.1f} times")


if __name__ == "__main__":
    main()
