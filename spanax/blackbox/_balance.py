"""Are the points that failed like the others? Only then is an estimate right that leaves them out.

The null hypothesis is that whether a point fails has nothing to do with where it is: a worker died, a licence ran out.
Given that m of n points have failed, each set of m is then as likely as any other, and a sum over the failed points is one
of a sample without replacement. Its tail is bounded through its moment generating function (Chernoff), for any number of
points, and so is the false-alarm rate. Over all calls of a black box, a mixture of bets is a martingale (Ville's
inequality): few failures in each call prove nothing by themselves, but add up.
"""

from __future__ import annotations

import math
import threading
from typing import NamedTuple

import numpy as np

# Of one call, at most: half for each group by itself, half for all calls of a black box together. A user who makes
# 100 calls in a run sees a false alarm in one of a hundred runs.
FALSE_ALARMS = 1e-4
# A tenth off is within what a stochastic optimiser does not notice; an estimate that is off by more is refused.
SEVERE = 0.1
# Of the moment generating function, in units of 1/(standard deviation): the bound holds for any of them, and is
# nearly as good as with the best one where they are this dense.
_RATES = np.geomspace(0.1, 30, 20)
# The same for all calls together, where the rate has to be fixed before the data: each of them is bet on.
_BETS = np.array([0.1, 0.2, 0.4, 0.8, 1.6])
# The columns with the largest sums: bounding the tail of one takes longer than all else.
_SEARCHED = 4
# Standard deviations. What is less cannot be significant at the rate of false alarms, and is not looked at.
_LOUD = 3.5
# Of one call that are looked at closely; of more, those where a coordinate is loud.
_GROUPS = 16
_NEWTON, _ITERATIONS, _SMALL = 12, 12, 32
_ONE_SIDED, _FAR = "on one side of x", "far from x"


CURES = (
    "a value for such points, by fn itself: a penalty, or that of the nearest point that has one",
    "a smaller `sigma` or `step`, so that no point lies where fn fails",
    "another parametrisation, such as x = exp(u), in which all points have a value",
)


class Lean(NamedTuple):
    """How the points that failed differ from all.

    `share`: of the derivative of a linear function, what the points used give along the lean; `mean`: how far from x their
    mean is along it, in units of the root mean square.
    """

    index: int
    how: str
    failed: int
    points: int
    share: float
    mean: float

    @property
    def is_severe(self) -> bool:
        return self.size > SEVERE

    @property
    def size(self) -> float:
        return max(abs(self.share - 1), self.mean)


class Balance:
    """Looks at the failures of one black box, in each group of each call and over all of them."""

    def __init__(self):
        self._lock, self._so_far = threading.Lock(), _SoFar(0)
        self.has_warned = False  # of a lean that is not severe

    def __reduce__(self):
        # Another process sees other points.
        return Balance, ()

    def lean(self, moves: np.ndarray, kept: np.ndarray) -> Lean | None:
        """The lean that matters most, if any. `moves`: from x, (groups, points, coordinates); `kept`: (groups, points)."""
        groups = np.flatnonzero(~kept.all(axis=1)).tolist()
        leans = []
        with self._lock:
            for i, group in enumerate(groups):
                if i >= _GROUPS and not _is_loud(moves[group], ~kept[group]):
                    continue
                if (points := _Points.of(moves[group], kept[group])) is not None:
                    leans.append(_lean_of_group(group, points, math.log(FALSE_ALARMS / 2 / len(groups))))
                    if self._so_far.size != points.moves.shape[1]:
                        self._so_far = _SoFar(points.moves.shape[1])
                    self._so_far.add(points)
            if groups and (lean := self._so_far.lean(groups[-1], math.log(FALSE_ALARMS / 2 / 2))):
                leans.append(lean)
                self._so_far = _SoFar(0)
        return max(filter(None, leans), key=lambda lean: lean.size, default=None)


class _Points(NamedTuple):
    """`moves`: (points, coordinates), in units of the root mean square of each; which points failed, and which are used."""

    moves: np.ndarray
    failed: np.ndarray
    used: np.ndarray

    @classmethod
    def of(cls, moves: np.ndarray, kept: np.ndarray) -> _Points | None:
        """None where nothing moves or nothing is used. Of points that mirror each other, both are used or none."""
        # Coordinates have units of their own, and a bridge a step for each: only multiples of its root mean square
        # compare.
        size = np.sqrt(np.mean(moves**2, axis=0))
        scaled, half = moves[:, size > 0] / size[size > 0], len(kept) // 2
        # Central differences need both points of a pair. Pairs are recognised by their sums, which are 0 around x, or the
        # same for all where bounds have moved the middle.
        used = kept
        middle = scaled[:half] + scaled[half:] if len(kept) % 2 == 0 else np.ones(1)
        if np.all(abs(middle) < 0.05) or (half > 1 and len(middle) == half and np.all(abs(middle - middle[:1]) < 0.05)):
            used = np.tile(kept[:half] & kept[half:], 2)
        return cls(scaled, ~kept, used) if scaled.size and used.any() else None

    def share_and_offset(self, direction: np.ndarray | None) -> tuple[float, float]:
        """Of the moves that are used the mean square, over that of all, and the mean: along a direction, or in length."""
        # For an isotropic estimate the derivative of a linear function scales with the mean square of the moves, and
        # what is off centre adds a share of the value itself.
        if direction is None:
            square = np.sum(self.moves**2, axis=1)
            return float(square[self.used].mean() / square.mean()), 0.0
        along = self.moves @ direction
        square = np.mean(along**2)
        return float(np.mean(along[self.used] ** 2) / square), float(
            abs(along[self.used].mean() - along.mean()) / square**0.5
        )


