"""Ours as Gymnasium environments: Gymnasium's checker, our own rollout step for step, seeds, time limits, what is refused."""

import pickle
import subprocess
import sys
import warnings

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import spanax as sx
from spanax.control.env import Box, Env
from spanax.control.gym.to_gymnasium import to_gymnasium
from spanax.control.problems.cartpole import CartPole
from spanax.control.problems.pendulum import Pendulum
from spanax.control.wrappers import AutoReset, Batched, TimeLimit


class Drift(Env):
    """A point pushed about; bounded in all that Gymnasium's checker wants bounded."""

    gain: float = 0.1
    limit: int | None = None

    def reset(self, key):
        return {"at": 0.5 * jax.random.normal(key, (2, 3))}

    def step(self, state, action):
        return {"at": jnp.clip(state["at"] + self.gain * action, -9.0, 9.0)}

    def observe(self, state):
        return state["at"]

    def reward(self, state, action, next_state):
        return -jnp.sum(next_state["at"] ** 2)

    def done(self, state):
        return state["at"][0, 0] > 1.0

    @property
    def action_space(self):
        return Box(-np.ones((2, 3)), np.ones((2, 3)))

    @property
    def observation_space(self):
        return Box(np.full((2, 3), -9.0), np.full((2, 3), 9.0))

    @property
    def max_steps(self):
        return self.limit


ENVS = {"CartPole-v1": CartPole(), "Pendulum-v1": Pendulum(), "drift": Drift(limit=20)}
every = pytest.mark.parametrize("name", ENVS)


def complaints(env):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env, skip_render_check=True)
    return {str(warning.message) for warning in caught}


@every
def test_gymnasiums_checker_says_nothing_that_it_does_not_say_of_its_own(name, dtype):
    expected = complaints(gymnasium.make(name).unwrapped) if name in gymnasium.registry else set()
    assert complaints(to_gymnasium(ENVS[name])) == expected


@every
def test_its_spec_makes_another_one(name):
    env = to_gymnasium(ENVS[name])
    made = gymnasium.make(env.spec)
    made.reset(seed=0)
    made.step(made.action_space.sample())
    made.close()
    assert isinstance(made.unwrapped, type(env))


