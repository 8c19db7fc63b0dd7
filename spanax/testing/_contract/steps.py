"""What a bridge of a hard operation promises, tried on floor, round, greater, argmax and sort as far as it takes them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ... import hard
from ..._errors import SpanaxError
from ...bridges import Drawing, Step
from ...judge.check_gradient import GradientCheck, check_gradient
from ..report import NotApplicable, require
from . import tracing

OPERATIONS: dict[str, Callable[..., Array]] = {
    "floor": hard.floor,
    "round": hard.round,
    "greater": lambda x, **options: hard.greater(x, 0.5, **options),
    "argmax": hard.argmax,
    "sort": hard.sort,
}
# Quick to compile, and to run without compiling: what is dear is tried on these, if the bridge takes them.
QUICK = ("greater", "argmax")
# Sorting and argmax have no direction of their own.
RISING = ("floor", "round", "greater")  # element by element, so that no derivative may be negative on the whole
# No two alike and none at a step, so that each operation is differentiable here as it stands.
X = np.array([0.35, -0.62, 1.17, 0.81])
# At steps and ties, far from them, large and small.
EXTREMES = ([0.5, 1.0, 0.0, -0.5], [2.0, 2.0, 2.0, 2.0], [50.0, -50.0, 1e3, -1e3], [1e-3, -1e-3, 1e-6, 0.0])
LEVEL = 1e-5  # of the checks that are statistical: two of them, so that a right bridge fails in 2 of 100,000 runs


def checks(bridge: Step, key: Key[Array, ""], draws: int) -> dict[str, Callable[[], None]]:
    trial = StepTrial(bridge, key, draws)
    named: dict[str, Callable[[StepTrial], None]] = {
        "operations": _operations,
        "key of an operation": _key,
        "shape and dtype of a value": _shapes,
        "jit, vmap and the same key": _jit_and_vmap,
        "forward and reverse mode": _modes,
        "derivatives at steps, ties and extremes": _extremes,
        "silent zero of a step": _silent_zero,
        "direction of a step": _direction,
        "derivative of its own mean value": _own_derivative,
        "second derivative of a step": _second_derivative,
        "unbiasedness of a step": _claims_no_unbiasedness,
    }
    found = {name: functools.partial(check, trial) for name, check in named.items()}
    return found | tracing.checks(bridge, functools.partial(_use_once, trial), " of a step")


def _use_once(trial: StepTrial, bridge: Step) -> Array:
    """The derivative of one operation with this bridge."""
    name, x = trial.quick[0], jnp.asarray(X, "float32")
    return jax.grad(lambda x: _weighted_sum(bridge, name, x, trial.key)[0])(x)


@eqx.filter_jit
def _values_and_slopes(bridge: Step, names: tuple[str, ...], x, keys):
    """Of each operation: values (n, ...), and the derivatives of their weighted sums, (n, 4)."""

    def one(key):
        return {
            name: jax.value_and_grad(_weighted_sum, argnums=2, has_aux=True)(bridge, name, x, key) for name in names
        }

    return jax.vmap(one)(keys)


def _weighted_sum(bridge: Step, name: str, x: Float[Array, " 4"], key) -> tuple[Float[Array, ""], Array]:
    """The results, with unequal weights: that those of one-hot weights do not sum to 1."""
    value = OPERATIONS[name](x, via=bridge, key=key)
    # With equal weights the sum of a softmax would be constant, and any derivative of it right.
    weights = jnp.linspace(0.5, 1.5, value.size, dtype=value.dtype).reshape(value.shape)
    return jnp.sum(value * weights), value


class StepTrial:
    """A bridge, and the operations that it takes."""

    def __init__(self, bridge: Step, key: Key[Array, ""], draws: int):
        self.bridge, self.key, self.draws = bridge, key, draws
        self.keys = jax.random.split(key, 64)
        self.run = functools.cache(self._values_and_slopes)
        self.refusal = functools.cache(self._refusal)

    def cast(self, dtype: str) -> Step:
        return jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, self.bridge)

    def _refusal(self, name: str) -> Exception | None:
        try:
            jax.eval_shape(lambda x: _weighted_sum(self.bridge, name, x, self.key), jnp.asarray(X, "float32"))
        except Exception as error:
            return error
        return None

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        # A bridge may be for one operation only: what it refuses with an error that says so is not a fault.
        taken = tuple(name for name in OPERATIONS if self.refusal(name) is None)
        if not taken:
            raise NotApplicable("it takes none of the operations")
        return taken

    @property
    def quick(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if name in QUICK) or self.names

    def _values_and_slopes(self, dtype: str, x: tuple[float, ...] = tuple(X)) -> dict[str, Any]:
        with jax.enable_x64(dtype == "float64"):
            # All operations in one compiled program: compiling is most of what these checks cost.
            found = _values_and_slopes(self.cast(dtype), self.names, jnp.asarray(x, dtype), self.keys)
            return jax.tree.map(np.asarray, found)

    @functools.cached_property
    def relaxed_operations(self) -> tuple[str, ...]:
        """The operations whose value is not the hard one, but for the rounding of hard + soft - soft."""
        with jax.enable_x64(True):
            # In float64: straight-through values are hard + soft - soft, which is exact but for rounding.
            exact = {name: OPERATIONS[name](jnp.asarray(X)) for name in self.names}
        found = self.run("float64")
        return tuple(n for n in self.names if not np.allclose(found[n][0][1], exact[n][None], rtol=0, atol=1e-12))


def _operations(trial: StepTrial) -> None:
    refused = {name: trial.refusal(name) for name in OPERATIONS}
    for name, error in refused.items():
        require(
            error is None or isinstance(error, SpanaxError),
            f"{name} raises {type(error).__name__}, not a SpanaxError that says what it takes: {error}",
        )
    if all(refused.values()):
        require(False, f"it takes none of {', '.join(OPERATIONS)} ({str(refused['floor']).splitlines()[0]})")


def _key(trial: StepTrial) -> None:
    for name in trial.names:
        try:
            jax.eval_shape(functools.partial(OPERATIONS[name], via=trial.bridge), jnp.asarray(X, "float32"))
        except SpanaxError:
            continue
        except Exception as error:
            require(False, f"{name} without a key raises {type(error).__name__}, not a SpanaxError: {error}")


def _shapes(trial: StepTrial) -> None:
    for dtype in ("float32", "float64"):
        with jax.enable_x64(dtype == "float64"):
            for name in trial.names:
                x = jnp.asarray(X, dtype)
                exact = jax.eval_shape(OPERATIONS[name], x)
                value = jax.eval_shape(functools.partial(OPERATIONS[name], via=trial.cast(dtype), key=trial.key), x)
                alike = exact.shape == value.shape and exact.dtype == value.dtype
                require(alike, f"{name} gives {value.dtype}{value.shape}, not {exact.dtype}{exact.shape}")


def _jit_and_vmap(trial: StepTrial) -> None:
    for name in trial.quick:
        (_, values), slopes = trial.run("float32")[name]
        # Key 1 of the batch, by itself: a bridge that mixes up the keys of a batch differs here.
        differentiated = jax.value_and_grad(_weighted_sum, argnums=2, has_aux=True)
        (_, value), slope = differentiated(trial.bridge, name, jnp.asarray(X, "float32"), trial.keys[1])
        close = np.allclose(value, values[1], rtol=1e-4, atol=1e-5) and np.allclose(
            slope, slopes[1], rtol=1e-3, atol=1e-4
        )
        require(close, f"{name} gives {value}, {slope} as it is, and {values[1]}, {slopes[1]} under jit and vmap")


def _modes(trial: StepTrial) -> None:
    # Any direction would do; unequal numbers, so that a transposed Jacobian shows.
    v = np.array([0.4, -1.0, 0.7, 0.3])
    for name in trial.names:
        forward, reverse = _both_modes(
            trial.bridge, name, jnp.asarray(X, "float32"), jnp.asarray(v, "float32"), trial.key
        )
        # A custom rule for one mode only is easily wrong in the other.
        close = np.allclose(forward, reverse, rtol=1e-4, atol=1e-5)
        require(close, f"the derivative of {name} is {forward} in forward mode, {reverse} in reverse mode")


@eqx.filter_jit
def _both_modes(bridge, name, x, v, key):
    def f(x):
        return _weighted_sum(bridge, name, x, key)[0]

    return jax.jvp(f, (x,), (v,))[1], jnp.sum(jax.grad(f)(x) * v)


def _extremes(trial: StepTrial) -> None:
    for dtype in ("float32", "float64"):
        for x in EXTREMES:
            for name, ((_, value), slope) in trial.run(dtype, tuple(x)).items():
                require(np.all(np.isfinite(value)), f"the value of {name} at {x} in {dtype} is NaN or infinite")
                require(np.all(np.isfinite(slope)), f"the derivative of {name} at {x} in {dtype} is NaN or infinite")


def _slopes_over_a_unit(trial: StepTrial) -> dict[str, np.ndarray]:
    """Of each operation, the derivatives at points across [0, 1]: steps of floor, round and greater lie there."""
    # Across a whole period of floor and round, so that a derivative that lives near steps only is met.
    points = [tuple(t + 0.01 * np.arange(4)) for t in np.linspace(0, 0.96, 9)]
    return {n: np.concatenate([trial.run("float64", x)[n][1] for x in points]) for n in trial.names}


def _silent_zero(trial: StepTrial) -> None:
    for name, slopes in _slopes_over_a_unit(trial).items():
        require(np.any(slopes != 0), f"the derivative of {name} is 0 at every point")


def _direction(trial: StepTrial) -> None:
    rising = {name: slopes for name, slopes in _slopes_over_a_unit(trial).items() if name in RISING}
    for name, slopes in rising.items():
        # On the whole, not at each point: finite differences of a step may be negative somewhere by noise.
        require(np.mean(slopes) > 0, f"{name} rises, and its derivative is not positive on the whole")
    if not rising:
        raise NotApplicable("it takes none of " + ", ".join(RISING))


def _claims_no_unbiasedness(trial: StepTrial) -> None:
    """The derivative of a hard operation itself is 0 almost everywhere, and nothing else is unbiased for it."""
    # One bridge may serve draws, for which it can be unbiased, and steps, for which nothing is.
    if isinstance(trial.bridge, Drawing):
        raise NotApplicable("its facts are those of draws as well")
    require(
        not trial.bridge.facts.unbiased,
        "facts.unbiased is True, and the derivative of the hard operation itself is 0: say False, and in facts.unbiased_for "
        "what the derivative is right for",
    )


def _own_derivative(trial: StepTrial) -> None:
    """Relaxed, it is smooth in the mean: its derivative is that of the mean of the value that it gives."""
    if not trial.relaxed_operations:
        raise NotApplicable("its values are the hard ones")
    if "nothing" in trial.bridge.facts.unbiased_for:
        raise NotApplicable("facts claim none")
    found = _check_derivative(trial, _total, trial.relaxed_operations)
    _require_agreement("the derivative is not that of the mean value", found)


def _second_derivative(trial: StepTrial) -> None:
    """Right, or a SpanaxError; where the value is the hard one finite, or a SpanaxError."""
    orders, raised = trial.bridge.facts.orders, []
    for name in trial.names:
        try:
            found = _second(trial.bridge, name, jnp.asarray(X, "float32"), trial.key)
            require(np.all(np.isfinite(found)), f"the second derivative of {name} is NaN or infinite")
        except SpanaxError as error:
            require(orders == 1, f"facts.orders is {orders}, and {name} raises: {str(error).splitlines()[0]}")
            raised.append(name)
        else:
            require(orders != 1, f"facts.orders is 1, and a second derivative of {name} does not raise SpanaxError")
    # Only what is smooth in the mean has a second derivative that can be right.
    if not raised and trial.relaxed_operations and "nothing" not in trial.bridge.facts.unbiased_for:
        found = _check_derivative(
            trial,
            _slope,
            tuple(name for name in trial.quick if name in trial.relaxed_operations) or trial.relaxed_operations,
        )
        _require_agreement("it is not the derivative of the mean of the first", found)


@eqx.filter_jit
def _second(bridge, name, x, key):
    return jax.grad(lambda x: _slope(bridge, name, x, key))(x)


def _slope(bridge: Step, name: str, x: Float[Array, " 4"], key: Key[Array, ""]) -> Float[Array, ""]:
    """The first derivative, along one direction."""
    along = jnp.asarray([0.4, -1.0, 0.7, 0.3], x.dtype)
    return jax.jvp(lambda x: _weighted_sum(bridge, name, x, key)[0], (x,), (along,))[1]


def _total(bridge: Step, name: str, x: Float[Array, " 4"], key: Key[Array, ""]) -> Float[Array, ""]:
    return _weighted_sum(bridge, name, x, key)[0]


def _check_derivative(trial: StepTrial, number: Callable[..., Array], names: tuple[str, ...]) -> GradientCheck:
    """`number(bridge, name, x, key)` of these operations, each at a point of its own."""
    with jax.enable_x64(True):
        bridge, x = trial.cast("float64"), {name: jnp.asarray(X) for name in names}

        def total(x, *, key):
            return sum(number(bridge, name, x[name], key) for name in names)

        return check_gradient(total, x, key=trial.key, draws=trial.draws, directions=1, leaves=len(x))


def _require_agreement(problem: str, found: GradientCheck) -> None:
    """Slopes so small that rounding rules may agree to a thousandth and have a p-value of 0."""
    if np.all(np.abs(found.slopes - found.changes) <= 1e-3 * np.abs(found.changes)):
        return
    along = str(found).splitlines()[-1].strip()
    require(found.p_value >= LEVEL, f"{problem}: {along}")
    require(found.decided, f"too noisy to be checked ({along}): give draws=..., more of them")
