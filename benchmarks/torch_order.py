"""Soft ranks and sorts in PyTorch, forward and backward, batch 32, float32, one thread, beside torchsort."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks import _timing
from spanax.torch import soft_rank, soft_sort

BATCH, SOFTNESS = 32, 0.1
SIZES = (100, 1_000, 10_000)
AT_LEAST = {100: 1.0, 1_000: 1.0, 10_000: 3.0}  # torchsort's time by ours, for ranks


def _step(f: Callable[[torch.Tensor], torch.Tensor], n: int) -> Callable[[], object]:
    x, w = torch.randn(BATCH, n, requires_grad=True), torch.randn(BATCH, n)

    def step():
        x.grad = None
        (f(x) * w).sum().backward()
        return x.grad

    return step


def _programs() -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    programs = {
        "rank: Spanax": lambda x: soft_rank(x, SOFTNESS),
        "sort: Spanax": lambda x: soft_sort(x, SOFTNESS),
        "rank, softness .001: Spanax": lambda x: soft_rank(x, 0.001),
        "sort, hard: torch.sort": lambda x: torch.sort(x)[0],
    }
    try:
        import torchsort  # pyright: ignore[reportMissingImports]

        programs |= {"rank: torchsort": torchsort.soft_rank, "sort: torchsort": torchsort.soft_sort}
    except ImportError as error:
        _timing.stage(f"torchsort is left out: {error}")
    return programs


def _check() -> None:
    """Against sums over all pairs, in float64, with torch's own derivative."""
    x, w = torch.randn(2, 300), torch.randn(2, 300)
    x.requires_grad_()
    at = x.detach().double().requires_grad_()
    d = (at[..., :, None] - at[..., None, :]) * (2**0.5 / SOFTNESS)
    tail = torch.exp(-torch.where(d < 0, -d, d)) / 2
    want = 0.5 + torch.where(d < 0, tail, 1 - tail).sum(-1)
    found = soft_rank(x, SOFTNESS)
    slopes = [torch.autograd.grad((r * w).sum(), y)[0].double() for r, y in ((found, x), (want, at))]
    for ours, theirs in ((found.double(), want), slopes):
        if (ours - theirs).abs().max() > 1e-5 * theirs.abs().max():
            raise AssertionError("ranks are wrong")


def main() -> None:
    args = _timing.parser(__doc__, repeats=21).parse_args()
    _timing.limit_cores(args.cores)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    _timing.versions("torch", "torchsort", "numpy")
    _check()
    programs = _programs()
    for n in SIZES:
        _timing.stage(f"n = {n}")
        calls = {name: _step(f, n) for name, f in programs.items()}
        seconds = _timing.interleaved(calls, repeats=args.repeats)
        rows = [[name, *_timing.times(seconds, name, "rank: Spanax", 1e-3)] for name in sorted(calls)]
        _timing.table([f"n = {n}", *_timing.times_head("ms")], rows)
        print()
        if "rank: torchsort" in seconds:
            faster = _timing.ratio(seconds, "rank: torchsort", "rank: Spanax")
            _timing.verdict(f"n={n}, rank: torchsort by Spanax", faster, AT_LEAST[n], at_least=True)
            print(
                f"n={n}, sort: torchsort by Spanax: {_timing.ratio(seconds, 'sort: torchsort', 'sort: Spanax'):.2f}\n"
            )


if __name__ == "__main__":
    main()