@pytest.mark.few(2)
@every
def test_steps_are_those_of_the_environment(name, dtype):
    env, ours = ENVS[name], to_gymnasium(ENVS[name], seed=3)
    ours.action_space.seed(3)
    rng, over = np.random.default_rng(3), True
    for _ in range(60):
        if over:
            observation, info = ours.reset()
            state = env.reset(jax.random.key(rng.integers(2**32, dtype=np.uint32)))
            np.testing.assert_allclose(observation, env.observe(state), rtol=1e-6)
            steps = 0
        action = ours.action_space.sample()
        observation, reward, terminated, truncated, info = ours.step(action)
        after = env.step(state, jnp.asarray(action))
        steps += 1
        # Compiled, sums are taken in another order.
        np.testing.assert_allclose(observation, env.observe(after), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(reward, env.reward(state, jnp.asarray(action), after), rtol=1e-5)
        assert (terminated, truncated, info) == (bool(env.done(after)), steps == env.max_steps, {})
        assert observation.dtype == dtype == ours.observation_space.dtype
        assert type(reward) is float and type(terminated) is bool and type(truncated) is bool
        state, over = ours.state, terminated or truncated


def test_spaces_are_gymnasiums_own():
    for name in ("CartPole-v1", "Pendulum-v1"):
        ours, theirs = to_gymnasium(ENVS[name]), gymnasium.make(name)
        assert ours.observation_space == theirs.observation_space
        assert ours.action_space == theirs.action_space
        assert ours.spec.max_episode_steps == theirs.spec.max_episode_steps


def test_cartpole_ends_where_gymnasiums_does():
    ours, theirs = to_gymnasium(CartPole()), gymnasium.make("CartPole-v1")
    for seed in range(20):
        observation, _ = ours.reset(seed=seed)
        theirs.reset(seed=seed)
        theirs.unwrapped.state = observation.astype(float)
        over, rng = False, np.random.default_rng(seed)
        while not over:
            action = rng.integers(2)
            observation, *ended = ours.step(action)
            expected, *their_end = theirs.step(action)
            np.testing.assert_allclose(observation, expected, rtol=1e-4, atol=1e-5)
            assert ended == their_end
            over = ended[1] or ended[2]


def test_seeds():
    ours, again = to_gymnasium(CartPole(), seed=7), to_gymnasium(CartPole(), seed=7)
    first = [ours.reset()[0] for _ in range(3)]
    np.testing.assert_array_equal(first, [again.reset()[0] for _ in range(3)])
    assert len({tuple(x) for x in first}) == 3
    np.testing.assert_array_equal(ours.reset(seed=7)[0], first[0])  # a seed begins the sequence again
    np.testing.assert_array_equal(ours.reset()[0], first[1])
    assert not np.array_equal(ours.reset(seed=8)[0], first[0])
    assert not np.array_equal(to_gymnasium(CartPole()).reset()[0], to_gymnasium(CartPole()).reset()[0])
    ours.np_random = np.random.default_rng(7)  # gymnasium's own stream, from seed 7
    np.testing.assert_array_equal(ours.reset()[0], first[0])
    np.testing.assert_array_equal(gymnasium.make(again.spec).reset()[0], first[0])


def test_a_time_limit_truncates_and_a_rule_terminates():
    ours = to_gymnasium(TimeLimit(CartPole(), 4))
    ours.reset(seed=0)
    assert [ours.step(i % 2)[2:4] for i in range(4)] == [(False, False)] * 3 + [(False, True)]
    assert ours.spec.max_episode_steps == 4
    ours = to_gymnasium(CartPole())
    ours.reset(seed=0)
    steps = [ours.step(1)]
    while not steps[-1][2]:
        steps.append(ours.step(1))
    assert 5 < len(steps) < 20 and not any(truncated for *_, truncated, _ in steps)
    endless = to_gymnasium(Drift())
    endless.reset(seed=0)
    assert not any(endless.step(-np.ones((2, 3), np.float32))[3] for _ in range(300))


def test_what_it_gives_belongs_to_the_caller():
    ours = to_gymnasium(CartPole())
    observation, info = ours.reset(seed=0)
    kept = observation.copy()
    observation[:] = 9.0
    info["mine"] = 1
    after, *_, other = ours.step(1)
    assert abs(after[0]) < 0.1 and other == {}
    np.testing.assert_allclose(after[0], kept[0] + 0.02 * kept[1], rtol=1e-5)


def test_it_can_be_copied_to_another_process():
    ours = to_gymnasium(Drift(gain=0.3, limit=9), seed=1)
    ours.reset()
    copy = pickle.loads(pickle.dumps(ours))
    action = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(copy.step(action)[0], ours.step(action)[0])
    np.testing.assert_array_equal(copy.reset()[0], ours.reset()[0])


def test_several_in_gymnasiums_vector():
    envs = gymnasium.vector.SyncVectorEnv([lambda: to_gymnasium(CartPole())] * 3)
    envs.reset(seed=1)
    ends = [envs.step(np.array([1, 0, 1]))[2] for _ in range(30)]
    assert np.any(ends, 0).all()  # all three fell, and were reset
    envs.close()


@pytest.mark.parametrize("action", [2, -1, 0.7, np.array([1]), np.array([0.0, 1.0])])
def test_an_action_that_is_none(action):
    ours = to_gymnasium(CartPole())
    ours.reset(seed=0)
    with pytest.raises(sx.SpanaxError, match=r"(?s)the action .*Discrete\(2\).*test_to_gymnasium"):
        ours.step(action)


def test_a_box_action_of_another_shape():
    ours = to_gymnasium(Pendulum())
    ours.reset(seed=0)
    with pytest.raises(sx.SpanaxError, match=r"(?s)the action 0\.5.*Box"):
        ours.step(0.5)


def test_a_step_outside_of_an_episode():
    ours = to_gymnasium(TimeLimit(Pendulum(), 2))
    action = np.zeros(1, np.float32)
    for _ in range(2):
        with pytest.raises(sx.SpanaxError, match=r"(?s)over or has not begun.*test_to_gymnasium.*reset"):
            ours.step(action)
        ours.reset(seed=0)
        ours.step(action)
        ours.step(action)
    with pytest.raises(sx.SpanaxError, match="options"):
        ours.reset(options={"low": -1})
    ours.reset(options={})


@pytest.mark.parametrize(
    "env, match",
    [
        (Batched(CartPole(), 3), "Batched.*env.env"),
        (AutoReset(TimeLimit(CartPole())), "AutoReset"),
        (gymnasium.make("CartPole-v1"), "not a control.Env"),
    ],
)
def test_what_it_refuses(env, match):
    with pytest.raises(sx.SpanaxError, match=f"(?s){match}"):
        to_gymnasium(env)


def test_without_gymnasium_it_says_what_to_install():
    script = """
import sys
sys.modules["gymnasium"] = None
import spanax as sx
from spanax.control.gym.to_gymnasium import to_gymnasium
from spanax.control.problems.cartpole import CartPole
try:
    to_gymnasium(CartPole())
except sx.SpanaxError as error:
    print(error)
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pip install 'spanax[gym]'" in out.stdout


# -- pictures


@pytest.fixture
def windows(monkeypatch):
    """Invisible ones; and afterwards the backend that was there."""
    import matplotlib
    from matplotlib import pyplot

    before = matplotlib.get_backend()
    pyplot.switch_backend("module://tests.control.window_backend")
    yield pyplot
    pyplot.close("all")
    pyplot.switch_backend(before)


@every
def test_gymnasiums_checker_says_nothing_of_its_pictures(name):
    env = to_gymnasium(ENVS[name], render_mode=None if name == "drift" else "rgb_array")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env, skip_render_check=False)
    said = {str(warning.message) for warning in caught}
    assert not [x for x in said if "render" in x and "render_modes" not in x]
    assert ("rgb_array" in env.metadata["render_modes"]) == (name != "drift")


def test_the_picture_is_that_of_the_environment():
    ours = to_gymnasium(Pendulum(), render_mode="rgb_array")
    ours.reset(seed=0)
    action = np.ones(1, np.float32)
    ours.step(action)
    np.testing.assert_array_equal(ours.render(), Pendulum().render(ours.state, action))
    assert ours.metadata["render_fps"] == 20 and to_gymnasium(CartPole()).metadata["render_fps"] == 50
    made = gymnasium.make(ours.spec, render_mode="rgb_array")
    made.reset(seed=0)
    np.testing.assert_array_equal(made.render(), Pendulum().render(made.unwrapped.state))


def test_gymnasium_records_a_video(tmp_path):
    ours = gymnasium.wrappers.RenderCollection(to_gymnasium(TimeLimit(CartPole(), 3), render_mode="rgb_array"))
    ours.reset(seed=0)
    for _ in range(3):
        ours.step(1)
    assert len(ours.render()) == 4


def test_a_window_shows_each_step(windows):
    from . import window_backend

    ours = to_gymnasium(TimeLimit(CartPole(), 3), render_mode="human")
    assert ours.metadata["render_modes"] == ["human", "rgb_array"]
    window_backend.seconds.clear()
    ours.reset(seed=0)
    for _ in range(3):
        ours.step(1)
    assert len(window_backend.seconds) == 4 and ours.render() is None
    assert all(0 < seconds <= 0.02 for seconds in window_backend.seconds)  # of 50 pictures a second
    assert len(windows.get_fignums()) == 1
    ours.close()
    assert not windows.get_fignums()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bounds
        check_env(to_gymnasium(CartPole()))  # it opens a window of its own


def test_no_window_without_a_display(monkeypatch):
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    with pytest.raises(sx.SpanaxError, match=r"(?s)no display.*rgb_array.*animate"):
        to_gymnasium(CartPole(), render_mode="human")
    assert to_gymnasium(CartPole()).metadata["render_modes"] == ["rgb_array"]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: to_gymnasium(CartPole(), render_mode="ansi"), "render_mode='ansi'"),
        (lambda: to_gymnasium(Drift(), render_mode="rgb_array"), r"Drift has no drawing.*render\(self"),
        (lambda: to_gymnasium(TimeLimit(Drift(), 3), render_mode="human"), "Drift has no drawing"),
        (lambda: to_gymnasium(CartPole()).render(), "without a render_mode"),
        (lambda: to_gymnasium(CartPole(), render_mode="rgb_array").render(), "no episode has begun"),
    ],
)
def test_pictures_that_it_refuses(make, match):
    with pytest.raises(sx.SpanaxError, match=f"(?s){match}"):
        make()
