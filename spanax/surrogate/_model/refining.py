"""More evaluations where they are worth the most: around a point, and where the ensemble disagrees far from any other point."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key

from ..._checks import check_key, check_whole, is_number
from ..._errors import SpanaxError
from ..._jaxprs import is_traced
from ..._pytree import PyTree
from ..surrogate_report import SurrogateReport
from .arguments import check_arguments, opened
from .fitted import Fitted, fit
from .gathering import check, counted, design
from .judging import refuse, report_of
from .network import Ensemble
from .outside import check_inside
from .plan import design_within, held_out, sobol
from .source import split_keys

_LEAST, _CANDIDATES, _WITHIN = 40, 16, 0.25


def refine(
    old: Fitted,
    fn: Any,
    around: PyTree[Array] | None,
    key: Key,
    evaluations: int,
    within: float | None,
    gradients: Callable | None,
    options: dict[str, Any],
) -> tuple[Fitted, SurrogateReport]:
    """Trained on all points, old and new, and its report."""
    check_key(key)
    check_whole("refine(evaluations", evaluations, _LEAST)
    check_arguments(fn, gradients, options)
    for_points, for_seeds, for_near, for_far, for_training = jax.random.split(key, 5)
    source = opened(fn, old.space, key, gradients, options, old.form)
    region = None if around is None else _region(old, around, within)
    pairs = max(3, evaluations // 20)
    far_pairs = pairs if region is not None else 2 * pairs
    count = design_within(
        evaluations - 2 * (pairs + far_pairs if region is not None else far_pairs), source.derivative_cost
    )
    U = _points(old, region, count, for_points)
    new = design(source, U, held_out(count), split_keys(for_seeds, count))
    data = old.data + new
    probes = old.evidence.probes + check(source, old, far_pairs, for_far)
    if region is not None:
        middle = _uniform(region, sobol(for_near, pairs, old.space.size))
        size = float(np.min(region[1] - region[0])) / 2
        probes = probes + check(source, old, pairs, for_near, middle, min(size, 1.0))
    evidence = dataclasses.replace(
        old.evidence, probes=probes, probed=True, region=region, refinements=old.evidence.refinements + 1
    )
    fitted = fit(old.name, old.space, old.form, data, evidence, old.network, for_training)
    fitted = counted(source, fitted.jumps_again())
    report = report_of(fitted)
    refuse(fitted, report)
    return fitted, report


def _region(old: Fitted, around: PyTree[Array], within: float | None) -> np.ndarray:
    """Lower and upper corner of the box around x, in [-1, 1]."""
    if within is None:
        within = _WITHIN / 2**old.evidence.refinements
    if not (is_number(within) and 0 < within <= 1):
        raise SpanaxError(f"refine(within={within!r})", "a share of the bounds' width, such as 0.1")
    u = old.space.scaled(old.space.flatten(around))
    if is_traced(u):
        raise SpanaxError("refine(around=...) in a traced program", "outside of jit, grad and vmap")
    check_inside(old.space, u, "raise", old.name)
    middle = np.clip(np.asarray(u, np.float64), -1, 1)
    # Twice the share: the box is 2 wide in these units.
    return np.stack([np.maximum(middle - 2 * within, -1), np.minimum(middle + 2 * within, 1)])


def _points(old: Fitted, region: np.ndarray | None, count: int, key: Key) -> np.ndarray:
    near = 0 if region is None else (count + 1) // 2
    for_near, for_far = jax.random.split(key)
    local = (
        _uniform(region, sobol(for_near, near, old.space.size)) if region is not None else np.zeros((0, old.space.size))
    )
    far = _disagreed(old, local, count - near, for_far)
    # In turn, so that a fifth of both is held out.
    points = [local, far]
    ranks = np.concatenate([np.arange(len(part)) for part in points])
    return np.concatenate(points)[np.argsort(ranks, kind="stable")]


def _uniform(region: np.ndarray, U: np.ndarray) -> np.ndarray:
    return region[0] + (U + 1) / 2 * (region[1] - region[0])


def _disagreed(old: Fitted, local: np.ndarray, count: int, key: Key) -> np.ndarray:
    """Of many candidates those whose spread, times the distance to the nearest point known or chosen, is the largest."""
    from scipy.spatial import cKDTree

    candidates = sobol(key, _CANDIDATES * count, old.space.size)
    if not isinstance(old.network, Ensemble):
        return candidates[:count]
    spread = np.sqrt(np.sum(np.var(old.members(candidates), axis=1), axis=1))
    distance, _ = cKDTree(np.concatenate([old.data.U, local])).query(candidates)
    chosen = []
    for _ in range(count):
        best = int(np.argmax(spread * distance))
        chosen.append(candidates[best])
        distance = np.minimum(distance, np.linalg.norm(candidates - candidates[best], axis=1))
    return np.array(chosen).reshape(count, -1)
