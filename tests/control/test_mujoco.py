"""MuJoCo models in JAX against MuJoCo itself and differences, and environments of the interface of Brax and Playground."""

import subprocess
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax import SpanaxError, control

# Two bodies and a limit that can be reached: as small as a cart-pole can be.
CARTPOLE = """<mujoco><option timestep="0.01"/><worldbody><body name="cart">
  <joint name="slider" type="slide" axis="1 0 0" limited="true" range="-1.8 1.8"/>
  <geom type="box" size="0.2 0.15 0.1" mass="1" contype="0" conaffinity="0"/>
  <body name="pole"><joint name="hinge" type="hinge" axis="0 1 0" damping="0.001"/>
    <geom type="capsule" fromto="0 0 0 0 0 1" size="0.045" mass=".1" contype="0" conaffinity="0"/></body></body></worldbody>
  <actuator><motor joint="slider" gear="10" ctrllimited="true" ctrlrange="-1 1"/></actuator></mujoco>"""
HOPPER = """<mujoco><option timestep="0.005"/>
  <default><joint type="hinge" axis="0 1 0" damping=".05" armature=".2"/>
    <geom type="capsule" contype="0" conaffinity="0"/></default>
  <worldbody><geom type="plane" size="50 1 .2" contype="1" conaffinity="1"/>
  <body name="torso" pos="0 0 1"><joint type="slide" axis="1 0 0" damping="0" armature="0"/>
    <joint type="slide" axis="0 0 1" damping="0" armature="0"/><joint damping="0" armature="0"/>
    <geom fromto="0 0 -.05 0 0 .2" size="0.0653"/>
    <body pos="0 0 -.05"><joint name="hip" limited="true" range="-170 10"/><geom fromto="0 0 0 0 0 -.45" size="0.04"/>
    <body pos="0 0 -.45"><joint name="knee" limited="true" range="5 150"/><geom fromto="0 0 0 0 0 -.43" size="0.03"/>
    <body pos="0 0 -.43"><geom fromto="-.08 0 0 .17 0 0" size="0.04" contype="1" conaffinity="1"/></body></body></body></body>
  </worldbody><actuator><motor joint="hip" gear="40" ctrllimited="true" ctrlrange="-1 1"/>
    <motor joint="knee" gear="30" ctrllimited="true" ctrlrange="-1 1"/></actuator></mujoco>"""


@pytest.fixture(scope="module", autouse=True)
def mujoco():
    module = pytest.importorskip("mujoco")
    pytest.importorskip("mujoco.mjx")
    return module


@pytest.fixture(scope="module")
def cartpole():
    reward = lambda state, action, after: jnp.cos(after.qpos[1]) - 0.1 * after.qpos[0] ** 2
    return control.from_mujoco(CARTPOLE, reward=reward, noise=0.05, frame_skip=2)


def steps_of_mujoco(mujoco, env, state, control_, n):
    """The same by the library itself, in float64."""
    data = mujoco.MjData(env.model)
    data.qpos[:], data.qvel[:], data.ctrl[:] = np.asarray(state.qpos), np.asarray(state.qvel), control_
    mujoco.mj_step(env.model, data, n)
    return data


def test_a_step_is_mujocos_own(mujoco, cartpole, key):
    state = cartpole.reset(key)
    after = cartpole.step(state, jnp.array([0.3]))
    data = steps_of_mujoco(mujoco, cartpole, state, 0.3, 2)
    np.testing.assert_allclose(after.qpos, data.qpos, atol=1e-6)
    np.testing.assert_allclose(after.qvel, data.qvel, atol=1e-5)
    mujoco.mj_kinematics(cartpole.model, data)
    np.testing.assert_allclose(cartpole.data(after).xpos, data.xpos, atol=1e-6)
    assert cartpole.action_space == control.Box([-1.0], [1.0]) and cartpole.observation_space.shape == (4,)
    assert cartpole.render_fps == 50 and cartpole.max_steps == 1000
    assert np.all(np.abs(state.qpos) <= 0.05) and np.std(state.qvel) > 0


@pytest.mark.slow
def test_its_derivative_is_that_of_differences_and_trusted(cartpole, key):
    """By reverse mode; both with the limit of the rail far away and pressed against it, where the solver works."""
    for at in (0.2, 1.81):
        state = cartpole.reset(key)._replace(qpos=jnp.array([at, 0.1]))
        f = jax.jit(lambda q, v, u, s=state: jnp.concatenate(cartpole.step(s._replace(qpos=q, qvel=v), u)[:2]))
        x = (state.qpos, state.qvel, jnp.array([0.3]))
        for i, jacobian in enumerate(jax.jit(jax.jacrev(f, (0, 1, 2)))(*x)):
            for j in range(len(x[i])):
                h = jnp.zeros_like(x[i]).at[j].set(5e-4)
                up, down = (f(*x[:i], x[i] + s * h, *x[i + 1 :]) for s in (1, -1))
                np.testing.assert_allclose(jacobian[:, j], (up - down) / 1e-3, rtol=1e-2, atol=5e-3)
        assert not sx.trust(f, *x, key=key, sigma=1e-3).flagged


