"""Backpropagation through time against derivatives written out by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax import SpanaxError, control
from spanax.control._training.method import Task

from .envs import Coins, Line


class Gain(eqx.Module):
    w: jax.Array

    def __call__(self, observation):
        return self.w * observation


def windows(method, env, batch, count, key, loss=None, w=-0.3):
    """Objective, gradient and what was seen of `count` updates in a row, at the same policy; and the starts of the first."""
    task, policy = Task(env, batch, loss), Gain(jnp.array(w))
    carry = method.start(task, policy, key)
    first = carry
    found = []
    for k in jax.random.split(key, count):
        step = jax.value_and_grad(lambda w, c=carry, k=k: method.objective(task, Gain(w), c, k), has_aux=True)
        (value, (carry, seen)), gradient = step(policy.w)
        found.append((float(value), float(gradient), seen, carry))
    return first, found


def by_hand(x, steps, w=-0.3):
    """The mean of x_t^2 over some steps of x' = (0.9 + w) x, and its derivative with respect to w."""
    a, total, slope = 0.9 + w, 0.0, 0.0
    for t in range(1, steps + 1):
        total += (a**t * x) ** 2
        slope += 2 * t * a ** (2 * t - 1) * x**2
    return total / steps, slope / steps, a**steps * x


def test_windows_go_on_and_derivatives_do_not(x64, key):
    """Three windows of 2 steps in an episode of 6; then it begins anew."""
    first, found = windows(control.BPTT(horizon=2, truncate=True), Line(), 1, 4, key)
    x = np.asarray(first.state)
    for value, gradient, seen, _ in found[:3]:
        values, slopes, x = zip(*(by_hand(one, 2) for one in x), strict=True)
        np.testing.assert_allclose(value, np.mean(values), rtol=1e-12)
        np.testing.assert_allclose(gradient, np.mean(slopes), rtol=1e-12)
        assert int(seen.steps) == 2
    assert [int(seen.episodes) for _, _, seen, _ in found] == [1, 0, 0, 1]
    assert [int(seen.ended) for _, _, seen, _ in found] == [0, 0, 1, 0]
    whole = [by_hand(one, 6)[0] * 6 for one in np.asarray(first.state)]
    np.testing.assert_allclose(found[2][2].earned, -np.sum(whole), rtol=1e-12)
    assert np.all(np.asarray(found[3][3].state) > 0.36 * 0.5)  # two steps from a new start


def test_a_window_ends_with_its_episode(x64, key):
    """Windows of 4 in an episode of 6: the second one has 2 steps."""
    _, found = windows(control.BPTT(horizon=4, truncate=True), Line(), 1, 3, key)
    assert [int(seen.steps) for _, _, seen, _ in found] == [4, 2, 4]
    assert [int(seen.ended) for _, _, seen, _ in found] == [0, 1, 0]


def test_a_batch_is_in_all_parts_of_its_episodes(x64, key):
    """Three lanes, windows of 2 in episodes of 6: the first episodes have 6, 4 and 2 steps, and one lane ends in each update.

    Only whole episodes count among the returns.
    """
    _, found = windows(control.BPTT(horizon=2, truncate=True), Line(), 3, 6, key)
    assert [int(seen.episodes) for _, _, seen, _ in found] == [3, 1, 1, 1, 1, 1]
    assert [int(seen.ended) for _, _, seen, _ in found] == [0, 0, 1, 1, 1, 1]


def test_without_truncation_the_whole_is_differentiated(x64, key):
    method = control.BPTT(horizon=None, truncate=False)
    _, ((value, gradient, seen, carry), (other, *_)) = windows(method, Line(), 2, 2, key)
    starts = np.asarray(carry.state) / 0.6**6
    values, slopes, _ = zip(*(by_hand(one, 6) for one in starts), strict=True)
    np.testing.assert_allclose(value, np.mean(values), rtol=1e-10)
    np.testing.assert_allclose(gradient, np.mean(slopes), rtol=1e-10)
    assert (int(seen.steps), int(seen.episodes), int(seen.ended)) == (12, 2, 2)
    assert other != value


def test_nothing_is_learnt_from_what_comes_after_the_end(x64, key):
    """The edge is crossed in the first step: one step counts, and its derivative alone."""
    env = Line(edge=1.2)
    first, [(value, gradient, seen, _)] = windows(control.BPTT(horizon=3, truncate=True), env, 1, 1, key, w=2.0)
    x = float(first.state[0])
    np.testing.assert_allclose(value, (2.9 * x) ** 2 / 3, rtol=1e-12)
    np.testing.assert_allclose(gradient, 2 * 2.9 * x**2 / 3, rtol=1e-12)
    assert int(seen.steps) == 1


