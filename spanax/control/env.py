"""What a simulated environment is: pure functions of its state; and the spaces of its actions and observations."""

from __future__ import annotations

import abc
import contextlib
import inspect
from collections.abc import Iterator
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, UInt8

from .._checks import check_whole
from .._errors import SpanaxError
from ._clashes import refuse_clashes
from .showing.steps import frames_of, refuse_undrawn

State = Any  # a pytree of arrays


class Box:
    """A space of arrays between `low` and `high`, two NumPy arrays of one shape; a bound may be infinite.

    Raises `SpanaxError` where a low is not below its high.

    >>> from spanax import control
    >>> control.Box([-1.0, 0.0], [1.0, float("inf")]).shape
    (2,)
    """

    def __init__(self, low: Any, high: Any):
        # NumPy on purpose: spaces are static, compared and hashed when programs are compiled.
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
        # By value: environments that are alike share one compiled program.
        return hash((self.low.tobytes(), self.high.tobytes(), self.shape))


class Discrete:
    """A space of the integers 0 to `n` - 1. An action of `Discrete(2)` may also be a float, 0.0 or 1.0, as bridges draw it.

    Raises `SpanaxError` where n is not a whole number, 2 or more.

    >>> from spanax import control
    >>> control.Discrete(3), control.Discrete(3).shape
    (Discrete(3), ())
    """

    shape: tuple[int, ...] = ()

    def __init__(self, n: int):
        check_whole("Discrete(n", n, 2)
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
    jit, and their derivatives are those of the simulation; a step without one is for the environment to bridge.

    A step may draw: it then has a keyword `key`, `step(state, action, *, key)`, and `stochastic` is True. What it draws with
    `sx.sample` crosses by its bridge; a draw of `jax.random.normal` or `uniform` is pathwise noise.

    Numbers that describe the simulated object (a mass, a length) are fields, so that they can be differentiated, replaced
    (`eqx.tree_at`) and identified. A field that takes the name of a method raises `SpanaxError` when the class is made.

    >>> import jax, jax.numpy as jnp
    >>> from spanax import control
    >>> class Tank(control.Env):
    ...     action_space = control.Box([0.0], [0.2])
    ...     observation_space = control.Box([-jnp.inf], [jnp.inf])
    ...     def reset(self, key):
    ...         return jax.random.uniform(key, (1,))
    ...     def step(self, level, inflow):
    ...         return 0.9 * level + inflow
    ...     def observe(self, level):
    ...         return level
    ...     def reward(self, level, inflow, next_level):
    ...         return -jnp.sum((next_level - 0.5) ** 2)
    >>> control.rollout(Tank(), lambda level: 0.1 * jnp.ones(1), jnp.ones(1), 3).states.ravel().round(3).tolist()
    [1.0, 1.0, 1.0]
    """

    black_box: ClassVar[bool] = False  # True where a step has no derivative at all
    resets_itself: ClassVar[bool] = False  # True where a step from the end of an episode begins the next one

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        refuse_clashes(cls, Env)

    @abc.abstractmethod
    def reset(self, key: Key[Array, ""]) -> State:
        """A random start state."""

    @abc.abstractmethod
    def step(self, state: State, action: Array) -> State:
        """The state after one action."""

    @abc.abstractmethod
    def observe(self, state: State) -> Float[Array, "*shape"]:
        """What a policy sees of a state."""

    @abc.abstractmethod
    def reward(self, state: State, action: Array, next_state: State) -> Float[Array, ""]:
        """The reward of the step from `state` to `next_state` by `action`."""

    def loss(self, state: State, action: Array, next_state: State) -> Float[Array, ""]:
        """What methods that use the derivative of the simulation minimise: -reward, or what has a better derivative than it.

        An environment whose reward is a step (1 while all is well) says here, smoothly, what has to be done. `train(loss=...)`
        replaces it; methods that need values alone (`PolicyGradient`) follow the reward.
        """
        return -self.reward(state, action, next_state)

    def done(self, state: State) -> Bool[Array, ""]:
        """Whether the episode ends in this state, by the environment's rules. A time limit is not one of them.

        Of a `TimeLimit`, and of what came from Gymnasium, it is any end: `terminated` and `truncated` tell which.
        """
        # By default no rule ends an episode.
        return jnp.zeros((), bool)

    def truncated(self, state: State) -> Bool[Array, ""]:
        """Whether only a time limit ended the episode in this state: it could have gone on, and has a value beyond the end.

        An environment by itself has none: a `TimeLimit` around it does, and what came from Gymnasium.
        """
        return jnp.zeros((), bool)

    def terminated(self, state: State) -> Bool[Array, ""]:
        """Whether a rule ended the episode in this state: `done`, and not `truncated`."""
        # Not `~`: of a Python False, which a user's `done` may return, it is -1.
        return jnp.logical_and(self.done(state), jnp.logical_not(self.truncated(state)))

    @property
    @abc.abstractmethod
    def action_space(self) -> Box | Discrete:
        """The actions that `step` takes."""

    @property
    @abc.abstractmethod
    def observation_space(self) -> Box:
        """The observations that `observe` returns."""

    @property
    def max_steps(self) -> int | None:
        """Steps of an episode that no rule ends; None if it may be endless."""
        return None

    def state_from(self, observation: Float[Array, "*shape"]) -> State:
        """The state in which `observe` gives this observation; raises `SpanaxError` where an observation does not tell it."""
        name = type(self).__name__
        raise SpanaxError(
            f"{name} has no state_from: an observation does not tell the state",
            "a method state_from(observation) -> state of the environment, if it does",
            "what takes the state itself, such as control.MPC(env).act(state)",
        )

    @property
    def render_fps(self) -> float | None:
        """Steps of a second, for films and clocks; None if it is not said how long a step takes."""
        return None

    def render(self, state: State, action: Any = None) -> UInt8[np.ndarray, "height width 3"]:
        """A picture of one state, in RGB; `action`: the one to show with it.

        `Pendulum`, `CartPole` and `Trebuchet` have drawings, by matplotlib (`pip install 'spanax[plots]'`). For one of your own,
        define this method; it need not take an action. `SpanaxError` without a drawing, for a batch of states, and under jit.
        """
        refuse_undrawn(self)

    def frames(self, trajectory: Any, every: int = 1) -> Iterator[tuple[UInt8[np.ndarray, "height width 3"], str]]:
        """The pictures of an episode, `every` so many steps and of its end, each with its time: what `animate` shows."""
        return frames_of(self, trajectory, every)

    @property
    def mirror(self) -> Any:
        """The mirror image of an observation, as `control.mirrored` takes it, of a symmetric problem; None: it is not stated."""
        return None

    @property
    def stochastic(self) -> bool:
        """Does a step draw? It does where `step` has a parameter `key`."""
        return "key" in inspect.signature(type(self).step).parameters

    @contextlib.contextmanager
    def own_errors(self) -> Iterator[None]:
        """Around a compiled program: an error of the environment arrives as itself, and not as one of JAX's."""
        yield


