"""Policies that are their own mirror image: exactly, whatever their weights."""

import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax import SpanaxError, control

from .envs import Line

PENDULUM, POLE = control.Pendulum(), control.CartPole()
TURNED = jnp.array([1.0, -1.0, -1.0])


class Three(Line):
    """A line on which one steps back, stays, or steps on."""

    action_space = control.Discrete(3)


class Offset(Line):
    """A line whose actions lie about 2."""

    action_space = control.Box([1.0, -1.0], [3.0, 5.0])


def observations(n=20):
    return jax.random.normal(jax.random.key(5), (n, 3))


def test_a_continuous_action_is_the_opposite_of_its_mirror_image(key):
    policy = control.mirrored(control.MLPPolicy(PENDULUM, key=key), PENDULUM)
    actions, images = jax.vmap(policy)(observations()), jax.vmap(policy)(observations() * TURNED[None])
    np.testing.assert_array_equal(actions, -images)
    assert jnp.std(actions) > 0.001
    # What is drawn from moves with it, and its width stays.
    one, other = policy.distribution(observations()[0]), policy.distribution(observations()[0] * TURNED)
    np.testing.assert_array_equal(one.base_dist.loc, -other.base_dist.loc)
    np.testing.assert_array_equal(one.base_dist.scale, other.base_dist.scale)


def test_a_push_is_the_other_one_and_its_bridge_is_the_same(key):
    policy = control.mirrored(control.MLPPolicy(POLE, key=key), POLE)
    states = jax.random.normal(key, (30, 4))
    pushes = jax.vmap(policy)(states)
    np.testing.assert_array_equal(jax.vmap(policy)(-states), 1 - pushes)
    assert 0 < jnp.mean(pushes) < 1
    np.testing.assert_allclose(
        policy.distribution(states[0]).probs, 1 - policy.distribution(-states[0]).probs, rtol=1e-6
    )
    # The derivative of the straight-through bridge, through both images.
    slope = jax.grad(lambda x: policy(x))(states[0])
    np.testing.assert_allclose(slope, jax.grad(lambda x: policy(x))(-states[0]), rtol=1e-5)
    assert jnp.any(slope != 0)


def test_of_three_actions_the_order_is_turned_round(key):
    env = Three()
    policy = control.mirrored(control.MLPPolicy(env, key=key), env)
    logits = policy.distribution(jnp.array([0.7])).logits
    np.testing.assert_allclose(policy.distribution(jnp.array([-0.7])).logits, logits[::-1], rtol=1e-6)
    swapped = control.mirrored(control.MLPPolicy(env, key=key), action=[1, 0, 2])
    np.testing.assert_allclose(
        swapped.distribution(jnp.array([-0.7])).logits,
        swapped.distribution(jnp.array([0.7])).logits[jnp.array([1, 0, 2])],
    )


def test_a_draw_has_the_mirrored_probabilities(key):
    policy = control.mirrored(control.MLPPolicy(POLE, key=key, via=sx.ScoreFunction()), POLE)
    one, other = policy.distribution(jnp.ones(4)), policy.distribution(-jnp.ones(4))
    np.testing.assert_allclose(one.logits, -other.logits)
    assert policy(jnp.ones(4), key=key) in (0.0, 1.0)


def test_the_mirror_is_about_the_middle_of_the_box_and_may_leave_an_action_as_it_is(key):
    env = Offset()
    policy = control.mirrored(control.MLPPolicy(env, key=key), action=[-1, 1])
    here, there = policy(jnp.array([0.4])), policy(jnp.array([-0.4]))
    np.testing.assert_allclose(here + there * jnp.array([1.0, -1.0]), [4.0, 0.0], rtol=1e-6)
    assert here[0] != 2.0


def test_signs_a_matrix_and_a_function_say_the_same(key):
    base = control.MLPPolicy(PENDULUM, key=key)
    ways = [[1, -1, -1], np.diag([1.0, -1.0, -1.0]), lambda x: x * TURNED]
    policies = [control.mirrored(base, observation=way) for way in ways]
    for policy in policies:
        assert eqx.tree_equal(policy, policies[0])
    # Two legs that are exchanged: a permutation.
    swapped = control.mirrored(base, observation=lambda x: x[jnp.array([1, 0, 2])], action=1)
    np.testing.assert_allclose(swapped(jnp.array([0.1, 0.9, 2.0])), swapped(jnp.array([0.9, 0.1, 2.0])), rtol=1e-6)


