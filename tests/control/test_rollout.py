"""Rollouts, their derivatives, and what a policy earns."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import spanax as sx
from spanax import SpanaxError, control

from .envs import Coins, Line


def test_a_rollout_is_what_happens(dtype):
    found = control.rollout(Line(), lambda o: -0.4 * o, jnp.array(2.0, dtype), 4)
    np.testing.assert_allclose(found.states, 2 * 0.5 ** np.arange(4), rtol=1e-6)
    np.testing.assert_allclose(found.final, 2 * 0.5**4, rtol=1e-6)
    np.testing.assert_allclose(found.rewards, -((2 * 0.5 ** np.arange(1, 5)) ** 2), rtol=1e-6)
    np.testing.assert_allclose(found.actions[:, 0], -0.8 * 0.5 ** np.arange(4), rtol=1e-6)
    assert found.alive.all()
    assert found.rewards.dtype == found.observations.dtype == dtype


def test_after_its_end_an_episode_stands_still():
    found = control.rollout(Line(edge=1.5), lambda o: o, jnp.array(0.5), 4)  # 0.5, 0.95, 1.805
    np.testing.assert_array_equal(found.alive, [True, True, False, False])
    np.testing.assert_array_equal(found.rewards[2:], 0)
    np.testing.assert_allclose(found.final, 0.5 * 1.9**2, rtol=1e-6)


def test_a_rollout_has_the_derivative_of_the_simulation(x64):
    total = lambda w, x: control.rollout(Line(), lambda o: w * o, x, 5).rewards.sum()
    slopes = jax.jit(jax.grad(total, (0, 1)))(-0.3, 0.8)
    h = 1e-6
    np.testing.assert_allclose(slopes[0], (total(-0.3 + h, 0.8) - total(-0.3 - h, 0.8)) / (2 * h), rtol=1e-7)
    np.testing.assert_allclose(slopes[1], (total(-0.3, 0.8 + h) - total(-0.3, 0.8 - h)) / (2 * h), rtol=1e-7)


def test_a_policy_that_draws_gets_a_key_for_each_step(key):
    def policy(observation, *, key=None):
        return jnp.zeros(()) if key is None else jax.random.uniform(key)

    drawn = control.rollout(Coins(), policy, jnp.zeros(2), 2, key=key)
    assert len(np.unique(drawn.actions)) == 2
    np.testing.assert_array_equal(control.rollout(Coins(), policy, jnp.zeros(2), 2).actions, 0)


def test_returns_from_given_starts_and_from_drawn_ones(key, dtype):
    starts = jnp.array([1.0, 2.0], dtype)
    found = control.evaluate(Line(), lambda o: -0.9 * o, starts)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, 0, atol=1e-12)
    found = control.evaluate(Line(), lambda o: 0 * o, starts)
    np.testing.assert_allclose(found, -(np.array([1, 4]) * np.sum(0.81 ** np.arange(1, 7))), rtol=1e-6)
    drawn = control.evaluate(Line(), lambda o: 0 * o, 7, key=key)
    assert len(np.unique(drawn)) == 7
    np.testing.assert_array_equal(drawn, control.evaluate(Line(), lambda o: 0 * o, 7, key=key))


def test_starts_need_a_key_and_episodes_an_end(key):
    with pytest.raises(SpanaxError, match="key=None"):
        control.evaluate(Line(), lambda o: o, 7)
    with pytest.raises(SpanaxError, match="starts=0"):
        control.evaluate(Line(), lambda o: o, 0, key=key)

    class Endless(Line):
        @property
        def max_steps(self):
            return None

    with pytest.raises(SpanaxError, match="TimeLimit"):
        control.evaluate(Endless(), lambda o: o, 7, key=key)


# -- the policy that is given


@pytest.mark.few(1)
def test_continuous_actions_stay_in_their_box(key, dtype):
    policy = control.MLPPolicy(control.Pendulum(), key=key, width=8)
    actions = jax.vmap(policy)(jax.random.normal(key, (50, 3), dtype) * 1000)
    assert actions.shape == (50, 1)
    assert actions.dtype == dtype
    assert jnp.all(jnp.abs(actions) <= 2)
    around = policy.distribution(jnp.zeros(3))
    np.testing.assert_allclose(around.mean, policy(jnp.zeros(3)), rtol=1e-6)
    np.testing.assert_allclose(around.variance, 4 * np.exp(-1.0), rtol=1e-6)


def test_a_coin_is_drawn_with_a_key_and_decided_without(key):
    policy = control.MLPPolicy(control.CartPole(), key=key, width=8, via=sx.ScoreFunction())
    policy = eqx.tree_at(lambda p: p.network.layers[-1].bias, policy, jnp.array([1.0]))
    at = jnp.zeros(4)
    assert isinstance(policy.distribution(at), dist.BernoulliLogits)
    drawn = jax.vmap(lambda k: policy(at, key=k))(jax.random.split(key, 2000))
    assert set(np.unique(drawn)) == {0.0, 1.0}
    p = 1 / (1 + np.exp(-policy.distribution(at).logits))
    assert abs(np.mean(drawn) - p) < 4.5 * np.sqrt(p * (1 - p) / 2000)  # false alarms: 7e-6
    assert policy(at) == 1.0


class Three(Coins):
    @property
    def action_space(self):
        return control.Discrete(3)


def test_one_of_three_actions(key):
    plain = control.MLPPolicy(Three(), key=key, width=8)
    assert plain(jnp.zeros(2)).dtype == jnp.int32
    assert plain(jnp.zeros(2), key=key).shape == ()
    hard = control.MLPPolicy(Three(), key=key, width=8, via=sx.StraightThrough(sx.Soft(0.5)))
    weights = hard(jnp.zeros(2), key=key)
    np.testing.assert_array_equal(weights, jax.nn.one_hot(plain(jnp.zeros(2)), 3))
    relaxed = control.MLPPolicy(Three(), key=key, width=8, via=sx.GumbelSoftmax(0.5))
    assert relaxed(jnp.zeros(2), key=key).shape == (3,)


@pytest.mark.parametrize(
    ("env", "via", "said"),
    [
        (control.Pendulum(), sx.StraightThrough(), "continuous actions"),
        (control.CartPole(), "straight-through", "is not a bridge"),
        (control.CartPole(), sx.SPSA(0.1), "is not a bridge"),
    ],
)
def test_bridges_that_do_not_fit(key, env, via, said):
    with pytest.raises(SpanaxError, match=said):
        control.MLPPolicy(env, key=key, via=via)


def test_a_box_without_bounds(key):
    class Free(Line):
        @property
        def action_space(self):
            return control.Box([-np.inf], [np.inf])

    with pytest.raises(SpanaxError, match="no bounds"):
        control.MLPPolicy(Free(), key=key)


def test_the_decision_without_a_bridge_is_no_silent_zero(key):
    policy = control.MLPPolicy(control.CartPole(), key=key, width=8, via=sx.ScoreFunction())
    with pytest.raises(SpanaxError, match="greater"):
        jax.grad(lambda o: policy(o))(jnp.ones(4))
