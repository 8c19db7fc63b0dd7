"""Evaluations of `least_squares` beside scipy.optimize.least_squares with its own differences, without noise and with it.

The curves are in tests/surrogate/curves.py. Without noise: evaluations until the fit is within .01 standard errors of the
minimum, and in all; ours are with the Jacobian of the errors. With noise, a new one in each evaluation: how far from the
noise-free fit, in its standard errors (the largest of the parameters; the median over seeds), after how many evaluations.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import spanax as sx
from benchmarks import _timing
from tests.surrogate.curves import CERTIFIED, decay_curve, rosenbrock

NOISE = 0.2  # of a value, in standard deviations of the residuals at the minimum
SEEDS = 20


class Counted:
    """A function of a vector, with the sums of squares of all its evaluations."""

    def __init__(self, f: Callable[[Any], np.ndarray]):
        self.f, self.costs = f, []

    def __call__(self, x: Any) -> np.ndarray:
        r = self.f(np.asarray(x, np.float64))
        self.costs.append(float(r @ r))
        return r

    def until(self, target: float) -> str:
        return str(next((i + 1 for i, cost in enumerate(self.costs) if cost <= target), "never"))


def problems() -> dict[str, tuple[Callable[[Any], np.ndarray], tuple[float, ...]]]:
    decay = decay_curve()
    curves = {name: (curve.residuals, curve.start) for name, curve in CERTIFIED.items()}
    return curves | {"decay": (decay.residuals, decay.start), "Rosenbrock": (rosenbrock, (-1.2, 1.0))}


def scipys(f: Any, start: Any, **options: Any) -> Any:
    from scipy.optimize import least_squares

    return least_squares(f, start, x_scale="jac", **options)


def ours(f: Any, start: Any, step: float, scheme: str, **options: Any) -> sx.Fit:
    steps = step * np.where(np.array(start) == 0, 1.0, np.abs(start))
    with warnings.catch_warnings():
        # Rosenbrock has as many residuals as parameters.
        warnings.simplefilter("ignore", sx.SpanaxWarning)
        return sx.least_squares(f, np.array(start), via=sx.FiniteDifference(step=steps, scheme=scheme), **options)


def without_noise() -> list[list[str]]:
    rows = []
    for name, (f, start) in problems().items():
        _timing.stage(name)
        best = scipys(f, start, xtol=1e-15, ftol=1e-15, gtol=1e-15)
        n, p = best.jac.shape
        target = 2 * best.cost * (1 + 1e-4 / max(n - p, 1)) + 1e-12
        cells = []
        for method in ("trf", "lm"):
            counted = Counted(f)
            scipys(counted, start, method=method)
            cells.append(f"{counted.until(target)} / {len(counted.costs)}")
        for scheme, step in (("forward", 1e-7), ("central", 1e-5)):
            counted = Counted(f)
            ours(counted, start, step, scheme)
            cells.append(f"{counted.until(target)} / {len(counted.costs)}")
        rows.append([name, *cells])
    return rows


def with_noise(seeds: int) -> list[list[str]]:
    rows = []
    for name, (f, start) in problems().items():
        if name == "Rosenbrock":
            continue
        _timing.stage(f"{name}, noisy")
        best = scipys(f, start, xtol=1e-15, ftol=1e-15, gtol=1e-15)
        n, p = best.jac.shape
        size = np.sqrt(2 * best.cost / (n - p))
        errors = size * np.sqrt(np.diag(np.linalg.inv(best.jac.T @ best.jac)))
        found: dict[str, list] = {}
        for seed in range(seeds):
            for label, fit in _noisy_fits(f, start, size, seed).items():
                counted = Counted(fit[0])
                x = fit[1](counted)
                found.setdefault(label, []).append((np.max(np.abs(x - best.x) / errors), len(counted.costs)))
        medians = [np.median(values, axis=0) for values in found.values()]
        rows.append([name, *(f"{far:.2g} / {count:.0f}" for far, count in medians)])
    return rows


def _noisy_fits(f: Any, start: Any, size: float, seed: int) -> dict[str, tuple[Any, Any]]:
    """For each label a noisy function, and a fit of it that gives x."""

    def noisy() -> Callable[[Any], np.ndarray]:
        rng = np.random.default_rng(seed)

        def value(x: Any) -> np.ndarray:
            r = f(x)
            return r + NOISE * size * rng.standard_normal(r.shape)

        return value

    wide = {"noisy": True, "key": jax.random.key(seed)}
    return {
        "scipy": (noisy(), lambda g: scipys(g, start).x),
        "scipy wide": (noisy(), lambda g: scipys(g, start, diff_step=0.1).x),
        "ours": (noisy(), lambda g: ours(g, start, 0.1, "central", **wide).x),
    }


def main() -> None:
    options = _timing.parser(__doc__, repeats=1)
    options.add_argument("--seeds", type=int, default=SEEDS, help="of the noise (default: %(default)s)")
    args = options.parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("jax", "numpy", "scipy")
    with jax.enable_x64(True):
        rows = without_noise()
        _timing.table(["within .01 errors / in all", "scipy trf", "scipy lm", "ours, forward", "ours, central"], rows)
        print()
        rows = with_noise(args.seeds)
        _timing.table(["errors from the fit / evaluations", "scipy trf", "scipy trf, step .1", "ours, step .1"], rows)


if __name__ == "__main__":
    main()