@pytest.mark.slow
def test_a_policy_learns_in_it(cartpole, key):
    policy = control.MLPPolicy(cartpole, key=key, width=16, depth=1)
    found = control.train(
        control.TimeLimit(cartpole, 30), policy, via=control.BPTT(horizon=30, truncate=False), key=key, updates=60, batch=8,
        progress=False,
    )  # fmt: skip
    before, after = found.objectives[:5].mean(), found.objectives[-5:].mean()
    assert after < before - 1e-3
    assert found.gradient_cosine > 0.99


@pytest.mark.slow
def test_a_hopper_in_contact(mujoco, key):
    """Standing on its foot: the solver has its iterations, and the derivative is that of the converged forces."""
    env = control.from_mujoco(HOPPER, reward=lambda s, a, after: after.qvel[0])
    start = env.reset(key)._replace(qpos=jnp.array([0.0, -0.03, 0.0, -0.2, 0.4]), qvel=jnp.zeros(5))
    step = jax.jit(env.step)
    state = start
    for _ in range(10):
        state = step(state, jnp.array([0.2, 0.1]))
    data = steps_of_mujoco(mujoco, env, start, [0.2, 0.1], 10)
    assert data.ncon > 0
    np.testing.assert_allclose(state.qpos, data.qpos, atol=1e-4)
    f = jax.jit(lambda v, u: env.step(state._replace(qvel=v), u).qvel)
    reverse = jax.jit(jax.jacrev(f, (0, 1)))(state.qvel, jnp.zeros(2))
    for i, x in enumerate((state.qvel, jnp.zeros(2))):
        for j in range(len(x)):
            h = jnp.zeros_like(x).at[j].set(1e-3)
            ends = [f(*((x + s * h, jnp.zeros(2)) if i == 0 else (state.qvel, x + s * h))) for s in (1, -1)]
            np.testing.assert_allclose(reverse[i][:, j], (ends[0] - ends[1]) / 2e-3, rtol=5e-2, atol=2e-2)
    assert not sx.trust(f, state.qvel, jnp.zeros(2), key=key, sigma=1e-3).flagged


def test_resets_and_observations_of_ones_own(key):
    env = control.from_mujoco(
        CARTPOLE, reward=lambda s, a, after: 0.0, reset=lambda k: (jnp.array([0.5, 0.0]), jnp.ones(2)),
        observe=lambda state: state.qpos[1:], done=lambda state: state.qpos[0] > 0.4, max_steps=None,
    )  # fmt: skip
    state = env.reset(key)
    np.testing.assert_array_equal(state.qpos, [0.5, 0.0])
    np.testing.assert_array_equal(state.qvel, 1.0)
    assert env.observation_space.shape == (1,) and env.done(state) and env.max_steps is None
    only = control.from_mujoco(CARTPOLE, reward=lambda s, a, after: 0.0, reset=lambda k: jnp.array([0.5, 0.0]))
    np.testing.assert_array_equal(only.reset(key).qvel, 0.0)
    wrong = control.from_mujoco(CARTPOLE, reward=lambda s, a, after: 0.0, reset=lambda k: jnp.zeros(3))
    with pytest.raises(SpanaxError, match=r"qpos of shape \[3\]"):
        wrong.reset(key)


def test_models_from_anywhere(mujoco, tmp_path):
    (tmp_path / "model.xml").write_text(CARTPOLE)
    reward = lambda s, a, after: 0.0
    models = [CARTPOLE, tmp_path / "model.xml", str(tmp_path / "model.xml"), mujoco.MjModel.from_xml_string(CARTPOLE)]
    prints = {control.from_mujoco(model, reward=reward).simulator.fingerprint() for model in models}
    assert len(prints) == 1
    heavier = CARTPOLE.replace('mass="1"', 'mass="2"')
    assert control.from_mujoco(heavier, reward=reward).simulator.fingerprint() not in prints


