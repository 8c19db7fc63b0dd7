"""Gymnasium environments as black boxes, and what goes wrong in them."""

import json
import time
from typing import ClassVar

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax import SpanaxError, control
from spanax.control._training.checkpoint import FORMAT


class Misbehaving(gymnasium.Env):
    """Counts; in its 30th step of all something happens."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gymnasium.spaces.Discrete(2, start=5)
    taken: ClassVar[list] = []

    def __init__(self, happens=None):
        self.happens, self.steps = happens, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.normal(size=2).astype(np.float32), {}

    def step(self, action):
        self.steps += 1
        self.taken.append(action)
        reward, seen = 1.0, np.array([1.0, self.steps], np.float32)
        if self.steps == 30:
            if self.happens == "raises":
                raise ValueError("the gripper is stuck")
            if self.happens == "hangs":
                time.sleep(60)
            seen = seen * np.nan if self.happens == "nan" else seen
            reward = np.inf if self.happens == "inf" else reward
        return seen, reward, False, False, {}


def test_it_is_the_real_environment(key):
    """The same seed and actions by hand, in the library itself."""
    env = control.from_gymnasium("CartPole-v1", n=1)
    state = jax.jit(env.reset)(key)
    real = gymnasium.make("CartPole-v1")
    seed = int(jax.random.bits(key, (1,), jnp.uint32)[0] >> 1)
    seen, _ = real.reset(seed=seed)
    np.testing.assert_array_equal(env.observe(state), seen)
    for action in (1, 0, 1, 1):
        after = jax.jit(env.step)(state, jnp.asarray(action))
        seen, reward, terminated, truncated, _ = real.step(action)
        np.testing.assert_array_equal(env.observe(after), seen)
        assert env.reward(state, None, after) == reward
        assert env.done(after) == (terminated or truncated)
        state = after


def test_many_go_on_at_once_and_stand_still_at_their_end(key):
    env = control.from_gymnasium("CartPole-v1", n=4)
    states = jax.vmap(env.reset)(jax.random.split(key, 4))
    found = jax.jit(jax.vmap(lambda s: control.rollout(env, lambda o: jnp.ones((), int), s, 30)))(states)
    lengths = np.sum(found.alive, axis=1)
    assert np.all((lengths >= 8) & (lengths <= 11))
    np.testing.assert_array_equal(np.sum(found.rewards, axis=1), lengths)
    np.testing.assert_array_equal(found.final.over, True)
    assert len(np.unique(found.observations[:, 0, 0])) == 4


def test_double_precision(key, x64):
    env = control.from_gymnasium("Pendulum-v1", n=2)
    states = jax.vmap(env.reset)(jax.random.split(key, 2))
    found = jax.jit(jax.vmap(lambda s: control.rollout(env, lambda o: 5 * jnp.tanh(o[2:]), s, 3)))(states)
    assert found.rewards.dtype == found.observations.dtype == jnp.float64
    assert env.action_space == control.Box([-2.0], [2.0])
    cosine, sine, speed = found.observations[0, 1]
    np.testing.assert_allclose(cosine**2 + sine**2, 1, rtol=1e-6)


def test_actions_go_to_the_nearest_one(key):
    env, Misbehaving.taken[:] = control.from_gymnasium(Misbehaving, n=1, max_steps=9), []
    state = env.reset(key)
    for action in (jnp.array(0), jnp.array(0.9), jnp.array([0.1, 0.9]), jnp.array(True)):
        state = env.step(state, action)
    assert Misbehaving.taken == [5, 6, 6, 6]
    assert env.max_steps == 9


def test_observations_of_other_spaces_are_flattened(key):
    env = control.from_gymnasium("FrozenLake-v1", n=1)
    np.testing.assert_array_equal(env.observe(env.reset(key)), np.eye(16)[0])
    assert env.action_space == control.Discrete(4)
    assert env.observation_space.shape == (16,)


def test_a_state_cannot_be_stepped_twice(key):
    env = control.from_gymnasium("CartPole-v1", n=2)
    state = env.reset(key)
    env.step(state, jnp.array(1))
    with pytest.raises(SpanaxError, match="no longer in"):
        env.step(state, jnp.array(0))
    again = env.reset(key)
    env.step(again, jnp.array(1))


@pytest.mark.slow
def test_more_episodes_than_environments(key):
    env = control.from_gymnasium("CartPole-v1", n=2)
    with pytest.raises(SpanaxError, match=r"3 episodes at once"):
        jax.vmap(env.reset)(jax.random.split(key, 3))
    policy = control.MLPPolicy(env, key=key, width=4)
    with pytest.raises(SpanaxError, match=r"n=5") as caught:
        control.train(env, policy, via=control.PolicyGradient(), key=key, updates=1, batch=5, progress=False)
    assert "test_gymnasium.py" in caught.value.where
    assert control.evaluate(env, policy, 5, key=key).shape == (5,)


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("happens", "said"),
    [
        ("raises", r"raised ValueError in step\(\d\): the gripper is stuck"),
        ("nan", r"NaN in its observation in step\(\d\)"),
        ("inf", r"the reward inf in step\(\d\)"),
        ("hangs", r"did not answer within 0\.5 s"),
    ],
)
def test_what_goes_wrong_is_said_and_loses_no_checkpoint(key, tmp_path, happens, said):
    """Two episodes of 5 steps an update: the 30th step of an environment is in the sixth update."""
    path = tmp_path / "run"

    def train(env, updates):
        policy = control.MLPPolicy(env, key=key, width=4)
        via = control.PolicyGradient(None)
        return control.train(env, policy, via=via, key=key, updates=updates, batch=2, checkpoint=path, progress=False)

    broken = control.from_gymnasium(lambda: Misbehaving(happens), n=2, max_steps=5, timeout=0.5)
    with pytest.raises(SpanaxError, match=said) as caught:
        train(broken, 12)
    assert "test_gymnasium.py" in caught.value.where
    head = path.read_bytes()[len(FORMAT) + 32 :].partition(b"\n")[0]
    assert 1 <= json.loads(head)["updates"] <= 5
    if happens != "raises":  # one of them goes on: the files are alike
        return
    whole = control.from_gymnasium(Misbehaving, n=2, max_steps=5)
    found = train(whole, 12)
    assert len(found.returns) == 12
    assert np.all(found.returns == 5)


def test_a_derivative_through_it_is_refused(key):
    env = control.from_gymnasium("Pendulum-v1", n=1)
    policy = control.MLPPolicy(env, key=key, width=4)
    with pytest.raises(SpanaxError, match="black box"):
        control.train(env, policy, via=control.BPTT(), key=key, updates=1, batch=1)
    state = env.reset(key)
    with pytest.raises(SpanaxError, match="black box"):
        jax.grad(lambda a: env.step(state, a).reward)(jnp.ones((1,)))


@pytest.mark.slow
def test_continuous_actions_learn_by_policy_gradient(key):
    """Compiled, in one batch: actions drawn from a normal distribution and clipped."""
    env = control.from_gymnasium("Pendulum-v1", n=2, max_steps=10)
    policy = control.MLPPolicy(env, key=key, width=4)
    found = control.train(env, policy, via=control.PolicyGradient(), key=key, updates=3, batch=2, progress=False)
    assert found.env_steps == 60
    assert np.all(found.gradient_norms > 0)
    assert found.gradient_cosine is None


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: control.from_gymnasium("NoSuch-v0"), "cannot be made"),
        (lambda: control.from_gymnasium("CartPole-v1", n=0), "n=0"),
        (lambda: control.from_gymnasium("CartPole-v1", timeout=-1), "timeout=-1"),
        (lambda: control.from_gymnasium(3), "from_gymnasium"),
        (lambda: control.from_gymnasium(Misbehaving), "max_steps"),
        (lambda: control.from_gymnasium(Misbehaving()), "no spec"),
    ],
)
def test_what_cannot_be_made(make, said):
    with pytest.raises(SpanaxError, match=said) as caught:
        make()
    assert "test_gymnasium.py" in str(caught.value)


def test_an_environment_makes_others_like_it(key):
    env = control.from_gymnasium(gymnasium.make("MountainCar-v0"), n=3)
    assert env.max_steps == 200
    assert jax.vmap(env.reset)(jax.random.split(key, 3)).observation.shape == (3, 2)


def test_gaps_are_found_in_it(key):
    env = control.from_gymnasium("Pendulum-v1", n=1)
    state = env.reset(key)
    assert sx.find_gaps(lambda a: env.step(state, a).reward, jnp.ones((1,))).verdict == "dead"


# -- pictures, and how an episode ended


def test_it_draws_the_state_that_it_is_in(key):
    class Painted(Misbehaving):
        metadata: ClassVar[dict] = {"render_modes": ["rgb_array"], "render_fps": 12}
        render_mode = "rgb_array"

        def render(self):
            return np.full((4, 4, 3), self.steps)

    env = control.from_gymnasium(Painted, n=1, max_steps=9)
    first = env.reset(key)
    after = env.step(first, jnp.array(0))
    assert env.render_fps == 12
    np.testing.assert_array_equal(env.render(after), np.full((4, 4, 3), 1, np.uint8))
    with pytest.raises(SpanaxError, match="no longer in the state to be drawn"):
        env.render(first)
    silent = control.from_gymnasium("CartPole-v1", n=1)
    with pytest.raises(SpanaxError, match=r'render_mode="rgb_array"'):
        silent.render(silent.reset(key))


def test_how_an_episode_ended(key):
    """By a rule, by time, or both at once: then there is nothing beyond, and it is not truncated."""

    class Ending(Misbehaving):
        ends: ClassVar[tuple] = ()

        def step(self, action):
            seen, reward, *_ = super().step(action)
            return seen, reward, *(self.ends if self.steps == 3 else (False, False)), {}

    for ends in ((True, False), (False, True), (True, True)):
        env = control.from_gymnasium(type("Ending", (Ending,), {"ends": ends}), n=1, max_steps=5)
        found = control.rollout(env, lambda o: jnp.zeros((), int), env.reset(key), 5)
        np.testing.assert_array_equal(found.alive, [True] * 3 + [False] * 2)
        np.testing.assert_array_equal(found.terminated, [False, False, ends[0], False, False])
        np.testing.assert_array_equal(found.truncated, [False, False, ends == (False, True), False, False])
        assert (found.final.terminated, found.final.truncated) == ends
