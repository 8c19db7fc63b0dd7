"""Differences of a noisy function along lines, and the step that suits its noise and its curvature."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..._errors import SpanaxError
from .lines import Lines
from .objective import Objective, for_all

# Not 1: a function whose period is a fraction of the step would seem to be flat.
LARGEST = 0.83
LADDER = 16
_STEPS = 3  # h, h/2 and h/4
# From the central differences d(h) at these: sixth order, for two steps of extrapolation (Richardson 1911).
_WEIGHTS = np.array([1, -20, 64]) / 45
_AMPLIFIED = float(np.abs(_WEIGHTS) @ 2.0 ** np.arange(_STEPS))  # noise of 1 in each value, at its worst, times 1/h
_OF_A_JUMP = float(_WEIGHTS @ 2.0 ** np.arange(_STEPS)) / 2  # that all differences cross, times 1/h
_SUDDEN, _STEADY = 20.0, 3.0  # a jump is left behind from one step to the next, and was as large at the step before
_NEAR = 8.0  # steps
_GRADIENTS = 32  # units in the last place of a gradient: its own rounding
_EXTRAPOLATED = 15  # a fourth-order difference errs by a 15th of its change when the step is halved


class Differences(NamedTuple):
    slopes: Float[np.ndarray, "n k"]  # of each draw's gradient, along each line
    changes: Float[np.ndarray, "n k"]  # of each draw's value, as a derivative

    def extremes(self, jump: Float[np.ndarray, " k"], steps: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """How far from the mean a slope less a change may be: as far as any was, or as a jump of that size moves it."""
        apart = self.slopes - self.changes
        return np.maximum(np.max(np.abs(apart - apart.mean(0)), axis=0), jump * _OF_A_JUMP / steps)

    points = _STEPS
    pilot_points = LADDER


def measure_differences(
    program: Objective, along: Lines, steps: Float[np.ndarray, " k"], keys: Key[Array, " n"]
) -> Differences:
    """Gradients, and differences of sixth order, with the same key on all points."""
    slopes, central, _ = _central(program, along, steps[:, None] / 2.0 ** np.arange(_STEPS), keys)
    return Differences(slopes, central @ _WEIGHTS)


def choose_steps(
    program: Objective, along: Lines, keys: Key[Array, " n"], draws: int, where: str
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """The largest step at which halving it changes nothing but by chance (or 1%), and on from there while that lessens the error.

    And the error that may be left, but for noise; and the size of the jumps that f may have on each line. From the largest,
    because the differences of a function that jumps with its draws vary as 1/step, until the step is so small that no draw jumps,
    and they seem to be exact. Where there is no such step, the one with the least sum of noise, curvature and rounding.
    """
    # A ladder of halved steps: differences at neighbouring rungs make Richardson's extrapolation, and say by how much
    # it still changes.
    steps = LARGEST / 2.0 ** np.arange(LADDER)
    slopes, central, unit = _central(program, along, np.broadcast_to(steps, (len(along.names), LADDER)), keys)
    chosen = [_choose(slopes[:, j], central[:, j], steps, unit, draws) for j in range(len(along.names))]
    if not all(np.isfinite(tolerance) for _, tolerance in chosen):
        raise SpanaxError(
            "check_gradient(f): f is NaN or infinite at its arguments, or on both sides of them however near",
            "arguments in the interior of where f is defined",
            "the logarithm of an argument that has to be positive",
            where=where,
        )
    used, tolerances = (np.array(each) for each in zip(*chosen, strict=True))
    return used, tolerances, _jumps(program, along, largest_jumps(2 * steps * central, steps, used), keys[0])


def _jumps(program: Objective, along: Lines, seen: Float[np.ndarray, " k"], key: Key[Array, ""]) -> np.ndarray:
    """The largest seen on any line, where f may jump on this one: too seldom there, perhaps, for so few draws."""
    # A jump seen on any line may happen on all that move such a leaf: this one's draws may only have missed it.
    jumping = np.isin(np.arange(len(program.leaves)), program.that_may_jump(key))
    return np.where(np.any(np.asarray(along.weights)[:, jumping] != 0, axis=1), np.max(seen), seen)


def largest_jumps(
    moved: Float[np.ndarray, "n k steps"], steps: Float[np.ndarray, " steps"], used: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " k"]:
    """Of the values' differences between the two ends of each line, within 8 of the steps that are used there.

    D(h) - 2 D(h/2) falls by 8 from step to step where f is smooth; with a jump at a distance between h/2 and h it is the jump's
    size at h and all larger steps, and 0 at once below. So it is with a kink, whose size is that of its distance.
    """
    with np.errstate(all="ignore"):
        # For a smooth f, moved(h) is proportional to h up to h^3, so this difference falls by 8 a rung.
        left = np.abs(moved[..., :-1] - 2 * moved[..., 1:])
        before, here, after = left[..., :-2], left[..., 1:-1], left[..., 2:]
        jumps = (here > _SUDDEN * after) & (before < _STEADY * here) & np.isfinite(here)
    near = steps[1:-2] <= _NEAR * used[:, None]
    return np.max(here, axis=(0, 2), where=jumps & near, initial=0.0)


def _choose(slopes, central, steps, unit: tuple[float, float], draws: int) -> tuple[float, float]:
    """Of one line: `slopes` (n,), central differences (n, LADDER) at `steps`; `unit`: in the last place, of 1 and of a value."""
    n = len(central)
    with np.errstate(all="ignore"):
        # Richardson twice: the errors of order 2 and 4 cancel, that of order 6 is left.
        fourth = (4 * central[:, 1:] - central[:, :-1]) / 3
        halved = fourth[:, 1:] - fourth[:, :-1]
        sixth = fourth[:, 1:] + halved / _EXTRAPOLATED
        change = np.abs(halved.mean(0))
        chance = halved.std(0) / np.sqrt(n)
        typical = np.sqrt(np.mean(sixth**2, 0))
        steady = change <= np.maximum(3 * chance, 0.01 * typical)
        rungs = len(steps) - _STEPS
        left = np.maximum(change[:rungs], change[1 : rungs + 1]) / _EXTRAPOLATED
        noise = np.std(np.where(np.isfinite(slopes), slopes, 0)[:, None] - sixth[:, :rungs], axis=0) / np.sqrt(draws)
        rounding = (
            np.array([_rounding_error(central, sixth[:, r], steps, unit[1]) for r in range(rungs)]) / steps[:rungs]
        )
        rounding += _GRADIENTS * unit[0] * typical[:rungs]
        total = noise + left + rounding
    # Two rungs in a row, so that one that agrees by chance does not decide.
    good = np.flatnonzero(steady[:rungs] & steady[1 : rungs + 1] & np.isfinite(total))
    finite = np.where(np.isfinite(total), total, np.inf)
    r = int(good[0]) if len(good) else int(np.argmin(finite))
    while len(good) and r + 1 < rungs and finite[r + 1] < finite[r]:
        r += 1
    return float(steps[r]), float((left + rounding)[r]) if np.isfinite(finite[r]) else np.inf


def _rounding_error(central, sixth, steps, size) -> float:
    """What rounding adds to a difference with step 1: seen at the smallest steps, and 4 units in the last place at the least."""
    # Where the step is smallest, what central differences deviate by is rounding.
    at_smallest = np.abs((central[:, -3:] - sixth[:, None]).mean(0)) * steps[-3:]
    return _AMPLIFIED * max(float(np.median(at_smallest)), 4 * size)


def _central(program, along, steps, keys) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Slopes (n, k), central differences (n, k, steps), and a unit in the last place, of 1 and of a typical value."""
    parts = for_all(_of_one_key, program.at_once, keys, program, along, jnp.asarray(steps, jnp.result_type(float)))
    slopes, values = (np.concatenate([np.asarray(x, np.float64) for x in each]) for each in zip(*parts, strict=True))
    with np.errstate(all="ignore"):
        central = (values[..., 0] - values[..., 1]) / (2 * steps)
    # The size of the values decides how much their differences round.
    typical = float(np.mean(np.abs(values), where=np.isfinite(values))) if np.any(np.isfinite(values)) else np.inf
    eps = float(np.finfo(parts[0][1].dtype).eps)
    return slopes, central, (eps, eps * typical)


def _of_one_key(key, program: Objective, along: Lines, steps):
    """The gradient along each line; the values at both sides of it, (k, steps, 2)."""
    gradient = program.gradient(key)
    # One gradient serves all lines: they differ only in what it is multiplied with.
    slopes = along.slopes(gradient)

    def value(point):
        return program.value(along.move(program.leaves, *point), key)

    # Both ends with the same key: what f owes to its noise cancels in the difference.
    signed = jnp.stack([steps, -steps], -1)
    which = jnp.broadcast_to(jnp.arange(len(steps)).reshape(-1, 1, 1), signed.shape)
    values = jax.lax.map(value, (which.ravel(), signed.ravel()))
    return slopes, values.reshape(signed.shape)
