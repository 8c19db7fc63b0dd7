"""Policy gradients against the enumeration of everything that can happen."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest

from spanax import SpanaxError, control
from spanax.control._training.method import Task

from .envs import Coins, Line


class Linear(eqx.Module):
    w: jax.Array

    def distribution(self, observation):
        return dist.Bernoulli(logits=self.w[0] + observation @ self.w[1:])


W = np.array([0.3, -0.4, 0.7])


def exact(stops, discount, entropy):
    """The gradient by hand: all four courses, their probabilities, central differences in NumPy."""

    def objective(w):
        total = 0.0
        for actions in itertools.product((0.0, 1.0), repeat=2):
            state, p, cost = np.zeros(2), 1.0, 0.0
            for t, a in enumerate(actions):
                if stops and state[1] > 0.5:
                    p *= 0.5  # what is drawn after the end does not count
                    continue
                q = 1 / (1 + np.exp(-(w[0] + state @ w[1:])))
                following = state + np.array([1.0, a])
                reward = following[1] ** 2 - 3 * a * (1 - state[0]) + 0.5
                cost += -(discount**t) * reward + entropy * (q * np.log(q) + (1 - q) * np.log(1 - q))
                p, state = p * (q if a else 1 - q), following
            total += p * cost / 2
        return total

    h = 1e-5
    return np.array([(objective(W + h * e) - objective(W - h * e)) / (2 * h) for e in np.eye(3)])


@pytest.mark.few(2)
@pytest.mark.parametrize("baseline", ["critic", "leave-one-out", None])
@pytest.mark.parametrize(("stops", "discount", "entropy"), [(False, 1.0, 0.0), (True, 0.5, 0.2)])
def test_the_gradient_is_unbiased(baseline, stops, discount, entropy, key):
    """4,000 gradients: each of 3 coordinates within 4.5 standard errors (false alarms: 2e-5)."""
    method = control.PolicyGradient(baseline=baseline, discount=discount, entropy=entropy)
    task, policy = Task(Coins(stops), 2, None), Linear(jnp.asarray(W, float))
    carry = method.start(task, policy, key)
    if carry is not None:  # a critic that has learnt something wrong is still no bias
        carry = carry.fit(jnp.ones((4, 2, 2)), jnp.array([[3.0, -1.0]] * 4), jnp.ones((4, 2), bool))
    one = jax.jit(jax.vmap(jax.grad(lambda w, key: method.objective(task, Linear(w), carry, key)[0]), (None, 0)))
    found = np.asarray(one(policy.w, jax.random.split(key, 4000)))
    error = np.std(found, axis=0) / np.sqrt(len(found))
    assert np.all(error < 0.05)
    assert np.all(np.abs(found.mean(axis=0) - exact(stops, discount, entropy)) <= 4.5 * error)


def test_what_is_counted(key):
    """An episode that ends after its first step has one step, and its return is that of the step."""
    method, task = control.PolicyGradient(baseline=None), Task(Coins(True), 64, None)
    always = Linear(jnp.array([50.0, 0.0, 0.0]))
    _, (_, seen) = method.objective(task, always, None, key)
    assert (int(seen.steps), int(seen.episodes), int(seen.ended)) == (64, 64, 64)
    np.testing.assert_allclose(seen.earned, 64 * (1 - 3 + 0.5))


@pytest.mark.slow
def test_a_critic_takes_variance_away(key):
    """Measured: 0.65 of the variance without one. 200 gradients know it to about a tenth."""
    env = control.CartPole()
    arrays, static = eqx.partition(control.MLPPolicy(env, key=key, width=8), eqx.is_inexact_array)
    task = Task(env, 8, None)

    def objective(arrays, method, carry, key):
        return method.objective(task, eqx.combine(arrays, static), carry, key)

    def variance(method, carry):
        gradient = jax.grad(lambda a, key: objective(a, method, carry, key)[0])
        found = jax.jit(jax.vmap(gradient, (None, 0)))(arrays, jax.random.split(key, 200))
        return sum(jnp.sum(jnp.var(x, axis=0)) for x in jax.tree.leaves(found))

    method = control.PolicyGradient()
    critic, learn = method.start(task, None, key), jax.jit(lambda c, key: objective(arrays, method, c, key)[1][0])
    for k in jax.random.split(key, 30):
        critic = learn(critic, k)
    assert variance(method, critic) < 0.85 * variance(control.PolicyGradient(baseline=None), None)


@pytest.mark.slow
def test_it_solves_a_black_box(key):
    """Gymnasium's own CartPole-v1, in episodes of 200 steps, from the first step to the judgement; ours is not in it."""
    env = control.from_gymnasium("CartPole-v1", n=16, max_steps=200)
    found = control.train(
        env,
        control.MLPPolicy(env, key=key, width=32),
        via=control.PolicyGradient(),
        key=key,
        updates=50,
        batch=16,
        optimizer=optax.adam(1e-2),
        progress=False,
    )
    assert np.mean(control.evaluate(env, found.policy, 32, key=jax.random.key(1))) >= 195


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: control.PolicyGradient(baseline="value"), "baseline='value'"),
        (lambda: control.PolicyGradient(discount=1.5), "discount=1.5"),
        (lambda: control.PolicyGradient(entropy=-1.0), "entropy=-1.0"),
    ],
)
def test_settings_that_cannot_be(make, said):
    with pytest.raises(SpanaxError, match=said):
        make()


def test_a_policy_that_does_not_say_what_it_draws_from(key):
    with pytest.raises(SpanaxError, match="distribution"):
        control.train(Line(), eqx.nn.Linear(1, 1, key=key), via=control.PolicyGradient(), key=key, updates=1, batch=2)


def test_leave_one_out_needs_others(key):
    policy = control.MLPPolicy(Line(), key=key)
    with pytest.raises(SpanaxError, match="no others"):
        control.train(Line(), policy, via=control.PolicyGradient("leave-one-out"), key=key, updates=1, batch=1)
