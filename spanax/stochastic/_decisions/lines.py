"""Points on random lines through the inputs of a region, and the bisection of a line down to the change of a decision.

On a line x(t) = base + slope * t, t runs through the scales from 1e-3 to 1e6 in both directions, so that a threshold is crossed
whatever its size. Bisection in floating point ends at neighbouring numbers: then nothing lies between the two sides of a jump.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from .operations import is_inexact
from .region import Region

_SCALES = np.logspace(-3, 6, 19)
STEPS = np.concatenate([-_SCALES[::-1], [0.0], _SCALES])
_HALVINGS = 64  # as many as take any interval of float64 to neighbouring numbers, or nearly

Run = Callable[[Sequence[np.ndarray]], dict[int, np.ndarray]]  # values of the inputs at some points -> all values there


def points_on_lines(region: Region, known: Sequence[Any], lines: int, random: np.random.Generator) -> list[np.ndarray]:
    """(lines, steps, *shape) of each input: where it lies on each line. `known`: the values of those that are constants."""
    return [_points(region, v, x, lines, random) for v, x in zip(region.inputs, known, strict=True)]


def _points(region: Region, v: int, known: Any, lines: int, random: np.random.Generator) -> np.ndarray:
    shape, dtype = region.kind(v)
    whole = (lines, len(STEPS), *shape)
    if known is not None:
        return np.broadcast_to(np.asarray(known), whole)
    constant = region.flat.constants.get(v)
    if constant is not None:  # one number of a constant array
        # The measurement is of one element: a mask of constants is tried with several of its entries.
        entries = random.choice(np.ravel(np.asarray(constant)), lines)
        return np.broadcast_to(entries[:, None], whole)
    if region.is_unit(v):
        # Random bits make a number between 1 and 2, from which 1 is subtracted; outside of that the program never is.
        return (1 + random.uniform(1e-6, 1 - 1e-6, whole)).astype(dtype)
    if not is_inexact(dtype):
        # Integers stay the same along a line: between two of them there is nothing to bisect.
        numbers = random.integers(2 if jnp.issubdtype(dtype, bool) else 4, size=(lines, 1, *shape))
        return np.broadcast_to(numbers.astype(dtype), whole)
    # Lines start near 0 and far from it, so that two thresholds of different size are not always crossed in the same order.
    scale = np.asarray([0.1, 1.0, 10.0])[np.arange(lines) % 3].reshape(-1, *[1] * (len(whole) - 1))
    base, slope = random.normal(size=(2, lines, 1, *shape))
    same = (np.arange(lines) % 4 == 0).reshape(scale.shape)
    slope = np.where(same, np.abs(slope), slope)  # some lines go from all negative to all positive
    return (scale * base + slope * STEPS.reshape(1, -1, *[1] * len(shape))).astype(dtype)


def close_in(region: Region, run: Run, jobs: np.ndarray, low: list, high: list) -> list[dict[int, np.ndarray]]:
    """All values at eight points: both ends of each interval, both sides of the change in it, one and two steps beyond those.

    `jobs`: (decision, _, element of it) for each interval, all of which are bisected at once.
    """
    floats = [is_inexact(region.flat.avals[v].dtype) for v in region.inputs]
    ends = run(low), run(high)
    at_low = region.decisions_at(ends[0])

    def is_changed(decisions):
        changed = np.zeros(len(jobs), bool)
        for k, (d, a) in enumerate(zip(decisions, at_low, strict=True)):
            rows = np.flatnonzero(jobs[:, 0] == k)
            elements = jobs[rows, 2]
            changed[rows] = d.reshape(len(d), -1)[rows, elements] != a.reshape(len(a), -1)[rows, elements]
        return changed

    def select(flags, xs, ys):
        return [np.where(flags.reshape(-1, *[1] * (x.ndim - 1)), x, y) for x, y in zip(xs, ys, strict=True)]

    a, b = low, high
    with np.errstate(all="ignore"):
        for _ in range(_HALVINGS):
            # All inputs move together: the bisection stays on the line that joins the two points.
            middle = [(x + (y - x) / 2).astype(x.dtype) if f else x for x, y, f in zip(a, b, floats, strict=True)]
            if all(np.all((m == x) | (m == y)) for m, x, y in zip(middle, a, b, strict=True)):
                break
            # The change is kept inside: if the decision has changed by the middle, the half before it holds a change.
            first = is_changed(region.decisions_at(run(middle)))
            a, b = select(first, a, middle), select(first, middle, b)
        steps = [_step(x, y) if f else 0 for x, y, f in zip(a, b, floats, strict=True)]

        def shift(xs, by):
            return [(x + by * s).astype(x.dtype) if f else x for x, s, f in zip(xs, steps, floats, strict=True)]

        points = (shift(a, -2), shift(a, -1), a, b, shift(b, 1), shift(b, 2))
    return [ends[0], *map(run, points), ends[1]]


def _step(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """As far as from a to b, and a few neighbouring numbers at least."""
    # Over a single unit in the last place, rounding alone makes changes that look like jumps beside none.
    return np.sign(b - a) * np.maximum(np.abs(b - a), 8 * np.abs(a) * float(jnp.finfo(a.dtype).eps)).astype(a.dtype)
