"""The short-horizon actor-critic against derivatives by hand, and its critic against exact values."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import spanax as sx
from spanax import SpanaxError, control
from spanax.control._training.method import Task
from spanax.control._training.outliers import copies
from spanax.control._training.state_value import Fitting, StateValue, targets
from spanax.control._training.windows import Steps

from .envs import Coins, Line

DISCOUNT = 0.9


class Gain(eqx.Module):
    w: jax.Array

    def __call__(self, observation):
        return self.w * observation


def with_value(method, task, key, policy=None):
    """A carry whose critic has seen something: random weights, and units of its own."""
    carry = method.start(task, policy, key)
    value = eqx.tree_at(lambda v: (v.middle, v.spread, v.seen), carry.value, tuple(map(jnp.asarray, (3.0, 2.0, 1.0))))
    return carry._replace(value=value)


def by_hand(value, x):
    """The critic's network in NumPy."""
    h = np.atleast_1d(np.asarray(x, float))
    for layer in value.target.layers[:-1]:
        z = np.asarray(layer.weight) @ h + np.asarray(layer.bias)
        h = z / (1 + np.exp(-z))
    last = value.target.layers[-1]
    return 3.0 + 2.0 * float((np.asarray(last.weight) @ h + np.asarray(last.bias)).squeeze())


def objective(w, x, steps, horizon, value, *, bootstraps):
    """(sum of discount^t x_t^2 + discount^steps V(x_steps)) / horizon of x' = (0.9 + w) x."""
    total = 0.0
    for t in range(steps):
        x = (0.9 + w) * x
        total += DISCOUNT**t * x**2
    return (total + bootstraps * DISCOUNT**steps * by_hand(value, x)) / horizon


# name: (environment, steps of the window, whether a value follows it)
CASES = {
    "the window ends": (Line(), 3, 1),
    "the time is over": (Line(limit=2), 2, 1),
    "a time limit": (control.TimeLimit(Line(limit=5), 2), 2, 1),
    "a rule ends it": (Line(edge=1.2), 1, 0),
    "a rule, inside a time limit": (control.TimeLimit(Line(edge=1.2), 1), 1, 0),
}


@pytest.mark.few(5)
@pytest.mark.parametrize("case", CASES)
def test_the_actor_follows_the_derivative_by_hand(case, x64, key):
    env, steps, bootstraps = CASES[case]
    w = 2.0 if "rule" in case else -0.3
    method, task = control.SHAC(horizon=3, discount=DISCOUNT), Task(env, 1, None)
    carry = with_value(method, task, key)
    step = jax.value_and_grad(lambda w: method.objective(task, Gain(w), carry, key), has_aux=True)
    (value, (_, seen)), gradient = step(jnp.array(w))
    x, h = float(jax.tree.leaves(carry.episodes.state)[0][0]), 1e-5
    reference = [objective(w + d, x, steps, 3, carry.value, bootstraps=bootstraps) for d in (-h, 0, h)]
    np.testing.assert_allclose(value, reference[1], rtol=1e-10)
    np.testing.assert_allclose(gradient, (reference[2] - reference[0]) / (2 * h), rtol=1e-6)
    assert int(seen.steps) == steps


def test_an_untrained_critic_does_not_count(x64, key):
    method, task = control.SHAC(horizon=2), Task(Line(), 1, None)
    carry = method.start(task, None, key)
    x = float(carry.episodes.state[0])
    value, _ = method.objective(task, Gain(jnp.array(-0.3)), carry, key)
    np.testing.assert_allclose(value, (0.6**2 + 0.99 * 0.6**4) * x**2 / 2, rtol=1e-12)


