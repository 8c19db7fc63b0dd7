"""Bridges whose draw is given: for the exact expectation of an estimator."""

import jax
import numpyro.distributions as dist

import spanax as sx


class Forced(sx.bridges.Score):
    """A score-function draw with a value that is given."""

    value: jax.Array

    @property
    def facts(self):
        return sx.ScoreFunction(None).facts

    def draw(self, key, distribution):
        like = jax.eval_shape(sx.ScoreFunction(None).draw, key, distribution)
        return self.value.astype(like.dtype)

    def advantage(self, togo, others):
        return togo


class ForcedNoise(sx.bridges.Local):
    """A pathwise draw with noise that is given."""

    noise: jax.Array

    @property
    def facts(self):
        return sx.Pathwise().facts

    def draw(self, key, distribution):
        while isinstance(distribution, dist.Independent | dist.MaskedDistribution):
            distribution = distribution.base_dist
        if isinstance(distribution, dist.LogNormal):
            distribution = distribution.base_dist
            return jax.numpy.exp(distribution.loc + distribution.scale * self.noise)
        if isinstance(distribution, dist.Exponential):
            return self.noise / distribution.rate
        if isinstance(distribution, dist.Uniform):
            return distribution.low + (distribution.high - distribution.low) * self.noise
        return distribution.loc + distribution.scale * self.noise
