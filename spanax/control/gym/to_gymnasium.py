"""An environment of ours as a Gymnasium one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..._errors import SpanaxError, installing
from ..env import Env
from ..wrappers import AutoReset, Batched, TimeLimit

if TYPE_CHECKING:
    import gymnasium


def to_gymnasium(env: Env, *, seed: int | None = None, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
    """An environment as a `gymnasium.Env`, so that any reinforcement-learning library can train in it.

    Observations and actions of a `Box` are NumPy arrays in JAX's default precision, of a `Discrete` integers. An episode is
    `terminated` where a rule ends it (`env.done`) and `truncated` once it has `env.max_steps` steps, or those of a `TimeLimit`
    around it. A step is one compiled call, shared by all environments of the same kind.

    **Arguments:**

    - `env`: a `control.Env`; a `TimeLimit` around it sets the limit.
    - `seed`: (None: a fresh one) it, and later `reset(seed=...)`, begins a sequence of starts, which `reset()` continues.
    - `render_mode`: "rgb_array": `render()` returns the picture that `env.render` draws. "human": each step is shown in a window
      of matplotlib's, as fast as it happens. None: no pictures.

    **Returns:**

    A `gymnasium.Env`, whose `state` is the state that it is in, and whose `spec` makes others like it:
    `gymnasium.make(made.spec)`.

    **Raises:**

    - `SpanaxError` where gymnasium is not installed, for `Batched` and `AutoReset`, which libraries do themselves, for a
      `render_mode` of an environment without a drawing, and for "human" where no window can be opened; later
      for a step without a reset or after the end of an episode, and for an action of another shape or beyond a `Discrete`.

    >>> from spanax import control
    >>> pole = control.to_gymnasium(control.CartPole())
    >>> observation, info = pole.reset(seed=0)
    >>> observation, reward, terminated, truncated, info = pole.step(1)
    >>> reward, terminated, truncated
    (1.0, False, False)
    """
    if not isinstance(env, Env):
        raise SpanaxError(f"{env!r} is not a control.Env", "a subclass of control.Env")
    # It would be Gymnasium's environment, through JAX and back.
    if env.black_box:
        raise SpanaxError(f"{env!r} is a Gymnasium environment already", "that one itself")
    _check_wrappers(env)
    # The limit is counted outside: Gymnasium tells an end by time from an end by rule.
    rules, limit = (env.env, env.steps) if isinstance(env, TimeLimit) else (env, env.max_steps)
    try:
        # Here, because it subclasses gymnasium.Env, and gymnasium is an extra.
        from ._env import Exported
    except ImportError as error:
        raise SpanaxError("gymnasium is not installed", *installing("gym")) from error
    return Exported(rules, limit, seed, render_mode)


def _check_wrappers(env: Any) -> None:
    """None of them, inside or outside of a time limit, may be of many environments, or one that begins episodes by itself."""
    where = "env"
    while isinstance(env, Env):
        if isinstance(env, Batched | AutoReset):
            raise SpanaxError(
                f"{type(env).__name__}: Gymnasium's environments are single, and reset by who uses them",
                f"to_gymnasium({where}.env)",
                "gymnasium.vector.SyncVectorEnv, for several",
            )
        env, where = getattr(env, "env", None), f"{where}.env"
