"""A matplotlib figure as an array of pixels, without a window and without pyplot."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Float, UInt8

from ..._errors import SpanaxError, installing
from ..._jaxprs import is_traced

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Picture = UInt8[np.ndarray, "height width 3"]
DPI = 100


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches, at 100 pixels an inch."""
    try:
        # Not pyplot: it would open windows and keep the figure.
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SpanaxError("a drawing needs matplotlib", *installing("plots")) from error
    return Figure(figsize=(width, height), dpi=DPI)


def pixels(figure: Figure) -> Picture:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    # A copy: the buffer is the canvas's, and the next frame is drawn into it.
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def tiled(pictures: Sequence[Picture]) -> Picture:
    """Pictures of one size, row by row, nearly as many rows as columns."""
    columns = math.ceil(math.sqrt(len(pictures)))
    # What is left of the last row is white.
    blank = [np.full_like(pictures[0], 255)] * (-len(pictures) % columns)
    full = [*pictures, *blank]
    return np.concatenate([np.concatenate(full[i : i + columns], 1) for i in range(0, len(full), columns)])


def drawn(figure: Figure, change: Callable[[int], None], frames: int) -> Iterator[Picture]:
    """`frames` pictures of one figure, each after `change(number)`."""
    for number in range(frames):
        change(number)
        yield pixels(figure)


def numbers(env: Any, state: Any, size: int) -> Float[np.ndarray, " size"]:
    """The state of one environment as NumPy's; refuses what cannot be drawn: many states, and traced ones."""
    refuse_traced(env, state)
    found = np.asarray(state, float)
    if found.shape != (size,):
        raise SpanaxError(
            f"{type(env).__name__}.render draws one state of shape [{size}], and this one has {list(found.shape)}",
            "state[0] of a batch",
            "control.Batched(env, n).render(states), for all of them",
        )
    return found


def refuse_traced(env: Any, state: Any) -> None:
    if any(is_traced(leaf) for leaf in jax.tree.leaves(state)):
        raise SpanaxError(
            f"what is drawn of {type(env).__name__} is traced by jit, vmap or grad, and has no numbers yet",
            "render, animate and plot outside, with what control.rollout(...) returns",
        )