# A cheap look, for calls with very many groups: could any coordinate, or its square, be significant?
def _is_loud(moves: np.ndarray, failed: np.ndarray) -> bool:
    n, m = len(failed), int(failed.sum())
    columns = np.concatenate([moves, moves**2], axis=1)
    centred = columns - columns.mean(axis=0)
    variance = np.mean(centred**2, axis=0) * (m * (n - m) / max(n - 1, 1))
    return bool(np.any(centred[failed].sum(axis=0) ** 2 > _LOUD**2 * variance))


def _lean_of_group(group: int, points: _Points, limit: float) -> Lean | None:
    """`limit`: the logarithm of the false-alarm rate, of which each test has its part."""
    moves, failed = points.moves, points.failed
    square, (mean, axis) = moves**2, _main_directions(moves[failed])
    # The first number is the test's share of the false-alarm rate: the shares of all tests add up to 1 (Bonferroni).
    tests = [(0.3, _ONE_SIDED, mean, moves, failed, 2), (0.2, _FAR, None, square, failed, 1)]
    if moves.shape[1] > 1:
        tests.append((0.1, _FAR, None, square.sum(axis=1, keepdims=True), failed, 1))
        # A direction that was chosen by the same points would always look extreme: one half of the points chooses it, and the
        # other half is tested along it.
        for part in _halves(len(moves)):
            direction, far = _main_directions(moves[~part & failed])
            tests.append((0.15, _ONE_SIDED, mean, (moves[part] @ direction)[:, None], failed[part], 1))
            tests.append((0.05, _FAR, axis, (moves[part] @ far)[:, None] ** 2, failed[part], 1))
    leans = []
    for part, how, along, columns, fails, sides in tests:
        p, column = _log_tail(columns, fails, sides)
        if p - math.log(part) < limit:
            directions = [along]
            if columns.shape == moves.shape:
                directions.append(np.eye(1, moves.shape[1], column)[0])
            leans += [
                Lean(group, how, int(failed.sum()), len(failed), *points.share_and_offset(each)) for each in directions
            ]
    return max(leans, key=lambda lean: lean.size, default=None)


