"""What a simulation from the first state of a window says about its measurements, and the derivatives of that.

Multiple shooting (Bock 1983): the first state of each window is an unknown beside the parameters. A prediction that starts
from a noisy observation would be biased (errors in variables); from a fitted state it is not.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ..env import Env, State, step_env
from ..wrappers import where
from .floats import as_floats, is_float
from .parameters import put
from .windows import Windows


class Simulator(eqx.Module):
    """An environment's motion, with states as vectors. `by_states`: what is measured is the state, and not its observation."""

    env: Env
    example: State
    by_states: bool = eqx.field(static=True)

    @property
    def dtype(self) -> Any:
        return jnp.zeros((), float).dtype

    def split(self, state: State) -> tuple[Float[Array, " n"], Any]:
        """The floats of a state, as a vector, and the rest of it."""
        floats, others = eqx.partition(as_floats(state, self.dtype), is_float)
        return ravel_pytree(floats)[0], others

    def join(self, vector: Float[Array, " n"], others: Any) -> State:
        floats, _ = eqx.partition(as_floats(self.example, self.dtype), is_float)
        return eqx.combine(ravel_pytree(floats)[1](vector), others)

    def measure(self, vector: Float[Array, " n"], others: Any) -> Float[Array, " channels"]:
        return vector if self.by_states else self._seen(self.join(vector, others))

    def _seen(self, state: State) -> Float[Array, " channels"]:
        return self.split(state)[0] if self.by_states else jnp.ravel(jnp.asarray(self.env.observe(state), self.dtype))

    def step(self, state: State, action: Array) -> State:
        return as_floats(step_env(self.env, state, action, None), self.dtype)

    def run(self, vector: Array, others: Any, actions: Array, valid: Array) -> Float[Array, "K channels"]:
        """Measurements along one window: after its last valid row the state stays."""

        def one(state, step):
            action, goes_on = step
            # Padding is not simulated further: a state that explodes there would make a derivative NaN.
            after = where(goes_on, self.step(state, action), state)
            return after, self._seen(after)

        first = self.join(vector, others)
        _, later = lax.scan(one, first, (actions, valid[1:]))
        return jnp.concatenate([self._seen(first)[None], later])


class Model(eqx.Module):
    """A simulator as a function of a vector: the values of the fields `names`, of these shapes."""

    simulator: Simulator
    names: tuple[str, ...] = eqx.field(static=True, default=())
    shapes: tuple[tuple[int, ...], ...] = eqx.field(static=True, default=())

    def at(self, theta: Float[Array, " p"]) -> Simulator:
        if not self.names:
            return self.simulator
        env = put(self.simulator.env, self.names, self.shapes, theta)
        return eqx.tree_at(lambda simulator: simulator.env, self.simulator, env)


class Problem:
    """Least squares over windows: the errors of a model by its vector and by the first state of each window.

    An error is prediction - measurement, [W, K, channels], and zero where a measurement is not `counted` [W, K].
    """

    def __init__(self, model: Model, windows: Windows, others: Any, counted: np.ndarray):
        dtype = model.simulator.dtype
        self.model, self.windows, self.others, self.counted, self.dtype = model, windows, others, counted, dtype
        numbers = as_floats((windows.actions, windows.measured), dtype)
        self._rows = (others, *numbers, jnp.asarray(windows.valid))

    def counting(self, counted: np.ndarray) -> Problem:
        """The same windows, of which other measurements count: no program is compiled anew for them."""
        return Problem(self.model, self.windows, self.others, counted)

    def of(self, model: Model) -> Problem:
        """The same windows under another model."""
        return Problem(model, self.windows, self.others, self.counted)

    def errors(self, theta: np.ndarray, vectors: np.ndarray) -> Float[np.ndarray, "W K channels"]:
        return np.asarray(_errors(self.model, *self._arguments(theta, vectors)), np.float64)

    def linear(self, theta: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Errors, and their derivatives by theta [W, K, channels, p] and by the window's own state [W, K, channels, n]."""
        value, by_theta, by_state = _slopes(self.model, *self._arguments(theta, vectors))
        return np.asarray(value, np.float64), np.asarray(by_theta, np.float64), np.asarray(by_state, np.float64)

    def rows(self, counted: np.ndarray) -> tuple:
        """What `error` takes of each window beside its first state."""
        return jnp.asarray(counted), *self._rows

    def _arguments(self, theta: np.ndarray, vectors: np.ndarray) -> tuple:
        return jnp.asarray(theta, self.dtype), jnp.asarray(vectors, self.dtype), *self.rows(self.counted)


def error(simulator: Simulator, vector, counted, others, actions, measured, valid) -> Float[Array, "K channels"]:
    """Of one window."""
    return jnp.where(counted[:, None], simulator.run(vector, others, actions, valid) - measured, 0)


# Compiled once for a model's structure and the windows' shapes: the data are arguments.
@eqx.filter_jit
def _errors(model: Model, theta, vectors, *rows):
    return jax.vmap(lambda vector, *row: error(model.at(theta), vector, *row))(vectors, *rows)


@eqx.filter_jit
def _slopes(model: Model, theta, vectors, *rows):
    def one(vector, *row):
        def of(theta, vector):
            found = error(model.at(theta), vector, *row)
            # Once more beside it, so that the value comes with its derivative.
            return found, found

        # Forward mode: the unknowns of a window are few, and its measurements many.
        (by_theta, by_state), value = jax.jacfwd(of, (0, 1), has_aux=True)(theta, vector)
        return value, by_theta, by_state

    return jax.vmap(one)(vectors, *rows)
