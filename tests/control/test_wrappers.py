"""Time limits, batches, and episodes that begin again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spanax import SpanaxError, control

from .envs import Coins, Line


def test_a_time_limit_is_told_from_an_end(dtype):
    env = control.TimeLimit(Line(edge=3.0), 2)
    state = env.reset(jax.random.key(0))
    once = env.step(state, jnp.ones((1,)))
    assert not env.done(once)
    twice = env.step(once, jnp.ones((1,)))
    assert env.done(twice)
    assert env.truncated(twice)
    beyond = env.step(once, jnp.full((1,), 5.0))
    assert env.done(beyond)
    assert not env.truncated(beyond)
    assert env.max_steps == 2
    assert env.reward(state, jnp.ones((1,)), once) == -(once.state**2)
    assert env.observe(once).dtype == dtype


def test_a_batch_is_many_environments(key):
    env = control.Batched(Line(), 5)
    state = env.reset(key)
    np.testing.assert_array_equal(state, [Line().reset(k) for k in jax.random.split(key, 5)])
    action = jnp.linspace(-1.0, 1.0, 5)[:, None]
    after = env.step(state, action)
    np.testing.assert_allclose(after, 0.9 * state + action[:, 0], rtol=1e-6)
    assert env.observe(after).shape == (5, 1)
    assert env.reward(state, action, after).shape == env.done(after).shape == (5,)


def test_a_new_episode_begins_in_the_step_that_ended_one(key):
    env = control.AutoReset(control.TimeLimit(Coins(stops=True), 2))
    state = env.reset(key)
    assert not env.done(state)
    ended = jax.jit(env.step)(state, jnp.ones(()))
    assert env.done(ended)
    np.testing.assert_array_equal(env.observe(ended), [0, 0])
    np.testing.assert_array_equal(env.terminal_observation(ended), [1, 1])
    assert env.reward(state, jnp.ones(()), ended) == 1 - 3 + 0.5
    going = env.step(ended, jnp.zeros(()))
    assert not env.done(going)
    np.testing.assert_array_equal(env.observe(going), env.terminal_observation(going))


def test_each_new_episode_has_a_start_of_its_own(key):
    env = control.Batched(control.AutoReset(control.TimeLimit(Line(), 1)), 3)
    state, starts = env.reset(key), []
    for _ in range(4):
        starts.append(np.asarray(env.observe(state)))
        state = env.step(state, jnp.zeros((3, 1)))
    assert len(np.unique(starts)) == 12


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: control.Batched(Line(), 0), "Batched"),
        (lambda: control.TimeLimit(Line(), 2.5), "TimeLimit"),
        (lambda: control.Discrete(1), "Discrete"),
        (lambda: control.Box([1.0], [0.0]), "Box"),
    ],
)
def test_numbers_that_cannot_be(make, said):
    with pytest.raises(SpanaxError, match=said):
        make()


def test_which_end_it_was():
    """A rule counts more than time, at any depth; both are `done`."""
    env = control.TimeLimit(control.TimeLimit(Line(edge=3.0), 2), 5)
    state = env.reset(jax.random.key(0))
    for action, ends in ((0.0, (False, False)), (0.0, (False, True))):
        state = env.step(state, jnp.full((1,), action))
        assert (env.terminated(state), env.truncated(state)) == ends
    over = env.step(env.reset(jax.random.key(0)), jnp.full((1,), 9.0))
    assert (env.terminated(over), env.truncated(over)) == (True, False)
    assert not Line().truncated(jnp.zeros(())) and Line(edge=1.0).terminated(jnp.full((), 2.0))


def test_a_rollout_tells_how_it_ended():
    found = control.rollout(
        control.TimeLimit(Line(), 3), lambda o: 0 * o, control.TimeLimit(Line(), 3).reset(jax.random.key(0)), 5
    )
    np.testing.assert_array_equal(found.truncated, [False, False, True, False, False])
    assert not found.terminated.any()
    found = control.rollout(Line(edge=1.5), lambda o: o, jnp.array(0.5), 4)
    np.testing.assert_array_equal(found.terminated, [False, True, False, False])
    assert not found.truncated.any()


def test_a_rollout_goes_on_through_the_episodes(key):
    env = control.AutoReset(control.TimeLimit(Line(edge=1.5), 4))
    found = control.rollout(env, lambda o: 0.2 + 0 * o, env.reset(key), 13)
    assert found.alive.all()
    ends = found.terminated | found.truncated
    starts = np.asarray(found.observations[:, 0])[1:][np.asarray(ends)[:-1]]
    assert len(starts) >= 3 and np.all((starts >= 0.5) & (starts <= 1.0)) and len(np.unique(starts)) == len(starts)
    assert not (found.terminated & found.truncated).any()
    np.testing.assert_array_equal(found.rewards != 0, True)


def test_the_return_is_that_of_the_first_episode(key):
    once, again = control.TimeLimit(Line(edge=1.2), 4), control.AutoReset(control.TimeLimit(Line(edge=1.2), 4))
    starts = jax.vmap(again.reset)(jax.random.split(key, 6))
    policy = lambda o: 0.3 + 0 * o
    np.testing.assert_allclose(
        control.evaluate(again, policy, starts), control.evaluate(once, policy, starts.state), rtol=1e-6
    )


# What follows from other methods that are passed on, and what a wrapper cannot say.
FOLLOWS = {"terminated", "frames"}
CANNOT = {control.AutoReset: {"state_from"}}  # which episode's key comes next is not observed


@pytest.mark.parametrize("wrapper", [control.TimeLimit, control.Batched, control.AutoReset, control.Corrected])
def test_all_that_an_environment_has_is_passed_on(wrapper):
    """From the list of `Env` itself: what is added there and forgotten in a wrapper would be the default, without a word."""
    below = wrapper.__mro__[: wrapper.__mro__.index(control.Env)]
    public = {name for name in vars(control.Env) if not name.startswith("_")}
    missing = {name for name in public if not any(name in vars(c) for c in below)}
    assert missing <= FOLLOWS | CANNOT.get(wrapper, set())
