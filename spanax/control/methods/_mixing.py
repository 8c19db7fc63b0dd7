"""What `Mixed` remembers of its two estimates, and how it weighs them.

Episodes come in pairs of one reset and different draws. What one of a pair shows is independent of the other's draws, so that
products of the two have the mean of the product of their expectations at that reset.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

_RECENT = 20  # updates over which variances and the fits of predictions are remembered
_NEIGHBOURS = 2  # steps before and after, whose evidence on the analytic estimate is shared
_WITHIN, _APART = 0.1, 3.0  # how far the slope of score on analytic may be from 1: absolute, and in standard errors
_KNOWN = 0.2  # the standard error of that slope, at which it counts as known
_LARGEST = 10.0  # share of a prediction


class Parts(NamedTuple):
    """Of one batch, for every episode and step: the two estimates for each parameter, a list of arrays [batch, steps, ...].

    `rest`: the costs to come less their baseline; `later`, `earlier`: predictions of them, by each number of the actions.
    """

    analytic: list[Array]
    score: list[Array]
    rest: Float[Array, "batch steps"]
    later: Float[Array, "batch steps k"]
    earlier: Float[Array, "batch steps k"]


class Moments(NamedTuple):
    """Of one parameter at every step, over updates.

    `cross`, `square`: sums of score times analytic, and of analytic squared, over pairs; their quotient is the slope of a
    regression of one on the other, 1 where both are unbiased, and `noise`/`square`^2 its variance. Then the variances of a single
    estimate, at a given reset.
    """

    cross: Array
    square: Array
    noise: Array
    analytic_variance: Array
    score_variance: Array


class Memory(NamedTuple):
    """Moving averages over updates, none of which has seen the draws that it will weigh.

    - `moments`: of each parameter;
    - `later`, `earlier`: at each step, how the costs to come go with what the other of a pair predicts of a step's own and later
      draws, and of earlier ones: covariances and variances, by each number of the actions.
    """

    moments: list[Moments]
    later: Float[Array, "2 steps k"]
    earlier: Float[Array, "2 steps k"]
    seen: Float[Array, ""]

    @staticmethod
    def new(leaves: list, steps: int, numbers: int) -> Memory:
        zeros = [jnp.zeros(leaf.shape, leaf.dtype) for leaf in leaves]
        fits = jnp.zeros((2, steps, numbers), float)
        return Memory([Moments(z, z, z, z, z) for z in zeros], fits, fits, jnp.zeros((), float))

    def residuals(
        self,
        rest: Float[Array, "batch steps"],
        later: Float[Array, "batch steps k"],
        earlier: Float[Array, "batch steps k"],
        alive: Bool[Array, "batch steps"],
    ) -> tuple[Float[Array, "batch steps"], Float[Array, "steps k"]]:
        """Costs less what is predicted of all draws and the mean of the others; and the share of the predictions that was used.

        A prediction of later draws has the mean 0 whatever the draw of a step is, one of earlier draws is a baseline, and the
        mean of its own is to be added back.
        """
        share = _share(self.later)
        left = rest - jnp.sum(share[None] * later, axis=2) - jnp.sum(_share(self.earlier)[None] * earlier, axis=2)
        # The mean of the other episodes at the same step: it does not depend on this one's draws (Kool et al. 2019).
        counted = jnp.where(alive, left, 0)
        others = jnp.sum(counted, axis=0, keepdims=True) - counted
        count = jnp.sum(alive, axis=0, keepdims=True).astype(rest.dtype) - alive.astype(rest.dtype)
        return jnp.where(alive, left - others / jnp.maximum(count, 1), 0), share

    def weights(self) -> list[Array]:
        """Of the analytic estimate, for each parameter at each step; 0 where nothing is known of it, or that it is wrong."""
        return [_weight(moments) for moments in self.moments]

    def mixed(self, parts: Parts) -> list[Array]:
        return [
            # A weight of 0 times a derivative that is not finite would not be 0.
            jnp.where(w[None] > 0, w[None] * a, 0) + (1 - w[None]) * s
            for w, a, s in zip(self.weights(), parts.analytic, parts.score, strict=True)
        ]

    def after(self, parts: Parts, memory: int) -> Memory:
        """With this batch."""
        # From a plain mean over the first updates to a moving one.
        seen = self.seen + 1
        recent, keep = 1 / jnp.minimum(seen, _RECENT), jnp.asarray(1 - 1 / memory, float)
        moments = [
            _after(m, a, s, recent, keep) for m, a, s in zip(self.moments, parts.analytic, parts.score, strict=True)
        ]
        rest = parts.rest[..., None] - jnp.sum(_share(self.later)[None] * parts.later, axis=2, keepdims=True)
        return Memory(
            moments,
            self.later + recent * (_fit(parts.later, parts.rest[..., None]) - self.later),
            self.earlier + recent * (_fit(parts.earlier, rest) - self.earlier),
            seen,
        )


def predictions(
    slopes: Float[Array, "batch steps k"], noise: Float[Array, "batch steps k"]
) -> tuple[Float[Array, "batch steps k"], Float[Array, "batch steps k"]]:
    """What the slopes of the other of each pair make of a step's own and later draws, and of earlier ones."""
    effects = slopes * noise
    later = jnp.flip(jnp.cumsum(jnp.flip(effects, 1), axis=1), 1)
    return later, jnp.sum(effects, axis=1, keepdims=True) - later