def test_targets_are_the_lambda_returns(key):
    """Against the forward view: the mean of n-step returns, weighted by (1 - lambda) lambda^(n - 1)."""
    rng, n, trace = np.random.default_rng(0), 6, 0.7
    costs, ahead = rng.normal(size=(2, 3, n))
    last, terminated = np.zeros((2, 3, n), bool)
    last[0, 2] = last[1, 4] = terminated[1, 4] = True
    alive = np.stack([np.arange(n) <= end for end in (2, 4, n - 1)])
    found = np.asarray(
        targets(
            Steps(*(jnp.asarray(x) for x in (costs, costs, costs, alive, last, terminated))),
            jnp.asarray(ahead),
            Fitting(DISCOUNT, trace, 1e-3, 1),
        )
    )
    for row, end in enumerate((2, 4, n - 1)):
        for t in range(end + 1):
            returns = []
            for k in range(1, end - t + 2):
                known = sum(DISCOUNT**j * costs[row, t + j] for j in range(k))
                bootstraps = not (t + k - 1 == end and terminated[row, end])
                returns.append(known + bootstraps * DISCOUNT**k * ahead[row, t + k - 1])
            weights = [(1 - trace) * trace**k for k in range(len(returns))]
            weights[-1] = trace ** (len(returns) - 1)
            np.testing.assert_allclose(found[row, t], np.dot(weights, returns), rtol=1e-5)


class Chain(control.Env):
    """Three states in a row, each step costs 1. After the last a rule ends the episode, or else it begins again."""

    ends: bool = True

    def reset(self, key):
        return jnp.zeros((), float)

    def step(self, state, action):
        return state + 1 if self.ends else (state + 1) % 3.0

    def observe(self, state):
        return (state == jnp.arange(3.0)).astype(float)

    def reward(self, state, action, next_state):
        return 0 * action[0] - 1.0

    def done(self, state):
        return state > 2

    action_space = control.Box([-1.0], [1.0])
    observation_space = control.Box([0.0] * 3, [1.0] * 3)
    max_steps = 5


@pytest.mark.parametrize(("ends", "exact"), [(True, [2.71, 1.9, 1.0]), (False, [10.0] * 3)])
def test_the_critic_finds_the_exact_value(ends, exact, key):
    """1 + 0.9 + 0.81, ... where a rule ends the chain; 1 / (1 - 0.9) where only the time is over."""

    class Still(eqx.Module):
        w: jax.Array

        def __call__(self, observation):
            return self.w * observation[:1]

    method, task = control.SHAC(horizon=2, discount=DISCOUNT, rate=3e-3), Task(Chain(ends), 8, None)
    learn = jax.jit(lambda carry, key: method.objective(task, Still(jnp.array(0.1)), carry, key)[1][0])
    carry = method.start(task, None, key)
    for k in jax.random.split(key, 150):
        carry = learn(carry, k)
    np.testing.assert_allclose(jax.vmap(carry.value)(jnp.eye(3)), exact, rtol=0.02)


def test_new_units_change_no_prediction(key):
    value = StateValue.new(Line(), Fitting(DISCOUNT, 0.9, 1e-3, 1), key)
    value = eqx.tree_at(lambda v: (v.seen, v.spread), value, (jnp.ones(()), jnp.array(5.0)))
    moved = value._in_units_of(jnp.array([[100.0, 300.0]]), jnp.ones((1, 2), bool))
    x = jnp.array([0.7])
    assert abs(float(moved.middle) - 20) < 1e-3
    np.testing.assert_allclose(moved(x), value(x), rtol=1e-4)


def test_of_a_window_that_explodes_only_a_share_is_taken():
    """Lengths 1, 2, 100 and 1: the median is 1.5, and 15 the most."""
    slopes = jnp.array([[1.0, 0.0], [0.0, 2.0], [60.0, 80.0], [0.6, 0.8]])
    gradient = jax.grad(lambda w: jnp.sum(slopes * copies(w, 4, 10.0)))(jnp.zeros(2))
    np.testing.assert_allclose(gradient, [1 + 9 + 0.6, 2 + 12 + 0.8], rtol=1e-6)
    broken = jax.grad(lambda w: jnp.sum(slopes.at[2].set(jnp.inf) * copies(w, 4, 10.0)))(jnp.zeros(2))
    assert not np.any(np.isfinite(broken))


def test_episodes_are_given_up_early_and_returns_are_those_of_whole_ones(key):
    """With 3 windows to an episode, half of them have 1, 0.29 have 2 and 0.21 all of them: 600 episodes, 4.5 standard errors."""
    method, task = control.SHAC(horizon=2), Task(Line(), 600, None)
    carry = method.start(task, None, key)
    limits = np.asarray(carry.episodes.limit)
    for steps, share in zip((2, 4, 6), np.diff(np.log([1, 2, 3, 4])) / np.log(4), strict=True):
        assert abs(np.mean(limits == steps) - share) < 4.5 * np.sqrt(share * (1 - share) / 600)
    _, (_, seen) = method.objective(task, Gain(jnp.array(-0.3)), carry, key)
    assert int(seen.ended) == 0


