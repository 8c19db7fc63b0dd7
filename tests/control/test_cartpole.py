"""CartPole against Gymnasium's own: states, rewards and endings of random transitions; derivatives; what is refused."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax.control.env import Box, Discrete
from spanax.control.problems.cartpole import CartPole

SPREAD = np.array(
    [2.6, 3.0, 0.23, 3.0]
)  # a little beyond both thresholds, so that many steps end, and some would not start


def transitions(n):
    """States that have not ended, actions, and what Gymnasium makes of them: next states in double precision, rewards, ends."""
    theirs, rng = gymnasium.make("CartPole-v1").unwrapped, np.random.default_rng(7)
    states = rng.uniform(-SPREAD, SPREAD, (2 * n, 4))
    states = states[(np.abs(states[:, 0]) <= 2.4) & (np.abs(states[:, 2]) <= theirs.theta_threshold_radians)][:n]
    actions = rng.integers(2, size=n)
    found = []
    theirs.reset(seed=0)
    for state, action in zip(states, actions, strict=True):
        theirs.state, theirs.steps_beyond_terminated = state, None
        _, reward, terminated, _, _ = theirs.step(action)
        found.append((theirs.state, reward, terminated))
    return states, actions, *map(np.array, zip(*found, strict=True))


def test_parity_with_gymnasium(x64):
    env = CartPole()
    states, actions, after, rewards, ends = transitions(10_000)
    states, actions = jnp.asarray(states), jnp.asarray(actions)
    ours = jax.vmap(env.step)(states, actions)
    np.testing.assert_allclose(ours, after, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(jax.vmap(env.reward)(states, actions, ours), rewards)
    np.testing.assert_array_equal(jax.vmap(env.done)(ours), ends)
    np.testing.assert_array_equal(jax.vmap(env.observe)(ours), ours)
    assert 500 < ends.sum() < 9500
    assert not np.any(jax.vmap(env.done)(states))


def test_bounds_are_gymnasiums():
    theirs = gymnasium.make("CartPole-v1")
    box = theirs.observation_space
    env = CartPole()
    assert env.max_steps == theirs.spec.max_episode_steps
    assert env.action_space == Discrete(int(theirs.action_space.n))
    assert isinstance(env.observation_space, Box)
    np.testing.assert_array_equal(env.observation_space.low.astype(np.float32), box.low)
    np.testing.assert_array_equal(env.observation_space.high.astype(np.float32), box.high)


def test_a_threshold_itself_has_not_ended(dtype):
    env = CartPole()
    for i, threshold in ((0, env.x_threshold), (2, env.theta_threshold_radians)):
        for sign in (-1, 1):
            at = jnp.zeros(4, dtype).at[i].set(sign * threshold)
            assert not env.done(at)
            assert env.done(at.at[i].multiply(1.000001))


def test_a_step_after_the_end_earns_nothing(dtype):
    env = CartPole()
    over = jnp.asarray([2.5, 0, 0, 0], dtype)
    before = jnp.asarray([2.39, 1, 0, 0], dtype)
    assert env.done(env.step(before, jnp.array(1)))
    assert env.reward(before, jnp.array(1), env.step(before, jnp.array(1))) == 1
    assert env.reward(over, jnp.array(1), env.step(over, jnp.array(1))) == 0


def test_starts(key, dtype):
    starts = jax.vmap(CartPole().reset)(jax.random.split(key, 4000))
    assert starts.dtype == jnp.result_type(float) == dtype
    assert np.all(np.abs(starts) <= 0.05)
    # A mean of 4000 has standard deviation .05/sqrt(3*4000) = 4.6e-4, one of squares 1.2e-5; 5 of them: 1 alarm in 200,000.
    np.testing.assert_allclose(np.mean(starts, 0), 0, atol=2.3e-3)
    np.testing.assert_allclose(np.mean(np.square(starts), 0), 0.05**2 / 3, atol=6e-5)


@pytest.mark.parametrize("push", [0, 1])
def test_an_action_is_an_integer_a_truth_value_or_a_float(dtype, push):
    env, state = CartPole(), jnp.asarray([0.1, -0.2, 0.03, 0.4], dtype)
    after = [jax.jit(env.step)(state, jnp.asarray(push, kind)) for kind in (int, bool, jnp.float32, dtype)]
    after.append(env.step(state, push))
    for other in after:
        assert other.dtype == dtype
        np.testing.assert_allclose(other, after[0], rtol=1e-6)


def test_the_state_is_differentiable_in_a_float_action_and_in_the_parameters(x64):
    env, state = CartPole(), jnp.asarray([0.1, -0.2, 0.03, 0.4])
    slope = jax.jacobian(env.step, argnums=1)(state, jnp.asarray(1.0))
    # Linear in the force: the derivative is the difference of the two actions.
    np.testing.assert_allclose(slope, env.step(state, jnp.asarray(1)) - env.step(state, jnp.asarray(0)), atol=1e-14)

    def far(length):
        def one(state, action):
            return CartPole(length=length).step(state, action), None

        return jax.lax.scan(one, state, jnp.array([1.0, 0.0, 1.0]))[0][2]

    at, h = jnp.asarray(0.5), 1e-6
    np.testing.assert_allclose(jax.grad(far)(at), (far(at + h) - far(at - h)) / (2 * h), rtol=1e-7)


def test_a_straight_through_action_steers_the_pole(dtype):
    env, state = CartPole(), jnp.asarray([0.0, 0.0, 0.05, 0.0], dtype)
    via = sx.StraightThrough(sx.Soft(0.5))

    def angle(gain):
        def one(state, _):
            return env.step(state, sx.hard.greater(gain * state[2], 0.0, via=via)), None

        return jax.lax.scan(one, state, None, length=4)[0][2]

    value, slope = jax.value_and_grad(angle)(jnp.asarray(2.0, dtype))
    by_rules = state
    for _ in range(4):
        by_rules = env.step(by_rules, by_rules[2] > 0)
    np.testing.assert_allclose(value, by_rules[2], rtol=1e-6)
    assert slope < 0  # a stronger answer to the angle lowers it


def test_the_reward_has_no_derivative(dtype):
    env, state = CartPole(), jnp.asarray([0.0, 0.0, 0.05, 0.0], dtype)

    def both(state, action):
        after = env.step(state, action)
        return after[2] ** 2, env.reward(state, action, after)

    jax.grad(both, has_aux=True)(state, jnp.ones((), dtype))  # beside a loss, it may be computed
    with pytest.raises(sx.SpanaxError, match=r"(?s)reward.*test_cartpole.*loss="):
        jax.grad(lambda state: both(state, jnp.ones((), dtype))[1])(state)


def test_several_numbers_are_no_action():
    with pytest.raises(sx.SpanaxError, match=r"(?s)shape \[2\].*test_cartpole.*action\[1\]"):
        CartPole().step(jnp.zeros(4), jnp.array([0.0, 1.0]))
