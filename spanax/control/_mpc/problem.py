"""Optimal control over a horizon, with states and actions as flat vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ..env import Box, Env, State


class Inputs(NamedTuple):
    """What a solution depends on.

    - `first`, `rest`: the first state, its floating-point part as a vector and the others (counters, keys), which count as given;
    - `arrays`: those of the environment, the loss and the terminal cost;
    - `stage`, `final`: what the functions among these close over, if it is being differentiated.
    """

    first: Float[Array, " n"]
    rest: Any
    arrays: Any
    stage: tuple[Array, ...]
    final: tuple[Array, ...]


class Arrived(NamedTuple):
    """After a step: the floating-point part of the state, the rest of it (counters, keys), and what the step cost."""

    vector: Float[Array, " n"]
    rest: Any
    cost: Float[Array, ""]


class Objective(NamedTuple):
    """What is minimised: the cost of a step, and of the last state (None: nothing)."""

    env: Env
    loss: Callable[[State, Array, State], Float[Array, ""]] | None
    terminal: Callable[[State], Float[Array, ""]] | None

    def step(self, state: State, action: Array) -> tuple[State, Float[Array, ""]]:
        arrived = self.env.step(state, action)
        if self.loss is None:
            return arrived, -self.env.reward(state, action, arrived)
        return arrived, self.loss(state, action, arrived)

    def end(self, state: State) -> Float[Array, ""] | float:
        return 0.0 if self.terminal is None else self.terminal(state)


class Problem:
    """min over actions u of sum_t cost(x_t, u_t, x_t+1) + end(x_T), where x_t+1 = step(x_t, u_t) and low <= u <= high.

    Whatever can be differentiated from outside is an explicit argument, `Inputs`, even if a function closes over it: the rule for
    the derivative of the solution needs all of it.
    """

    def __init__(self, objective: Objective, state: State, box: Box, horizon: int):
        floats, rest = eqx.partition(state, eqx.is_inexact_array)
        first, self._unravel = ravel_pytree(floats)
        self.horizon, self.dtype = horizon, first.dtype
        # (T, m), and NumPy: rules of differentiation use them when the trace in which they are made is over.
        size = horizon, box.low.size
        # A hair inside the box: an environment that clamps its actions has half a derivative at the bound itself.
        edges = np.stack([box.low.ravel(), box.high.ravel()])
        hair = 8 * float(jnp.finfo(first.dtype).eps) * np.max(np.where(np.isinf(edges), 0, np.abs(edges)), 0)
        self.low, self.high = (np.broadcast_to(x, size).astype(first.dtype) for x in (edges[0] + hair, edges[1] - hair))
        # Arguments, and not constants that functions close over: a rule of differentiation may run when their trace is over.
        arrays, static = eqx.partition(objective, eqx.is_array)

        def stage(vector, rest, action, arrays):
            objective: Objective = eqx.combine(arrays, static)
            arrived, cost = objective.step(self.state(vector, rest), action.reshape(box.shape))
            floats, rest = eqx.partition(arrived, eqx.is_inexact_array)
            return Arrived(ravel_pytree(floats)[0], rest, jnp.asarray(cost, first.dtype))

        def final(vector, rest, arrays):
            objective: Objective = eqx.combine(arrays, static)
            return jnp.asarray(objective.end(self.state(vector, rest)), first.dtype)

        action = jnp.zeros(size[1:], first.dtype)
        self._stage, closed_over = jax.closure_convert(stage, first, rest, action, arrays)
        self._final, closed_over_by_final = jax.closure_convert(final, first, rest, arrays)
        self.inputs = Inputs(first, rest, arrays, tuple(closed_over), tuple(closed_over_by_final))

    def stage(self, inputs: Inputs, vector: Array, rest: Any, action: Array) -> Arrived:
        return self._stage(vector, rest, action, inputs.arrays, *inputs.stage)

    def final(self, inputs: Inputs, vector: Array, rest: Any) -> Float[Array, ""]:
        return self._final(vector, rest, inputs.arrays, *inputs.final)

    def state(self, vector: Float[Array, " n"], rest: Any) -> State:
        return eqx.combine(self._unravel(vector), rest)

    def roll(self, inputs: Inputs, act: Callable[[Array, Any], Array], more: Any) -> Rolled:
        """The motion under u_t = act(x_t, more_t)."""

        def one(carry, more):
            vector, rest = carry
            action = act(vector, more)
            arrived = self.stage(inputs, vector, rest, action)
            return (arrived.vector, arrived.rest), (vector, rest, action, arrived.cost)

        (vector, rest), (vectors, rests, actions, costs) = lax.scan(one, (inputs.first, inputs.rest), more)
        total = jnp.sum(costs) + self.final(inputs, vector, rest)
        return Rolled(vectors, rests, actions, vector, rest, total)

    def play(self, inputs: Inputs, actions: Float[Array, "T m"]) -> Rolled:
        return self.roll(inputs, lambda vector, action: action, actions)

    def total(self, actions: Float[Array, "T m"], inputs: Inputs) -> Float[Array, ""]:
        return self.play(inputs, actions).cost

    def gradient(self, actions: Float[Array, "T m"], inputs: Inputs) -> Float[Array, "T m"]:
        return jax.grad(self.total)(actions, inputs)

    def expand(self, inputs: Inputs, rolled: Rolled, curvature: Array | float) -> Expansion:
        """Derivatives along a motion. `curvature`: 1 for the exact second derivatives, 0 without those of the motion.

        The motion's second derivatives enter by its costates: the Hessian of cost + costate . step is that of the total cost over
        all actions, once the states follow (stagewise Newton: Dunn and Bertsekas 1989, J. Optim. Theory Appl. 63, 23).
        """
        n = inputs.first.size

        def both(z, rest):
            arrived = self.stage(inputs, z[:n], rest, z[n:])
            return jnp.append(arrived.vector, arrived.cost)

        points = jnp.concatenate([rolled.vectors, rolled.actions], axis=1)
        # Forward mode: few columns, and no rule of reverse mode is needed.
        jacobians = jax.vmap(jax.jacfwd(both))(points, rolled.rests)
        slope = jax.grad(self.final, 1)(inputs, rolled.vector, rolled.rest)
        bend = jax.hessian(self.final, 1)(inputs, rolled.vector, rolled.rest)
        steps, costs = jacobians[:, :n], jacobians[:, n]

        def back(costate, at):
            step, cost = at
            return cost[:n] + costate @ step[:, :n], costate

        costates = lax.scan(back, slope, (steps, costs), reverse=True)[1]
        weights = jnp.concatenate([curvature * costates, jnp.ones((self.horizon, 1), points.dtype)], axis=1)
        bends = jax.vmap(jax.hessian(lambda z, rest, w: both(z, rest) @ w))(points, rolled.rests, weights)
        return Expansion(steps, costs, bends, slope, bend)


class Rolled(NamedTuple):
    """A motion: states before each step, actions, the state after the last one, and the total cost."""

    vectors: Float[Array, "T n"]
    rests: Any
    actions: Float[Array, "T m"]
    vector: Float[Array, " n"]
    rest: Any
    cost: Float[Array, ""]


class Expansion(NamedTuple):
    """Derivatives along a motion by z = (state, action): of the step, of the cost, the Hessian; and of the terminal cost."""

    steps: Float[Array, "T n z"]
    costs: Float[Array, "T z"]
    bends: Float[Array, "T z z"]
    slope: Float[Array, " n"]
    bend: Float[Array, "n n"]
