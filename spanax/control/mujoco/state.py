"""The state of a MuJoCo model."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Array, Float


class MujocoState(NamedTuple):
    """The state of a `MujocoEnv`: what MuJoCo integrates, and no more.

    - `qpos`, `qvel`: generalised positions and velocities; `act`: activations of actuators that have some.

    >>> from spanax import control
    >>> control.MujocoState._fields
    ('qpos', 'qvel', 'act')
    """

    qpos: Float[Array, " nq"]
    qvel: Float[Array, " nv"]
    act: Float[Array, " na"]
