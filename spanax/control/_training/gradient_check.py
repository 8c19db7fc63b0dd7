"""The gradient of a training held against finite differences of its objective."""

from __future__ import annotations

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ..rollout import is_drawn
from .updates import Progress, Training

DIRECTIONS = 16
STEP = 1e-3  # of the size of the parameters
# Draws that change their mind jump: there the step is longer, and the difference a mean over more batches.
STEP_OF_DRAWS, BATCHES_OF_DRAWS = 0.03, 64


def gradient_check(training: Training, progress: Progress) -> float | None:
    """The cosine of g . v and central differences along v, over random directions v; None for a black box."""
    if training.task.env.black_box:
        return None
    drawn = is_drawn(eqx.combine(progress.arrays, training.static), training.task.env) or not hasattr(
        training.method, "horizon"
    )
    step, batches = (STEP_OF_DRAWS, BATCHES_OF_DRAWS) if drawn else (STEP, 1)
    return float(_cosine(training, progress, step, batches))


@functools.partial(eqx.filter_jit)
def _cosine(training: Training, progress: Progress, step: float, batches: int) -> Float[Array, ""]:
    at, back = ravel_pytree(progress.arrays)
    first, second = jax.random.split(training.key)
    directions = jax.random.normal(first, (DIRECTIONS, at.size), at.dtype)
    directions = directions / jnp.linalg.norm(directions, axis=1, keepdims=True)
    h = jnp.asarray(step, at.dtype) * jnp.maximum(jnp.linalg.norm(at), 1)

    def of(key):
        def objective(x):
            policy = eqx.combine(back(x), training.static)
            return training.method.objective(training.task, policy, progress.carry, key)[0]

        slopes = directions @ jax.grad(objective)(at)
        differences = lax.map(lambda v: (objective(at + h * v) - objective(at - h * v)) / (2 * h), directions)
        return slopes, differences

    slopes, differences = lax.map(of, jax.random.split(second, batches))
    a, b = jnp.mean(slopes, axis=0), jnp.mean(differences, axis=0)
    return jnp.dot(a, b) / (jnp.linalg.norm(a) * jnp.linalg.norm(b))
