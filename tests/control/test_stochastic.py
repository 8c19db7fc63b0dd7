"""Environments that draw in a step: their gradients against enumeration, their keys, and calls without one."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from gymnasium.utils.env_checker import check_env

import spanax as sx
from spanax import SpanaxError, control
from spanax.control._training.method import Task

from .chance import Bandit, Noisy, Slip, exact_return


class Table(eqx.Module):
    weights: jax.Array

    def __call__(self, observation):
        return jnp.tanh(self.weights @ observation)[None]

    def distribution(self, observation):
        return dist.Normal(self(observation), 0.3).to_event(1)


WEIGHTS = np.array([0.3, -0.2, 0.5, 0.1])


def gradients(method, env, n, batch=1):
    """`n` independent estimates of the gradient of the method's objective."""
    policy = Table(jnp.asarray(WEIGHTS))
    task = Task(env, batch, None)
    carry = method.start(task, policy, jax.random.key(1))
    one = jax.jit(jax.grad(lambda policy, key: method.objective(task, policy, carry, key)[0]))
    return np.asarray(jax.vmap(one, (None, 0))(policy, jax.random.split(jax.random.key(7), n)).weights)


def agrees(estimates, exact):
    """At 5 standard errors: 4 comparisons have 2.3e-6 of false alarms together."""
    error = estimates.std(0, ddof=1) / np.sqrt(len(estimates))
    return np.all(np.abs(estimates.mean(0) - exact) <= 5 * error) and np.all(error < 0.05 * np.abs(exact).max())


@pytest.mark.parametrize("ends", [False, True])
def test_bptt_is_the_gradient_of_the_enumerated_chain(x64, ends):
    """By the score function, which is the draw's own where it names no bridge."""
    exact = jax.grad(lambda w: -exact_return(w, ends, 4) / 4)(jnp.asarray(WEIGHTS))
    assert agrees(gradients(control.BPTT(horizon=4, truncate=False), Slip(None, ends), 8000, batch=2), exact)


@pytest.mark.parametrize("via", [sx.LeaveOneOut(2), sx.Enumerate(), sx.DisARM()], ids=lambda via: type(via).__name__)
def test_a_bridge_that_runs_the_rest_again_is_refused(via, key):
    """The rest of an episode is in the middle of a loop."""
    with pytest.raises(SpanaxError, match=rf"{type(via).__name__}(.|\n)*'slip'(.|\n)*ScoreFunction"):
        control.train(
            Slip(via),
            Table(jnp.zeros(4)),
            via=control.BPTT(horizon=4, truncate=True),
            key=key,
            updates=1,
            progress=False,
        )


def test_its_bridge_can_be_named_in_the_method(x64):
    method = control.BPTT(horizon=4, truncate=False, via={"slip": sx.GumbelSoftmax(0.3)})
    relaxed = gradients(method, Slip(), 500)
    exact = jax.grad(lambda w: -exact_return(w, False, 4) / 4)(jnp.asarray(WEIGHTS))
    assert not agrees(np.tile(relaxed, (8, 1)), exact)  # biased, and so another bridge than by default
    assert np.dot(relaxed.mean(0), exact) > 0


@pytest.mark.parametrize("baseline", [None, "leave-one-out"])
def test_a_policy_gradient_sees_the_draws_of_the_step_as_chance(x64, baseline):
    """Against BPTT through the same draws of the policy, by its own pathwise derivative and the enumerated chain's bridge."""
    estimates = gradients(control.PolicyGradient(baseline), Slip(sx.ScoreFunction()), 3000, batch=8)

    @jax.jit
    def exact(weights):
        # The expectation over normal actions at each place, by quadrature: rates and costs of the chain.
        nodes, masses = np.polynomial.hermite_e.hermegauss(40)
        masses = masses / masses.sum()
        actions = jnp.tanh(weights)[:, None] + 0.3 * nodes[None]
        rates, price = jax.nn.sigmoid(2 * actions) @ masses, 0.1 * actions**2 @ masses
        at, total = jnp.array([1.0, 0.0, 0.0, 0.0]), 0.0
        for _ in range(4):
            on = at * rates
            arrived = at - on + jnp.concatenate([jnp.zeros(1), on[:-1]]).at[-1].add(on[-1])
            total += arrived @ jnp.arange(4.0) ** 2 - at @ price
            at = arrived
        return -total / 4

    assert agrees(estimates, jax.grad(exact)(jnp.asarray(WEIGHTS)))


