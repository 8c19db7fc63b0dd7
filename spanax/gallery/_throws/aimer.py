"""The network that aims the trebuchet, and how it is trained: the recipe."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ... import control

BATCH, RATE, WIDTH = 256, 2e-2, 32
WINDS = 6.0  # m/s, the standard deviation of the wind in training: wider than what is judged, for the sake of its rare winds
NEAR = 0.5  # metres: the loss is quadratic within


class Reach(NamedTuple):
    """The nearest and the farthest landing by the wind: what 60 and 500 lb do at 5 to 90 degrees."""

    winds: Float[np.ndarray, " n"]
    nearest: Float[np.ndarray, " n"]
    farthest: Float[np.ndarray, " n"]

    def has(self, wind: np.ndarray, target: np.ndarray) -> np.ndarray:
        return (np.interp(wind, self.winds, self.nearest) <= target) & (
            target <= np.interp(wind, self.winds, self.farthest)
        )


def reach(env: control.Trebuchet) -> Reach:
    (first, lightest), (last, heaviest) = env.action_space.low, env.action_space.high
    # A table, looked up by interpolation: exact for each case would take an optimisation each.
    winds, angles = np.linspace(-30.0, 30.0, 41), np.arange(first, last + 1)
    wind, angle, weight = (x.ravel() for x in np.meshgrid(winds, angles, [lightest, heaviest], indexing="ij"))
    shot = jax.jit(jax.vmap(lambda wind, angle, weight: control.shoot(wind, angle, weight, machine=env.machine)))
    far = np.asarray(shot(*(jnp.asarray(x, float) for x in (wind, angle, weight)))).reshape(len(winds), -1)
    return Reach(winds, far.min(axis=1), far.max(axis=1))


class Aimer(eqx.Module):
    """(wind in m/s, target in m) to (angle in degrees, weight in lb), within what the machine can be set to."""

    network: eqx.nn.MLP
    middle: np.ndarray
    half: np.ndarray

    def __init__(self, env: control.Trebuchet, key: Key[Array, ""]):
        box = env.action_space
        network = eqx.nn.MLP(2, 2, WIDTH, 2, jnp.tanh, key=key)
        # Small last weights: the first throws are near the middle of the box, far from its limits, where tanh is flat.
        self.network = eqx.tree_at(lambda n: n.layers[-1].weight, network, 0.1 * network.layers[-1].weight)
        self.middle, self.half = (box.high + box.low) / 2, (box.high - box.low) / 2

    def __call__(self, observation: Float[Array, " 2"]) -> Float[Array, " 2"]:
        wind, target = observation
        # tanh keeps the action inside the machine's limits, smoothly.
        action = jnp.tanh(self.network(jnp.stack([wind / 5, (target - 60) / 25])))
        middle, half = (jnp.asarray(x, action.dtype) for x in (self.middle, self.half))
        return middle + half * action


def missed_by(state, action, after) -> Float[Array, ""]:
    """Huber's loss of the miss, in metres: the derivative of a far one is no larger than that of one by half a metre."""
    # A squared loss would follow the few far misses of the first updates, and forget the rest.
    missed = jnp.abs(after.distance - after.target)
    return jnp.where(missed < NEAR, missed**2 / (2 * NEAR), missed - NEAR / 2)


def train(updates: int, key: Key[Array, ""], progress: bool = True) -> control.Result:
    import optax

    # Wider winds than those it is judged by: the rare ones would otherwise hardly be seen.
    env, (first, rest) = control.Trebuchet(wind_std=WINDS), jax.random.split(key)
    return control.train(
        env,
        Aimer(env, first),
        via=control.BPTT(horizon=1, truncate=False),
        key=rest,
        updates=updates,
        batch=BATCH,
        loss=missed_by,
        optimizer=optax.adam(optax.cosine_decay_schedule(RATE, updates), b2=0.99),
        progress=progress,
    )
