"""COCO's bbob functions: the share of targets that `descend` reaches by evaluations, beside CMA-ES and SciPy's BFGS.

24 functions in 5, 10 and 20 dimensions, 51 targets each, up to 1,000 evaluations for each dimension.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import jax
import numpy as np

from benchmarks import _timing

BUDGETS = (10, 30, 100, 300, 1000)
PICTURE = Path("docs/pictures/bbob.png")


def hits(methods, groups, dimensions, instances: int, budget: int) -> dict[tuple[str, int], np.ndarray]:
    """(method, function): evaluations by dimension until each target, for all dimensions and instances in one array."""
    from benchmarks._bbob.functions import Function

    found: dict[tuple[str, int], list[np.ndarray]] = {}
    numbers = [number for group in groups.values() for number in group]
    # Dimensions outermost: the compiled step is the same for all functions of one.
    for d, (name, method), number in itertools.product(dimensions, methods.items(), numbers):
        if number == numbers[0]:
            _timing.stage(f"{name}, {d} dimensions")
        for instance in range(1, instances + 1):
            f = Function(number, instance, d, budget)
            method(f)
            found.setdefault((name, number), []).append(f.hits / d)
    return {key: np.concatenate(rows) for key, rows in found.items()}


def share(found, name: str, numbers, by: float) -> float:
    return float(np.mean([found[name, number] <= by for number in numbers]))


def tables(found, methods, groups) -> None:
    rows = [
        [group, name, *(f"{share(found, name, numbers, by):.2f}" for by in BUDGETS)]
        for group, numbers in groups.items()
        for name in methods
    ]
    _timing.table(["functions", "share of targets within", *(f"{by} d" for by in BUDGETS)], rows)
    print()
    numbers = {n: title for group in groups.values() for n, title in group.items()}
    rows = [[f"f{n} {t}", *(f"{share(found, m, [n], BUDGETS[-1]):.2f}" for m in methods)] for n, t in numbers.items()]
    _timing.table([f"share within {BUDGETS[-1]} d", *methods], rows)
    print()


def draw(found, methods, groups, dimensions, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(groups), figsize=(4 * len(groups), 3.6), sharey=True, layout="constrained")
    by = np.geomspace(1, BUDGETS[-1], 200)
    colours = ("tab:blue", "tab:cyan", "tab:gray", "tab:red")
    for panel, (group, numbers) in zip(panels, groups.items(), strict=True):
        for name, colour in zip(methods, colours, strict=False):
            panel.plot(by, [share(found, name, numbers, b) for b in by], label=name, color=colour, lw=2)
        panel.set(xscale="log", xlabel="evaluations by dimension", title=group, ylim=(0, 1), xlim=(1, BUDGETS[-1]))
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("share of targets reached")
    panels[0].legend(frameon=False, fontsize=8, loc="upper left")
    figure.suptitle(f"COCO's bbob functions in {', '.join(map(str, dimensions))} dimensions", fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("--dimensions", type=int, nargs="+", default=[5, 10, 20])
    options.add_argument("--instances", type=int, default=1, help="of each function (default: %(default)s)")
    options.add_argument(
        "--budget", type=int, default=BUDGETS[-1], help="evaluations by dimension (default: %(default)s)"
    )
    options.add_argument("--picture", type=Path, default=PICTURE)
    args = options.parse_args()
    jax.config.update("jax_enable_x64", True)
    _timing.versions("jax", "optax", "numpy", "scipy", "cma", "coco-experiment")

    from benchmarks._bbob.functions import GROUPS
    from benchmarks._bbob.methods import METHODS

    found = hits(METHODS, GROUPS, args.dimensions, args.instances, args.budget)
    tables(found, METHODS, GROUPS)
    draw(found, METHODS, GROUPS, args.dimensions, args.picture)
    ours, theirs = "descend, quasi-Newton", "SciPy's BFGS"
    for group in ("smooth", "ill-conditioned"):
        numbers = GROUPS[group]
        # At every budget, not only at the last.
        least = min(share(found, ours, numbers, by) - share(found, theirs, numbers, by) for by in BUDGETS)
        _timing.verdict(
            f"{group}: share of targets by descend less that by SciPy's BFGS, least of all budgets",
            least,
            0,
            at_least=True,
        )


if __name__ == "__main__":
    main()
