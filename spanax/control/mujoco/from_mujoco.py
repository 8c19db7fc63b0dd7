"""A MuJoCo model as an environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..._checks import check_whole, is_number
from ..._errors import SpanaxError
from ..env import Box, Env
from ..showing.canvas import Picture, refuse_traced
from ._simulator import Simulator
from .state import MujocoState


class MujocoEnv(Env):
    """A MuJoCo model, simulated in JAX; see `from_mujoco`. Its states are `MujocoState`s.

    >>> from spanax import control
    >>> control.MujocoEnv.black_box  # it has a derivative
    False
    """

    simulator: Simulator = eqx.field(static=True)
    reward_of: Callable[..., Any]
    observe_as: Callable[..., Any] | None
    reset_to: Callable[..., Any] | None
    done_at: Callable[..., Any] | None
    noise: float
    steps: int | None = eqx.field(static=True)

    @property
    def model(self) -> Any:
        """The `mujoco.MjModel`."""
        return self.simulator.model

    def data(self, state: MujocoState) -> Any:
        """An `mjx.Data` of the state: positions of bodies, geoms and sites (`xpos`, `geom_xpos`, `site_xpos`), and velocities
        (`cvel`); differentiable. It has no contact forces and no sensors, for which the solver would have to run.
        """
        return self.simulator.data(state)

    def reset(self, key: Key[Array, ""]) -> MujocoState:
        start = self.simulator.start
        if self.reset_to is None:
            return self._perturbed(start, key)
        # Positions alone, or positions and velocities.
        given = self.reset_to(key)
        qpos, qvel = given if isinstance(given, tuple) else (given, start.qvel)
        wanted = {"qpos": (qpos, start.qpos), "qvel": (qvel, start.qvel)}
        for name, (x, like) in wanted.items():
            if jnp.shape(x) != like.shape:
                shapes = f"{name} of shape {list(jnp.shape(x))}, and the model's has {list(like.shape)}"
                raise SpanaxError(f"from_mujoco(reset=...) returns {shapes}", "qpos, or (qpos, qvel)")
        return start._replace(qpos=jnp.asarray(qpos, start.qpos.dtype), qvel=jnp.asarray(qvel, start.qvel.dtype))

    def _perturbed(self, start: MujocoState, key: Key[Array, ""]) -> MujocoState:
        at, moving = jax.random.split(key)
        # Not orientations, which are four numbers of norm 1.
        dtype, free = start.qpos.dtype, jnp.asarray(_scalar_joints(self.model), start.qpos.dtype)
        qpos = start.qpos + self.noise * free * jax.random.uniform(at, start.qpos.shape, dtype, -1.0)
        return start._replace(qpos=qpos, qvel=self.noise * jax.random.normal(moving, start.qvel.shape, dtype))

    def step(self, state: MujocoState, action: Float[Array, " nu"]) -> MujocoState:
        return self.simulator.step(state, jnp.asarray(action, state.qpos.dtype))

    def observe(self, state: MujocoState) -> Float[Array, " size"]:
        if self.observe_as is not None:
            return self.observe_as(state)
        return jnp.concatenate([state.qpos, state.qvel, state.act])

    def reward(self, state: MujocoState, action: Array, next_state: MujocoState) -> Float[Array, ""]:
        return self.reward_of(state, action, next_state)

    def done(self, state):
        return jnp.zeros((), bool) if self.done_at is None else self.done_at(state)

    @property
    def action_space(self) -> Box:
        m = self.model
        limited, bounds = np.asarray(m.actuator_ctrllimited, bool), np.asarray(m.actuator_ctrlrange)
        return Box(np.where(limited, bounds[:, 0], -np.inf), np.where(limited, bounds[:, 1], np.inf))

    @property
    def observation_space(self) -> Box:
        # What `observe` returns has no bounds that a model would know.
        shape = jax.eval_shape(self.observe, jax.eval_shape(lambda: self.simulator.start)).shape
        return Box(np.full(shape, -np.inf), np.full(shape, np.inf))

    @property
    def max_steps(self) -> int | None:
        return self.steps

    @property
    def render_fps(self) -> float:
        return 1 / (float(self.model.opt.timestep) * self.simulator.frame_skip)

    def render(self, state: MujocoState, action: Any = None) -> Picture:
        """MuJoCo's own picture, by the model's first camera; it needs OpenGL (`MUJOCO_GL=egl` without a display)."""
        from ._rendering import render

        refuse_traced(self, state)
        return render(self.simulator, state)

    def __repr__(self):
        return f"from_mujoco({self.model.nq} positions, {self.model.nu} actuators)"


def from_mujoco(
    model: Any,
    *,
    reward: Callable[[MujocoState, Array, MujocoState], Any],
    observe: Callable[[MujocoState], Any] | None = None,
    reset: Callable[[Key[Array, ""]], Any] | None = None,
    done: Callable[[MujocoState], Any] | None = None,
    noise: float = 0.01,
    frame_skip: int = 1,
    max_steps: int | None = 1000,
) -> MujocoEnv:
    """A MuJoCo model as an environment, simulated in JAX by MJX: it has a derivative, for `BPTT` and the others.

    The derivative of a step is a Jacobian in forward mode by positions, velocities, activations and controls, which reverse mode
    uses as well: MJX's solver by itself has no reverse mode, and where it starts from the last step's answer a wrong derivative,
    so here it starts anew in each step. Contacts are soft in MuJoCo, so a derivative exists, but it can be far from what a
    perturbation of useful size does: ask `sx.trust`. Compiling takes from some seconds to minutes, longer for many joints.

    **Arguments:**

    - `model`: an XML text, the path of an XML file, or a `mujoco.MjModel`, whose options MJX supports. Its fields are constants.
    - `reward`: `reward(state, action, next_state)`, of two `MujocoState`s; `env.data(state)` has the positions of bodies.
    - `observe`: of a state; None: positions, velocities and activations.
    - `reset`: of a key, `qpos` or `(qpos, qvel)`; None: the model's own pose with noise on hinges and slides (uniform within +-`noise`) and on velocities
      (normal).
    - `noise`: its half-width and standard deviation, in their units.
    - `done`: of a state; None: no rule ends an episode.
    - `frame_skip`: time steps of the model for each step.
    - `max_steps`: of an episode.

    Actions are the controls; those of an actuator without limits have none (`MLPPolicy` needs them).

    **Returns:**

    A `MujocoEnv`.

    **Raises:**

    - `SpanaxError` where mujoco or mujoco-mjx is not installed (`pip install 'spanax[mujoco]'`), where MuJoCo cannot load the
      model or MJX does not support it, and for numbers out of range.

    MuJoCo: Todorov, Erez and Tassa 2012 (IROS, 5026).

    >>> import jax
    >>> from spanax import control
    >>> cart = '''<mujoco><worldbody><body><joint name="x" type="slide" axis="1 0 0"/><geom size="0.1" mass="1"/></body>
    ...   </worldbody><actuator><motor joint="x" ctrlrange="-1 1" ctrllimited="true"/></actuator></mujoco>'''
    >>> env = control.from_mujoco(cart, reward=lambda state, action, after: -after.qpos[0] ** 2, noise=0.0, frame_skip=5)
    >>> state = env.reset(jax.random.key(0))
    >>> push = jax.grad(lambda force: env.step(state, force).qvel[0])(jax.numpy.zeros(1))
    >>> print(f"{push[0]:.3f}")  # five steps of 2 ms, 1 N on 1 kg
    0.010
    """
    check_whole("from_mujoco(frame_skip", frame_skip)
    if max_steps is not None:
        check_whole("from_mujoco(max_steps", max_steps)
    if not (is_number(noise) and noise >= 0):
        raise SpanaxError(f"from_mujoco(noise={noise!r})", "0, or a small positive number")
    given = {"reward": reward, "observe": observe, "reset": reset, "done": done}
    for name, function in given.items():
        if not (callable(function) or (function is None and name != "reward")):
            raise SpanaxError(f"from_mujoco({name}={function!r})", "a function")
    simulator = Simulator(model, frame_skip)
    if simulator.model.nu == 0:
        raise SpanaxError("the model has no actuator: there is nothing to control", "<actuator> in the XML")
    # Told here, where the model is given, and not in the first step.
    simulator.check()
    return MujocoEnv(simulator, reward, observe, reset, done, float(noise), max_steps)


def _scalar_joints(model: Any) -> np.ndarray:
    """Of each number of qpos, 1 where it is the position of a hinge or a slide."""
    free = np.zeros(model.nq)
    for address, kind in zip(model.jnt_qposadr, model.jnt_type, strict=True):
        # 0 and 1 are free joints and balls.
        free[address] = kind >= 2
    return free
