"""A model learned from real episodes: its pieces by hand, its predictions against the truth, and training in it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import spanax as sx
from spanax import SpanaxError, control
from spanax.control._training.method import Task
from spanax.control.methods._learned_model.collecting import collect
from spanax.control.methods._learned_model.ensemble import Ensemble
from spanax.control.methods._learned_model.imagined import Imagined
from spanax.control.methods._learned_model.judging import verdict_on
from spanax.control.methods._learned_model.transitions import Rows, Transitions, encode

from .envs import Coins, Line

SMALL = {"fits": 200, "members": 2, "width": 16, "depth": 1}


class Gain(eqx.Module):
    w: jax.Array

    def __call__(self, observation):
        return self.w * observation


def rows(numbers):
    x = jnp.asarray(numbers, float)
    return Rows(x[:, None], x[:, None], x[:, None] + 1, 10 * x, x > 100)


def test_the_newest_steps_take_the_place_of_the_oldest():
    data = Transitions.empty(Line(), 5)
    data = data.add(rows([1, 2, 3, 4]), jnp.array([True, True, False, True]))
    assert int(data.kept) == 3
    data = data.add(rows([5, 6, 7, 8]), jnp.array([True, False, True, True]))
    np.testing.assert_array_equal(data.rows.rewards, [80, 20, 40, 50, 70])
    np.testing.assert_array_equal(data.rows.observations[:, 0], [8, 2, 4, 5, 7])
    assert (int(data.kept), int(data.seen)) == (5, 6)


def test_what_is_held_out_is_not_fitted_to():
    data = Transitions.empty(Line(), 13)._replace(seen=jnp.array(12))
    held = set(np.flatnonzero(data.is_held_out()).tolist())
    fitted = set(np.asarray(data.fitted(jnp.arange(int(data.fitted_count)))).tolist())
    assert held == {4, 9}
    assert fitted == set(range(12)) - held


def test_actions_as_numbers():
    box = control.Box([0.0, -jnp.inf], [4.0, jnp.inf])
    np.testing.assert_allclose(encode(box, jnp.array([3.0, 7.0])), [0.5, 7])
    assert np.all(np.isfinite(jax.jacobian(lambda a: encode(box, a))(jnp.ones(2))))
    np.testing.assert_allclose(encode(control.Discrete(2), jnp.array(0.25)), [0.75, 0.25])
    np.testing.assert_allclose(encode(control.Discrete(3), jnp.array(2)), [0, 0, 1])
    np.testing.assert_allclose(encode(control.Discrete(3), jnp.array([0.2, 0.3, 0.5])), [0.2, 0.3, 0.5])


@pytest.fixture(scope="module")
def learned():
    """Of 40 random episodes of a line that ends beyond 1.2."""
    env, key = Line(edge=1.2), jax.random.key(0)
    data = Transitions.empty(env, 300)
    play = jax.jit(lambda key: collect(env, Gain(jnp.zeros(1)), jnp.array(True), key))
    for k in jax.random.split(key, 40):
        got = play(k)
        data = data.add(got.rows, got.alive)
    model = Ensemble.new((1, 1), 2, 32, 2, key)
    fit = jax.jit(lambda model, data: model.fit(data, 1500, key))
    return env, data, fit(model, data)


def test_episodes_are_recorded_as_they_were(learned):
    _, data, _ = learned
    x, u, after, reward, ended = (np.asarray(a[: int(data.kept)]).squeeze() for a in data.rows)
    np.testing.assert_allclose(after, 0.9 * x + u, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(reward, -(after**2), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(ended, np.abs(after) > 1.2)
    assert 0 < np.sum(ended) < 40
    assert len(np.unique(u)) == len(u)


def test_r2_is_that_of_its_definition(learned):
    _, data, model = learned
    chosen = np.asarray(data.is_held_out())
    predict = jax.vmap(jax.vmap(model.predict, (None, 0, 0)), (0, None, None))
    found = predict(jnp.arange(2), data.rows.observations, data.rows.actions)
    truth = np.asarray(data.rows.arrived - data.rows.observations)[chosen, 0]
    error = (np.asarray(found.observation) - np.asarray(data.rows.arrived))[:, chosen, 0]
    r2 = model.r2(data.rows, jnp.asarray(chosen))
    np.testing.assert_allclose(r2[0], 1 - np.mean(error**2) / np.var(truth), rtol=1e-4)
    assert np.all(np.asarray(r2) > [0.99, 0.98, 0.5])
    constant = data.rows._replace(ended=data.rows.ended & False)
    assert np.isnan(model.r2(constant, jnp.asarray(chosen))[2])


def test_the_imagined_environment_has_the_derivative_of_the_real_one(learned):
    """d/dw of three steps' costs at w = -0.3, from 0.8: within 15%, of 160 steps. The end is predicted as well."""
    env, data, model = learned
    imagined = Imagined(env, model, data, None)
    state = imagined.reset(jax.random.key(1))._replace(observation=jnp.array([0.8]))

    def total(env, state, w):
        return control.rollout(env, Gain(jnp.reshape(w, (1,))), state, 3).rewards.sum()

    found = jax.grad(lambda w: total(imagined, state, w))(-0.3)
    np.testing.assert_allclose(found, jax.grad(lambda w: total(env, jnp.array(0.8), w))(-0.3), rtol=0.15)
    over = imagined.step(state, jnp.array([0.9]))
    assert imagined.done(over) and not imagined.done(imagined.step(state, jnp.array([0.1])))


