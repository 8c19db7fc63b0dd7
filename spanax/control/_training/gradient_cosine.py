"""The gradient of a training compared with finite differences of its objective.

Along random unit directions v the slopes g . v and the central differences (J(x + h v) - J(x - h v)) / 2h, both at the same
keys, and so of the same function: the cosine between the two vectors is 1 for a right gradient.
"""

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
# Of the size of the parameters.
STEP = 1e-3
# A draw that comes out otherwise at x + h v makes the objective jump: the step is longer there, and the difference a mean
# over more batches.
STEP_OF_DRAWS, BATCHES_OF_DRAWS = 0.03, 64


def gradient_cosine(training: Training, progress: Progress) -> float | None:
    """The cosine of g . v and central differences along v, over random directions v; None for a black box."""
    if training.task.env.black_box:
        return None
    # A method without a horizon (`PolicyGradient`) always draws.
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
    # The step scales with the parameters, so that float32 has digits left in the difference.
    h = jnp.asarray(step, at.dtype) * jnp.maximum(jnp.linalg.norm(at), 1)

    # Once: a model that is fitted again at each point would be another function there.
    carry, _ = training.prepared(progress)

    def of(key):
        def objective(x):
            policy = eqx.combine(back(x), training.static)
            return training.method.objective(training.task, policy, carry, key)[0]

        # One direction at a time: all of them at once would need the memory of 32 trainings.
        slopes = directions @ jax.grad(objective)(at)
        differences = lax.map(lambda v: (objective(at + h * v) - objective(at - h * v)) / (2 * h), directions)
        return slopes, differences

    # Means first, then the cosine: of single batches it would be that of their noise.
    slopes, differences = lax.map(of, jax.random.split(second, batches))
    a, b = jnp.mean(slopes, axis=0), jnp.mean(differences, axis=0)
    return jnp.dot(a, b) / (jnp.linalg.norm(a) * jnp.linalg.norm(b))
