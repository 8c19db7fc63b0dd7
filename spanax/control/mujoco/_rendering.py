"""MuJoCo's own pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._errors import SpanaxError
from ..showing.canvas import Picture
from ._simulator import Simulator
from .state import MujocoState


def render(simulator: Simulator, state: MujocoState, height: int = 240, width: int = 320) -> Picture:
    mujoco, model = simulator.mujoco, simulator.model
    data: Any = mujoco.MjData(model)
    data.qpos, data.qvel, data.act = (np.asarray(x, float) for x in (state.qpos, state.qvel, state.act))
    # Where bodies are follows from the positions, and a scene needs it.
    mujoco.mj_forward(model, data)
    try:
        # Opened and closed each time: a context of OpenGL belongs to the thread that made it.
        with mujoco.Renderer(model, height, width) as renderer:
            renderer.update_scene(data, camera=0 if model.ncam else -1)
            return renderer.render()
    # Whatever the driver raises: which one is installed differs from machine to machine.
    except Exception as error:
        words = next(iter(str(error).splitlines()), type(error).__name__)
        raise SpanaxError(
            f"MuJoCo cannot draw here: {words}",
            "MUJOCO_GL=egl or MUJOCO_GL=osmesa in the environment, before Python starts, on a machine without a display",
            "a render of your own, in a subclass",
        ) from error
