"""An environment of ours as a Gymnasium one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..._errors import SpanaxError, installing
from ..._jaxprs import here
from ..env import Env
from ..wrappers import AutoReset, Batched, TimeLimit

if TYPE_CHECKING:
    import gymnasium


def to_gymnasium(env: Env, *, seed: int | None = None) -> gymnasium.Env[Any, Any]:
    """An environment as a `gymnasium.Env`, so that any reinforcement-learning library can train in it.

    Observations and actions of a `Box` are NumPy arrays in JAX's default precision, of a `Discrete` integers. An episode is
    `terminated` where `env.done` says so and `truncated` once it has `env.max_steps` steps, or those of a `TimeLimit` around it.
    A step is one compiled call, shared by all environments of the same kind. `state` is the state that it is in.

    `seed` (None: a fresh one) and later `reset(seed=...)` begin a sequence of starts, and `reset()` goes on in it. Its `spec`
    makes others like it: `gymnasium.make(made.spec)`.

    Raises `SpanaxError` where gymnasium is not installed and for `Batched` and `AutoReset`, which libraries do themselves; later
    for a step without a reset or after the end of an episode, and by an action of another shape or beyond a `Discrete`.

    >>> from spanax import control
    >>> pole = control.to_gymnasium(control.CartPole())
    >>> observation, info = pole.reset(seed=0)
    >>> observation, reward, terminated, truncated, info = pole.step(1)
    >>> reward, terminated, truncated
    (1.0, False, False)
    """
    where = here()
    if not isinstance(env, Env):
        raise SpanaxError(f"{env!r} is no control.Env", "a subclass of control.Env", where=where)
    if env.black_box:
        raise SpanaxError(f"{env!r} is a Gymnasium environment already", "that one itself", where=where)
    if isinstance(env, Batched | AutoReset):
        raise SpanaxError(
            f"{type(env).__name__}: Gymnasium's environments are single, and reset by who uses them",
            "to_gymnasium(env.env)",
            "gymnasium.vector.SyncVectorEnv, for several",
            where=where,
        )
    rules, limit = (env.env, env.steps) if isinstance(env, TimeLimit) else (env, env.max_steps)
    try:
        from ._env import Exported
    except ImportError as error:
        raise SpanaxError("gymnasium is not installed", *installing("gym"), where=where) from error
    return Exported(rules, limit, seed)