def _halves(n: int) -> list[np.ndarray]:
    """Of the points, those that mirror each other together."""
    place = np.arange(n) % (n // 2) if n % 2 == 0 else np.arange(n)
    return [place % 2 == 0, place % 2 == 1]


def _main_directions(moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The direction of the mean of these moves, and about the axis along which they are largest, by power iteration."""
    if not len(moves):
        return np.zeros(moves.shape[1]), np.zeros(moves.shape[1])
    # Started from the longest move, which is unlikely to be orthogonal to the main axis.
    axis = moves[np.argmax(np.sum(moves**2, axis=1))]
    for _ in range(_ITERATIONS):
        axis = _unit(moves.T @ (moves @ _unit(axis)))
    return _unit(moves.sum(axis=0)), axis


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(np.linalg.norm(vector), 1e-300)


def _log_tail(columns: np.ndarray, failed: np.ndarray, sides: int) -> tuple[float, int]:
    """log of a bound on P(the sum of any column over the failed points is as large as it is), and of which column.

    `sides=2`: or as small. Only columns whose sums are loud are looked at, and 0 is returned where there is none.
    """
    n, m, k = len(failed), int(failed.sum()), columns.shape[1]
    # Where all failed, or none, there is nothing to compare.
    if not 0 < m < n:
        return 0.0, 0
    # Among many columns only those whose sum is many standard deviations off can be significant; the bound is costly.
    centred = columns - columns.mean(axis=0)
    deviation = np.sqrt(np.mean(centred**2, axis=0))
    sums = centred[failed].sum(axis=0) / np.where(deviation > 1e-6, deviation, np.inf)
    heights = abs(sums) if sides == 2 else sums
    least = _LOUD * math.sqrt(m * (n - m) / (n - 1))
    best = [
        (_log_bound(np.sign(sums[j]) * centred[:, j] / deviation[j], m, abs(sums[j])), int(j))
        for j in np.argsort(-heights)[:_SEARCHED]
        if heights[j] > least
    ]
    p, column = min(best, default=(0.0, 0))
    # The union bound, over all columns and both signs.
    return min(p + math.log(sides * k), 0.0), column


def _log_bound(z: np.ndarray, m: int, s: float) -> float:
    """log of a bound on P(the sum of m of the n numbers z, drawn without replacement, is s or more).

    With independent draws b_i of probability q = m/n, P = P(sum b z >= s, sum b = m) / P(sum b = m), and the numerator is at
    most E exp(r (sum b z - s) + u (sum b - m)) for any r >= 0 and u; u by Newton's method for each of some r.
    """
    n = len(z)
    q = m / n
    rz = _RATES[:, None] * z[None]
    # Newton's method starts about where the m largest would be taken.
    u = -np.sort(rz, axis=1)[:, n - m][:, None] + math.log((1 - q) / q)
    odds = rz + math.log(q / (1 - q))
    for _ in range(_NEWTON):
        # The derivative of the bound by u is 0 where the expected number of failures is m.
        taken = _sigmoid(odds + u)
        slope = np.maximum(np.sum(taken * (1 - taken), axis=1, keepdims=True), 1e-3)
        u = u + np.clip((m - taken.sum(axis=1, keepdims=True)) / slope, -2, 2)
    log_mean = np.sum(np.logaddexp(math.log1p(-q), math.log(q) + rz + u), axis=1) - _RATES * s - u[:, 0] * m
    # log P(sum b = m), the binomial probability of exactly m failures.
    log_count = (
        math.lgamma(n + 1) - math.lgamma(m + 1) - math.lgamma(n - m + 1) + m * math.log(q) + (n - m) * math.log1p(-q)
    )
    return float(np.min(log_mean)) - log_count


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(0.5 * x)


class _SoFar:
    """All calls of a black box together: few points in a call prove nothing, many calls do.

    Bets against the null hypothesis: exp(sum over calls of r S - log E exp(r S)) is a martingale with mean 1 for each rate r, and
    so is the mean over rates; it reaches 1/a at any time with probability a at most (Ville's inequality). S is the sum over
    the failed points of their moves in the direction in which earlier ones have failed, or of their squared length.
    """

    def __init__(self, size: int):
        self.size, self.failed, self.points = size, 0, 0
        self.toward = np.zeros(size)
        self.bets = {_ONE_SIDED: np.zeros(len(_BETS)), _FAR: np.zeros(len(_BETS))}
        # Of the points used the sum of squares, the sum and the count; of all points the sum of squares and the count.
        self.used = {_ONE_SIDED: np.zeros(5), _FAR: np.zeros(5)}

    def add(self, points: _Points) -> None:
        # Two bets: that failures lie on the side where earlier ones did, and that they lie far out.
        along, length = points.moves @ _unit(self.toward), np.sum(points.moves**2, axis=1)
        # The direction must come from earlier calls only, or the bet would not be fair: it is updated at the end.
        for how, values, square, side in ((_ONE_SIDED, along, along**2, along), (_FAR, length, length, 0 * length)):
            centred = values - values.mean()
            deviation = math.sqrt(np.mean(centred**2))
            if deviation > 1e-6:
                self.bets[how] += _log_gain(centred / deviation, points.failed)
            used = points.used
            self.used[how] += (
                square[used].sum(),
                (side[used] - side.mean()).sum(),
                used.sum(),
                square.sum(),
                len(square),
            )
        self.toward = self.toward + points.moves[points.failed].sum(axis=0)
        self.failed, self.points = self.failed + int(points.failed.sum()), self.points + len(points.failed)

    def lean(self, group: int, limit: float) -> Lean | None:
        for how, bets in self.bets.items():
            # Ville: the mean over the bets exceeds 1/a at any time with probability a at most, so looking after each
            # call is free.
            if np.logaddexp.reduce(bets) - math.log(len(bets)) > -limit:
                square, side, used, total, count = self.used[how]
                share, mean = (square / used) / (total / count), abs(side / used) / (total / count) ** 0.5
                return Lean(group, how, self.failed, self.points, float(share), float(mean))
        return None


def _log_gain(z: np.ndarray, failed: np.ndarray) -> np.ndarray:
    """r S - log E exp(r S), or less, for each bet r; S the sum of z, whose mean is 0, over the failed points."""
    # Exactly for few points: E exp(r S) is an elementary symmetric polynomial of exp(r z), over the number of subsets.
    if len(z) <= _SMALL:
        m = int(failed.sum())
        sums = np.zeros((m + 1, len(_BETS)))
        sums[0] = 1
        for each in np.exp(_BETS[None] * z[:, None]):
            sums[1:] += each * sums[:-1]
        log_moment = np.log(sums[m]) - math.log(math.comb(len(z), m))
    # For many by draws with replacement, whose moment is larger: Hoeffding 1963 (J. Am. Stat. Assoc. 58, 13), theorem 4. The sum
    # over those that failed is minus that over the others: the smaller set gives the tighter bound.
    else:
        m = min(failed.sum(), (~failed).sum())
        sign = 1 if 2 * failed.sum() <= len(z) else -1
        log_moment = m * np.log(np.mean(np.exp(_BETS[:, None] * sign * z[None]), axis=1))
    return _BETS * z[failed].sum() - log_moment
