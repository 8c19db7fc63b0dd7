"""`check_gradient`: is a noisy gradient the derivative of the mean? Measured from values, with a p-value."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from .._errors import SpanaxError
from .._jaxprs import here
from ..stochastic.sampling import check_key
from ._differences import Differences, chosen_steps, measured
from ._lines import Line, lines
from ._program import Program

PILOT = 0.2  # times the draws, by other keys: they choose the directions and the steps


@dataclasses.dataclass(frozen=True)
class GradientCheck:
    """The mean gradient beside the change of the mean value, along a few directions.

    - `p_value`: of "the gradient is the derivative of the mean"; 0 where a gradient is not finite;
    - `directions`: what moves along each: "the mean gradient", or the leaves that do;
    - `slopes`: the mean of the gradient, along each; `changes`: the derivative of the mean value, from values alone;
    - `standard_errors`: of `slopes - changes`; `tolerances`: what rounding and the finite step may add to it;
    - `not_finite`: how many of the `draws` gradients hold NaN or infinity;
    - `evaluations`: of f, without those for its gradients.
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

    @property
    def decided(self) -> bool:
        """Would an error have shown: is some slope at least 5 standard errors (and tolerances), or all 0 to rounding?"""
        error = self.standard_errors + self.tolerances
        zero = np.maximum(np.abs(self.slopes), np.abs(self.changes)) + self.standard_errors <= self.tolerances
        return bool(np.any(np.abs(self.changes) >= 5 * error) or np.all(zero))

    def agrees(self, level: float = 0.01) -> bool:
        """It is decided, and the p-value is at least `level`: that chance a right gradient has to be called wrong."""
        return self.decided and self.p_value >= level

    @property
    def worst(self) -> int:
        """The direction in which slope and change differ most, in standard errors."""
        return int(np.argmin(_p_values(self.slopes - self.changes, self.standard_errors, self.tolerances, self.draws)))

    def __str__(self) -> str:
        if self.not_finite:
            return f"{self.function}: {self.not_finite} of {self.draws} gradients are NaN or infinite"
        verdict = (
            "the gradient is NOT the derivative of the mean"
            if self.p_value < 0.01
            else "the gradient agrees with the derivative of the mean"
            if self.decided
            else "too noisy to tell whether the gradient is the derivative of the mean"
        )
        j = self.worst
        error = self.standard_errors[j] + self.tolerances[j]
        return (
            f"{self.function}: {verdict} (p = {self.p_value:.2g}, {self.draws} draws)\n"
            f"  along {self.directions[j]}: gradient {self.slopes[j]:.4g}, change of the mean {self.changes[j]:.4g}, "
            f"difference +- {error:.2g}"
        )

    __repr__ = __str__


