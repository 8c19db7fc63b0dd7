"""Any Gymnasium environment as a black box with the same face."""

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
from ..._errors import SpanaxError, installing
from ..._jaxprs import here
from ..._primitives import new_host_primitive, set_batching, undifferentiated
from ..env import Env
from ._host import Host
from ._spaces import Spaces


class GymState(NamedTuple):
    """What is known of a Gymnasium environment: the last observation, the last reward, and whether its episode is over.

    `slot` and `ticket` say which one it is, and when.
    """

    slot: Int[Array, ""]
    ticket: Int[Array, ""]
    observation: Float[Array, "*shape"]
    reward: Float[Array, ""]
    over: Bool[Array, ""]


class GymnasiumEnv(Env):
    """A Gymnasium environment; see `from_gymnasium`."""

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
        seed = jax.random.bits(key, (1,), jnp.uint32) >> 1
        slot, ticket, observation = (x[0] for x in _reset_p.bind(seed, host=self.host, dtype=_default_float()))
        return GymState(slot, ticket, observation, jnp.zeros((), float), jnp.zeros((), bool))

    def step(self, state, action):
        action = undifferentiated(
            jnp.asarray(action),
            f"the derivative of a step of {self.host.name}, which is a black box",
            "control.train(..., via=control.PolicyGradient())",
            "an action that is drawn with sx.ScoreFunction()",
        )
        rows = (x[None] for x in (state.slot, state.ticket, state.over, action))
        ticket, observation, reward, over = (x[0] for x in _step_p.bind(*rows, host=self.host, dtype=_default_float()))
        return GymState(state.slot, ticket, observation, reward, over)

    def observe(self, state):
        return state.observation

    def reward(self, state, action, next_state):
        return next_state.reward

    def done(self, state):
        return state.over

    @contextlib.contextmanager
    def own_errors(self) -> Iterator[None]:
        self.host.failure = None
        try:
            yield
        except Exception as error:
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
    """A Gymnasium environment with the face of `control.Env`: a black box, without a derivative.

    `id_or_env`: an id for `gymnasium.make(id, **kwargs)`, a function that makes one environment, or an environment that has
    a `spec` to make others by. `n` of them are made, and up to `n` episodes go on at once (under vmap), stepped one after the
    other in one thread. `max_steps`: of an episode, where the environment itself says none.

    `step` follows the episode that `reset` began: a black box cannot go back, so a state that it is no longer in raises, and
    `AutoReset` does not go with it. Both ends, by a rule or by time, are `done`. Actions outside of the box are clipped,
    observations come in JAX's default precision.

    What the environment raises, a NaN, an infinite reward, and an answer that takes longer than `timeout` seconds (for all of
    a step's environments together) are a `SpanaxError` that says which action led there; `train` keeps its checkpoint. Code that
    hangs without giving up Python's interpreter lock cannot be interrupted.

    Raises `SpanaxError` where gymnasium is not installed, for action spaces that are neither Box nor Discrete, and where no
    number of steps is known.
    """
    where = here()
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise SpanaxError(f"from_gymnasium(n={n!r})", "an integer, 1 or more", where=where)
    if not (isinstance(timeout, int | float) and timeout > 0):
        raise SpanaxError(f"from_gymnasium(timeout={timeout!r})", "a positive number of seconds", where=where)
    make, name = _maker(id_or_env, kwargs, where)
    with _name_failures(name, where):
        envs = [make() for _ in range(n)]
    spec = getattr(envs[0], "spec", None)
    steps = max_steps or getattr(spec, "max_episode_steps", None)
    if steps is None:
        raise SpanaxError(
            f"{name} says no number of steps of an episode", "from_gymnasium(..., max_steps=1000)", where=where
        )
    return GymnasiumEnv(n, int(steps), Host(envs, Spaces(envs[0], name, where), name, float(timeout), where))


def _maker(id_or_env: Any, kwargs: dict[str, Any], where: str) -> tuple[Callable[[], Any], str]:
    try:
        import gymnasium
    except ImportError as error:
        raise SpanaxError("gymnasium is not installed", *installing("gym"), where=where) from error
    if isinstance(id_or_env, str):
        return lambda: gymnasium.make(id_or_env, **kwargs), id_or_env
    if isinstance(id_or_env, gymnasium.Env):
        spec = id_or_env.spec
        if spec is None:
            raise SpanaxError(
                f"{id_or_env} has no spec, by which others like it could be made",
                "a function that makes one: from_gymnasium(lambda: MyEnv())",
                where=where,
            )
        return lambda: gymnasium.make(spec), spec.id
    if callable(id_or_env):
        return id_or_env, getattr(id_or_env, "__name__", "the environment").replace("<lambda>", "the environment")
    raise SpanaxError(
        f"from_gymnasium({id_or_env!r})",
        '"CartPole-v1", or another id',
        "a gymnasium.Env",
        "a function that makes one",
        where=where,
    )


@contextlib.contextmanager
def _name_failures(name: str, where: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise SpanaxError(
            f"{name} cannot be made: {type(error).__name__}: {error}",
            "gymnasium.pprint_registry(), which lists all ids",
            "the package that registers it, imported first",
            where=where,
        ) from error


# -- the equations that call the host; rows first, as vmap folds them


def _run_reset(seeds, *, host: Host, dtype: np.dtype):
    slots, tickets, observations = host.reset(seeds)
    return [slots, tickets, observations.astype(dtype)]


def _reset_avals(seeds, *, host: Host, dtype: np.dtype):
    n, of = seeds.shape[0], jax.core.ShapedArray
    return [of((n,), np.int32), of((n,), np.int32), of((n, *host.spaces.observation.shape), dtype)]


def _run_step(slots, tickets, over, actions, *, host: Host, dtype: np.dtype):
    found = host.step(slots, tickets, over, actions)
    return [found.tickets, found.observations.astype(dtype), found.rewards.astype(dtype), found.over]


def _step_avals(slots, tickets, over, actions, *, host: Host, dtype: np.dtype):
    n, of = slots.shape[0], jax.core.ShapedArray
    return [of((n,), np.int32), of((n, *host.spaces.observation.shape), dtype), of((n,), dtype), of((n,), bool)]


def _fold_rows(primitive: Any) -> Callable[..., Any]:
    def rule(args, dims, **params):
        sizes, folded = fold_axis(args, dims)
        return unfold_axis(sizes, primitive.bind(*folded, **params))

    return rule


_reset_p = new_host_primitive("spanax_gym_reset", _run_reset, _reset_avals)
_step_p = new_host_primitive("spanax_gym_step", _run_step, _step_avals)
set_batching(_reset_p, _fold_rows(_reset_p))
set_batching(_step_p, _fold_rows(_step_p))


def _default_float() -> np.dtype:
    return jnp.zeros((), float).dtype
