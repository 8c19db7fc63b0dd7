"""Chords through the arguments: does a step change along each of them by the integral of its derivative?

On the chord x + t w, -1 <= t <= 1, with the slope s(t) = J(x + t w) w, a function without jumps whose derivative is right has
f(1) - f(-1) = integral of s (the fundamental theorem of calculus, which holds for every absolutely continuous function: kinks
do no harm). With q the straight line between s(-1) and s(1), and T uniform on [-1, 1],

    D = f(1) - f(-1) - integral of q - 2 (s(T) - q(T))

has the mean 0 then, whatever s is, and little variance where s is nearly straight. Else its mean is what the derivative
misses: jumps, and wrong rules. Two independent T give two D of the same chord, whose product has the mean (E D)^2: it does not
matter which way an error points on which chord.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from ..._math.directions import orthogonal
from .._measure.skewed import standard_errors
from .step import Step, Values

INNER = 2  # points inside a chord at which the slope is looked at, at random
ROUNDING = 128.0  # units in the last place of a value


class Line(NamedTuple):
    """Points of one chord, in the order of t: outputs, and slopes along the chord."""

    t: Float[np.ndarray, " k"]
    values: Float[np.ndarray, "k m"]
    slopes: Float[np.ndarray, "k m"]


class Chords(NamedTuple):
    """n chords x + t w: their ends, and the points inside.

    - `ways`: w of each, in units of sigma `units`; `paired`: chords 0 and 1, 2 and 3, ... have the same way, and other
      keys; `keys`: that the step got on each;
    - `before`, `after`: at t = -1 and t = 1; `inside`: at `t`, the inner points of all chords along the leading axis.
    """

    ways: Float[np.ndarray, "n d"]
    units: Float[np.ndarray, "n d"]
    paired: bool
    keys: Key[Array, " n"]
    t: Float[np.ndarray, "n inner"]
    before: Values
    after: Values
    inside: Values

    @property
    def change(self) -> Float[np.ndarray, "n m"]:
        return self.after.outputs - self.before.outputs

    @property
    def range(self) -> Float[np.ndarray, " m"]:
        """How far the values at all points are apart."""
        values = np.concatenate([self.before.outputs, self.inside.outputs, self.after.outputs])
        return values.max(0) - values.min(0)

    def along(self, values: Values) -> Float[np.ndarray, "n k m"]:
        """Slopes along the chords at points of them, k of each."""
        assert values.slopes is not None
        n, d = self.ways.shape
        slopes = values.slopes.reshape(n, -1, values.slopes.shape[1], d)
        return np.einsum("nkmd,nd->nkm", slopes, self.ways)

    @property
    def trapezium(self) -> Float[np.ndarray, "n m"]:
        """The integral of the straight line between the slopes at the ends."""
        return (self.along(self.before) + self.along(self.after))[:, 0]

    @property
    def beside(self) -> Float[np.ndarray, "n inner m"]:
        """2 (s(T) - q(T)): its mean over T is what the slope's integral has beyond the trapezium."""
        first, last = self.along(self.before), self.along(self.after)
        share = (self.t[:, :, None] + 1) / 2
        return 2 * (self.along(self.inside) - first - share * (last - first))

    @property
    def integral(self) -> Float[np.ndarray, "n m"]:
        """An unbiased estimate of the integral of the slope."""
        return self.trapezium + self.beside.mean(1)

    def line(self, which: int) -> Line:
        """All points of one chord."""
        inner = self.t.shape[1]
        rows = slice(which * inner, (which + 1) * inner)
        values = np.concatenate(
            [self.before.outputs[which, None], self.inside.outputs[rows], self.after.outputs[which, None]]
        )
        slopes = np.concatenate([self.along(v)[which] for v in (self.before, self.inside, self.after)])
        t = np.concatenate([[-1.0], self.t[which], [1.0]])
        order = np.argsort(t)
        return Line(t[order], values[order], slopes[order])


