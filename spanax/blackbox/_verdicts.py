"""May a derivative be made of what the points gave? Each check raises `SpanaxError` where it would be a wrong one.

- `check_inside`: every point lies within the bounds of x;
- `check_kept`: enough points are left of those that one derivative needs;
- `check_balance`: points that failed are like those that did not, so that leaving them out is unbiased;
- `check_resolution`: values differ by more than their last digits.
"""

from __future__ import annotations

import math

import numpy as np

from .._errors import SpanaxError, warn
from .._math.resolution import UNLUCKY, Found, Resolution, problem, remedies
from ._balance import CURES, FALSE_ALARMS, SEVERE
from ._points import Points
from ._request import is_inexact, is_real

FLAT = "flat"  # the kind of the error for points that do not show how f changes


def check_inside(points: Points) -> None:
    """Raises with the first number that is out of bounds: of x itself, or of a point of a bridge that does not keep to them."""
    request = points.request
    for k, (leaf, bound) in enumerate(zip(points.leaves, request.bounds or (), strict=False)):
        outside = bound.outside(leaf)
        if not outside.any():
            continue
        row, *at = (int(i) for i in np.argwhere(outside)[0])
        is_x = request.with_value and row % request.group == 0
        number, low, high = leaf[(row, *at)], bound.lower[tuple(at)], bound.upper[tuple(at)]
        own = ("jnp.clip(x, lower, upper), before the call", "wider bounds")
        raise SpanaxError(
            f"black box {points.host.name!r}: {'x' if is_x else 'a point of its derivative'} lies outside its bounds: "
            f"{request.places()[k]}{at or ''} = {number:.9g}, between {low:.9g} and {high:.9g}",
            *(own if is_x else ("a bridge whose `within` keeps all points inside",)),
            where=request.where,
        )


def check_kept(points: Points, kept: np.ndarray) -> None:
    """Raises where a derivative lost points that it cannot do without."""
    request = points.request
    # A pilot's points may fail: they choose a step, and the bridge sees which of them are missing.
    if request.may_fail:
        return
    for first in sorted({i - i % request.group for i in points.failed}):
        if not request.usable(kept[first : first + request.group][int(request.with_value) :]):
            # Named by its first failed point: the message has that point's input.
            lost = min(i for i in points.failed if i >= first)
            remedy = "what is left gives no derivative: sx.Smoothing, with more pairs, can do without some"
            points.raise_failure(points.failed[lost], remedy)


def check_balance(points: Points, kept: np.ndarray) -> None:
    """Raises, or warns, where the points that failed are not like the others."""
    host, group, chance = points.host, points.request.group, 1 / FALSE_ALARMS
    floats = [leaf.reshape(-1, group, math.prod(leaf.shape[1:])) for leaf in points.leaves if is_real(leaf.dtype)]
    at = np.concatenate([leaf.astype(np.float64) for leaf in floats], axis=2)
    # The first row of a group is x itself: what counts is how far the others have moved from it.
    lean = host.balance.lean(at[:, 1:] - at[:, :1], kept.reshape(-1, group)[:, 1:])
    if lean is None:
        return
    off_centre = f", and is not centred on x but {lean.mean:.2f} `sigma` from it" if lean.mean > SEVERE else ""
    message = (
        f"black box {host.name!r}: the points that fail are not like the others, they lie {lean.how} "
        f"({lean.failed} of {lean.points} points; by chance in less than 1 of {chance:,.0f} calls). What is left is an "
        f"estimate of something else: of a linear function it gives {lean.share:.0%} of the derivative there"
        f"{off_centre}\n  near {points.describe_input(lean.index * group)}"
    )
    if lean.is_severe:
        raise SpanaxError(message, *CURES, where=points.request.where)
    if not host.balance.has_warned:
        host.balance.has_warned = True
        warn(message, *CURES, where=points.request.where)


def check_resolution(points: Points) -> None:
    """Raises where the values differ too little for a derivative, or makes them equal where `constant` says they are."""
    if _differ_visibly(points):
        points.host.unseen = 1.0
        return
    results = [array for array in points.results if is_inexact(array.dtype)]
    resolution = Resolution(results, points.references, points.request.group)
    # The last digits of a constant would be a derivative of rounding noise: they are made equal.
    if points.host.constant:
        resolution.flatten()
        return
    found = _too_small(points, resolution)
    if found is not None:
        _raise_unresolved(points, found)


def _differ_visibly(points: Points) -> bool:
    """Does a look at two numbers show that they differ?"""
    # The full comparison takes longer than a cheap function; most calls of a scalar one are settled here.
    if not _is_single_derivative(points):
        return False
    reference = points.references[0][0] if points.references else points.results[0][0]
    return points.host.glance.sees(points.results[0], float(reference))


def _is_single_derivative(points: Points) -> bool:
    return points.request.is_one_number and points.rows == points.request.group


def _too_small(points: Points, resolution: Resolution) -> Found | None:
    """The number that changes too little, or None where all change enough or random points may have missed the change."""
    host, request = points.host, points.request
    found = resolution.flat()
    if found is None:
        host.unseen, found = 1.0, resolution.rounded()
        if found is None and resolution.has_all_digits and _is_single_derivative(points):
            host.glance.has_all_digits()
    elif request.misses:
        # Random points can all miss what f depends on. One flat call proves nothing where that is likely; the chances of calls
        # in a row multiply, since each has points of its own, until it is unlikely enough to be an error.
        host.unseen *= request.misses
        if request.misses > UNLUCKY and host.unseen > FALSE_ALARMS:
            return None
    return found


def _raise_unresolved(points: Points, found: Found) -> None:
    request = points.request
    error = SpanaxError(
        f"the derivative of the black box {points.host.name!r}: "
        f"{problem(found, request.group - int(request.with_value))}\n"
        f"  near {points.describe_input(found.lane * request.group)}",
        *remedies(found, request.lever),
        "sx.blackbox(..., constant=True), where it is meant not to change: its derivative is then 0",
        where=request.where,
    )
    # A loop that has come down a slope may take it for the end; nobody else may.
    error.kind = FLAT
    raise error