def test_a_choice_mirrors_its_heads(key):
    policy = control.ChoicePolicy(PENDULUM, heads=3, key=key)
    for x in observations(5):
        np.testing.assert_allclose(policy.logits(x * TURNED), policy.logits(x)[jnp.array([0, 2, 1])], rtol=1e-6)
        np.testing.assert_allclose(policy.head(x * TURNED, 0), -policy.head(x, 0), rtol=1e-6)
    plain = control.ChoicePolicy(PENDULUM, heads=3, key=key, symmetric=False)
    assert plain.mirror is None
    assert eqx.tree_equal(control.mirrored(plain, PENDULUM), policy)
    with pytest.raises(SpanaxError, match="mirror image of a constant head"):
        control.ChoicePolicy(PENDULUM, heads=3, key=key, constants=[[2.0], [1.0]])


def test_of_discrete_actions_each_head_is_an_action(key):
    policy = control.ChoicePolicy(POLE, key=key)
    states = jax.random.normal(key, (20, 4))
    np.testing.assert_array_equal(jax.vmap(policy)(-states), 1 - jax.vmap(policy)(states))
    three = control.mirrored(control.ChoicePolicy(Three(), key=key))
    logits = three.logits(jnp.array([0.4]))
    np.testing.assert_allclose(three.logits(jnp.array([-0.4])), logits[::-1], rtol=1e-6)


@pytest.mark.parametrize("make", [control.MLPPolicy, control.ChoicePolicy])
def test_it_is_saved_loaded_pickled_and_trained_with_its_mirror(make, key, tmp_path):
    policy = control.mirrored(make(PENDULUM, key=key, width=4), PENDULUM)
    policy.save(tmp_path / "policy")
    for again in (control.load_policy(tmp_path / "policy"), pickle.loads(pickle.dumps(policy))):
        assert eqx.tree_equal(again, policy, typematch=True)
        assert again.space == policy.space
    via = (
        control.BPTT(horizon=2)
        if make is control.MLPPolicy
        else control.Choice(motion=1, choice=1, horizon=2, window=2)
    )
    trained = control.train(PENDULUM, policy, via=via, key=key, updates=2, batch=2, progress=False).policy
    x = observations()[0]
    assert jnp.any(trained(x) != policy(x)) or make is control.ChoicePolicy
    np.testing.assert_allclose(trained(x), -trained(x * TURNED), rtol=1e-5)
    np.testing.assert_array_equal(trained.mirror.observation, np.diag(TURNED))


def test_in_float64_it_is_exact_too(key, x64):
    policy = control.mirrored(control.MLPPolicy(PENDULUM, key=key), PENDULUM)
    x = jnp.array([0.6, 0.8, 1.0])
    assert policy(x).dtype == jnp.float64
    np.testing.assert_array_equal(policy(x), -policy(x * jnp.array([1.0, -1.0, -1.0])))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"observation": [1, -1]}, "observation"),
        ({"observation": [2, 1, 1]}, "applied twice"),
        ({"observation": lambda x: x**2}, "not linear"),
        ({"observation": lambda x: x + 1}, "not linear|applied twice"),
        ({"observation": jnp.abs}, "not linear"),
        ({"observation": np.eye(2)}, "of 3 numbers"),
        ({"observation": "left"}, "observation='left'"),
        ({"action": [0, 1]}, "action"),
    ],
)
def test_what_is_not_a_mirror_is_refused(how, said, key):
    with pytest.raises(SpanaxError, match=said):
        control.mirrored(control.MLPPolicy(PENDULUM, key=key, width=2), **how)


@pytest.mark.parametrize("action", [[0, 0], [1, 2], 3, lambda a: 0])
def test_of_discrete_actions_what_is_not_a_mirror_is_refused(action, key):
    with pytest.raises(SpanaxError, match="of 2 discrete actions"):
        control.mirrored(control.MLPPolicy(POLE, key=key, width=2), action=action)


def test_other_policies_and_a_false_mirror_are_refused(key):
    with pytest.raises(SpanaxError, match=r"mirrored\(Linear\)[\s\S]*network\(-x\)"):
        control.mirrored(eqx.nn.Linear(3, 1, key=key))
    # -observation would turn the pendulum's cosine round as well.
    policy = control.mirrored(control.MLPPolicy(PENDULUM, key=key, width=2))
    for via in (control.BPTT(horizon=2), control.PolicyGradient()):
        with pytest.raises(SpanaxError, match="is not that of Pendulum"):
            control.train(PENDULUM, policy, via=via, key=key, updates=1, batch=2, progress=False)


def test_wrappers_pass_mirror_and_loss_on():
    for env in (control.TimeLimit(POLE, 10), control.AutoReset(POLE), control.Batched(POLE, 2)):
        assert env.mirror == -1.0
    limited = control.TimeLimit(POLE, 10)
    state = limited.reset(jax.random.key(0))
    after = limited.step(state, jnp.ones(()))
    assert limited.loss(state, jnp.ones(()), after) == POLE.loss(state.state, jnp.ones(()), after.state) > 0
