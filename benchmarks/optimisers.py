"""Evaluations that an optimisation needs to a target: the probing bridges beside CMA-ES, Nelder-Mead and SPSA.

Three-hump camel from (2, 0), a Rosenbrock function of 10 numbers with the coefficient 1 from where all are 2, and that function
on 10 directions of 100; noise-free and with noise of standard deviation 1 in each evaluation. What counts is f without noise.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from benchmarks import _timing

NOISES = (0.0, 1.0)
PAIRS = (1, 2, 5, 10, 20)
SURROGATE: dict[float, Literal["control-variate", "direct"]] = {
    0.0: "control-variate",
    1.0: "direct",
}  # a control variate doesn't take away the noise of the evaluations


def bridges(problem, seeds: int) -> dict[str, list[tuple[float, object]]]:
    """For each bridge the least median without and with noise, and its setting."""
    from benchmarks._optimisation import ours

    found = {}
    for name in ours.BRIDGES:
        best: list[tuple[float, object]] = [(math.inf, None)] * len(NOISES)
        for pairs in (None,) if name.startswith("FD") else PAIRS:
            for optimiser, (_, rates) in ours.OPTIMISERS.items():
                medians = np.median(ours.evaluations(problem, name, pairs, optimiser, NOISES, seeds), axis=-1)
                for k in range(len(NOISES)):
                    i, j = np.unravel_index(np.argmin(medians[:, :, k]), medians.shape[:2])
                    if medians[i, j, k] < best[k][0]:
                        best[k] = medians[i, j, k], ours.Setting(optimiser, rates[i], ours.WIDTHS[j], pairs)
        found[name] = best
    return found


def surrogate(problem, seeds: int) -> list[tuple[float, object]]:
    from benchmarks._optimisation import learning

    return [learning.fewest(problem, SURROGATE[noise], noise, seeds) for noise in NOISES]


def peers(problem, seeds: int) -> dict[str, list[tuple[float, object]]]:
    """The best points that they have evaluated count too, where that is earlier."""
    try:
        import cma  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        print(f"CMA-ES is left out: {error}")
        left_out = {"CMA-ES"}
    else:
        left_out = set()
    from benchmarks._optimisation.peers import PEERS, fewest

    return {
        name: [
            min((fewest(problem, name, noise, at, seeds) for at in (False, True)), key=lambda m: m[0])
            for noise in NOISES
        ]
        for name in PEERS
        if name not in left_out
    }


def main() -> None:
    options = _timing.parser(__doc__, repeats=1)
    options.add_argument("--seeds", type=int, default=10, help="for each median (default: %(default)s)")
    options.add_argument("--problem", help="only those whose name contains this")
    options.add_argument("--without-surrogate", action="store_true", help="which takes half of the time")
    args = options.parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("jax", "optax", "numpy", "scipy", "cma")
    from benchmarks._optimisation.problems import PROBLEMS

    for title, problem in PROBLEMS.items():
        if args.problem is not None and args.problem not in title:
            continue
        _timing.stage(f"{title}: bridges")
        our = bridges(problem, args.seeds)
        _timing.stage(f"{title}: peers")
        their = peers(problem, args.seeds)
        if not args.without_surrogate:
            _timing.stage(f"{title}: Surrogate")
            our["Surrogate"] = surrogate(problem, args.seeds)
        rows = [
            [name, *(f"{count:.0f}" for count, _ in best), *(_shown(setting) for _, setting in best)]
            for name, best in {**our, **their}.items()
        ]
        _timing.table([title, "no noise", "noise 1", "setting without noise", "with noise"], rows)
        for k, noise in enumerate(NOISES):
            least, theirs = (min(best[k][0] for best in rows.values()) for rows in (our, their))
            _timing.verdict(
                f"{title}, noise {noise:.0f}: evaluations of the best bridge by those of the best peer",
                least / theirs,
                1,
            )
        if problem.size == 100 and "Surrogate" in our:
            for k, noise in enumerate(NOISES):
                ratio = our["Surrogate"][k][0] / our["orthogonal"][k][0]
                _timing.verdict(
                    f"{title}, noise {noise:.0f}: evaluations of Surrogate by those of orthogonal smoothing", ratio, 0.5
                )
        print()
    print(
        "Medians of 10 seeds, each method at the best of its settings, until f without noise is at the target: 1% of the start's"
    )
    print("distance in value, and .5 for the submanifold. inf: more than the budget.")


def _shown(setting: object) -> str:
    return " ".join(map(str, setting)) if isinstance(setting, tuple) else "-"


if __name__ == "__main__":
    main()