def test_noise_goes_back_pathwise(x64):
    """E x_{t+1}^2 of a linear system, in closed form: x = .9 x + w x + .5 noise."""

    class Gain(eqx.Module):
        w: jax.Array

        def __call__(self, observation):
            return self.w * observation

    def cost(w):
        mean, variance, total = 1.0, 0.0, 0.0
        for _ in range(5):
            mean, variance = (0.9 + w) * mean, (0.9 + w) ** 2 * variance + 0.25
            total += mean**2 + variance
        return total / 5

    method, task = control.BPTT(horizon=5, truncate=False), Task(Noisy(), 1, None)
    carry = method.start(task, Gain(jnp.array(-0.3)), jax.random.key(0))
    one = jax.jit(jax.grad(lambda policy, key: method.objective(task, policy, carry, key)[0]))
    found = jax.vmap(one, (None, 0))(Gain(jnp.array(-0.3)), jax.random.split(jax.random.key(3), 4000)).w
    error = np.std(found) / np.sqrt(4000)
    assert abs(np.mean(found) - jax.grad(cost)(-0.3)) < 5 * error < 0.2


def test_training_in_it_finds_what_pays(key):
    policy = control.MLPPolicy(Bandit(), key=key, width=2, depth=1)
    via = control.PolicyGradient("leave-one-out")
    found = control.train(Bandit(), policy, via=via, key=key, updates=60, batch=16, progress=False)
    assert found.policy(jnp.zeros(1)) == 1.0


def test_the_same_key_draws_the_same(key):
    env = control.TimeLimit(Noisy(), 3)
    once, again, other = (
        control.rollout(env, lambda o: 0 * o, env.reset(key), 5, key=k) for k in (key, key, jax.random.key(1))
    )
    np.testing.assert_array_equal(once.observations, again.observations)
    assert np.all(np.asarray(once.observations[1:3]) != np.asarray(other.observations[1:3]))
    np.testing.assert_array_equal(once.truncated, [False, False, True, False, False])
    assert len(np.unique(control.evaluate(Noisy(), lambda o: 0 * o, jnp.ones(6), key=key))) == 6
    np.testing.assert_array_equal(*(control.evaluate(Noisy(), lambda o: 0 * o, 6, key=key) for _ in range(2)))


def test_each_of_a_batch_draws_by_itself(key):
    env = control.Batched(control.AutoReset(control.TimeLimit(Noisy(), 2)), 4)
    state, seen = env.reset(key), []
    for k in jax.random.split(key, 4):
        state = env.step(state, jnp.zeros((4, 1)), key=k)
        seen.append(jax.vmap(env.env.terminal_observation)(state))
    assert len(np.unique(seen)) == 16


def test_as_a_gymnasium_environment(key):
    ours, again = (control.to_gymnasium(Noisy(), seed=3) for _ in range(2))
    runs = []
    for env in (ours, again, again):
        env.reset()
        runs.append([env.step(np.zeros(1, np.float32))[0] for _ in range(5)])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[1], runs[2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bounds
        check_env(control.to_gymnasium(Noisy()), skip_render_check=True)


@pytest.mark.parametrize(
    "call",
    [
        lambda env: control.rollout(env, lambda o: 0 * o, jnp.ones(()), 3),
        lambda env: control.evaluate(env, lambda o: 0 * o, jnp.ones(2)),
        lambda env: control.TimeLimit(env, 3).step(control.TimeLimit(env, 3).reset(jax.random.key(0)), jnp.zeros(1)),
        lambda env: control.Batched(env, 2).step(jnp.ones(2), jnp.zeros((2, 1))),
        lambda env: control.rollout(control.AutoReset(env), lambda o: 0 * o, control.AutoReset(env).reset(jax.random.key(0)), 3),
    ],
)  # fmt: skip
def test_without_a_key_it_is_refused(call):
    with pytest.raises(SpanaxError, match=r"Noisy(.|\n)* key"):
        call(Noisy())


def test_a_step_that_is_wrong_is_named(key):
    class Wrong(Noisy):
        def step(self, state, action, *, key):
            return super().step(state, action, key=key)[None]

    for via in (control.BPTT(horizon=2, truncate=True), control.PolicyGradient()):
        with pytest.raises(SpanaxError, match=r"Wrong.step returns float32\[1\]"):
            policy = control.MLPPolicy(Wrong(), key=key, width=4)
            control.train(Wrong(), policy, via=via, key=key, updates=1)
