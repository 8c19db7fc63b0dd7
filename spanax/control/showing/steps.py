"""A trajectory step by step, and what an environment draws of each."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, NoReturn

import jax
import numpy as np

from ..._errors import SpanaxError
from .canvas import Picture

FPS = 20.0  # pictures a second, of an environment that does not say how long its steps are
_REMEDY = "render(self, state, action=None) -> NumPy array of uint8, [height, width, 3]"


def frames_of(env: Any, trajectory: Any, every: int) -> Iterator[tuple[Picture, str]]:
    """A picture of each step of the episode and of where it ended, with its time, or its number."""
    alive = np.asarray(trajectory.alive)
    steps = int(alive.sum())
    # All at once: copies from a device are slow one by one.
    states, actions = jax.device_get((trajectory.states, trajectory.actions))
    for number in range(0, steps, every):
        state = jax.tree.map(lambda x: x[number], states)  # noqa: B023  it is called at once
        yield picture_of(env, state, actions[number]), _caption(env, number)
    # The last state has no action any more.
    yield picture_of(env, jax.device_get(trajectory.final), None), _caption(env, steps)


def _caption(env: Any, number: int) -> str:
    return f"step {number}" if env.render_fps is None else f"{number / env.render_fps:.1f} s"


def picture_of(env: Any, state: Any, action: Any) -> Picture:
    """What the environment draws; refuses what is not a picture."""
    # A drawing that shows no actions need not take them.
    shows = "action" in inspect.signature(env.render).parameters
    picture = env.render(state, action=action) if shows else env.render(state)
    shape, dtype = np.shape(picture), getattr(picture, "dtype", type(picture).__name__)
    if len(shape) != 3 or shape[2] != 3 or dtype != np.uint8:
        raise SpanaxError(f"{type(env).__name__}.render returns {dtype}{list(shape)}, which is not a picture", _REMEDY)
    return np.asarray(picture)


def refuse_undrawn(env: Any) -> NoReturn:
    """For environments that define no drawing."""
    raise SpanaxError(f"{type(env).__name__} has no drawing", f"a method {_REMEDY}")