class Drawn(eqx.Module):
    w: jax.Array
    via: sx.bridges.Bridge

    def __call__(self, observation, *, key=None):
        return sx.sample(key, dist.Bernoulli(logits=self.w + 0 * observation[0]), via=self.via, name="coin")


def test_a_policy_that_draws_is_unbiased_by_the_score_function(key):
    """d/dw of the expectation over four courses, by hand; 4,000 gradients within 4.5 standard errors (7e-6)."""
    method, task = control.SHAC(horizon=2, discount=DISCOUNT), Task(Coins(), 1, None)
    carry = with_value(method, task, key)

    def mean(w):
        q, total = 1 / (1 + np.exp(-w)), 0.0
        for a in (0, 1):
            for b in (0, 1):
                cost = -(a**2 - 3 * a + 0.5) - DISCOUNT * ((a + b) ** 2 + 0.5)
                cost += DISCOUNT**2 * by_hand(carry.value, [2.0, a + b])
                total += (q if a else 1 - q) * (q if b else 1 - q) * cost / 2
        return total

    def gradient(key):
        return jax.grad(lambda w: method.objective(task, Drawn(w, sx.ScoreFunction()), carry, key)[0])(jnp.array(0.4))

    found = np.asarray(jax.jit(jax.vmap(gradient))(jax.random.split(key, 4000)))
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - (mean(0.4 + 1e-5) - mean(0.4 - 1e-5)) / 2e-5) < 4.5 * error


def test_a_discrete_policy_trains(key):
    env = control.CartPole()
    policy = control.MLPPolicy(env, key=key, width=8, via=sx.StraightThrough(sx.Soft(0.5)))
    found = control.train(env, policy, via=control.SHAC(horizon=4), key=key, updates=3, batch=4, progress=False)
    assert np.all(found.gradient_norms > 0)


def test_a_training_goes_on_from_its_checkpoint(key, tmp_path):
    def train(updates, checkpoint=None):
        policy = control.MLPPolicy(Line(), key=key, width=4, depth=1)
        rate = control.SHAC().optimizer(10, policy)
        via = control.SHAC(horizon=2, iterations=2)
        settings = {"updates": updates, "batch": 4, "optimizer": rate, "progress": False}
        return control.train(Line(), policy, via=via, key=key, checkpoint=checkpoint, **settings)

    train(3, tmp_path / "run")
    again, whole = train(6, tmp_path / "run"), train(6)
    np.testing.assert_array_equal(again.objectives, whole.objectives)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"horizon": 0}, "horizon=0"),
        ({"discount": 1.0}, "discount=1.0"),
        ({"trace": 1.5}, "trace=1.5"),
        ({"kept": 1.0}, "kept=1.0"),
        ({"rate": 0.0}, "rate=0.0"),
        ({"iterations": 2.5}, "iterations=2.5"),
    ],
)
def test_settings_that_cannot_be(settings, said):
    with pytest.raises(SpanaxError, match=said):
        control.SHAC(**settings)


def test_what_it_cannot_be_trained_in(key):
    class Endless(Line):
        @property
        def max_steps(self):
            return None

    with pytest.raises(SpanaxError, match="TimeLimit"):
        control.train(Endless(), Gain(jnp.array(0.1)), via=control.SHAC(), key=key)
    with pytest.raises(SpanaxError, match="LearnedModel"):
        control.train(
            control.from_gymnasium("Pendulum-v1", n=1), Gain(jnp.array([[0.1] * 3])), via=control.SHAC(), key=key
        )


@pytest.mark.slow
def test_the_pendulum_is_swung_up_by_default(key):
    """Measured: -154 on the mean of 100 starts; a policy that does nothing earns -1,200."""
    env = control.Pendulum()
    found = control.train(env, control.MLPPolicy(env, key=key), via=control.SHAC(), key=key, progress=False)
    assert np.mean(control.evaluate(env, found.policy, 100, key=jax.random.key(1))) > -200
