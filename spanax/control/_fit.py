"""Was a policy made for these actions? Asked before anything is traced: shapes alone do not tell two actions from three."""

from __future__ import annotations

from typing import Any

from .._errors import SpanaxError
from .env import Box, Discrete, Env, innermost


def check_env(env: Any) -> None:
    """Raises `SpanaxError` for what is not an environment, and for spaces that are not ours."""
    if not isinstance(env, Env):
        raise SpanaxError(f"{env!r} is not a control.Env", "control.from_gymnasium(env)", "a subclass of control.Env")
    for name, kinds in (("action_space", Box | Discrete), ("observation_space", Box)):
        space = getattr(env, name)
        # Gymnasium's have the same names, and other methods.
        if not isinstance(space, kinds):
            words = ["control.Box(low, high)", *(["control.Discrete(n)"] if name == "action_space" else [])]
            raise SpanaxError(f"{type(env).__name__}.{name} is {space!r}", *words)


def refuse_misfit(env: Env, policy: Any, who: str = "") -> None:
    """Raises `SpanaxError` for a policy whose `space` is of another kind, number or shape than the environment's actions.

    Bounds may differ: a policy for a weak motor is one for a strong motor as well. `who`: what was called, to begin with.
    """
    made_for, space = getattr(policy, "space", None), env.action_space
    # A policy of the user's own says nothing of a space.
    if not isinstance(made_for, Box | Discrete) or _kind(made_for) == _kind(space):
        return
    kind, name = type(policy).__name__, type(innermost(env)).__name__
    raise SpanaxError(
        f"{who}this {kind} was made for the actions {made_for!r}, and those of {name} are {space!r}",
        f"control.{kind}(env, key=key), of this environment",
    )


def _kind(space: Box | Discrete) -> tuple[str, Any]:
    return ("Discrete", space.n) if isinstance(space, Discrete) else ("Box", space.shape)