def check_gradient(
    f: Callable[..., Any],
    *args: Any,
    key: Key[Array, ""],
    draws: int = 1000,
    argnums: int | Sequence[int] = 0,
    directions: int = 4,
    **kwargs: Any,
) -> GradientCheck:
    """Compares `jax.grad` of the estimate `f(*args, key=key)` with finite differences of its mean: for tests of your own.

    f returns a floating-point scalar, such as `sx.expectation(loss)` does. The mean of its gradient over `draws` keys is
    compared with the change of its mean, along `directions`: the mean gradient of other keys, and random ones that move one
    part of the leaves of `argnums` each. Both sides use the same keys (common random numbers): what f owes to its noise
    cancels in the difference where f is continuous in its arguments, and where its draws jump the difference stays unbiased.
    The test is Student's t along each direction, with Bonferroni's correction, so that a right gradient has a p-value below
    `level` with a chance of at most `level`. Without noise, or where f takes no `key`, it is 0 or 1: equal to rounding or not.

    The step is chosen from a fifth as many other keys, in units of max(1, the leaf's root mean square) between 0.83 and 1e-4:
    the largest at which halving it changes nothing but by chance. What may be left of the differences' own error (they are of
    sixth order), and of rounding, is allowed for (`tolerances`).

    Checked is the derivative of the mean of f, whatever that is: for a relaxed program that of the relaxed one. The mean has to
    be smooth around the arguments (no kink there), and an event so rare that no draw shows it is not seen. A wrong share of the
    gradient below about 5 standard errors is not found either: `decided` says whether a gradient of zero would have been. A mean
    that varies within a hundredth of the largest step, under noise that hides it there, is taken for the wrong one.

    f runs about 13 times `directions` times `draws`. Raises `SpanaxError` for arguments that do not fit, an f that is no
    floating-point scalar, and one that is not finite however near to the arguments.

    Common random numbers: Glasserman and Yao 1992 (Management Science 38, 884).

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> def f(theta, *, key):
    ...     return (sx.sample(key, dist.Bernoulli(logits=theta), name="z") - 0.25) ** 4
    >>> check = lambda f: check_gradient(f, 0.3, key=jax.random.key(0)).agrees()
    >>> check(sx.expectation(f, samples=2)), check(sx.expectation(f, via={"z": sx.StraightThrough()}))
    (True, False)
    """
    where = here()
    check_key(key, where)
    _check_counts(where, draws=(draws, 100), directions=(directions, 1))
    program = Program.of(f, args, kwargs, argnums, where)
    program.check(key, where)
    for_pilot, for_lines, for_draws = jax.random.split(key, 3)
    count = draws if program.is_random else 1
    pilot = jax.random.split(for_pilot, max(1, round(PILOT * count)))
    along = lines(program, program.mean_gradient(pilot), for_lines, directions)
    steps, tolerances = chosen_steps(program, along, pilot, count, where)
    found = measured(program, along, steps, jax.random.split(for_draws, count))
    return _judged(program, along, found, tolerances, len(pilot))


def _check_counts(where: str, **counts: tuple[Any, int]) -> None:
    for name, (count, least) in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < least:
            raise SpanaxError(f"check_gradient({name}={count!r})", where, f"a Python integer, {least} or more")


def _judged(
    program: Program, along: Sequence[Line], found: Differences, tolerances: np.ndarray, pilot: int
) -> GradientCheck:
    n = len(found.slopes)
    finite = np.all(np.isfinite(found.slopes), axis=1)
    with np.errstate(all="ignore"):
        differences = found.slopes - found.changes
        errors = np.std(differences, axis=0, ddof=min(1, n - 1)) / np.sqrt(n)
        p_values = _p_values(differences.mean(0), errors, tolerances, n)
    return GradientCheck(
        min(1.0, len(along) * float(np.min(p_values))) if np.all(finite) else 0.0,
        tuple(line.name for line in along),
        found.slopes.mean(0),
        found.changes.mean(0),
        errors,
        tolerances,
        int(np.sum(~finite)),
        n,
        2 * len(along) * (n * found.points + pilot * found.pilot_points),
        getattr(program.f, "__name__", None) or type(program.f).__name__,
    )


def _p_values(difference, standard_error, tolerance, draws: int) -> Float[np.ndarray, " k"]:
    """Of "they differ by no more than the tolerance", by Student's t for each."""
    beyond = np.maximum(np.abs(difference) - tolerance, 0)
    with np.errstate(all="ignore"):
        t = np.where(beyond > 0, beyond / standard_error, 0.0)
    return np.array([_two_sided(each, draws - 1) for each in t])


def _two_sided(t: float, freedom: int) -> float:
    """P(|T| > t) within 1e-4 of itself for 99 degrees of freedom or more (Wallace 1959, Ann. Math. Statist. 30, 1124)."""
    if not 0 < t < math.inf:
        return 1.0 if t == 0 else 0.0
    z = math.sqrt(freedom * math.log1p(t * t / freedom)) * (8 * freedom + 1) / (8 * freedom + 3)
    return math.erfc(z / math.sqrt(2))
