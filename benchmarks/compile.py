"""Seconds to trace, lower and compile one gradient: Spanax beside hand-written JAX.

Each repeat clears JAX's caches and makes new functions, so that nothing is found again.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from benchmarks import _timing, vae_step, walk

STAGES = ("trace", "lower", "compile", "total")
Pair = tuple[Callable, Callable, Sequence]  # hand-written objective, Spanax objective, arguments

Stages = dict[str, dict[str, list[float]]]  # who -> stage -> seconds


def problems() -> dict[str, Pair]:
    params, x = vae_step.problem()
    key = jax.random.key(1)
    vae = (params, x, key)
    return {
        "VAE, LOO": (vae_step.hand_leave_one_out, vae_step.spanax_leave_one_out, vae),
        "VAE, LOO, vmap": (vae_step.hand_leave_one_out_vmap, vae_step.spanax_leave_one_out, vae),
        "VAE, DisARM": (vae_step.hand_disarm, vae_step.spanax_disarm, vae),
        "walk": (walk.hand_written, walk.spanax, (jnp.asarray(walk.THETA), key)),
        "walk, vmap": (walk.hand_written_vmap, walk.spanax, (jnp.asarray(walk.THETA), key)),
    }


def stages(objective: Callable, args: Sequence) -> dict[str, float]:
    """Seconds of each stage, from cold."""
    jax.clear_caches()
    step = jax.jit(jax.value_and_grad(lambda *args: objective(*args)))
    marks = [time.perf_counter()]
    traced = step.trace(*args)
    marks.append(time.perf_counter())
    lowered = traced.lower()
    marks.append(time.perf_counter())
    lowered.compile()
    marks.append(time.perf_counter())
    seconds = [b - a for a, b in itertools.pairwise(marks)]
    return dict(zip(STAGES, [*seconds, sum(seconds)], strict=True))


def measure(pair: Pair, repeats: int) -> Stages:
    hand, spanax, args = pair
    found: Stages = {who: {stage: [] for stage in STAGES} for who in ("hand-written", "Spanax")}
    for r in range(repeats + 1):
        for who, objective in (("hand-written", hand), ("Spanax", spanax)):
            for stage, seconds in stages(objective, args).items():
                if r > 0:  # the first pass imports what is imported late
                    found[who][stage].append(seconds)
    return found


def main() -> None:
    args = _timing.parser(__doc__, repeats=9).parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("jax", "jaxlib", "numpyro")

    rows, totals = [], {}
    for name, pair in problems().items():
        _timing.stage(f"compiling {name}, {args.repeats} times each")
        found = measure(pair, args.repeats)
        for who, by_stage in found.items():
            rows.append([f"{name}: {who}", *(f"{statistics.median(by_stage[s]) * 1e3:.0f}" for s in STAGES), ""])
        ratios = {s: _timing.ratio({w: found[w][s] for w in found}, "Spanax", "hand-written") for s in STAGES}
        rows.append(["  ratio", *(f"{ratios[s]:.2f}" for s in STAGES), _total_spread(found)])
        totals[name] = ratios["total"]
    _timing.table(["milliseconds (medians)", *STAGES, "total's ratio, min..max"], rows)
    print()
    for name, total in totals.items():
        _timing.verdict(f"{name}: trace + lower + compile, Spanax by hand-written", total, 1.5)


def _total_spread(found: Stages) -> str:
    pairs = zip(found["Spanax"]["total"], found["hand-written"]["total"], strict=True)
    ratios = [a / b for a, b in pairs]
    return f"{min(ratios):.2f}..{max(ratios):.2f}"


if __name__ == "__main__":
    main()