def swapped(x: Array) -> Array:
    """The other of each pair: episodes 0 and 1, 2 and 3, ..."""
    return jnp.flip(x.reshape(-1, 2, *x.shape[1:]), 1).reshape(x.shape)


def _fit(predicted: Float[Array, "batch steps k"], costs: Float[Array, "batch steps 1"]) -> Float[Array, "2 steps k"]:
    predicted, costs = (x - jnp.mean(x, axis=0, keepdims=True) for x in (predicted, costs))
    return jnp.stack([jnp.mean(predicted * costs, axis=0), jnp.mean(predicted**2, axis=0)])


def _share(fit: Float[Array, "2 steps k"]) -> Float[Array, "steps k"]:
    """Of a prediction, what takes off most variance; 0 for one that predicts nothing. Negative where it points the other way."""
    covariance, variance = fit
    share = jnp.where(variance > 0, covariance / jnp.where(variance > 0, variance, 1), 0)
    # A variance next to 0 would make a share of any size.
    return jnp.clip(share, -_LARGEST, _LARGEST)


def _weight(m: Moments) -> Array:
    cross, square, noise = _shared(m.cross), _shared(m.square), _shared(m.noise)
    safe = jnp.where(square > 0, square, 1)
    error = jnp.sqrt(noise) / safe
    # That no difference was found is no proof: an estimate whose noise hides it has to be seen to agree. What was seen while
    # gradients were large holds when they are small, since it is a slope.
    known = (square > 0) & (error <= _KNOWN)
    agrees = jnp.abs(cross / safe - 1) <= _WITHIN + _APART * error
    both = m.analytic_variance + m.score_variance
    inverse = jnp.where(both > 0, m.score_variance / jnp.where(both > 0, both, 1), 0)
    return jnp.where(known & agrees, inverse, 0)


def _shared(x: Array) -> Array:
    """The sum over neighbouring steps: a contact concerns all that come before it."""
    steps = x.shape[0]
    sums = jnp.cumsum(jnp.concatenate([jnp.zeros_like(x[:1]), x]), axis=0)
    last = jnp.minimum(jnp.arange(steps) + _NEIGHBOURS + 1, steps)
    first = jnp.maximum(jnp.arange(steps) - _NEIGHBOURS, 0)
    return sums[last] - sums[first]


def _after(m: Moments, analytic: Array, score: Array, recent: Array, keep: Array) -> Moments:
    recent, keep = recent.astype(analytic.dtype), keep.astype(analytic.dtype)
    a0, a1, s0, s1 = analytic[::2], analytic[1::2], score[::2], score[1::2]
    # Both of a pair have one reset: half a squared difference is the variance there, without that of resets.
    score_variance = m.score_variance + recent * (jnp.mean((s0 - s1) ** 2, axis=0) / 2 - m.score_variance)
    analytic_variance = m.analytic_variance + recent * (jnp.mean((a0 - a1) ** 2, axis=0) / 2 - m.analytic_variance)
    # In units of the variance, so that updates with large gradients do not outweigh the others.
    unit = jnp.where(score_variance > 0, 1 / jnp.where(score_variance > 0, score_variance, 1), 0)
    return Moments(
        keep * m.cross + unit * jnp.sum(a0 * s1 + a1 * s0, axis=0) / 2,
        keep * m.square + unit * jnp.sum(a0 * a1, axis=0),
        keep * m.noise + unit * jnp.sum(a0**2 + a1**2, axis=0) / 4,
        analytic_variance,
        score_variance,
    )
