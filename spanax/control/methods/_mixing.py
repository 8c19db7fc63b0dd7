"""What `Mixed` remembers of its two estimates, and how it weighs them."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

# Standard errors between the means of the two estimates: then the analytic one is not used.
_APART = 3.0


class Parts(NamedTuple):
    """Of one batch, for every episode and step: the two estimates for each parameter, a list of arrays [batch, steps, ...].

    The first of each list is for a number added to the action. `total`: the cost of each episode; `noise`: the actions less
    their means.
    """

    analytic: list[Array]
    score: list[Array]
    total: Float[Array, " batch"]
    noise: Float[Array, "batch steps *shape"]


class Moments(NamedTuple):
    """Of one parameter at every step, over updates: means of a batch's mean, and of the variances of that mean."""

    apart: Array  # analytic less score
    apart_variance: Array
    analytic_variance: Array
    score_variance: Array


class Memory(NamedTuple):
    """Moving averages over updates, none of which has seen the draws that it will weigh.

    - `moments`: of each parameter; `guide`: the derivative by each step's action, over episodes;
    - `explained`, `predicted`: covariance of costs and what the guide predicts of them, and variance of the latter.
    """

    moments: list[Moments]
    guide: Float[Array, "steps *shape"]
    explained: Float[Array, ""]
    predicted: Float[Array, ""]
    seen: Int[Array, ""]

    @staticmethod
    def new(leaves: list, steps: int, shape: tuple[int, ...]) -> Memory:
        zeros = [jnp.zeros(leaf.shape, leaf.dtype) for leaf in leaves]
        zero = jnp.zeros((), float)
        return Memory(
            [Moments(z, z, z, z) for z in zeros], jnp.zeros((steps, *shape), float), zero, zero, jnp.zeros((), jnp.int32)
        )

    def residuals(
        self, togo: Float[Array, "batch steps"], noise: Array, alive: Bool[Array, "batch steps"]
    ) -> tuple[Float[Array, "batch steps"], Array]:
        """Costs to come, less a baseline and what the guide predicts of this and later draws; and the guide, scaled."""
        # The share of the prediction that takes off most variance, 0 for a guide that predicts nothing.
        share = jnp.where(self.predicted > 0, self.explained / jnp.where(self.predicted > 0, self.predicted, 1), 0)
        guide = jnp.clip(share, -1, 1) * self.guide
        effects = jnp.sum((guide * noise).reshape(*togo.shape, -1), axis=2).astype(togo.dtype)
        left = togo - jnp.flip(jnp.cumsum(jnp.flip(effects, 1), axis=1), 1)
        # The mean of the other episodes at the same step: it does not depend on this one's draws (Kool et al. 2019).
        counted = jnp.where(alive, left, 0)
        others = jnp.sum(counted, axis=0) - counted
        count = jnp.sum(alive, axis=0).astype(togo.dtype) - alive.astype(togo.dtype)
        return jnp.where(alive, left - others / jnp.maximum(count, 1), 0), guide

    def weights(self) -> list[Array]:
        """Of the analytic estimate, for each parameter at each step; 0 before anything is known."""
        return [self._weight(moments) for moments in self.moments]

    def _weight(self, m: Moments) -> Array:
        error = jnp.sqrt(m.apart_variance)
        agree = jnp.abs(m.apart) <= _APART * error
        both = m.analytic_variance + m.score_variance
        inverse = jnp.where(both > 0, m.score_variance / jnp.where(both > 0, both, 1), 0)
        return jnp.where(agree & (self.seen > 1), inverse, 0)

    def mixed(self, parts: Parts) -> list[Array]:
        return [
            # A weight of 0 times a derivative that is not finite would not be 0.
            jnp.where(w > 0, w * a, 0) + (1 - w) * s
            for w, a, s in zip(self.weights(), parts.analytic, parts.score, strict=True)
        ]

    def after(self, parts: Parts, slopes: Array, memory: int) -> Memory:
        """With this batch; `slopes`: the mixed derivative by each action."""
        # From a plain mean over the first updates to a moving one.
        seen = self.seen + 1
        share = 1 / jnp.minimum(seen, memory).astype(float)
        moments = [_after(m, a, s, share) for m, a, s in zip(self.moments, parts.analytic, parts.score, strict=True)]
        # A slope that is not a number guides nobody.
        slopes = jnp.where(jnp.isfinite(slopes), slopes, 0)
        guide = self.guide + share * (jnp.mean(slopes, axis=0) - self.guide)
        predicted = jnp.sum((self.guide * parts.noise).reshape(len(parts.total), -1), axis=1)
        predicted = predicted - jnp.mean(predicted)
        explained = jnp.mean(predicted * (parts.total - jnp.mean(parts.total)))
        return Memory(
            moments,
            guide,
            self.explained + share * (explained - self.explained),
            self.predicted + share * (jnp.mean(predicted**2) - self.predicted),
            seen,
        )


def _after(m: Moments, analytic: Array, score: Array, share: Array) -> Moments:
    share = share.astype(m.apart.dtype)
    batch = analytic.shape[0]
    apart = analytic - score
    variances = [jnp.var(x, axis=0, ddof=1) / batch for x in (apart, analytic, score)]
    # The variance of a moving average, exactly: (1 - share)^2 of the old one's, and share^2 of the new batch's.
    return Moments(
        m.apart + share * (jnp.mean(apart, axis=0) - m.apart),
        (1 - share) ** 2 * m.apart_variance + share**2 * variances[0],
        m.analytic_variance + share * (variances[1] - m.analytic_variance),
        m.score_variance + share * (variances[2] - m.score_variance),
    )
