"""`Mixed`: unbiased where its parts are, as good as the better of them, and safe where the analytic one is wrong."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax.flatten_util import ravel_pytree

import spanax as sx
from spanax import control
from spanax.control._training.method import Task
from spanax.control.methods._mixing import Memory

KEY = jax.random.key(0)


class Throw(control.Env):
    """A point moves along a line by its actions; behind `wall` it is mirrored, `jump` further in the next step."""

    wall: float = 0.5
    jump: float = 0.0
    action_space = control.Box([-2.0], [2.0])
    observation_space = control.Box([-np.inf], [np.inf])
    max_steps = 3

    def reset(self, key):
        return jax.random.uniform(key, (1,), minval=-0.2, maxval=0.2)

    def step(self, state, action):
        arrived = state + 0.5 * action
        return jnp.where(arrived > self.wall, arrived - self.jump, arrived)

    def observe(self, state):
        return state

    def reward(self, state, action, next_state):
        return -jnp.sum((next_state - 0.6) ** 2)


class Linear(eqx.Module):
    """Actions around gain * observation + shift."""

    weights: jax.Array
    log_std: jax.Array

    def distribution(self, observation):
        mean = self.weights[0] * observation + self.weights[1]
        return dist.Normal(mean, jnp.exp(self.log_std)).to_event(1)


POLICY = Linear(jnp.array([0.3, 0.2]), jnp.array([-1.0]))


def gradients(method, env, count, batch=16, carry=None, seed=0):
    """`count` gradients at fixed weights of the method, [count, 3], and the carry after them."""
    task = Task(env, batch, None)
    arrays, static = eqx.partition(POLICY, eqx.is_inexact_array)

    @jax.jit
    def one(carry, key):
        def objective(arrays):
            return method.objective(task, eqx.combine(arrays, static), carry, key)

        gradient, (carry, _) = jax.grad(objective, has_aux=True)(arrays)
        return carry, ravel_pytree(gradient)[0]

    carry = method.start(task, POLICY, KEY) if carry is None else carry
    rows = []
    for key in jax.random.split(jax.random.key(seed), count):
        carry, row = one(carry, key)
        rows.append(np.asarray(row, float))
    return np.array(rows), carry


def exact(env, batch=256, count=60):
    """By the score function of a method that knows nothing of derivatives, and its standard errors."""
    rows, _ = gradients(control.PolicyGradient("leave-one-out"), env, count, batch, seed=77)
    return rows.mean(0), rows.std(0) / np.sqrt(count)


@pytest.mark.parametrize("jump", [0.0, 0.4])
def test_it_is_unbiased(jump):
    # With the memory of earlier updates, and where the analytic gradient is right as where it is wrong.
    env = Throw(jump=jump)
    truth, error = exact(env)
    _, warm = gradients(control.Mixed(), env, 60)
    found = []
    for seed in range(2):
        found.append(gradients(control.Mixed(), env, 60, carry=warm, seed=seed + 1)[0])
    found = np.concatenate(found)
    z = (found.mean(0) - truth) / np.sqrt(found.var(0) / len(found) + error**2)
    # Three numbers, 4 standard errors: a false alarm in 5000.
    assert np.all(np.abs(z) < 4)


class Errors(NamedTuple):
    mixed: float
    score: float


def errors(jump):
    env = Throw(jump=jump)
    truth, _ = exact(env)
    _, warm = gradients(control.Mixed(), env, 100)
    root = lambda rows: float(np.sqrt(np.mean(np.sum((rows - truth) ** 2, axis=1))))
    mixed, _ = gradients(control.Mixed(), env, 100, carry=warm, seed=5)
    score, _ = gradients(control.PolicyGradient("leave-one-out"), env, 100, seed=5)
    return Errors(root(mixed), root(score))


def test_it_is_better_than_the_score_function_where_the_derivative_is_right():
    found = errors(0.0)
    assert found.mixed < 0.8 * found.score


def test_it_is_no_worse_where_the_derivative_is_wrong():
    found = errors(0.4)
    assert found.mixed < 1.05 * found.score


def test_the_analytic_gradient_is_used_where_it_is_right_and_not_where_it_is_wrong():
    _, right = gradients(control.Mixed(), Throw(), 100)
    _, wrong = gradients(control.Mixed(), Throw(jump=0.4), 100)
    largest = [max(float(np.max(w)) for w in carry.memory.weights()) for carry in (right, wrong)]
    # Of the mean of an action it is known soon; of its spread, whose gradient is small, it takes longer.
    assert largest[0] > 0.5
    assert largest[1] == 0


def test_nothing_is_taken_from_the_analytic_gradient_before_anything_is_known():
    fresh = Memory.new([jax.ShapeDtypeStruct((3, 1), jnp.float32)], 3, 1)
    assert np.all(np.asarray(fresh.weights()[0]) == 0)


def test_a_derivative_that_is_nan_does_no_harm():
    class Broken(Throw):
        def reward(self, state, action, next_state):
            # Finite, with the derivative NaN.
            return -jnp.sum((next_state - 0.6) ** 2) + 0.0 * jnp.sum(jnp.sqrt(jnp.abs(action - action)))

    rows, _ = gradients(control.Mixed(), Broken(), 30)
    truth, _ = exact(Throw())
    assert np.all(np.isfinite(rows))
    assert np.allclose(rows.mean(0), truth, atol=5 * np.max(rows.std(0)) / np.sqrt(30))


def test_the_value_is_the_mean_cost():
    method, env = control.Mixed(horizon=2), Throw()
    task = Task(env, 8, None)
    carry = method.start(task, POLICY, KEY)
    value, (_, seen) = method.objective(task, POLICY, carry, KEY)
    assert value == pytest.approx(-float(seen.earned) / 16, rel=1e-5)
    assert (int(seen.steps), int(seen.episodes), int(seen.ended)) == (16, 8, 8)


def test_an_episode_ends_where_the_environment_says():
    class Ending(Throw):
        def done(self, state):
            return state[0] > 0.3

    rows, _ = gradients(control.Mixed(), Ending(), 40)
    truth, error = exact(Ending())
    z = (rows.mean(0) - truth) / np.sqrt(rows.var(0) / len(rows) + error**2)
    assert np.all(np.abs(z) < 4)


def test_it_trains():
    env = control.Pendulum()
    policy = control.MLPPolicy(env, key=KEY, width=8)
    result = control.train(env, policy, via=control.Mixed(horizon=20), key=KEY, updates=5, batch=4, progress=False)
    assert result.env_steps == 5 * 4 * 20
    assert np.all(np.isfinite(result.gradient_norms))


def test_in_double_precision(x64):
    env = control.Pendulum()
    policy = control.MLPPolicy(env, key=KEY, width=8)
    result = control.train(env, policy, via=control.Mixed(horizon=5), key=KEY, updates=2, batch=4, progress=False)
    assert result.policy.log_std.dtype == jnp.float64


class Still(eqx.Module):
    weights: jax.Array

    def __call__(self, observation):
        return self.weights


@pytest.mark.parametrize(
    ("env", "policy", "options", "says"),
    [
        (Throw(), Still(jnp.ones(1)), {}, "needs the distribution"),
        (Throw(), POLICY, {"batch": 7}, "pairs of episodes"),
        (Throw(), POLICY, {"batch": 2}, "pairs of episodes"),
        (control.CartPole(), control.MLPPolicy(control.CartPole(), key=KEY), {}, "whose draws have no derivative"),
    ],
)
def test_what_does_not_fit_is_refused(env, policy, options, says):
    with pytest.raises(sx.SpanaxError, match=says):
        control.train(env, policy, via=control.Mixed(), key=KEY, updates=1, progress=False, **options)


@pytest.mark.parametrize("options", [{"horizon": 0}, {"memory": 1}, {"horizon": 2.5}])
def test_wrong_arguments_are_refused(options):
    with pytest.raises(sx.SpanaxError, match=next(iter(options))):
        control.Mixed(**options)
