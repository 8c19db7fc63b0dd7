"""Is the mean of a gradient the truth? Two tests and an interval.

With d = mean - truth and its covariance S (the truth's own added), under "no bias":

- the largest |d_j|/s_j of all elements, Student's t with Sidak's correction: finds a bias of few elements;
- |d|^2/tr S, an F distribution with nu = (tr S)^2/tr S^2 degrees of freedom (Satterthwaite 1946): finds a bias spread thin.

The p-value is twice the smaller of the two, so that at level 1% an unbiased gradient is called biased at most once in 100
times. Both are made of each group of leaves as well, since the noise of one leaf hides the bias of another in |d|^2: half of
the level is for the ranked leaves together, and the other half is shared by the groups (Bonferroni). The variance of a skewed
element is moved to where it would be if the mean were the truth, by d_j times third moment by variance, where that raises it
(Johnson 1978, Journal of the American Statistical Association 73, 536): a gradient that is seldom other than 0 shows few large
values and a small variance by the same chance, and Student's t alone would cry wolf.
Rounding, 100 eps of the largest element of the leaf, is added as well, and the error of a quadrature.

Rare values that no draw has shown are invisible to both. If values at a distance of M from the mean made up the difference d_j,
they would come at a rate of |d_j|/M, and be missing in all n draws with probability exp(-n |d_j|/M): below that the p-value of an
element does not go, with the largest distance seen in its leaf for M. A leaf all of whose rare values are missing is a constant
to these tests.

tr S^2 is that of batch means (Bai and Saranadasa 1996, equation 3.2). |bias|^2 is estimated without bias from products of
different batches; its standard error is that at either end of the interval.

A bias has a part along the truth, which is a matter of scale and undone by another learning rate, and a part across it. The mean
less its component along the truth is tested and estimated in the same two ways.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..rows import Interval
from .moments import Moments

Elements = slice | Int[np.ndarray, " n"]

LEVEL = 0.01
_ROUNDING = 100.0  # units of eps
_CONFIDENCE = 0.95


class Reference(NamedTuple):
    """The truth as one vector, and the moments of its own draws; None where it has none.

    `off`: what a method without draws may be off by in each element.
    """

    mean: Float[np.ndarray, " size"]
    moments: Moments | None
    off: float = 0.0

    def squared_error(self, elements: Elements = slice(None)) -> float:
        """The expectation of |mean - what it estimates|^2."""
        return 0.0 if self.moments is None else float(np.sum(self.moments.variance[elements])) / self.moments.draws

    def norm(self, elements: Elements = slice(None)) -> float:
        """|truth|, without what its own noise adds; 0 where that is all."""
        mean = self.mean[elements]
        return math.sqrt(max(float(mean @ mean) - self.squared_error(elements), 0.0))


class OfGroup(NamedTuple):
    """`p_value`: corrected for the number of tests."""

    p_value: float
    interval: Interval

    @property
    def significant(self) -> bool:
        return self.p_value < LEVEL


class Bias(NamedTuple):
    """`p_value`: of "there is none in any leaf"; `overall`: the interval of the ranked leaves, and `in_ranked`: is one there?

    `scale` and `across`, of the ranked leaves: the mean's component along the truth by the truth's norm, and what is left of it.
    """

    p_value: float
    overall: Interval
    in_ranked: bool
    by_part: tuple[Interval, ...]
    by_group: tuple[OfGroup, ...]
    scale: Interval
    across: Interval

    @property
    def significant(self) -> bool:
        return self.p_value < LEVEL


def bias(
    found: Moments,
    truth: Reference,
    parts: Sequence[slice],
    eps: Float[np.ndarray, " size"] | float,
    groups: Sequence[Sequence[int]] = (),
    ranked: Sequence[int] = (),
) -> Bias:
    """The bias of a gradient whose moments are `found`.

    `parts`: the leaves in the vector; `eps`: their rounding; `groups` of leaves, and the `ranked` ones, by their positions in
    `parts` (none given: all).
    """
    # One level is shared out over groups and ranked leaves, and each p-value then decides about its own interval: the steps
    # read in the order of the argument, and need each other's values, so that they stand in one function.
    every = range(len(parts))
    ranked, groups = ranked or every, groups or [every]
    tests = _Tests.of(found, truth, parts, eps)
    # Bonferroni: half of the level for the ranked leaves together, half shared by the groups; all of it if they are the same.
    single = len(groups) == 1 and len(groups[0]) == len(ranked)
    p_values = [min(1.0, (1 if single else 2 * len(groups)) * tests.p_value(group)) for group in groups]
    p_ranked = p_values[0] if single else min(1.0, 2 * tests.p_value(ranked))
    by_group = tuple(OfGroup(p, tests.interval(g, p < LEVEL)) for g, p in zip(groups, p_values, strict=True))
    within = [of for of, group in zip(by_group, groups, strict=True) if of.significant and set(group) <= set(ranked)]
    in_ranked = p_ranked < LEVEL or bool(within)
    return Bias(
        min(p_ranked, *p_values),
        _at_least(tests.interval(ranked, in_ranked), [of.interval for of in within]),
        in_ranked,
        tuple(tests.interval([i], True) for i in every),
        by_group,
        *_along_and_across(found, truth, tests, ranked),
    )


class _Tests(NamedTuple):
    """What the tests of any set of leaves are made of, so that each leaf is looked at once."""

    parts: Sequence[slice]
    apart: Float[np.ndarray, " size"]  # mean less truth
    squares: Float[np.ndarray, " size"]  # their variances, under "no bias"
    unseen: Float[np.ndarray, " size"]  # the least p-value of each element
    freedom: int
    products: Sequence[_Products]  # of each leaf
    rounding: Sequence[float]  # of each leaf, squared

    @classmethod
    def of(cls, found: Moments, truth: Reference, parts: Sequence[slice], eps: np.ndarray | float) -> _Tests:
        # The variance is taken as it would be without bias, which skewed rare events make larger than it looks.
        apart = found.mean - truth.mean
        rounding = _rounding_error(found, truth, parts, eps)
        squares = _variance_under_no_bias(found, -apart, parts) / found.draws + rounding**2
        unseen, draws = _p_of_unseen(apart, found, parts), found.draws
        # A truth that is itself a mean of draws may be off as well: its variance adds, and the smaller sample has the freedom.
        if (theirs := truth.moments) is not None:
            squares += _variance_under_no_bias(theirs, apart, parts) / theirs.draws
            unseen, draws = np.maximum(unseen, _p_of_unseen(apart, theirs, parts)), min(draws, theirs.draws)
        products = [_Products.of(found, truth, part) for part in parts]
        return cls(parts, apart, squares, unseen, draws - 1, products, [float(np.sum(rounding[p] ** 2)) for p in parts])

    def p_value(self, leaves: Sequence[int]) -> float:
        """Of "there is no bias in these leaves": twice the smaller of the two tests'."""
        at = _elements(self.parts, leaves)
        # Two tests, as a bias may sit in one element or be spread over all; doubled for having tried both.
        largest = _p_of_largest(self.apart[at], self.squares[at], self.freedom, self.unseen[at])
        products, total = _Products.of_all(self.products, leaves), float(np.sum(self.squares[at]))
        return min(1.0, 2 * min(largest, _p_of_norm(products, self.apart[at], total, self.freedom)))

    def interval(self, leaves: Sequence[int], significant: bool) -> Interval:
        """Of |bias| in these leaves."""
        # What rounding may do is not a bias: the interval allows for it at both ends.
        off = math.sqrt(sum(self.rounding[i] for i in leaves))
        return _Products.of_all(self.products, leaves).interval(off, significant)


