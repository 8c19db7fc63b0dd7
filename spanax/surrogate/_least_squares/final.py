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


def final_fields(search: Search, stopped: str, sigma: Any, repeats: int) -> dict[str, Any]:
    """The fields of a `Fit`."""
    problem = search.problem
    normal = _normal(search, repeats)
    x, r = _last_step(search, normal, repeats)
    n, p = normal.J.shape
    estimated = sigma is None
    freedom = n - p
    scatter = float(r @ r) / freedom if freedom else np.inf
    # What is left of the simulator's noise in the mean residuals is in their scatter already, and not in a sigma that was given.
    variance = np.full(n, scatter) if estimated else 1.0 + normal.noise
    V, lost = normal.covariance(np.where(np.isfinite(variance), variance, 1.0), problem.resolution)
    if estimated and not freedom:
        V = np.full_like(V, np.nan)
        np.fill_diagonal(V, np.inf)
    at_bounds = _at_bounds(search, x)
    _warn(search, stopped, normal, lost, at_bounds, estimated and not freedom)
    form = problem.form
    return {
        "x": form.unflatten(x),
        "standard_errors": form.unflatten(np.sqrt(np.diag(V)), dtype=np.float64),
        "covariance": V,
        "names": form.names,
        "residuals": problem.raw(r),
        "jacobian": problem.raw(normal.J * normal.scale),
        "cost": float(r @ r) / 2,
        "sigma": float(np.sqrt(scatter)) if estimated else sigma,
        "is_estimated": estimated,
        "iterations": len(search.history.rows) - 1,
        "evaluations": problem.evaluations,
        "failures": problem.failed,
        "stopped": stopped,
        "history": search.history.arrays(),
        "at_bounds": at_bounds,
        "jacobian_noise": normal.share,
        "form": form,
    }


def _keys(search: Search, repeats: int) -> Any:
    return jax.random.split(jax.random.fold_in(search.key, 1), repeats)


def _is_averaged(search: Search, repeats: int) -> bool:
    # Without randomness all repeats would be the same.
    return search.key is not None and search.problem.is_random and repeats > 1


def _normal(search: Search, repeats: int) -> Normal:
    if _is_averaged(search, repeats):
        return Normal.of(*search.problem.probe_many(search.x, _keys(search, repeats)))
    if not search.is_fresh:
        search.probe()
    return Normal.of(search.r[None], search.J[None])


def _last_step(search: Search, normal: Normal, repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """The Gauss-Newton step by all repeats together, which averages their noise, and the mean residuals where it leads."""
    x, problem = search.x, search.problem
    if not _is_averaged(search, repeats):
        return x, normal.r
    try:
        root = np.linalg.cholesky(normal.G)
    except np.linalg.LinAlgError:
        return x, normal.r
    unit = normal.scale
    bounds = (search.lower - x) * unit, (search.upper - x) * unit
    step = damped_step(root.T, np.linalg.solve(root, normal.g), np.ones_like(unit), 0.0, *bounds) / unit
    there = problem.rounded(x + step, search.lower, search.upper)
    values = problem.values(there, _keys(search, repeats))
    # With the same keys: the noise of both sides is the same.
    if values is None or np.sum(values.mean(0) ** 2) > np.sum(normal.r**2):
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
        problem = f"least_squares: {', '.join(at_bounds)} at its bound: its error, and those of what goes with it, do not hold there"
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
