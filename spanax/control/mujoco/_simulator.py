"""A MuJoCo model as a function from one state to the next, and its derivative.

MJX solves for contact forces by a `while_loop`, which reverse mode cannot cross (google-deepmind/mujoco, issue 2259). Here a step
is differentiated by a Jacobian in forward mode with respect to its few numbers (positions, velocities, activations, controls),
which crosses the loop; reverse mode uses that.

The solver starts anew in each step. MJX's derivative is that of its iterations: started from the last step's accelerations, as
MuJoCo does by default, they have little left to do, and their derivative is not that of the forces (20 times too large where a
body rests at a limit). Started from the accelerations without constraints, Newton's iterations converge with their derivatives.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ..._errors import SpanaxError, installing
from ..._forward_mode import by_forward_mode
from .state import MujocoState


class Simulator:
    """One model, `frame_skip` time steps a step."""

    def __init__(self, model: Any, frame_skip: int):
        self.mujoco, self.mjx = _packages()
        self.model, self.frame_skip = _load(self.mujoco, model), frame_skip
        # Made anew for each precision: a model's numbers are arrays of one.
        self._program, self._device_model, self._empty = map(
            functools.cache, (self._make_program, self._make_model, self._make_data)
        )

    def check(self) -> None:
        """Raises `SpanaxError` where MJX does not support the model."""
        try:
            self._device_model(_dtype())
        except (NotImplementedError, ValueError) as error:
            words = next(iter(str(error).splitlines()), type(error).__name__)
            raise SpanaxError(f"MJX does not support this model: {words}", "a model without that feature") from error

    def fingerprint(self) -> str:
        """The model itself, for checkpoints."""
        buffer = np.empty(self.mujoco.mj_sizeModel(self.model), np.uint8)
        self.mujoco.mj_saveModel(self.model, None, buffer)
        return f"{hashlib.sha256(buffer.tobytes()).hexdigest()} x {self.frame_skip}"

    @property
    def start(self) -> MujocoState:
        """The model's own pose, at rest."""
        m, zeros = self.model, functools.partial(jnp.zeros, dtype=float)
        return MujocoState(jnp.asarray(m.qpos0, float), zeros(m.nv), zeros(m.na))

    def step(self, state: MujocoState, control: Float[Array, " nu"]) -> MujocoState:
        # One argument for each number: there are columns only for those that are differentiated.
        numbers = [x for part in (*state, control) for x in part]
        (after, _) = self._program(_dtype())(*numbers)
        return after

    def data(self, state: MujocoState) -> Any:
        """An `mjx.Data`, with where bodies, geoms and sites are, and how bodies move."""
        mjx, model = self.mjx, self._device_model(_dtype())
        data = self._data(state)
        # Not `mjx.forward`: it would solve for contact forces, whose loop has no reverse mode.
        with promotion():
            return mjx.com_vel(model, mjx.com_pos(model, mjx.kinematics(model, data)))

    def _data(self, state: MujocoState) -> Any:
        return self._empty(_dtype()).replace(**state._asdict())

    def _make_program(self, dtype: np.dtype) -> Callable[..., Any]:
        m, model = self.model, self._device_model(dtype)
        sizes = np.cumsum([m.nq, m.nv, m.na])

        def run(*numbers):
            *parts, control = jnp.split(jnp.stack(numbers), sizes)
            data = self._data(MujocoState(*parts)).replace(ctrl=control)
            with promotion():
                data = lax.fori_loop(0, self.frame_skip, lambda _, d: self.mjx.step(model, d), data)
            return MujocoState(data.qpos, data.qvel, data.act), None

        return by_forward_mode(run, m.nq + m.nv + m.na + m.nu, lambda aux: None)

    def _make_model(self, dtype: np.dtype) -> Any:
        # A copy: the model that was given may be used elsewhere, with other options.
        model = copy.copy(self.model)
        model.opt.disableflags |= self.mujoco.mjtDisableBit.mjDSBL_WARMSTART
        # Conjugate gradients find the same forces, but their derivatives lag behind.
        model.opt.solver = self.mujoco.mjtSolver.mjSOL_NEWTON
        # Outside of a trace that may be going on: what is kept must not be one of its values.
        with jax.ensure_compile_time_eval(), promotion():
            # Other implementations of MJX have no derivative.
            return self.mjx.put_model(model, impl="jax")

    def _make_data(self, dtype: np.dtype) -> Any:
        with jax.ensure_compile_time_eval(), promotion():
            return self.mjx.make_data(self.model, impl="jax")


@contextlib.contextmanager
def promotion() -> Iterator[None]:
    """Around code of MJX, which needs promotions of shapes and dtypes that a user may have turned off."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def _packages() -> tuple[Any, Any]:
    try:
        import mujoco

        # On import it prints that its GPU version is not there, into what a program may write its results to.
        with contextlib.redirect_stdout(io.StringIO()):
            from mujoco import mjx
    except ImportError as error:
        raise SpanaxError("MuJoCo in JAX (mujoco, mujoco-mjx) is not installed", *installing("mujoco")) from error
    return mujoco, mjx


def _load(mujoco: Any, model: Any) -> Any:
    if isinstance(model, mujoco.MjModel):
        return model
    try:
        # An XML text begins with a tag; a path does not.
        if isinstance(model, str) and model.lstrip().startswith("<"):
            return mujoco.MjModel.from_xml_string(model)
        if isinstance(model, str | Path):
            return mujoco.MjModel.from_xml_path(str(model))
    except (ValueError, OSError) as error:
        problem = f"MuJoCo cannot load the model: {str(error).strip().splitlines()[0]}"
        raise SpanaxError(problem, "an XML text, the path of a file, or a mujoco.MjModel") from error
    raise SpanaxError(f"from_mujoco({type(model).__name__})", "an XML text, the path of a file, or a mujoco.MjModel")


def _dtype() -> np.dtype:
    return jnp.zeros((), float).dtype