def test_a_loss_of_ones_own(x64, key):
    def loss(state, action, next_state):
        return 2 * state + action[0] + 0 * next_state

    first, [(value, gradient, seen, _)] = windows(control.BPTT(horizon=1, truncate=True), Line(), 1, 1, key, loss)
    x = float(first.state[0])
    np.testing.assert_allclose([value, gradient], [1.7 * x, x], rtol=1e-12)
    assert int(seen.steps) == 1


class Drawn(eqx.Module):
    """Draws its coin; the draw crosses by its own bridge."""

    w: jax.Array
    via: sx.bridges.Bridge

    def __call__(self, observation, *, key=None):
        import numpyro.distributions as dist

        return sx.sample(key, dist.Bernoulli(logits=self.w + 0 * observation[0]), via=self.via, name="coin")


def test_a_policy_that_draws_is_unbiased_by_the_score_function(key):
    """d/dw of the mean of (-rewards)/2 over four courses, by hand; 6,000 gradients within 4.5 standard errors (7e-6)."""
    task, method = Task(Coins(), 1, None), control.BPTT(horizon=2, truncate=True)

    def gradient(w, via, key):
        carry = method.start(task, None, key)
        return jax.grad(lambda w: method.objective(task, Drawn(w, via), carry, key)[0])(w)

    w, q = 0.4, 1 / (1 + np.exp(-0.4))
    # -rewards: first coin a: -(a - 3a + 0.5); second b: -((a + b)^2 + 0.5)
    mean = lambda q: -(q - 3 * q + 0.5) - (2 * q * (1 - q) + 4 * q * q + 0.5)
    exact = (mean(q + 1e-6) - mean(q - 1e-6)) / 2e-6 * q * (1 - q) / 2
    found = jax.vmap(lambda k: gradient(jnp.array(w), sx.ScoreFunction(), k))(jax.random.split(key, 6000))
    error = np.std(found) / np.sqrt(len(found))
    assert error < 0.02
    assert abs(np.mean(found) - exact) < 4.5 * error


@pytest.mark.slow
def test_the_bridge_of_a_named_draw_is_replaced(key):
    """A straight-through derivative of Coins is exact in the second coin's linear part, and differs from the score function's."""
    task, carry_key = Task(Coins(), 1, None), key

    def gradient(method):
        carry = method.start(task, None, carry_key)
        policy = Drawn(jnp.array(0.4), sx.ScoreFunction())
        return jax.grad(lambda p: method.objective(task, p, carry, key)[0], allow_int=True)(policy).w

    own = gradient(control.BPTT(horizon=2, truncate=True))
    other = gradient(control.BPTT(horizon=2, via={"coin": sx.StraightThrough()}, truncate=True))
    assert own != other


def test_a_discrete_action_crosses_by_the_bridge_of_a_hard_operation(key):
    env = control.CartPole()
    policy = control.MLPPolicy(env, key=key, width=8, via=sx.StraightThrough(sx.Soft(0.5)))

    def loss(state, action, next_state):
        return next_state[2] ** 2 + next_state[3] ** 2

    found = control.train(
        env, policy, via=control.BPTT(horizon=8, truncate=True), key=key, updates=3, batch=4, loss=loss, progress=False
    )
    assert np.all(found.gradient_norms > 0)


@pytest.mark.parametrize("horizon", [0, -3, 2.5, True, None])
def test_horizons_that_cannot_be(horizon):
    with pytest.raises(SpanaxError, match="horizon"):
        control.BPTT(horizon=horizon, truncate=True)


def test_an_episode_without_an_end_needs_a_limit(key):
    class Endless(Line):
        @property
        def max_steps(self):
            return None

    with pytest.raises(SpanaxError, match="TimeLimit"):
        control.train(Endless(), Gain(jnp.array(0.1)), via=control.BPTT(truncate=True), key=key, updates=1, batch=1)
    found = control.train(
        Endless(),
        Gain(jnp.array(0.1)),
        via=control.BPTT(3, truncate=False),
        key=key,
        updates=2,
        batch=1,
        progress=False,
    )
    assert found.env_steps == 6
