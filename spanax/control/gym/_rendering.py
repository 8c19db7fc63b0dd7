"""Which of Gymnasium's render modes an environment of ours has, here and now."""

from __future__ import annotations

from typing import Any

from ..._errors import SpanaxError
from ..env import Env, innermost
from ..showing.window import has_display, why_no_window

MODES = (None, "rgb_array", "human")


def modes_of(env: Env) -> list[str]:
    """None without a drawing; a window only where one can be opened, so that what is declared works."""
    if not has_drawing(env):
        return []
    return ["human", "rgb_array"] if has_display() else ["rgb_array"]


def has_drawing(env: Any) -> bool:
    return type(innermost(env)).render is not Env.render


def check_mode(env: Env, mode: Any, modes: list[str]) -> None:
    if mode not in MODES:
        raise SpanaxError(f"to_gymnasium(render_mode={mode!r})", '"rgb_array"', '"human": a window', "None")
    if mode is not None and not modes:
        # Says what a drawing is.
        env.render(None)
    if mode == "human" and why_no_window():
        raise SpanaxError(
            f'render_mode="human": {why_no_window()}', 'render_mode="rgb_array"', "control.animate, into a file"
        )
