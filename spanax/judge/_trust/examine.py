"""What is wrong with which output: the test of all chords, and then the search for the place."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Key

from ..._errors import SpanaxError
from ...gaps.find import Analysis, analyse
from ...gaps.flips import Flips
from ...gaps.report import Gap
from .bisect import HALVINGS, LEAST, Followed, follow, intervals_of
from .chords import Chords, Tested, bias_test, draw_chords, rounding_of
from .step import Step

LEVEL = 0.01  # of false alarms, in all outputs of a step together
RELEVANT = 0.02  # share of what a chord changes, below which a place is not followed unless the test finds it
RESERVE = HALVINGS + 4  # evaluations that are kept for following, where that can be done


class Found(NamedTuple):
    """Of each of m outputs: is its analytic derivative `flagged`; its p-value; which have NaN, jump, or are dead.

    `steep`: the chords' slopes do not show what changes, and yet the search found the derivative right.
    `places`: of outputs that are flagged, the lines behind it; `points`: of those that jump, where.
    """

    chords: Chords
    rounding: Float[np.ndarray, " m"]
    p_values: Float[np.ndarray, " m"]
    flagged: np.ndarray
    steep: np.ndarray
    not_finite: np.ndarray
    jumps: np.ndarray
    dead: np.ndarray
    still: np.ndarray
    places: dict[int, tuple[Gap, ...]]
    points: dict[int, Float[np.ndarray, " d"]]


def examine(step: Step, sigma: Float[np.ndarray, " d"], probes: int, key: Key, where: str) -> Found:
    # With a key a value jumps whenever a draw does, and a right estimate may: only means over keys can be tested then.
    follows = not step.is_random and step.jacobian is not None
    chords = draw_chords(step, sigma, probes - step.evaluations - (RESERVE if follows else 0), key)
    _check_finite(step, chords, where)
    rounding, m = rounding_of(step, chords), len(step.output_names)
    still = chords.range <= rounding
    nothing = np.zeros(m, bool)
    if step.jacobian is None:
        return Found(chords, rounding, np.full(m, np.nan), ~nothing, nothing, nothing, nothing, nothing, still, {}, {})
    not_finite = _has_not_finite(chords)
    tested = bias_test(chords, rounding)
    significant = tested.p_values * m < LEVEL
    dead = ~still & (_largest_slope(chords) <= rounding)
    flagged, jumps, followed = significant, nothing, {}
    if follows:
        flagged, jumps, followed = _follow_all(step, chords, tested, significant, rounding, probes - step.evaluations)
    flagged, steep = flagged | not_finite, significant & ~flagged
    places, points = _places(step, chords, flagged & ~not_finite, followed, key)
    return Found(chords, rounding, tested.p_values, flagged, steep, not_finite, jumps, dead, still, places, points)


def _check_finite(step: Step, chords: Chords, where: str) -> None:
    values = np.concatenate([v.outputs for v in (chords.before, chords.inside, chords.after)])
    if bad := [n for n, ok in zip(step.output_names, np.all(np.isfinite(values), axis=0), strict=True) if not ok]:
        raise SpanaxError(
            f"trust: {step.function} is not finite within sigma of the arguments: {', '.join(bad[:5])}",
            "a smaller sigma",
            "sx.find_gaps(step, ..., nan=True), which names the operation",
            where=where,
        )


def _has_not_finite(chords: Chords) -> np.ndarray:
    """Outputs that are finite, and whose derivative is not."""
    bad = np.zeros(chords.before.outputs.shape[1], bool)
    for values in (chords.before, chords.inside, chords.after):
        assert values.slopes is not None
        bad |= np.any(np.isfinite(values.outputs) & ~np.all(np.isfinite(values.slopes), axis=2), axis=0)
    return bad


def _largest_slope(chords: Chords) -> Float[np.ndarray, " m"]:
    slopes = [np.abs(chords.along(v)).max((0, 1)) for v in (chords.before, chords.inside, chords.after)]
    return np.nan_to_num(np.max(slopes, axis=0), nan=np.inf)


def _follow_all(
    step: Step, chords: Chords, tested: Tested, significant: np.ndarray, rounding: np.ndarray, left: int
) -> tuple[np.ndarray, np.ndarray, dict[int, Followed]]:
    """Flags, jumps and the place of each output, as far as `left` evaluations go."""
    n, m = chords.change.shape
    certified, jumps, released, tried = (np.zeros(m, bool) for _ in range(4))
    followed: dict[int, Followed] = {}
    lines = [intervals_of(chords.line(k)) for k in range(n)]
    missing = np.array([[interval.missing(rounding) for interval in line] for line in lines])
    with np.errstate(all="ignore"):
        shares = np.nan_to_num(missing / tested.sizes)
    # Where no interval changes by more than its slopes allow, nothing speaks against the derivative.
    suspect = (significant & (missing.max((0, 1)) > 0)) | (shares.max((0, 1)) > RELEVANT)
    while left > LEAST + 1 and np.any(open_ := suspect & ~certified & ~tried):
        chord, part, output = map(int, np.unravel_index(np.argmax(np.where(open_, shares, -1.0)), shares.shape))
        before = step.evaluations
        result = follow(step, chords, chord, lines[chord][part], output, rounding, left - 2)
        # Two more, to see which lines flip there.
        left -= step.evaluations - before + 2
        # What the derivative misses in one place is no alarm where it is nothing beside what the step changes.
        new = result.certified & (significant | (shares[chord, part] > RELEVANT)) & ~certified
        certified |= new
        jumps |= new & result.jumps
        followed |= {int(o): result for o in np.flatnonzero(new)}
        # Undecided, and the test has found it: the flag stays, without a place.
        tried[output], released[output] = True, result.released[output] and not certified[output]
    flagged = certified | (significant & (missing.max((0, 1)) > 0) & ~released)
    return flagged, jumps, followed


def _places(
    step: Step, chords: Chords, flagged: np.ndarray, followed: dict[int, Followed], key: Key
) -> tuple[dict[int, tuple[Gap, ...]], dict[int, np.ndarray]]:
    """The lines behind the flags: those that flip where an output jumps, else those that cut the gradient."""
    flags = [int(o) for o in np.flatnonzero(flagged)]
    placed = {o: followed[o] for o in flags if o in followed}
    points = _points(step, chords, placed)
    # The finder of gaps traces the whole step: only where there is something to explain.
    analysis = _analysis(step, key) if flags else None
    if analysis is None:
        return {}, points
    flips, cuts = Flips(analysis), _cuts(analysis)
    # Where nothing flips, whatever cuts the gradient may be behind it.
    flipping = {o: _flipping(step, chords, at, flips) for o, at in placed.items() if at.jumps[o]}
    return {o: flipping.get(o) or cuts for o in flags}, points


def _cuts(analysis: Analysis) -> tuple[Gap, ...]:
    return tuple(gap for gap in analysis.report.gaps if gap.kind not in ("unused", "bridged"))


def _points(step: Step, chords: Chords, placed: dict[int, Followed]) -> dict[int, Float[np.ndarray, " d"]]:
    """Where on its chord each of these is wrong, if halving has left next to nothing of the chord."""
    narrow = {o: at for o, at in placed.items() if at.last.length < 1e-3}
    return {o: step.x + at.last.t[0] * chords.ways[at.chord] for o, at in narrow.items()}


def _analysis(step: Step, key: Key) -> Analysis | None:
    leaves = tuple(jnp.asarray(x) for x in step.leaves)
    # The place is told where it can be: a step that the finder cannot read is judged all the same.
    try:
        return analyse(step.of_vector(), leaves, {"key": key}, tuple(range(len(leaves))))
    except (SpanaxError, TypeError, ValueError, NotImplementedError):
        return None


def _flipping(step: Step, chords: Chords, at: Followed, flips: Flips) -> tuple[Gap, ...]:
    ends = step.x + np.array(at.last.t)[:, None] * chords.ways[at.chord]
    before, after = (flips.records(*(jnp.asarray(x[0]) for x in step.split(end[None]))) for end in ends)
    return flips.between(before, after)
