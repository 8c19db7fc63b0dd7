"""A network for what a fitted simulation leaves unexplained: trained over windows, kept small, stopped early.

The correction is learned through the simulation, over whole windows, because over one step it is smaller than the noise.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Key

from ..._errors import SpanaxError
from ..._optimizer import apply_update
from ..corrected import Corrected, inputs
from .estimate import Estimate
from .fit import Fit
from .prediction import Prediction
from .shooting import Model, Problem, Simulator, error
from .solve import equations

# Measured numbers for each weight of the network, and windows, that are enough.
PER_WEIGHT, WINDOWS = 5, 10
_UPDATES, _RATE, _DECAY = 1000, 1e-3, 1e-4
# Of the windows that are fitted, every fourth is for stopping early.
_STOPPING = 4
# By so many standard errors a residual has to lower the held-out error.
_LOWERS = 1.0


class ResidualNetwork(eqx.Module):
    """`size` times a network of inputs that are centred and scaled; zero before it is trained. NumPy arrays are constants."""

    network: eqx.nn.MLP
    centre: np.ndarray
    spread: np.ndarray
    size: np.ndarray

    def __call__(self, inputs: Float[Array, " inputs"]) -> Float[Array, " state"]:
        # In the inputs' dtype: float64 constants would promote a float32 simulation.
        size, centre, spread = (jnp.asarray(x, inputs.dtype) for x in (self.size, self.centre, self.spread))
        return size * self.network((inputs - centre) / spread)


def check_enough(residual: Any, fit: Fit) -> None:
    """Raises `SpanaxError` where the data are too few for the weights of the residual."""
    weights, problem = _count_weights(residual, fit), fit.problem
    windows, numbers = len(fit.pieces), int(problem.counted.sum()) * problem.windows.measured.shape[-1]
    if numbers < PER_WEIGHT * weights or windows < WINDOWS:
        raise SpanaxError(
            f"too little data for a residual of {weights:,} weights: {numbers:,} measured numbers are fitted, of {windows} "
            f"windows, and it takes {PER_WEIGHT * weights:,} ({PER_WEIGHT} for each weight) and {WINDOWS} windows",
            f"{math.ceil(max(PER_WEIGHT * weights / numbers, WINDOWS / windows))} times the data",
            "a smaller network: residual=4, its width",
            "residual=None: parameters alone need far less",
        )


def _count_weights(residual: Any, fit: Fit) -> int:
    if isinstance(residual, int):
        simulator, action = fit.model.simulator, fit.problem.windows.actions[0, 0]
        seen, state = inputs(simulator.env, simulator.example, action), simulator.split(simulator.example)[0]
        residual = eqx.filter_eval_shape(_network, residual, len(seen), len(state), jax.random.key(0))
        return sum(x.size for x in jax.tree.leaves(eqx.filter(residual, lambda x: isinstance(x, jax.ShapeDtypeStruct))))
    return sum(x.size for x in jax.tree.leaves(eqx.filter(residual, _is_weight)))


def _network(width: int, inputs: int, outputs: int, key: Key[Array, ""]) -> eqx.nn.MLP:
    network = eqx.nn.MLP(inputs, outputs, width, 2, jax.nn.tanh, key=key)
    last = network.layers[-1]
    # Its first correction is none: what the parameters explain is not to be learned again.
    zero = jax.tree.map(jnp.zeros_like, [last.weight, last.bias])
    return eqx.tree_at(lambda n: [n.layers[-1].weight, n.layers[-1].bias], network, zero)


def _is_weight(x: Any) -> bool:
    return eqx.is_inexact_array(x) and isinstance(x, jax.Array)


def make(
    width: int, simulator: Simulator, problem: Problem, states: np.ndarray, key: Key[Array, ""]
) -> ResidualNetwork:
    """A network of this width, scaled to what the simulation passes through and to how far a step goes."""
    seen, moves = _passed(
        simulator,
        jnp.asarray(states, problem.dtype),
        problem.others,
        *map(jnp.asarray, (problem.windows.actions, problem.windows.valid)),
    )
    valid = problem.windows.valid[:, 1:]
    seen, moves = (np.asarray(x, np.float64)[valid] for x in (seen, moves))
    network = _network(width, seen.shape[1], moves.shape[1], key)
    return ResidualNetwork(network, seen.mean(0), _spread(seen), _spread(moves))


def _spread(x: Float[np.ndarray, "rows n"]) -> Float[np.ndarray, " n"]:
    return np.where(x.std(0) > 0, x.std(0), 1.0)


@eqx.filter_jit
def _passed(simulator: Simulator, vectors: Array, others: Any, actions: Array, valid: Array) -> tuple[Array, Array]:
    """The inputs of a residual at each step of each window, and how far the step moves the state."""

    def window(vector, others, actions):
        def one(state, action):
            after = simulator.step(state, action)
            return after, (inputs(simulator.env, state, action), simulator.split(after)[0] - simulator.split(state)[0])

        return lax.scan(one, simulator.join(vector, others), actions)[1]

    return jax.vmap(window)(vectors, others, actions)


class Learned(NamedTuple):
    """`residual`: None where it is left out. `prediction`: with it, or without."""

    residual: Any
    prediction: Prediction


def learn(residual: Any, fit: Fit, found: Estimate, without: Prediction, key: Key[Array, ""]) -> Learned:
    """The residual on top of the parameters, or none, where it does not predict the held-out windows better."""
    simulator = fit.model.at(jnp.asarray(found.point.theta, fit.problem.dtype))
    if isinstance(residual, int):
        residual = make(residual, simulator, fit.problem, found.point.states, key)
    trained = train(residual, simulator, fit.problem, found)
    corrected = eqx.tree_at(lambda s: s.env, simulator, Corrected(simulator.env, trained))
    with_it = fit.predict(Model(corrected), np.zeros(0), found.noise)
    gains = without.squares - with_it.squares
    # Windows of one episode differ in what is to be gained: the error of the mean says whether any is.
    lowers = np.all(np.isfinite(with_it.squares)) and np.mean(gains) > _LOWERS * np.std(gains, ddof=1) / np.sqrt(
        len(gains)
    )
    return Learned(trained, with_it) if lowers else Learned(None, without)


def train(residual: Any, simulator: Simulator, problem: Problem, found: Estimate) -> Any:
    """The residual where it predicted the windows for stopping best.

    It minimises the mean square of errors over noise, plus a decay of its weights, by Adam. First states go on being fitted, in
    units of their standard errors.
    """
    used = problem.counted.any(1)
    stops = used & (np.cumsum(used) % _STOPPING == 0)
    # NumPy arrays are constants, as in `train` of policies.
    weights, static = eqx.partition(residual, _is_weight)
    # Along a direction that grows, a state is known far better than across it: units by the whole covariance.
    sizes, directions = np.linalg.eigh(equations(problem, found.point, 1 / found.noise).inverse)
    unit = directions * np.sqrt(np.maximum(sizes, 0))[:, None, :]
    states, unit, weight = (jnp.asarray(x, problem.dtype) for x in (found.point.states, unit, 1 / found.noise))
    rows, fits, stops = problem.rows(problem.counted), jnp.asarray(used & ~stops), jnp.asarray(stops)
    return eqx.combine(_train(weights, static, simulator, states, unit, weight, fits, stops, rows), static)


@eqx.filter_jit
def _train(
    weights, static, simulator: Simulator, states, unit, weight, fits: Bool[Array, " W"], stops: Bool[Array, " W"], rows
):
    import optax

    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(_RATE, _UPDATES)))
    counts = jnp.sum(rows[0], 1) * weight.size
    fitted, still = (
        jnp.maximum(jnp.sum(jnp.where(which, counts, 0)), 1).astype(states.dtype) for which in (fits, stops)
    )

    def losses(weights, shift):
        env = Corrected(simulator.env, eqx.combine(weights, static))
        corrected = eqx.tree_at(lambda s: s.env, simulator, env)
        found = jax.vmap(lambda vector, *row: error(corrected, vector, *row))(
            jnp.einsum("wij,wj->wi", unit, shift) + states, *rows
        )
        return jnp.sum((found * weight[None, None]) ** 2, (1, 2))

    def objective(trained):
        weights, shift = trained
        decay = _DECAY * sum(jnp.sum(x**2) for x in jax.tree.leaves(weights))
        fit = jnp.sum(jnp.where(fits, losses(weights, shift), 0)) / fitted
        # The windows for stopping fit their own states, and teach the network nothing.
        stop = jnp.sum(jnp.where(stops, losses(lax.stop_gradient(weights), shift), 0)) / still
        return fit + stop + decay, stop

    def update(carry, _):
        trained, memory, best = carry
        (_, stop), gradient = jax.value_and_grad(objective, has_aux=True)(trained)
        better = stop < best[0]
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), (stop, *trained), best)
        trained, memory = apply_update(optimizer, gradient, memory, trained)
        return (trained, memory, best), None

    first = (weights, jnp.zeros_like(states))
    carry = (first, optimizer.init(first), (jnp.asarray(jnp.inf, states.dtype), *first))
    (_, _, (_, weights, _)), _ = lax.scan(update, carry, None, _UPDATES)
    return weights
