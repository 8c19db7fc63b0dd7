"""Pendulum: Gymnasium's Pendulum-v1, number for number, and its derivatives."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spanax.control.env import Box
from spanax.control.problems.pendulum import Pendulum

N = 10_000


def _transitions(n=N):
    """Angles up to three turns away, torques half as large again as the clamp, and speeds up to the clamp."""
    rng = np.random.default_rng(0)
    return rng.uniform([-20, -8], [20, 8], (n, 2)), rng.uniform(-3, 3, (n, 1))


def _step(env, state, action):
    after = env.step(state, action)
    return after, env.observe(after), env.reward(state, action, after)


def test_every_step_is_gymnasium_s(x64):
    gymnasium = pytest.importorskip("gymnasium")
    theirs = gymnasium.make("Pendulum-v1").unwrapped
    theirs.reset(seed=0)
    states, actions = _transitions()
    ours = jax.jit(jax.vmap(_step, (None, 0, 0)))(Pendulum(), states, actions)
    after, observed, rewards = (np.asarray(x) for x in ours)
    want = np.empty((N, 3))
    for i in range(N):
        theirs.state = states[i].copy()
        seen, want[i, 2], *_ = theirs.step(actions[i])
        want[i, :2] = theirs.state
        np.testing.assert_allclose(observed[i], seen, rtol=2e-7)  # Gymnasium's observation is float32
    assert np.sum(np.abs(after[:, 1]) == 8.0) > 100  # the speed clamp is among them
    np.testing.assert_allclose(after, want[:, :2], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(rewards, want[:, 2], rtol=1e-12)
    np.testing.assert_allclose(observed, np.stack([np.cos(want[:, 0]), np.sin(want[:, 0]), want[:, 1]], 1), atol=1e-12)


def test_the_specs_are_gymnasium_s():
    gymnasium = pytest.importorskip("gymnasium")
    theirs, env = gymnasium.make("Pendulum-v1"), Pendulum()
    assert env.action_space == Box(theirs.action_space.low, theirs.action_space.high)
    assert env.observation_space == Box(theirs.observation_space.low, theirs.observation_space.high)
    assert env.max_steps == theirs.spec.max_episode_steps == 200
    assert (theirs.unwrapped.g, theirs.unwrapped.m, theirs.unwrapped.l) == (env.g, env.m, env.l)
    assert Pendulum(max_torque=3.0).action_space == Box([-3.0], [3.0])


def test_starts_fill_the_reset_range(key, dtype):
    """10,000 starts: each of 20 equal bins has 500 +- 5.5 standard deviations; false alarm below 2e-6."""
    starts = jax.vmap(Pendulum().reset)(jax.random.split(key, N))
    assert starts.dtype == dtype and starts.shape == (N, 2)
    for column, high in zip(np.asarray(starts).T, (np.pi, 1.0), strict=True):
        counts, _ = np.histogram(column, 20, (-high, high))
        assert np.sum(counts) == N and np.max(np.abs(counts - N / 20)) < 5.5 * np.sqrt(N / 20 * 0.95)
    assert not Pendulum().done(starts[0])


def test_precision_follows_the_state(dtype):
    states, actions = (jnp.asarray(x, dtype) for x in _transitions(100))
    outputs = jax.vmap(_step, (None, 0, 0))(Pendulum(), states, actions)
    assert [x.dtype for x in outputs] == [dtype] * 3
    with jax.enable_x64(True):
        exact = jax.vmap(_step, (None, 0, 0))(Pendulum(), *(jnp.asarray(x, jnp.float64) for x in (states, actions)))
    for got, want in zip(outputs, exact, strict=True):
        np.testing.assert_allclose(got, want, atol=2e-5 if dtype == jnp.float32 else 1e-12)


def _by_hand(state, torque):
    """Derivative of (angle', velocity', reward) by (angle, velocity, torque), away from the clamps' edges."""
    angle, velocity = state
    free = velocity + 0.05 * (15 * np.sin(angle) + 3 * np.clip(torque, -2, 2))
    moves, obeys = float(abs(free) < 8), float(abs(torque) < 2)
    dv = moves * np.array([0.75 * np.cos(angle), 1.0, 0.15 * obeys])
    wrapped = np.arctan2(np.sin(angle), np.cos(angle))
    return np.stack(
        [np.array([1.0, 0, 0]) + 0.05 * dv, dv, [-2 * wrapped, -0.2 * velocity, -0.002 * torque * obeys]],
    )


def test_derivatives(x64):
    """200 random steps against the formulas; some beyond each clamp, where the derivative is zero."""
    env, (states, actions) = Pendulum(), _transitions(200)

    def f(state, action):
        after, _, reward = _step(env, state, action)
        return jnp.append(after, reward)

    by_state, by_action = jax.jit(jax.vmap(jax.jacobian(f, (0, 1))))(states, actions)
    got = np.concatenate([by_state, by_action], -1)
    want = np.stack([_by_hand(s, a[0]) for s, a in zip(states, actions, strict=True)])
    assert np.any(want[:, 1, 1] == 0) and np.any(want[:, 2, 2] == 0)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def test_derivatives_by_the_fields(x64):
    """By g, m, l, dt, max_torque and max_speed, against central differences, where both clamps act in some of five steps."""
    names = ["g", "m", "l", "dt", "max_torque", "max_speed"]
    at = jnp.array([10.0, 1.0, 1.0, 0.05, 2.0, 8.0])

    def f(values):
        env = eqx.tree_at(lambda e: [getattr(e, n) for n in names], Pendulum(), list(values))
        state, total = jnp.array([2.0, 7.0]), 0.0
        for torque in (1.0, -3.0, 0.5, 3.0, 1.5):
            after, _, reward = _step(env, state, jnp.array([torque]))
            state, total = after, total + reward
        return total + jnp.sum(state)

    got, f = jax.grad(f)(at), jax.jit(f)
    want = [(f(at + h) - f(at - h)) / 2e-6 for h in 1e-6 * np.eye(6)]
    assert np.all(np.abs(got) > 1e-3)
    np.testing.assert_allclose(got, want, rtol=1e-6)