def step_env(env: Env, state: State, action: Array, key: Key[Array, ""] | None) -> State:
    """`env.step`, with the key if it draws; raises `SpanaxError` where it draws and there is none."""
    if not env.stochastic:
        return env.step(state, action)
    if key is None:
        raise SpanaxError(f"{type(innermost(env)).__name__}.step draws, and there is no key", "key=jax.random.key(0)")
    # `stochastic` says that it takes one.
    step: Any = env.step
    return step(state, action, key=key)


def innermost(env: Any) -> Any:
    """What the wrappers are around."""
    while isinstance(getattr(env, "env", None), Env):
        env = env.env
    return env


def most_at_once(env: Env, otherwise: int) -> int:
    """How many episodes can run at the same time: a Gymnasium environment has so many copies, whatever is around it."""
    inner = innermost(env)
    # Of another environment a field `n` may be anything: a number of links, say.
    return getattr(inner, "n", otherwise) if inner.black_box else otherwise


def split_key(env: Env, key: Any) -> tuple[Any, Any]:
    """The key of a step, or None, in two: the policy's, and the environment's."""
    # Without draws of its own the environment leaves the policy the whole key: adding a stochastic one changes no other run.
    if key is None or not env.stochastic:
        return key, None
    acting, moving = jax.random.split(key)
    return acting, moving