def _along_and_across(
    found: Moments, truth: Reference, tests: _Tests, leaves: Sequence[int]
) -> tuple[Interval, Interval]:
    """The mean's component along the truth, in units of the truth, and the norm of what is left of the mean without it."""
    at = _elements(tests.parts, leaves)
    true, square = truth.mean[at], truth.norm(at) ** 2
    if not square or not np.all(np.isfinite(found.mean[at])):
        return Interval(math.nan, math.nan, math.nan), Interval(math.nan, math.nan, math.nan)
    parts, whole, products = (
        [tests.parts[i] for i in leaves],
        float(true @ true),
        _Products.of_all(tests.products, leaves),
    )
    along, of_truth = _along(found, truth, parts), _along(truth.moments, truth, parts)
    scale = (float(np.mean(along)) + whole) / square
    # To first order in the truth's own error, which moves both what is projected and what it is projected on.
    noise = _of_mean(along) + _of_mean(np.mean(products.cross, axis=0) + (1 - 2 * scale) * of_truth)
    # What is left of the mean is scale times as far off by the truth's error as the truth is.
    products = _Products(
        products.gram - np.outer(along, along) / whole,
        scale**2 * (products.of_truth - np.outer(of_truth, of_truth) / whole),
        scale * (products.cross - np.outer(along, of_truth) / whole),
    )
    apart = tests.apart[at] - true * (float(true @ tests.apart[at]) / whole)
    # Of the batches, once they are projected: that mixes the noise of elements.
    mine, theirs = (_across(of, truth, parts, x / whole) for of, x in ((found, along), (truth.moments, of_truth)))
    rounding = [
        np.full(p.stop - p.start, tests.rounding[i] / (p.stop - p.start)) for i, p in zip(leaves, parts, strict=True)
    ]
    squares, freedom = mine + scale**2 * theirs + np.concatenate(rounding), len(along) - 1
    p_largest = _p_of_largest(apart, squares, freedom, tests.unseen[at])
    p_value = 2 * min(p_largest, _p_of_norm(products, apart, float(np.sum(squares)), freedom))
    off = math.sqrt(sum(tests.rounding[i] for i in leaves))
    return _around(scale, noise / square**2, len(along)), products.interval(off, p_value < LEVEL)


