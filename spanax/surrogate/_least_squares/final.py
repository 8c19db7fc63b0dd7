"""The end of a fit: full Jacobians, one last step by their mean, and the errors of the parameters."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ..._errors import warn
from .covariance import Normal
from .loop import Search
from .step import damped_step

# Of J'J in some direction: more noise than this, and the errors in that direction are known by order of magnitude only.
_NOISY = 0.5
_ROUNDS = 3


def final_fields(search: Search, stopped: str, sigma: Any, repeats: int) -> dict[str, Any]:
    """The fields of a `Fit`."""
    problem = search.problem
    is_estimated = sigma is None
    normal, x, r = _refined(search, repeats, is_estimated)
    n, p = normal.J.shape
    variance = _variance(r, normal, is_estimated)
    is_exact = is_estimated and n == p
    V, lost = normal.covariance(variance, problem.resolution)
    if is_exact:
        V = np.where(np.eye(p, dtype=bool), np.inf, np.nan)
    at_bounds = _at_bounds(search, x)
    _warn(search, stopped, normal, lost, at_bounds, is_exact)
    form = problem.form
    return {
        "x": form.unflatten(x),
        "standard_errors": form.unflatten(np.sqrt(np.diag(V)), dtype=np.float64),
        "covariance": V,
        "names": form.names,
        "residuals": problem.raw(r),
        "jacobian": problem.raw(normal.J * normal.scale),
        "cost": float(r @ r) / 2,
        "sigma": _sigma(variance, is_exact) if is_estimated else sigma,
        "is_estimated": is_estimated,
        "iterations": len(search.history.rows) - 1,
        "evaluations": problem.evaluations,
        "failures": problem.failed,
        "stopped": stopped,
        "history": search.history.arrays(),
        "at_bounds": at_bounds,
        "jacobian_noise": normal.share,
        "form": form,
    }


def _sigma(variance: np.ndarray, is_exact: bool) -> float:
    return np.nan if is_exact else float(np.sqrt(variance[0]))


def _refined(search: Search, repeats: int, is_estimated: bool) -> tuple[Normal, np.ndarray, np.ndarray]:
    """The normal equations, and the x to which they lead with the mean residuals there."""
    # Without randomness all repeats would be the same, and the search has been where they lead.
    if search.key is None or not search.problem.is_random or repeats == 1:
        if not search.is_fresh:
            search.probe()
        return Normal.of(search.r[None], search.J[None]), search.x, search.r
    for number in range(_ROUNDS):
        keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(search.key, 1), number), repeats)
        normal = Normal.of(*search.problem.probe_many(search.x, keys))
        x, r = _last_step(search, normal, keys)
        # What is more than noise in the slope is a way still to go: the search, with one key at a time, stopped too early.
        if x is search.x or not normal.is_steep(_variance(normal.r, normal, is_estimated)):
            break
        search.x = x
    return normal, x, r


def _variance(r: np.ndarray, normal: Normal, is_estimated: bool) -> np.ndarray:
    """Of each of the whitened mean residuals."""
    n, p = normal.J.shape
    if is_estimated:
        return np.full(n, float(r @ r) / max(n - p, 1))
    # What is left of the simulator's noise is in the scatter of residuals, but not in a sigma that was given.
    return 1.0 + normal.noise


def _last_step(search: Search, normal: Normal, keys: Any) -> tuple[np.ndarray, np.ndarray]:
    """The Gauss-Newton step by all repeats together, which averages their noise, and the mean residuals where it leads."""
    x, unit = search.x, normal.scale
    try:
        root = np.linalg.cholesky(normal.G)
    except np.linalg.LinAlgError:
        return x, normal.r
    bounds = (search.lower - x) * unit, (search.upper - x) * unit
    step = damped_step(root.T, np.linalg.solve(root, normal.g), np.ones_like(unit), 0.0, *bounds) / unit
    there = search.problem.rounded(x + step, search.lower, search.upper)
    values = search.problem.values(there, keys)
    # Both sums of squares have noise of their own, at worst: only what is beyond it is a bad step.
    doubt = 3 * np.sqrt(8 * np.sum(normal.noise * normal.r**2))
    if values is None or np.sum(values.mean(0) ** 2) > np.sum(normal.r**2) + doubt:
        return x, normal.r
    return there, values.mean(0)


def _at_bounds(search: Search, x: np.ndarray) -> tuple[str, ...]:
    form = search.problem.form
    at = (x <= form.rounded(search.lower)) | (x >= form.rounded(search.upper))
    return tuple(name for name, is_at in zip(form.names, at, strict=True) if is_at)


def _warn(
    search: Search, stopped: str, normal: Normal, lost: np.ndarray, at_bounds: tuple[str, ...], is_exact: bool
) -> None:
    if stopped in ("steps", "stalled"):
        why = "no step lowers the cost any more" if stopped == "stalled" else "there were no more steps"
        problem = f"least_squares has not converged: {why}; the errors are those at the last point"
        warn(
            problem,
            "steps=..., more of them",
            "another x0, or bounds",
            "via=sx.Smoothing(...), for residuals that jump",
        )
    if at_bounds:
        problem = f"least_squares: {', '.join(at_bounds)} at its bound: its error, and those of what goes with it, do not hold"
        warn(problem, "wider bounds", "what lies at its bound in a closure, and not in x0")
    for direction in lost:
        problem = f"least_squares: the data do not determine {_combination(direction, search.problem.form.names)}"
        warn(problem, "one parameter less", "prior knowledge as residuals: (x - expected)/its standard deviation")
    if is_exact:
        warn("least_squares: as many residuals as parameters leave no estimate of sigma", "sigma=..., if it is known")
    if normal.share > _NOISY:
        problem = f"least_squares: {normal.share:.0%} of the Jacobian's square is noise in one direction: the errors are rough"
        warn(problem, "repeats=..., more Jacobians at the end", "via=..., with wider steps or more probes")


def _combination(direction: np.ndarray, names: tuple[str, ...]) -> str:
    """A direction as a sum: "a - 0.5 b"."""
    weights = direction / direction[np.argmax(np.abs(direction))]
    terms = [(w, name) for w, name in zip(weights, names, strict=True) if abs(w) > 1e-3]
    text = " ".join(
        f"{'-' if w < 0 else '+'} {'' if abs(abs(w) - 1) < 5e-4 else f'{abs(w):.3g} '}{name}" for w, name in terms
    )
    return text.removeprefix("+ ")
