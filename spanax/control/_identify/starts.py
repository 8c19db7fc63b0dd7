"""A guess of the state at the first measurement of each window."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ..._errors import SpanaxError
from ..env import Env
from .shooting import Simulator
from .windows import Windows

# Resets among which the one is chosen that looks most like the first measurement, and steps of Gauss-Newton from there.
_RESETS, _STEPS = 256, 20


def guesses(simulator: Simulator, windows: Windows, spread: Float[Array, " channels"], key: Key[Array, ""]) -> Any:
    """States, one for each window: those of the data, those that the environment tells from observations, or what fits them."""
    if windows.states is not None:
        return windows.states
    first = jnp.asarray(windows.measured[:, 0], spread.dtype)
    shape = simulator.env.observation_space.shape
    tell = _state_from(simulator.env, shape, spread.dtype)
    if tell is not None:
        return jax.vmap(tell)(first.reshape(-1, *shape))
    return _search(simulator, first, spread, key)


def _state_from(env: Env, shape: tuple[int, ...], dtype: Any) -> Any:
    """The environment's own `state_from`, if it has one that works."""
    tell = getattr(env, "state_from", None)
    if tell is None:
        return None
    try:
        jax.eval_shape(tell, jax.ShapeDtypeStruct(shape, dtype))
    # Its default raises: an observation need not tell the state.
    except SpanaxError:
        return None
    return tell


# Compiled once for a simulator: data, key and spread are arguments.
@eqx.filter_jit
def _search(simulator: Simulator, first: Array, spread: Array, key: Key[Array, ""]) -> Any:
    """Least squares of one measurement, by Gauss-Newton from the most similar of many resets.

    What one measurement does not tell (a velocity) stays as in that reset; the window's others will tell.
    """
    resets = jax.vmap(simulator.env.reset)(jax.random.split(key, _RESETS))
    vectors, others = jax.vmap(simulator.split)(resets)
    seen = jax.vmap(simulator.measure)(vectors, others)

    def one(measured):
        best = jnp.argmin(jax.vmap(lambda candidate: jnp.sum(((candidate - measured) / spread) ** 2))(seen))
        other = jax.tree.map(lambda x: x[best], others)

        def error(vector):
            return (simulator.measure(vector, other) - measured) / spread

        def step(vector, _):
            slope, miss = jax.jacfwd(error)(vector), error(vector)
            # The least step that solves it: directions that are not seen do not move.
            moved = vector - jnp.linalg.pinv(slope, rtol=1e-3) @ miss
            better = jnp.sum(error(moved) ** 2) < jnp.sum(miss**2)
            return jnp.where(better, moved, vector), None

        return simulator.join(jax.lax.scan(step, vectors[best], None, _STEPS)[0], other)

    return jax.vmap(one)(first)