def test_imagined_episodes_start_where_real_ones_were_and_follow_one_member(learned):
    env, data, model = learned
    imagined = Imagined(env, model, data, None)
    states = jax.vmap(imagined.reset)(jax.random.split(jax.random.key(1), 50))
    assert np.all(np.isin(states.observation, data.rows.observations[: int(data.kept)]))
    assert set(np.asarray(states.member).tolist()) == {0, 1}
    after = jax.vmap(imagined.step)(states, jnp.zeros((50, 1)))
    np.testing.assert_array_equal(after.member, states.member)


def test_a_known_reward_takes_the_place_of_the_learned_one(learned):
    env, data, model = learned
    imagined = Imagined(env, model, data, lambda observation, action, arrived: 7 * arrived[0] + action[0])
    state = imagined.reset(jax.random.key(1))
    after = imagined.step(state, jnp.array([0.5]))
    np.testing.assert_allclose(after.reward, 7 * after.observation[0] + 0.5, rtol=1e-6)


def train(updates=None, env=None, **settings):
    """A line of 6 steps, 4 episodes, of which 2 are random."""
    given = {"episodes": 4, "initial": 2, "every": 20, **SMALL, **settings.pop("via", {})}
    way = control.LearnedModel(control.BPTT(3, truncate=False), **given)
    start = Gain(jnp.array([0.0]))
    return control.train(
        env or Line(),
        start,
        via=way,
        key=jax.random.key(5),
        updates=updates,
        batch=4,
        optimizer=optax.adam(0.03),
        progress=False,
        **settings,
    )


def test_a_training_in_the_model(key, tmp_path):
    """x' = (0.9 + w) x is stopped by w = -0.9; the counts are those of real episodes; it is saved with its metrics."""
    told = []
    result = train(callback=lambda step, metrics, policy: told.append(metrics))
    assert abs(float(result.policy.w[0]) + 0.9) < 0.25
    assert (result.episodes, result.env_steps, len(result.returns)) == (4, 24, 60)
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(result.returns)), [0, 20, 40])
    assert result.returns[40] > result.returns[0]
    assert result.metrics["model_r2"][-1] > 0.9
    assert told[-1]["model_r2"] == result.metrics["model_r2"][-1]
    assert np.isnan(result.metrics["model_r2_new"][0]) and np.isfinite(result.metrics["model_r2_new"][20])
    result.save(tmp_path / "result")
    again = control.Result.load(tmp_path / "result", result.policy)
    np.testing.assert_array_equal(again.metrics["model_r2"], result.metrics["model_r2"])


def test_it_goes_on_from_a_checkpoint_as_if_it_had_never_stopped(tmp_path):
    train(30, checkpoint=tmp_path / "run")
    again, whole = train(60, checkpoint=tmp_path / "run"), train(60)
    np.testing.assert_array_equal(again.objectives, whole.objectives)
    np.testing.assert_array_equal(again.policy.w, whole.policy.w)


def test_a_black_box_of_gymnasium(key):
    env = control.from_gymnasium("CartPole-v1", n=1, max_steps=30)
    way = control.LearnedModel(
        control.BPTT(5, truncate=False),
        episodes=3,
        every=2,
        **SMALL,
        reward=lambda seen, action, after: -(after[2] ** 2),
    )
    policy = control.MLPPolicy(env, key=key, width=8, via=sx.StraightThrough(sx.Soft(0.5)))
    result = control.train(env, policy, via=way, key=key, batch=4, progress=False)
    assert result.episodes == 3
    assert np.all(result.gradient_norms > 0)
    assert np.isnan(result.metrics["model_r2_reward"][-1])


