"""Bridges with one planted bug each; every one says that it is unbiased, as its author believed."""

import jax
import jax.numpy as jnp
from jax import lax

import spanax as sx
from spanax._math.distributions import bernoulli_logits, hard_draw
from spanax._math.log_probs import score
from spanax._math.pmf import pmf

FACTS = sx.bridges.Facts("E[f]", True, "1", 1, "any", "a bug")


class Mutant(sx.bridges.Branching):
    @property
    def facts(self):
        return FACTS

    def draw(self, key, distribution):
        return hard_draw(key, distribution)

    def branches(self, distribution):
        return 2

    def pair(self, key, distribution, rest):
        """Two draws, their costs, and their scores."""
        draws = jax.vmap(lambda k: hard_draw(k, distribution))(jax.random.split(key))
        return jax.vmap(rest)(draws), jax.vmap(lambda z: score(distribution, z))(draws)


class SignError(Mutant):
    def objective(self, key, distribution, rest):
        costs, scores = self.pair(key, distribution, rest)
        return jnp.mean(costs - jnp.expm1(scores) * (costs - costs[::-1]))


class FactorTwo(Mutant):
    def objective(self, key, distribution, rest):
        costs, scores = self.pair(key, distribution, rest)
        return jnp.mean(costs + 2 * jnp.expm1(scores) * (costs - costs[::-1]))


class SilentZero(Mutant):
    def objective(self, key, distribution, rest):
        costs, _ = self.pair(key, distribution, rest)
        return jnp.mean(lax.stop_gradient(costs))


class ForgottenScore(Mutant):
    def objective(self, key, distribution, rest):
        costs, _ = self.pair(key, distribution, rest)
        return jnp.mean(costs)


class ForgottenDependence(Mutant):
    """The rest's own derivative is dropped."""

    def objective(self, key, distribution, rest):
        costs, scores = self.pair(key, distribution, rest)
        return jnp.mean(lax.stop_gradient(costs) + jnp.expm1(scores) * lax.stop_gradient(costs - costs[::-1]))


class BaselineOfItself(Mutant):
    """The mean over all draws, this one included, is no baseline."""

    def objective(self, key, distribution, rest):
        costs, scores = self.pair(key, distribution, rest)
        return jnp.mean(costs + jnp.expm1(scores) * (costs - jnp.mean(costs)))


class BaselineOfTheDraw(Mutant):
    """A critic that was shown the draw."""

    def objective(self, key, distribution, rest):
        z = hard_draw(key, distribution)
        cost = rest(z)
        return cost + jnp.expm1(score(distribution, z)) * (cost - jnp.sum(z))


class ForgottenWeight(Mutant):
    """DisARM with sigmoid(logit) for sigmoid(|logit|)."""

    def objective(self, key, distribution, rest):
        logits = bernoulli_logits(distribution)
        u = jax.random.uniform(key, logits.shape, logits.dtype)
        p = lax.stop_gradient(jax.nn.sigmoid(logits))
        z, other = (u >= 1 - p).astype(p.dtype), (1 - u > 1 - p).astype(p.dtype)
        f, g = jax.vmap(rest)(jnp.stack([z, other]))
        slope = lax.stop_gradient((f - g) / 2 * (z - other) * jax.nn.sigmoid(logits))
        return (f + g) / 2 + jnp.sum(slope * (logits - lax.stop_gradient(logits)))


class UniformWeights(Mutant):
    """An enumeration whose weights do not know the probabilities."""

    def objective(self, key, distribution, rest):
        values, weights = pmf(distribution)
        flat = lax.stop_gradient(1 / len(weights) - weights)
        return jnp.sum((weights + flat) * jax.vmap(rest)(values))


class ForgottenValue(Mutant):
    """An enumeration that stops before the last value."""

    def objective(self, key, distribution, rest):
        values, weights = pmf(distribution)
        return jnp.sum((weights * jax.vmap(rest)(values))[:-1])


MUTANTS = (
    SignError(),
    FactorTwo(),
    SilentZero(),
    ForgottenScore(),
    ForgottenDependence(),
    BaselineOfItself(),
    BaselineOfTheDraw(),
    ForgottenWeight(),
    UniformWeights(),
    ForgottenValue(),
)
