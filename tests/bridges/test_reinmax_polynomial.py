"""ReinMax's polynomial task (Liu et al. 2023, section 5.1): training reaches the figures of their own estimator.

128 binary latents, loss mean |z - .45|^p, batch 64, Adam at 1e-3, 8000 steps. As in the authors' program, a latent is a
pair of logits, which start uniform in (-.01, .01); the Bernoulli here has their difference.
"""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
import optax
import pytest

import spanax as sx

LATENTS, TARGET, BATCH, STEPS = 128, 0.45, 64, 8000


def train(p, via, key):
    """The exact expected loss after training."""

    def loss(theta, *, key):
        z = sx.sample(key, dist.Bernoulli(logits=theta[:, 0] - theta[:, 1]).to_event(1), via=via)
        return jnp.mean(jnp.abs(z - TARGET) ** p)

    def batch_loss(theta, key):
        return jnp.mean(jax.vmap(sx.expectation(loss), (None,))(theta, key=jax.random.split(key, BATCH)))

    def step(carry, key):
        theta, state = carry
        gradient = jax.grad(batch_loss)(theta, key)
        with jax.numpy_dtype_promotion("standard"):  # optax raises a float to the power of an int
            updates, state = adam.update(gradient, state)
        return (theta + updates, state), None

    adam = optax.adam(1e-3)
    start = jax.random.uniform(key, (LATENTS, 2), minval=-0.01, maxval=0.01)
    (theta, _), _ = jax.lax.scan(step, (start, adam.init(start)), jax.random.split(jax.random.fold_in(key, 1), STEPS))
    q = jnp.mean(jax.nn.sigmoid(theta[:, 0] - theta[:, 1]))
    return q * (1 - TARGET) ** p + (1 - q) * TARGET**p


# Over 5 keys the end had a standard deviation of 3e-5 and stood within 1.5e-4 of the figure: .002 makes no false alarm, and
# straight-through (.3522, .2475) fails.
@pytest.mark.parametrize("p, figure", [(1.5, 0.3054), (2.0, 0.2036)])
def test_training_with_reinmax_reaches_the_published_figure(p, figure, key):
    reached = jax.jit(lambda key: train(p, sx.ReinMax(), key))(key)
    assert abs(reached - figure) < 0.002