@pytest.mark.parametrize(
    ("model", "given", "said"),
    [
        ("<mujoco><nonsense/></mujoco>", {}, "MuJoCo cannot load the model"),
        ("no_such_file.xml", {}, "MuJoCo cannot load the model"),
        (3, {}, r"from_mujoco\(int\)"),
        ("<mujoco/>", {}, "no actuator"),
        (CARTPOLE, {"reward": None}, "reward=None"),
        (CARTPOLE, {"observe": 3}, "observe=3"),
        (CARTPOLE, {"frame_skip": 0}, "frame_skip=0"),
        (CARTPOLE, {"noise": -1.0}, "noise=-1.0"),
        (CARTPOLE, {"max_steps": 0}, "max_steps=0"),
        (CARTPOLE.replace('timestep="0.01"', 'timestep="0.01" integrator="implicit"'), {}, "MJX does not support"),
    ],
)
def test_what_is_no_environment(model, given, said):
    with pytest.raises(SpanaxError, match=said):
        control.from_mujoco(model, **{"reward": lambda s, a, after: 0.0, **given})


def test_without_mujoco_it_says_what_to_install():
    script = """
import sys
sys.modules["mujoco"] = None
import spanax as sx
try:
    sx.control.from_mujoco("<mujoco/>", reward=lambda *_: 0.0)
except sx.SpanaxError as error:
    print(error)
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pip install 'spanax[mujoco]'" in out.stdout


# -- the interface of Brax and Playground


class Theirs(NamedTuple):
    data: Any
    obs: Any
    reward: Any
    done: Any
    info: dict


class Slide:
    """x moves by the action; ends beyond 2."""

    action_size, dt = 1, 0.1

    def __init__(self, keys=("state", "privileged"), forgets=False):
        self.keys, self.forgets = keys, forgets

    def _obs(self, x):
        return {name: x * (i + 1) for i, name in enumerate(self.keys)} if self.keys else x

    def reset(self, rng):
        x = jax.random.uniform(rng, (1,))
        info = {"rng": rng} | ({} if self.forgets else {"steps": jnp.zeros((), jnp.int32)})
        return Theirs(x, self._obs(x), jnp.zeros(()), jnp.zeros(()), info)

    def step(self, state, action):
        x = 0.9 * state.data + action
        info = state.info | {"steps": state.info.get("steps", 0) + 1}
        return Theirs(x, self._obs(x), -jnp.sum(x**2), (jnp.abs(x[0]) > 2).astype(float), info)


def test_their_environments_are_ours(key):
    env = control.from_playground(Slide(), observation="state", max_steps=5)
    state = env.reset(key)
    after = env.step(state, jnp.array([0.5]))
    assert env.reward(state, None, after) == -(after.data[0] ** 2)
    assert env.observation_space.shape == (1,) and env.action_space == control.Box([-1.0], [1.0])
    assert env.render_fps == 10 and env.max_steps == 5
    assert control.from_playground(Slide(), max_steps=5).observation_space.shape == (2,)
    assert control.from_playground(Slide(keys=())).max_steps == 1000
    found = control.rollout(env, lambda o: jnp.ones(1), state, 5)
    assert found.terminated.sum() == 1 and not found.alive.all()
    total = lambda w: control.rollout(env, lambda o: w * o, state, 5).rewards.sum()
    h = 1e-2
    np.testing.assert_allclose(jax.grad(total)(-0.3), (total(-0.3 + h) - total(-0.3 - h)) / (2 * h), rtol=1e-2)
    policy = control.MLPPolicy(env, key=key, width=4, depth=1)
    result = control.train(env, policy, via=control.BPTT(horizon=5), key=key, updates=5, batch=4, progress=False)
    assert result.env_steps == 100


class NoDone(Slide):
    def reset(self, rng):
        return super().reset(rng)._asdict()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: control.from_playground(control.Pendulum()), "has no action_size"),
        (lambda: control.from_playground(Slide(), observation="pixels"), "'privileged', 'state'"),
        (lambda: control.from_playground(Slide(keys=()), observation="state"), "no dictionary"),
        (lambda: control.from_playground(Slide(forgets=True)), "another structure"),
        (lambda: control.from_playground(NoDone()), "has no obs, reward, done"),
        (lambda: control.from_playground(Slide(), iterations=1), "no MJX model"),
        (lambda: control.from_playground(Slide(), max_steps=0), "max_steps=0"),
    ],
)
def test_what_is_not_of_their_interface(make, said):
    with pytest.raises(SpanaxError, match=said):
        make()


@pytest.mark.slow
def test_a_cart_of_playground(key):
    registry = pytest.importorskip("mujoco_playground").registry
    theirs = registry.load("CartpoleBalance", config_overrides={"impl": "jax"})
    env = control.from_playground(theirs, iterations=1)
    state = env.reset(key)
    slope = jax.jit(jax.grad(lambda a: env.step(state, a).reward))(jnp.zeros(1))
    assert np.isfinite(slope).all() and env.observation_space.shape == (5,) and env.max_steps == 1000
