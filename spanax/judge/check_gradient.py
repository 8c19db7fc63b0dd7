"""`check_gradient`: is a noisy gradient the derivative of the mean? Measured from values, with a p-value."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from .._checks import check_key, check_whole
from .._functions import join_keywords
from .._jaxprs import here
from ._differences.differences import Differences, choose_steps, measure_differences
from ._differences.lines import Lines, lines
from ._differences.objective import Objective
from ._measure.skewed import standard_errors
from ._numbers import join_names

LEVEL = 0.01
_BEYOND = 2.0  # standard errors above the level's, where 97.5% of the tests find it
PILOT = 0.2  # times the draws, by other keys: they choose the directions and the steps


@dataclasses.dataclass(frozen=True)
class GradientCheck:
    """The mean gradient beside the change of the mean value, along a few directions.

    - `p_value`: of "the gradient is the derivative of the mean"; 0 where a gradient is not finite;
    - `directions`: "the mean gradient", "a random direction" of all leaves, and the names of single leaves, which are the last
      `leaves` ones;
    - `slopes`: the mean of the gradient, along each; `changes`: the derivative of the mean value, from values alone;
    - `standard_errors`: of `slopes - changes`; `tolerances`: what rounding and the finite step may add to it; `extremes`: how far
      from the mean a single one of them was, or might be in a draw that is so rare that none showed it;
    - `not_finite`: how many of the `draws` gradients hold NaN or infinity;
    - `evaluations`: of f, without those for its gradients.

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> check = sx.check_gradient(lambda x: jnp.sin(x), 0.3, key=jax.random.key(0))
    >>> check.agrees(), check.directions
    (True, ('the mean gradient',))
    """

    p_value: float
    directions: tuple[str, ...]
    slopes: Float[np.ndarray, " k"]
    changes: Float[np.ndarray, " k"]
    standard_errors: Float[np.ndarray, " k"]
    tolerances: Float[np.ndarray, " k"]
    not_finite: int
    draws: int
    evaluations: int
    function: str
    leaves: int
    extremes: Float[np.ndarray, " k"]

    @property
    def visible(self) -> Float[np.ndarray, " k"]:
        """The error along each direction, as a share of the change, that would have been found (at level 1%, 97.5% of the time).

        0.18 says that a gradient off by more than 18% would have been found there; 1 or more, that even one of 0 would not. NaN
        where gradient and change are both 0 to rounding.
        """
        from scipy.special import stdtrit

        # Two-sided along each direction: an error may have either sign.
        tests = 2 * len(self.directions)
        # Two-sided, Bonferroni over the directions.
        quantile = -stdtrit(self.draws - 1, LEVEL / tests) if self.draws > 1 else 0.0
        # Rare jumps limit what can be seen as well: an error that only they would show needs about extremes/draws.
        unseen = self.extremes * np.log(tests / 2 / LEVEL) / self.draws
        quantile = np.maximum(quantile * self.standard_errors, unseen if self.draws > 1 else 0.0)
        error = quantile + _BEYOND * self.standard_errors + 2 * self.tolerances
        with np.errstate(divide="ignore"):
            return np.where(self._zero, np.nan, error / np.abs(self.changes))

    @property
    def _zero(self) -> Bool[np.ndarray, " k"]:
        # With its noise added: a slope that is small by chance only is not 0.
        largest = np.maximum(np.abs(self.slopes), np.abs(self.changes))
        return largest + self.standard_errors <= self.tolerances

    @property
    def decided(self) -> bool:
        """Would an error as large as the gradient itself have been found along some direction? `visible` says which size would.

        Where all slopes and changes are 0 to rounding, too.
        """
        return bool(np.any(self.visible < 1) or np.all(self._zero))

    def agrees(self, level: float = LEVEL) -> bool:
        """It is decided, and the p-value is at least `level`: that chance a right gradient has to be called wrong."""
        return self.decided and self.p_value >= level

    @property
    def worst(self) -> int:
        """The direction in which slope and change differ most, in standard errors; a single leaf, if one by itself is wrong."""
        apart = self.slopes - self.changes
        p_values = _p_values(apart, self.standard_errors, self.tolerances, self.extremes, self.draws)
        with np.errstate(all="ignore"):
            t = np.nan_to_num((np.abs(apart) - self.tolerances) / self.standard_errors, nan=-np.inf)
        k = len(apart)
        # A single leaf that is wrong by itself says more to a reader than a direction through all of them.
        wrong = np.flatnonzero((p_values * k < LEVEL) & (np.arange(k) >= k - self.leaves))
        return int(wrong[np.argmax(t[wrong])]) if len(wrong) else int(np.lexsort((-t, p_values))[0])

    def __str__(self) -> str:
        if self.not_finite:
            return f"{self.function}: {self.not_finite} of {self.draws} gradients are NaN or infinite"
        verdict = (
            "the gradient is NOT the derivative of the mean"
            if self.p_value < LEVEL
            else "no difference found between the gradient and the derivative of the mean"
            if self.decided
            else "too noisy to tell whether the gradient is the derivative of the mean"
        )
        j = self.worst
        error = self.standard_errors[j] + self.tolerances[j]
        seen = [] if self.p_value < LEVEL else [f"  {self._visible_errors()}"]
        return "\n".join(
            [
                f"{self.function}: {verdict} (p = {self.p_value:.2g}, {self.draws} draws)",
                *seen,
                f"  along {self.directions[j]}: gradient {self.slopes[j]:.4g}, change of the mean {self.changes[j]:.4g}, "
                f"difference +- {error:.2g}",
            ]
        )

    __repr__ = __str__

    def _visible_errors(self) -> str:
        """What size of error would have been found, in the whole and in single leaves."""
        # One sentence grows clause by clause: which clauses there are depends on what the ones before have said.
        whole = self.visible[: len(self.directions) - self.leaves]
        if np.all(self._zero):
            return f"the gradient is 0: a change over {np.max(self.tolerances):.2g} would have been found"
        text = f"an error over {_share(np.nanmin(whole))} would have been found" if np.nanmin(whole) < 1 else ""
        of_leaves = dict(zip(self.directions[len(whole) :], self.visible[len(whole) :], strict=True))
        seen = [size for size in of_leaves.values() if size < 1]
        blind = [name for name, size in of_leaves.items() if size >= 1]
        if seen:
            text = f"{text}, " if text else "an error would have been found "
            text += f"in a single leaf over {_share(max(seen))}{' at the most' if len(seen) > 1 else ''}"
        if blind and text:
            text += f"; none in {join_names(blind)}, too noisy for its size"
        return text or "not even an error of 100% would have been found: more draws=..."


def _share(size: float) -> str:
    """A percentage, rounded up."""
    return f"{100 * size:.2g}%" if size >= 1e-4 else "0.01%"


def check_gradient(
    f: Callable[..., Any],
    *args: Any,
    key: Key[Array, ""],
    draws: int = 1000,
    argnums: int | Sequence[int] = 0,
    directions: int = 4,
    leaves: int = 32,
    kwargs: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> GradientCheck:
    """Compares `jax.grad` of the estimate `f(*args, key=key)` with finite differences of its mean: for tests of your own.

    The mean of f's gradient over `draws` keys is compared with the change of its mean, along several directions. Both sides use
    the same keys (common random numbers: Glasserman and Yao 1992, Management Science 38, 884): what f owes to its noise cancels
    in the difference if f is continuous in its arguments, and if its draws jump the difference stays unbiased. The test is
    Student's t along each direction, with Bonferroni's correction for all of these, so that a right gradient has a p-value below
    `level` with a chance of at most `level`. If f may jump in what is moved, by the structure of its program, the p-value is no
    less than the chance that jumps of the largest size seen on any line make up the difference and that no draw shows one.
    Without noise, or if f takes no `key`, it is 0 or 1: equal to rounding or not.

    The step is chosen from a fifth as many other keys, in units of max(1, the leaf's root mean square) between 0.83 and 1e-4:
    the largest at which halving it changes nothing but by chance. What may be left of the differences' own error (they are of
    sixth order), and of rounding, is allowed for (`tolerances`).

    What is checked is the derivative of the mean of f, whatever that is: for a relaxed program that of the relaxed one. The mean
    has to be smooth around the arguments (no kink there), and an event so rare that no draw shows it is not seen. An error below
    about 5 standard errors is not found either: `visible` says what share of the gradient that is along each direction, and
    `decided` whether it is less than all of it in any. An error in few elements of a large leaf is small along all of them. A
    mean that varies within a hundredth of the largest step, under noise that hides it there, is taken for the wrong one.

    f runs about 13 times `draws` for each direction and each leaf.

    **Arguments:**

    - `f`: returns a floating-point scalar, such as `sx.expectation(loss)` does.
    - `*args`: its positional arguments, pytrees.
    - `key`: a PRNG key for all that is random here.
    - `draws`: keys of f, 100 or more.
    - `argnums`: the argument to differentiate by, or several in a tuple, as in `jax.grad`: every floating-point leaf of it.
    - `directions`: of all leaves together: the mean gradient of other keys, and random ones.
    - `leaves`: if there are several leaves, each is also moved by itself, so that an error in a small one is not hidden by a
      large one. Of more than this many, those whose gradients are of about the same size are taken together.
    - `kwargs`: f's keyword arguments whose names are options here, such as `{"draws": ...}`.
    - `**keywords`: f's other keyword arguments. They are held fixed.

    **Returns:**

    A `spanax.judge.GradientCheck`. `agrees()` is what a test asserts.

    **Raises:**

    - `SpanaxError`: arguments that do not fit; an f that does not return a floating-point scalar, or that is not finite however
      near to the arguments.

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> def f(theta, *, key):
    ...     return (sx.sample(key, dist.Bernoulli(logits=theta), name="z") - 0.25) ** 4
    >>> check = lambda f: check_gradient(f, 0.3, key=jax.random.key(0)).agrees()
    >>> check(sx.expectation(f, samples=2)), check(sx.expectation(f, via={"z": sx.StraightThrough()}))
    (True, False)
    """
    where, kwargs = here(), join_keywords(keywords, kwargs)
    check_key(key)
    for name, count, least in (("draws", draws, 100), ("directions", directions, 1), ("leaves", leaves, 1)):
        check_whole(f"check_gradient({name}", count, least)
    program = Objective.of(f, args, kwargs, argnums, where)
    program.check(key, where)
    for_pilot, for_lines, for_draws = jax.random.split(key, 3)
    # Without a key there is nothing to average: one gradient and one difference, compared to rounding.
    # Other keys choose the step than those that are tested: a step chosen on the same draws would favour agreement.
    count = draws if program.is_random else 1
    pilot = jax.random.split(for_pilot, max(1, round(PILOT * count)))
    along = lines(program, program.mean_gradient(pilot), for_lines, directions, leaves)
    steps, tolerances, jump = choose_steps(program, along, pilot, count, where)
    found = measure_differences(program, along, steps, jax.random.split(for_draws, count))
    return _verdict(program, along, found, tolerances, found.extremes(jump, steps), len(pilot))


def _verdict(
    program: Objective, along: Lines, found: Differences, tolerances: np.ndarray, extremes: np.ndarray, pilot: int
) -> GradientCheck:
    n = len(found.slopes)
    # One gradient in a thousand that is NaN ruins a training: it fails the check whatever the mean of the others.
    finite = np.all(np.isfinite(found.slopes), axis=1)
    with np.errstate(all="ignore"):
        differences = found.slopes - found.changes
        errors = standard_errors(differences)
        p_values = _p_values(differences.mean(0), errors, tolerances, extremes, n)
    return GradientCheck(
        min(1.0, len(along.names) * float(np.min(p_values))) if np.all(finite) else 0.0,
        along.names,
        found.slopes.mean(0),
        found.changes.mean(0),
        errors,
        tolerances,
        int(np.sum(~finite)),
        n,
        2 * len(along.names) * (n * found.points + pilot * found.pilot_points),
        getattr(program.f, "__name__", None) or type(program.f).__name__,
        along.of_leaves,
        extremes,
    )


def _p_values(difference, standard_error, tolerance, extreme, draws: int) -> Float[np.ndarray, " k"]:
    """Of "they differ by no more than the tolerance", by Student's t for each.

    But no less than the probability that values as far off as `extreme` make up the difference, and that no draw shows one.
    """
    from scipy.special import stdtr

    # Only what is beyond rounding and the step's own error speaks against the gradient.
    beyond = np.maximum(np.abs(difference) - tolerance, 0)
    if draws == 1:
        return np.where(beyond > 0, 0.0, 1.0)
    with np.errstate(all="ignore"):
        t = np.where(beyond > 0, beyond / standard_error, 0.0)
        # Jumps that no draw showed could make up the difference: at this rate, with this probability.
        unseen = np.where(extreme > 0, np.exp(-draws * beyond / extreme), 0.0)
        return np.where(t > 0, np.maximum(2 * stdtr(draws - 1, -t), unseen), 1.0)