class Noise(Line):
    """Where it goes has nothing to do with where it is."""

    def step(self, state, action, *, key):
        return jax.random.uniform(key, (), minval=-1.0) + 0 * action[0]

    def observe(self, state):
        return state[None]

    def reward(self, state, action, next_state):
        return jnp.sign(next_state)


def test_a_model_that_predicts_nothing_is_not_taken_for_one():
    with pytest.raises(control.TrainingError, match=r"predicts nothing of the (.|\n)*PolicyGradient") as error:
        train(20, Noise(), via={"initial": 4})
    assert error.value.result.episodes == 4


@pytest.mark.parametrize(
    ("r2", "worst", "reward", "said"),
    [
        (0.05, 0.05, 0.99, "nothing of the observation"),
        (0.99, 0.98, 0.02, "nothing of the reward"),
        (0.95, 0.40, 0.99, "a part of the observation poorly"),
        (0.70, 0.40, 0.60, "the observation and the reward poorly"),
        (0.99, 0.95, 0.99, None),
        (0.99, 0.95, np.nan, None),
    ],
)
def test_the_verdict(r2, worst, reward, said):
    names = ("model_r2", "model_r2_worst", "model_r2_reward")
    verdict = verdict_on({name: np.array([0.0, x]) for name, x in zip(names, (r2, worst, reward), strict=True)}, True)
    assert (verdict is None) if said is None else said in verdict.problem
    assert verdict is None or verdict.fatal == ("nothing" in verdict.problem)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"episodes": 0}, "episodes=0"),
        ({"episodes": 2, "initial": 3}, "initial=3"),
        ({"every": 0}, "every=0"),
        ({"members": 1.5}, "members=1.5"),
        ({"max_transitions": -1}, "max_transitions=-1"),
        ({"via": control.LearnedModel()}, "via="),
        ({"via": "BPTT"}, "via="),
        ({"reward": 3.0}, "reward=3.0"),
    ],
)
def test_settings_that_cannot_be(settings, said):
    with pytest.raises(SpanaxError, match=said):
        control.LearnedModel(**settings)


def test_what_it_cannot_be_trained_in(key):
    class Endless(Line):
        @property
        def max_steps(self):
            return None

    for env, via, said in [
        (Endless(), control.LearnedModel(), "TimeLimit"),
        (Line(), control.LearnedModel(max_transitions=5), "max_transitions=6"),
        (Line(), control.LearnedModel(control.Choice()), "ChoicePolicy"),
    ]:
        with pytest.raises(SpanaxError, match=said):
            control.train(env, Gain(jnp.array([0.1])), via=via, key=key)


def test_updates_are_spread_over_the_episodes():
    assert control.LearnedModel(control.BPTT(), episodes=5).updates == 5 * (control.BPTT.updates // 5)
    assert control.LearnedModel(episodes=20).updates == 20 * 50  # at least 50 to an episode
    assert control.LearnedModel(episodes=20, initial=11, every=7).updates == 10 * 7
    assert control.LearnedModel(control.SHAC()).batch == control.SHAC.batch


def test_the_gradient_is_that_of_the_model(key, x64):
    """Against central differences of the same objective, after what was prepared."""
    method = control.LearnedModel(control.BPTT(3, truncate=False), episodes=2, **SMALL)
    task = Task(Line(), 4, None)
    carry, seen = jax.jit(lambda c: method.prepare(task, Gain(jnp.array([0.1])), c, key))(
        method.start(task, Gain(jnp.array([0.1])), key)
    )
    assert int(seen.steps) == 6

    def objective(w):
        return method.objective(task, Gain(w[None]), carry, key)[0]

    found, h = jax.grad(objective)(jnp.array(0.1)), 1e-5
    above, below = objective(jnp.array(0.1 + h)), objective(jnp.array(0.1 - h))
    np.testing.assert_allclose(found, (above - below) / (2 * h), rtol=1e-6)


def test_of_two_actions_random_ones_are_both(key):
    play = jax.jit(lambda key: collect(Coins(), lambda observation: 0 * observation[0], jnp.array(True), key))
    drawn = jnp.stack([play(k).rows.actions for k in jax.random.split(key, 20)])
    assert set(np.asarray(drawn[..., 1]).ravel().tolist()) == {0.0, 1.0}