def _along(of: Moments | None, truth: Reference, parts: Sequence[slice]) -> Float[np.ndarray, " k"]:
    """Of the means of batches less the truth, the inner products with it."""
    if of is None:
        return np.zeros(1)
    return np.sum([(of.batches[:, part] - truth.mean[part]) @ truth.mean[part] for part in parts], axis=0)


def _across(
    of: Moments | None, truth: Reference, parts: Sequence[slice], along: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " size"]:
    """The variance of the mean of batches in each element, without their components along the truth."""
    if of is None:
        return np.zeros(sum(part.stop - part.start for part in parts))
    left = (of.batches[:, part] - np.outer(along, truth.mean[part]) for part in parts)
    return np.concatenate([np.var(x, axis=0, ddof=1) for x in left]) / len(along)


def _of_mean(batches: Float[np.ndarray, " k"]) -> float:
    """The variance of their mean; 0 of a single one, which has no noise."""
    return float(np.var(batches, ddof=1)) / len(batches) if len(batches) > 1 else 0.0


def _around(estimate: float, square: float, count: int) -> Interval:
    from scipy.special import stdtrit

    half = float(stdtrit(count - 1, (1 + _CONFIDENCE) / 2)) * math.sqrt(square)
    return Interval(estimate, estimate - half, estimate + half)


def _at_least(overall: Interval, within: Sequence[Interval]) -> Interval:
    """The whole is no smaller than any of its parts."""
    return Interval(*(max(ends) for ends in zip(overall, *within, strict=True)))


def _elements(parts: Sequence[slice], leaves: Sequence[int]) -> Elements:
    if len(leaves) == len(parts):
        return slice(None)
    return np.concatenate([np.arange(parts[i].start, parts[i].stop) for i in leaves])


