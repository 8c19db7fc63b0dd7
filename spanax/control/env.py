"""What a simulated environment is: pure functions of its state, and what goes in and out of it."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from .._errors import SpanaxError

State = Any  # a pytree of arrays


class Box:
    """Arrays between `low` and `high`, two NumPy arrays of one shape; a bound may be infinite."""

    def __init__(self, low: Any, high: Any):
        self.low, self.high = np.broadcast_arrays(np.asarray(low, float), np.asarray(high, float))
        if not np.all(self.low < self.high):
            raise SpanaxError(f"Box(low={low!r}, high={high!r})", "every low below its high")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.low.shape

    def __repr__(self):
        return f"Box({self.low.tolist()}, {self.high.tolist()})"

    def __eq__(self, other):
        if not isinstance(other, Box):
            return NotImplemented
        return np.array_equal(self.low, other.low) and np.array_equal(self.high, other.high)

    def __hash__(self):
        return hash((self.low.tobytes(), self.high.tobytes(), self.shape))


class Discrete:
    """The integers 0 to `n` - 1: one scalar. An action of `Discrete(2)` may also be a float, 0.0 or 1.0, as bridges draw it."""

    shape: tuple[int, ...] = ()

    def __init__(self, n: int):
        if isinstance(n, bool) or not isinstance(n, int) or n < 2:
            raise SpanaxError(f"Discrete(n={n!r})", "an integer, 2 or more")
        self.n = n

    def __repr__(self):
        return f"Discrete({self.n})"

    def __eq__(self, other):
        return self.n == other.n if isinstance(other, Discrete) else NotImplemented

    def __hash__(self):
        return hash(self.n)


class Env(eqx.Module):
    """One environment as pure functions: a state goes in, a state comes out.

    A state is any pytree of arrays. All methods are of one environment: `jax.vmap`, or `Batched`, makes many. They work under
    jit, and their derivatives are those of the simulation; what has none is for the environment to bridge.

    Numbers that describe the simulated thing (a mass, a length) are fields, so that they can be differentiated, replaced
    (`eqx.tree_at`) and identified.
    """

    black_box: ClassVar[bool] = False  # has a step no derivative at all?

    @abc.abstractmethod
    def reset(self, key: Key[Array, ""]) -> State:
        """A start state, drawn."""

    @abc.abstractmethod
    def step(self, state: State, action: Array) -> State:
        """The state after one action."""

    @abc.abstractmethod
    def observe(self, state: State) -> Float[Array, "*shape"]:
        """What a policy sees of a state."""

    @abc.abstractmethod
    def reward(self, state: State, action: Array, next_state: State) -> Float[Array, ""]:
        """What the step from `state` to `next_state` by `action` earns."""

    def done(self, state: State) -> Bool[Array, ""]:
        """Whether the episode ends in this state, by the environment's rules. A time limit is no part of it."""
        return jnp.zeros((), bool)

    @property
    @abc.abstractmethod
    def action_spec(self) -> Box | Discrete:
        """What `step` takes."""

    @property
    @abc.abstractmethod
    def observation_spec(self) -> Box:
        """What `observe` gives."""

    @property
    def max_steps(self) -> int | None:
        """Steps of an episode that no rule ends; None if it may last for ever."""
        return None

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Around a compiled program: what the environment raised there arrives as what it is."""
        yield
