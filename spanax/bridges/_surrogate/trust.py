"""How much of a surrogate is subtracted: a coefficient for each result, from other draws than those that it is used on.

For directions u_k with slopes D_k of f and P_k of the surrogate, F_k = D_k u_k and H_k = P_k u_k less its mean. The coefficient is
that of the regression of F on H, all coordinates together, shrunk by what of it may be noise. It is fitted on earlier
calls and on the other folds of this one: in-sample it would bias the estimate.
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


class Moments(NamedTuple):
    """Sums over directions, for each result.

    `covariance`, `variance`: of F with H, and of H; `noise`: the squares of the terms of the first; `most_f`, `most_h`: the
    greatest |F|^2 and |H|^2; `slopes`, `predictions`, `products`: of D^2, P^2 and D P, for the check; `count`: of directions.
    """

    covariance: Float[Array, " outputs"]
    variance: Float[Array, " outputs"]
    noise: Float[Array, " outputs"]
    most_f: Float[Array, " outputs"]
    most_h: Float[Array, " outputs"]
    slopes: Float[Array, " outputs"]
    predictions: Float[Array, " outputs"]
    products: Float[Array, " outputs"]
    count: Float[Array, ""]

    @classmethod
    def empty(cls, outputs: int, dtype: Any) -> Moments:
        return cls(*(np.zeros(outputs, dtype) for _ in range(8)), np.zeros((), dtype))  # pyright: ignore[reportArgumentType]

    def coefficient(self) -> Float[Array, " outputs"]:
        fitted = self.covariance / jnp.where(self.variance > 0, self.variance, 1)
        square = self.covariance**2
        # Less of it the less it is above its own noise: a surrogate of another function costs no more than a few percent.
        sure = jnp.maximum(1 - _SURE * self.noise / jnp.where(square > 0, square, 1), 0)
        tame = self.most_h <= _GATE * self.most_f  # False for a NaN
        usable = tame & (self.variance > 0) & (square > 0) & jnp.isfinite(fitted)
        return jnp.where(usable, jnp.clip(fitted, 0, _LARGEST) * sure, 0)

    def plus(self, other: Moments) -> Moments:
        most = {name: jnp.maximum(getattr(self, name), getattr(other, name)) for name in ("most_f", "most_h")}
        return jax.tree.map(jnp.add, self, other)._replace(**most)

    def faded(self) -> Moments:
        """As it counts beside a new call."""
        return jax.tree.map(lambda x: x * np.asarray(_MEMORY, np.asarray(x).dtype), self)


def moments(
    u: Float[Array, "k size"],
    slopes: Float[Array, "k outputs"],
    predictions: Float[Array, "k outputs"],
    mean: Float[Array, "outputs size"],
) -> Moments:
    """Of one set of directions; `mean`: that of P u."""
    length = jnp.sum(u**2, axis=1)[:, None]
    across = u @ mean.T  # (k, outputs)
    square = jnp.sum(mean**2, axis=1)[None]
    # <F - mean, H>, where F = D u and H = P u - mean: for a good surrogate both are near 0 together.
    together = slopes * predictions * length - (slopes + predictions) * across + square
    own = predictions**2 * length - 2 * predictions * across + square
    return Moments(
        jnp.sum(together, axis=0),
        jnp.sum(own, axis=0),
        jnp.sum(together**2, axis=0),
        jnp.max(slopes**2 * length, axis=0),
        jnp.max(own, axis=0),
        jnp.sum(slopes**2, axis=0),
        jnp.sum(predictions**2, axis=0),
        jnp.sum(slopes * predictions, axis=0),
        jnp.asarray(len(u), u.dtype),
    )


class Agreement(NamedTuple):
    """What the last checks of a surrogate found: slopes that it had not seen, beside those that it predicted.

    - `cosine`: between the two, 1 for a perfect surrogate; `standard_error`: of the cosine;
    - `error`: the root mean square of their difference, relative to that of the slopes: with `trust="direct"` the error of the
      gradient, bias and noise together;
    - `coefficient`: how much of the surrogate is subtracted, as a control variate;
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
    coefficient = float(np.mean(np.asarray(found.coefficient())))
    return Agreement(cosine, spread, float(np.sqrt(np.mean(errors))), coefficient, count)