def size_of(
    truth: Reference, elements: Elements, parts: Sequence[slice], eps: Float[np.ndarray, " size"] | float
) -> float:
    """|truth| in these elements; 0 where its own noise, or the rounding of the largest gradient, may be all of it."""
    # A norm within rounding is not a size that a bias can be compared with.
    norm = truth.norm(elements)
    return norm if norm > np.linalg.norm(rounding_of(truth.mean, parts, eps)[elements]) else 0.0


def _rounding_error(found: Moments, truth: Reference, parts: Sequence[slice], eps: np.ndarray | float) -> np.ndarray:
    return rounding_of(np.maximum(np.abs(found.mean), np.abs(truth.mean)), parts, eps) + truth.off


def rounding_of(
    gradient: Float[np.ndarray, " size"], parts: Sequence[slice], eps: Float[np.ndarray, " size"] | float
) -> Float[np.ndarray, " size"]:
    """What rounding may do to each element: 100 eps of the largest of its leaf, and eps of the largest of all."""
    size = np.abs(gradient)
    # Sums over a leaf round by its largest terms, and backpropagation mixes leaves: both sizes count.
    of_leaf = np.concatenate([np.full(part.stop - part.start, np.max(size[part], initial=0.0)) for part in parts])
    return eps * (_ROUNDING * of_leaf + np.max(size))


def _variance_under_no_bias(of: Moments, moved: np.ndarray, parts: Sequence[slice]) -> np.ndarray:
    """Of one gradient, if its mean were `moved` further; an element that never varied is thought as skewed as any of its leaf."""
    lean = np.divide(of.third, of.variance, out=np.zeros_like(of.mean), where=of.variance > 0)
    rise = np.maximum(lean * moved, 0.0)
    for part in parts:
        never = of.variance[part] == 0
        # An element that no draw moved has no variance to go by. Its leaf's most skewed one stands in.
        rise[part][never] = np.max(np.abs(lean[part]), initial=0.0) * np.abs(moved[part][never])
    return of.variance + rise


def _p_of_unseen(apart: np.ndarray, of: Moments, parts: Sequence[slice]) -> np.ndarray:
    """The probability that values as large as any in the leaf make up the difference, and that no draw shows one."""
    found = np.zeros(len(apart))
    for part in parts:
        if largest := float(np.max(of.largest[part], initial=0.0)):
            # Values at a distance of `largest` come at a rate of at least |apart|/largest if they are what makes the
            # difference.
            found[part] = np.exp(-of.draws * np.abs(apart[part]) / largest)
    return found


def _p_of_largest(apart: np.ndarray, squares: np.ndarray, freedom: int, least: np.ndarray) -> float:
    from scipy.special import stdtr

    # Elements that agree exactly, most of them constants, have no test to add; they still count for the correction.
    moved = apart != 0
    if not moved.any():
        return 1.0
    z = np.abs(apart[moved]) / np.sqrt(squares[moved])
    p = float(np.min(np.maximum(2 * stdtr(freedom, -z), least[moved])))
    # Sidak: 1 - (1 - p)^n, in a form that keeps its digits for small p.
    return float(-np.expm1(len(apart) * np.log1p(-min(p, 1 - 1e-12))))


def _p_of_norm(products: _Products, apart: np.ndarray, total: float, freedom: int) -> float:
    from scipy.special import fdtrc

    if total == 0:
        return 1.0
    # Satterthwaite: |d|^2 is like a chi-squared of nu degrees of freedom, 1 if one element has all of the variance,
    # all of them if it is spread evenly.
    nu = float(np.clip(total**2 / max(products.trace_of_square, 1e-300), 1.0, len(apart)))
    return float(fdtrc(nu, nu * freedom, float(apart @ apart) / total))


