"""Any Gymnasium environment as a black box with the methods of `control.Env`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..._batch_axes import fold_axis, unfold_axis
from ..._checks import check_positive, check_whole
from ..._errors import SpanaxError, installing
from ..._jaxprs import here
from ..._primitives import new_host_primitive, set_batching, undifferentiated
from ..env import Env
from ..showing.canvas import Picture, refuse_traced
from ._host import Host
from ._spaces import Spaces


class GymState(NamedTuple):
    """What is known of the state of a Gymnasium environment: the last observation and reward, and whether its episode is over:
    `terminated` by a rule, `truncated` by a time limit, or both.

    `slot` and `ticket` say which of the copies it is, and after how many changes.

    >>> from spanax import control
    >>> control.GymState._fields
    ('slot', 'ticket', 'observation', 'reward', 'terminated', 'truncated')
    """

    slot: Int[Array, ""]
    ticket: Int[Array, ""]
    observation: Float[Array, "*shape"]
    reward: Float[Array, ""]
    terminated: Bool[Array, ""]
    truncated: Bool[Array, ""]

    @property
    def over(self) -> Bool[Array, ""]:
        return self.terminated | self.truncated


class GymnasiumEnv(Env):
    """A Gymnasium environment; see `from_gymnasium`. `n`: how many copies there are; `steps`: the longest episode.

    >>> from spanax import control
    >>> control.GymnasiumEnv.black_box  # only values: PolicyGradient trains in it, BPTT cannot
    True
    """

    n: int = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    host: Host = eqx.field(static=True)

    black_box = True

    @property
    def action_space(self):
        return self.host.spaces.action

    @property
    def observation_space(self):
        return self.host.spaces.observation

    @property
    def max_steps(self):
        return self.steps

    def reset(self, key):
        # Gymnasium takes seeds below 2^31.
        seed = jax.random.bits(key, (1,), jnp.uint32) >> 1
        slot, ticket, observation = (x[0] for x in _reset_p.bind(seed, host=self.host, dtype=_default_float()))
        goes_on = jnp.zeros((), bool)
        return GymState(slot, ticket, observation, jnp.zeros((), float), goes_on, goes_on)

    def step(self, state, action):
        action = undifferentiated(
            jnp.asarray(action),
            f"the derivative of a step of {self.host.name}, which is a black box",
            "control.train(..., via=control.PolicyGradient())",
            "an action that is drawn with sx.ScoreFunction()",
        )
        # A row each: vmap folds its axis into that of the rows.
        rows = (x[None] for x in (state.slot, state.ticket, state.over, action))
        ticket, *seen = (x[0] for x in _step_p.bind(*rows, host=self.host, dtype=_default_float()))
        return GymState(state.slot, ticket, *seen)

    def observe(self, state):
        return state.observation

    def reward(self, state, action, next_state):
        return next_state.reward

    # By a rule or by time: the host does not step a state that is over.
    def done(self, state):
        return state.over

    def truncated(self, state):
        # Where a rule ends it in the same step, there is no value beyond.
        return state.truncated & ~state.terminated

    @property
    def render_fps(self):
        return self.host.render_fps

    def render(self, state: GymState, action: Any = None) -> Picture:
        """What the environment itself draws, of the state that it is in; made with `render_mode="rgb_array"`."""
        refuse_traced(self, state)
        return self.host.render(int(state.slot), int(state.ticket))

    @contextlib.contextmanager
    def own_errors(self) -> Iterator[None]:
        self.host.failure = None
        try:
            yield
        except Exception as error:
            # JAX wraps what a callback raises, as text, in an error of its own: the host has kept the original.
            if self.host.failure is not None and error is not self.host.failure:
                raise self.host.failure from None
            raise

    def __repr__(self):
        return f"from_gymnasium({self.host.name!r}, n={self.n})"


def from_gymnasium(
    id_or_env: str | Callable[[], Any] | Any,
    n: int = 16,
    *,
    max_steps: int | None = None,
    timeout: float = 60.0,
    **kwargs: Any,
) -> GymnasiumEnv:
    """A Gymnasium environment with the methods of `control.Env`: a black box, without a derivative.

    Up to `n` episodes run at once (under vmap), stepped one after the other in one thread. `step` follows the episode that
    `reset` began: a black box cannot go back, so stepping a state that it is no longer in raises, and `AutoReset` cannot
    wrap it. Both ends, by a rule or by time, are `done`; `terminated` and `truncated` tell which. `render` shows the state that
    it is in, if it is made with `render_mode="rgb_array"`. Actions outside the box are clipped, observations come in JAX's
    default precision.

    **Arguments:**

    - `id_or_env`: an id for `gymnasium.make(id, **kwargs)`, a function that makes one environment, or an environment that has
      a `spec` to make others by.
    - `n`: how many are made.
    - `max_steps`: of an episode, where the environment itself has no limit.
    - `timeout`: seconds for one step of all environments together.
    - `**kwargs`: of `gymnasium.make`.

    **Returns:**

    A `GymnasiumEnv`.

    **Raises:**

    - `SpanaxError` where gymnasium is not installed, for action spaces that are neither Box nor Discrete, and where no number of
      steps is known. Later, for whatever the environment raises, a NaN, an infinite reward, and a step that takes longer than
      `timeout`: the message has the action that led there; `train` keeps its checkpoint. Code that hangs without giving up
      Python's interpreter lock cannot be interrupted.

    >>> import jax
    >>> from spanax import control
    >>> env = control.from_gymnasium("CartPole-v1", n=2)
    >>> env.observe(env.reset(jax.random.key(0))).shape, env.action_space, env.max_steps
    ((4,), Discrete(2), 500)
    """
    check_whole("from_gymnasium(n", n)
    check_positive("from_gymnasium(timeout", timeout, "a positive number of seconds")
    make, name = _maker(id_or_env, kwargs)
    with _name_failures(name):
        envs = [make() for _ in range(n)]
    steps = max_steps or getattr(getattr(envs[0], "spec", None), "max_episode_steps", None)
    if steps is None:
        raise SpanaxError(f"{name} has no number of steps of an episode", "from_gymnasium(..., max_steps=1000)")
    # The host raises in its own thread and in compiled programs, where there is no line of the user's.
    return GymnasiumEnv(n, int(steps), Host(envs, Spaces(envs[0], name), name, float(timeout), here()))


def _maker(id_or_env: Any, kwargs: dict[str, Any]) -> tuple[Callable[[], Any], str]:
    try:
        import gymnasium
    except ImportError as error:
        raise SpanaxError("gymnasium is not installed", *installing("gym")) from error
    if isinstance(id_or_env, str):
        return lambda: gymnasium.make(id_or_env, **kwargs), id_or_env
    if isinstance(id_or_env, gymnasium.Env):
        spec = id_or_env.spec
        if spec is None:
            raise SpanaxError(
                f"{id_or_env} has no spec, by which others like it could be made",
                "a function that makes one: from_gymnasium(lambda: MyEnv())",
            )
        return lambda: gymnasium.make(spec), spec.id
    if callable(id_or_env):
        return id_or_env, getattr(id_or_env, "__name__", "the environment").replace("<lambda>", "the environment")
    raise SpanaxError(
        f"from_gymnasium({id_or_env!r})",
        '"CartPole-v1", or another id',
        "a gymnasium.Env",
        "a function that makes one",
    )


@contextlib.contextmanager
def _name_failures(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise SpanaxError(
            f"{name} cannot be made: {type(error).__name__}: {error}",
            "gymnasium.pprint_registry(), which lists all ids",
            "the package that registers it, imported first",
        ) from error


# -- the equations that call the host; rows first, as vmap folds them


def _run_reset(seeds, *, host: Host, dtype: np.dtype):
    slots, tickets, observations = host.reset(seeds)
    return [slots, tickets, observations.astype(dtype)]


def _reset_avals(seeds, *, host: Host, dtype: np.dtype):
    n, of = seeds.shape[0], jax.core.ShapedArray
    return [of((n,), np.int32), of((n,), np.int32), of((n, *host.spaces.observation.shape), dtype)]


def _run_step(slots, tickets, over, actions, *, host: Host, dtype: np.dtype):
    rows = host.step(slots, tickets, over, actions)
    return [
        rows.tickets,
        rows.observations.astype(dtype),
        rows.rewards.astype(dtype),
        rows.terminated,
        rows.truncated,
    ]


def _step_avals(slots, tickets, over, actions, *, host: Host, dtype: np.dtype):
    n, of = slots.shape[0], jax.core.ShapedArray
    ends = [of((n,), bool)] * 2
    return [of((n,), np.int32), of((n, *host.spaces.observation.shape), dtype), of((n,), dtype), *ends]


def _fold_rows(primitive: Any) -> Callable[..., Any]:
    def rule(args, dims, **params):
        # Any number of vmaps is one call of the host, which steps all their environments.
        sizes, folded = fold_axis(args, dims)
        return unfold_axis(sizes, primitive.bind(*folded, **params))

    return rule


_reset_p = new_host_primitive("spanax_gym_reset", _run_reset, _reset_avals)
_step_p = new_host_primitive("spanax_gym_step", _run_step, _step_avals)
set_batching(_reset_p, _fold_rows(_reset_p))
set_batching(_step_p, _fold_rows(_step_p))


def _default_float() -> np.dtype:
    return jnp.zeros((), float).dtype
