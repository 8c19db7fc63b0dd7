"""How much of a surrogate is subtracted: two coefficients for each result, from other draws than those they are used on.

For directions u_k with slopes D_k of f and P_k of the surrogate, whose mean of P u is M, F_k = D_k u_k is the estimate, and two
vectors of mean zero may be subtracted from it: the linear part L_k = (M . u_k) u_k - M, and the rest R_k = (P_k - M . u_k) u_k.
Each has a coefficient of its own: directions that are orthogonal to each other cancel most of the linear part of F, and a model
with the right slope and wrong wiggles must not bring in the wiggles with it. A coefficient is that of a regression, all
coordinates together, shrunk by what of it may be noise. It is fitted on earlier calls and on the other half of this one:
in-sample it would bias the estimate.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_LARGEST = 2.0  # a coefficient above it is noise: no surrogate is that bad a copy
_GATE = 10.0  # the most that max |H|^2 may be, in units of max |F|^2: what is wilder than f is not subtracted
_SURE = 1.0  # a covariance of less than one of its standard errors counts as none
_MEMORY = 0.9  # of what earlier calls have shown


class Part(NamedTuple):
    """Sums over directions, for each result: of F with L or R, of L or R with itself, of the squares of the terms of the first.

    `most`: the greatest square of L or R.
    """

    covariance: Float[Array, " outputs"]
    variance: Float[Array, " outputs"]
    noise: Float[Array, " outputs"]
    most: Float[Array, " outputs"]

    def coefficient(self, most_f: Float[Array, " outputs"]) -> Float[Array, " outputs"]:
        square = self.covariance**2
        fitted = self.covariance / jnp.where(self.variance > 0, self.variance, 1)
        # Less of it the less it is above its own noise: a surrogate of another function costs no more than a few percent.
        sure = jnp.maximum(1 - _SURE * self.noise / jnp.where(square > 0, square, 1), 0)
        tame = self.most <= _GATE * most_f  # False for a NaN
        usable = tame & (self.variance > 0) & (square > 0) & jnp.isfinite(fitted)
        return jnp.where(usable, jnp.clip(fitted, 0, _LARGEST) * sure, 0)


class Moments(NamedTuple):
    """What some directions tell of a surrogate, for each result.

    `most`: the greatest |F|^2; `slopes`, `predictions`, `products`: sums of D^2, P^2 and D P, for the check; `count`: of
    directions.
    """

    linear: Part
    rest: Part
    most: Float[Array, " outputs"]
    slopes: Float[Array, " outputs"]
    predictions: Float[Array, " outputs"]
    products: Float[Array, " outputs"]
    count: Float[Array, ""]

    @classmethod
    def empty(cls, outputs: int, dtype: Any) -> Moments:
        zeros: Any = np.zeros(outputs, dtype)
        none: Any = np.zeros((), dtype)
        part = Part(zeros, zeros, zeros, zeros)
        return cls(part, part, zeros, zeros, zeros, zeros, none)

    def coefficients(self) -> tuple[Float[Array, " outputs"], Float[Array, " outputs"]]:
        """Of the linear part, and of the rest."""
        return self.linear.coefficient(self.most), self.rest.coefficient(self.most)

    def plus(self, other: Moments) -> Moments:
        total, greater = jax.tree.map(jnp.add, self, other), jax.tree.map(jnp.maximum, self, other)
        linear, rest = (getattr(total, n)._replace(most=getattr(greater, n).most) for n in ("linear", "rest"))
        return total._replace(linear=linear, rest=rest, most=greater.most)

    def faded(self) -> Moments:
        """As it counts beside a new call."""
        return jax.tree.map(lambda x: x * np.asarray(_MEMORY, np.asarray(x).dtype), self)


def moments(
    u: Float[Array, "k size"],
    slopes: Float[Array, "k outputs"],
    predictions: Float[Array, "k outputs"],
    slope: Float[Array, "outputs size"],
) -> Moments:
    """Of one set of directions; `slope`: of the surrogate's linear part, M."""
    length = jnp.sum(u**2, axis=1)[:, None]
    along = jnp.matmul(u, slope.T, precision=jax.lax.Precision.HIGHEST)
    rest = predictions - along
    square = jnp.sum(slope**2, axis=1)[None]
    with_linear, own = slopes * along * (length - 1), along**2 * (length - 2) + square
    linear = Part(*_sums(with_linear, own))
    # What the linear part, by as much as is subtracted of it, leaves over.
    most = jnp.max(slopes**2 * length, axis=0)
    left = slopes - linear.coefficient(most)[None] * along
    return Moments(
        linear,
        Part(*_sums(left * rest * length, rest**2 * length)),
        most,
        jnp.sum(slopes**2, axis=0),
        jnp.sum(predictions**2, axis=0),
        jnp.sum(slopes * predictions, axis=0),
        jnp.asarray(len(u), u.dtype),
    )


def _sums(with_f: Float[Array, "k outputs"], own: Float[Array, "k outputs"]) -> tuple[Array, Array, Array, Array]:
    return jnp.sum(with_f, axis=0), jnp.sum(own, axis=0), jnp.sum(with_f**2, axis=0), jnp.max(own, axis=0)


class Agreement(NamedTuple):
    """What the last checks of a surrogate found: slopes that it had not seen, beside those that it predicted.

    - `cosine`: between the two, 1 for a perfect surrogate; `standard_error`: of the cosine;
    - `error`: the root mean square of their difference, relative to that of the slopes: with `trust="direct"` the error of the
      gradient, bias and noise together;
    - `coefficient`: how much of the surrogate's slope is subtracted, as a control variate;
    - `slopes`: how many, weighted, this rests on.
    """

    cosine: float
    standard_error: float
    error: float
    coefficient: float
    slopes: float

    def __str__(self):
        if not self.slopes:
            return "not checked yet"
        return (
            f"surrogate's slopes: cosine {self.cosine:.3f} +- {self.standard_error:.3f} with unseen ones, "
            f"error {self.error:.0%}, coefficient {self.coefficient:.2f}"
        )


def agreement(found: Moments) -> Agreement:
    count = float(found.count)
    slopes, predictions, products = (np.asarray(x, float) for x in (found.slopes, found.predictions, found.products))
    # Each result by its own size, or the one with the largest numbers would be the only one to count.
    usable = slopes > 0
    if count == 0 or not usable.any():
        return Agreement(0.0, 0.0, 1.0, 0.0, 0.0)
    cosines = products[usable] / np.sqrt(np.maximum(slopes * predictions, 1e-300))[usable]
    errors = np.maximum(slopes - 2 * products + predictions, 0)[usable] / slopes[usable]
    cosine = float(np.mean(cosines))
    spread = float(np.sqrt(max(1 - cosine**2, 0) / max(count, 1)))
    coefficient = float(np.mean(np.asarray(found.coefficients()[0])))
    return Agreement(cosine, spread, float(np.sqrt(np.mean(errors))), coefficient, count)