class _Products(NamedTuple):
    """Inner products over one leaf (or, added up, over all): of batch means less the truth.

    `gram`: among the candidate's batches; `of_truth`: among the truth's own; `cross`: of the former with the latter.
    """

    gram: Float[np.ndarray, "k k"]
    of_truth: Float[np.ndarray, "n n"]
    cross: Float[np.ndarray, "k n"]

    @classmethod
    def of(cls, found: Moments, truth: Reference, part: slice) -> _Products:
        # Gram matrices of batch means, at most 50 x 50: all that follows needs inner products only, whatever the
        # number of elements.
        mine = found.batches[:, part] - truth.mean[part]
        if truth.moments is None:
            return cls(mine @ mine.T, np.zeros((1, 1)), np.zeros((len(mine), 1)))
        theirs = truth.moments.batches[:, part] - truth.mean[part]
        return cls(mine @ mine.T, theirs @ theirs.T, mine @ theirs.T)

    @classmethod
    def of_all(cls, of_leaves: Sequence[_Products], leaves: Sequence[int]) -> _Products:
        # Inner products add over leaves, so that any group costs a few small sums.
        chosen = [of_leaves[i] for i in leaves]
        return cls(*(np.sum(of_all, axis=0) for of_all in zip(*chosen, strict=True)))

    @property
    def trace_of_square(self) -> float:
        """tr S^2, for the covariance S of the difference of the two means."""
        k, n = self.cross.shape
        mixed = np.sum(_centre(self.cross) ** 2) / (max(k - 1, 1) * max(n - 1, 1))
        return _trace_of_square(self.gram) / k**2 + _trace_of_square(self.of_truth) / n**2 + 2 * mixed / (k * n)

    def interval(self, rounding: float, significant: bool = True) -> Interval:
        """Of |bias|, with a normal approximation to the estimate of its square; from 0 if it is not significant."""
        from scipy.special import stdtrit

        k, n = self.cross.shape
        # Products of different batches only: those of a batch with itself hold its noise.
        square = _off_diagonal_mean(self.gram) + _off_diagonal_mean(self.of_truth) - 2 * float(np.mean(self.cross))
        along = np.var(np.mean(self.gram, 0) - np.mean(self.cross, 1), ddof=1) / k  # d S d
        if n > 1:
            along += np.var(np.mean(self.cross, 0), ddof=1) / n
        noise, z2 = 2 * self.trace_of_square, float(stdtrit(k - 1, (1 + _CONFIDENCE) / 2)) ** 2
        # Only the noise along the bias itself widens its interval; the noise across it was taken out above.
        size = float(np.mean(self.gram))  # |d|^2
        spread = min(along / size, math.sqrt(noise / 2)) if size > 0 else 0.0  # the variance of d along itself
        low = square - math.sqrt(z2 * max(4 * along - noise, noise))
        high = square + math.sqrt(z2 * (noise + 4 * max(square, 0.0) * spread)) + z2 * spread
        low, middle, high = (math.sqrt(max(x, 0.0)) for x in (low, square, high))
        return Interval(middle, max(low - rounding, 0.0) if significant else 0.0, high + rounding)


def _centre(x: np.ndarray) -> np.ndarray:
    """Less its means along each axis that has more than one entry."""
    for axis in (0, 1):
        if x.shape[axis] > 1:
            x = x - np.mean(x, axis, keepdims=True)
    return x


def _off_diagonal_mean(gram: np.ndarray) -> float:
    n = len(gram)
    return float(np.sum(gram) - np.trace(gram)) / (n * (n - 1)) if n > 1 else 0.0


def _trace_of_square(gram: np.ndarray) -> float:
    """tr C^2 for the covariance C of n vectors, from their Gram matrix."""
    n = len(gram)
    if n < 3:
        return 0.0
    # The Gram matrix has the same non-zero eigenvalues as the covariance, up to the factor n - 1.
    centred = _centre(gram)
    square, trace = np.sum(centred**2) / (n - 1) ** 2, np.trace(centred) / (n - 1)
    # Bai and Saranadasa's correction; below square/n it would be an artefact of too few batches.
    raw = (n - 1) ** 2 / ((n + 1) * (n - 2)) * (square - trace**2 / (n - 1))
    return float(max(raw, square / n))