def draw_chords(step: Step, sigma: Float[np.ndarray, " d"], evaluations: int, key: Key) -> Chords:
    """As many chords as `evaluations` allow, with w = sigma u, u standard normal: orthogonal to each other in blocks of d."""
    for_ways, for_points, for_keys = jax.random.split(key, 3)
    d, inner, paired = len(sigma), INNER if step.jacobian is not None else 0, step.is_random
    pairs = max(evaluations // ((2 + inner) * (2 if paired else 1)), 2)
    u = np.asarray(orthogonal(for_ways, pairs, d, d, jax.dtypes.canonicalize_dtype(float)), float)
    # What a step owes to one key says nothing of the mean over keys: the other of a pair has a key of its own.
    u = np.repeat(u, 2, axis=0) if paired else u
    count = len(u)
    t = np.asarray(jax.random.uniform(for_points, (count, inner), minval=-1.0, maxval=1.0), float)
    # One key for a chord: what the step owes to its noise is the same at all of its points.
    keys = jax.random.split(for_keys, count)
    at = np.concatenate([np.full((count, 1), -1.0), t, np.full((count, 1), 1.0)], 1)
    X = step.x + at[:, :, None] * (u * sigma)[:, None, :]
    found = step(X.reshape(-1, d), keys[np.repeat(np.arange(count), 2 + inner)])

    def at_columns(columns: slice) -> Values:
        pick = np.arange(at.size).reshape(at.shape)[:, columns].ravel()
        return Values(found.outputs[pick], None if found.slopes is None else found.slopes[pick])

    parts = at_columns(slice(0, 1)), at_columns(slice(-1, None)), at_columns(slice(1, -1))
    return Chords(u * sigma, u, paired, keys, t, *parts)


def rounding_of(step: Step, chords: Chords) -> Float[np.ndarray, " m"]:
    """What rounding may add to a difference of each output: of its own value, and of what the inputs' digits make of it."""
    largest = np.max(np.abs(np.concatenate([chords.before.outputs, chords.after.outputs])), axis=0)
    slopes = chords.before.slopes
    moved = 0.0 if slopes is None else np.max(np.abs(slopes) @ np.abs(step.x), axis=0)
    return ROUNDING * step.eps * (largest + moved)


class Tested(NamedTuple):
    """`p_values`: of "right", for each output by itself; `sizes`: of what a chord changes."""

    p_values: Float[np.ndarray, " m"]
    sizes: Float[np.ndarray, " m"]


def bias_test(chords: Chords, rounding: Float[np.ndarray, " m"]) -> Tested:
    """Student's t, one-sided, of the products of the two D of each chord, or pair of chords, in units of its own change or
    length.
    """
    from scipy.special import stdtr

    D = (chords.change - chords.trapezium)[:, None] - chords.beside
    D = np.sign(D) * np.maximum(np.abs(D) - rounding, 0)
    # The units depend on the ends alone, and not on T: divided by them, the mean of a product stays 0.
    ends = (chords.along(chords.before)[:, 0], chords.along(chords.after)[:, 0])
    units = chords.change**2 + sum(s**2 for s in ends) + rounding**2
    sizes = np.sqrt(np.mean(units, axis=0))
    if chords.paired:
        # The ends have the key's noise, as D has: only the length of the way is known beforehand.
        D = D.mean(1).reshape(-1, 2, D.shape[2])
        units = np.sum(chords.units[::2] ** 2, axis=1)[:, None]
    with np.errstate(all="ignore"):
        products = np.nan_to_num(np.prod(D, axis=1) / units)
        n, errors = len(products), standard_errors(products)
        mean = products.mean(0)
        t = np.where(mean > 0, mean / errors, 0.0)
        p_values = np.where(mean > 0, stdtr(n - 1, -t), 1.0)
    return Tested(p_values, sizes)
