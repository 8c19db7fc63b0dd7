"""The evaluations of a fit: a design, what shows the noise, probes that check the gradient, and a search for jumps."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Key

from ..._errors import SpanaxError
from .data import Data
from .fitted import Evidence, Fitted, fit
from .jumps import search, segments
from .plan import ROUNDS, Plan, held_out, sobol
from .probing import Probes, directions, probe, reach
from .source import Slopes, Source, split_keys

_LEAST = 20  # points that must not fail
_DIGITS = 10  # spacings of floats: less is not measured as a change


def gather(source: Source, plan: Plan, key: Key, model: Any) -> Fitted:
    """A network that is trained and checked with the evaluations of the plan."""
    for_design, for_seeds, for_noise, for_training, for_check, for_jumps = jax.random.split(key, 6)
    U = sobol(for_design, plan.design, source.space.size)
    seeds = split_keys(for_seeds, plan.design)
    data = design(source, U, held_out(plan.design), seeds)
    noise = _noise(source, data, plan.repeats, for_noise)
    evidence = Evidence(_no_probes(data), (), noise, 0, 0, True)
    fitted = fit(source.name, source.space, source.form, data, evidence, model, for_training)
    probes = check(source, fitted, plan.pairs, for_check)
    jumps = look_for_jumps(source, fitted, plan.segments, for_jumps)
    return counted(
        source, dataclasses.replace(fitted, evidence=dataclasses.replace(evidence, probes=probes, jumps=jumps))
    )


def counted(source: Source, fitted: Fitted) -> Fitted:
    before = fitted.evidence
    counts = before.evaluations + source.asked, before.failures + source.failed
    evidence = dataclasses.replace(before, evaluations=counts[0], failures=counts[1])
    return dataclasses.replace(fitted, evidence=evidence)


def design(source: Source, U: np.ndarray, held: np.ndarray, keys: Any) -> Data:
    """The points with their values, and derivatives where those are trained on; what failed is left out."""
    U, Y, kept = source.values(U, keys)
    if np.sum(kept & ~held) < _LEAST or np.sum(kept & held) < 5:
        raise SpanaxError(
            f"{np.sum(~kept)} of {len(U)} points of the design failed: too few are left to learn from",
            "bounds that leave out where fn fails",
            "more evaluations",
        )
    trained = kept & ~held
    slopes = Slopes(np.full(U.shape, np.nan), np.zeros(len(U), np.int64))
    found = source.slopes(U[trained], Y[trained], keys[trained])
    if found is not None:
        slopes.slope[trained], slopes.output[trained] = found
    return Data(U, Y, held, *slopes).where(kept)


def _noise(source: Source, data: Data, repeats: int, key: Key) -> np.ndarray:
    """The standard deviation of each output when the same points are evaluated again, with other seeds."""
    if not repeats:
        return np.zeros(source.form.size)
    chosen = np.linspace(0, len(data.U) - 1, repeats).astype(int)
    _, again, kept = source.values(data.U[chosen], split_keys(key, repeats))
    differences = (again - data.Y[chosen])[kept]
    return np.sqrt(np.mean(differences**2, axis=0) / 2) if len(differences) else np.zeros(source.form.size)


def check(
    source: Source, fitted: Fitted, pairs: int, key: Key, middle: np.ndarray | None = None, far: float = 1.0
) -> Probes:
    """Probes at held-out points, or around `middle`, at a share `far` of the distance that suits the noise."""
    for_points, for_directions, for_seeds = jax.random.split(key, 3)
    if middle is None:
        held = fitted.data.U[fitted.data.held]
        order = np.asarray(jax.random.permutation(for_points, len(held)))
        middle = held[np.resize(order, pairs)]
    v = directions(for_directions, pairs, source.space.size)
    distance = far * reach(_least_change(fitted), fitted.along(middle, v))
    return probe(source, for_points, middle, v, distance, for_seeds)


def _least_change(fitted: Fitted) -> np.ndarray:
    """Of each output, in standard deviations: what is noise, or the last digits of its values."""
    scale, form = fitted.scale, fitted.form
    eps = np.repeat([float(np.finfo(dtype).eps) for dtype in form.dtypes], form.sizes)
    rounding = _DIGITS * eps * np.max(np.abs(fitted.data.Y), axis=0)
    return np.where(scale.constant, 0.0, np.hypot(fitted.evidence.noise, rounding) / scale.sd)


def look_for_jumps(source: Source, fitted: Fitted, count: int, key: Key) -> tuple[Any, ...]:
    data, scale = fitted.data, fitted.scale
    a, b = segments(data.U, scale.z(data.Y), count)
    keys = split_keys(key, ROUNDS * len(a)).reshape(ROUNDS, len(a), *np.shape(key))
    values = data.Y[a], data.Y[b]
    sd = np.where(scale.constant, np.inf, scale.sd)
    return tuple(search(source, keys, (data.U[a], data.U[b]), values, sd, fitted.evidence.noise, fitted.line))


def _no_probes(data: Data) -> Probes:
    return Probes(data.U[:0], data.U[:0], data.Y[:0], np.zeros(0))
