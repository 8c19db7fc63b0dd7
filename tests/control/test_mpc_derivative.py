"""The derivative of a plan is that of the minimum: beside central differences, through whatever it depends on."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spanax import SpanaxError, control

HORIZON = 12
STATE = np.array([0.4, -0.3])


class Weighted(eqx.Module):
    """The pendulum's cost with weights that can be learnt."""

    weights: jax.Array

    def __call__(self, state, action, next_state):
        return self.weights[0] * state[0] ** 2 + self.weights[1] * state[1] ** 2 + self.weights[2] * action[0] ** 2


class Bowl(eqx.Module):
    depth: jax.Array

    def __call__(self, state):
        return self.depth * (state[0] ** 2 + 0.3 * jnp.sin(state[1]) ** 2)


def pendulum(m, l):  # noqa: E741
    return eqx.tree_at(lambda env: (env.m, env.l), control.Pendulum(), (m, l))


def plan_of(theta):
    """A plan by all that it may depend on: fields of the environment, the state, a loss and a terminal cost."""
    mpc = control.MPC(
        pendulum(theta[0], theta[1]), HORIZON, loss=Weighted(theta[2:5]), terminal=Bowl(theta[5]), tries=16, starts=2
    )
    return mpc.plan(theta[6:])


THETA = np.array([1.1, 0.9, 1.0, 0.1, 0.05, 2.0, *STATE])


def test_the_gradient_equals_differences_to_six_digits_in_forward_and_reverse_mode(x64):
    theta, h = jnp.asarray(THETA), 1e-5
    plan = jax.jit(plan_of)
    found = plan(theta)
    held = np.abs(np.asarray(found.actions)) > 2 - 1e-12
    assert bool(found.converged) and held.any() and not held.all()  # some actions are at a bound
    outputs = lambda theta: (lambda p: (p.actions, p.states, p.cost))(plan_of(theta))
    forward, reverse = jax.jit(jax.jacfwd(outputs))(theta), jax.jit(jax.jacrev(outputs))(theta)
    for number, step in enumerate(np.eye(len(THETA)) * h):
        after, before = plan(theta + step), plan(theta - step)
        for i, name in enumerate(("actions", "states", "cost")):
            slope = (getattr(after, name) - getattr(before, name)) / (2 * h)
            scale = 1e-6 * (1 + np.abs(slope).max())
            np.testing.assert_allclose(forward[i][..., number], slope, atol=scale)
            np.testing.assert_allclose(reverse[i][..., number], forward[i][..., number], atol=1e-3 * scale)


def test_there_are_second_derivatives(x64):
    direction, h = jnp.asarray(np.random.default_rng(0).normal(size=len(THETA))), 1e-5
    along = lambda t: jnp.sum(jnp.cos(plan_of(jnp.asarray(THETA) + t * direction).actions))
    slope = jax.jit(jax.grad(along))
    second = (slope(h) - slope(-h)) / (2 * h)
    np.testing.assert_allclose(jax.jit(jax.grad(jax.grad(along)))(0.0), second, rtol=1e-5)


def test_what_a_loss_closes_over_is_differentiated(x64):
    env, state = control.Pendulum(), jnp.asarray(STATE)

    def action(weight, shift):
        mpc = control.MPC(
            env, 8, tries=4, starts=1, terminal=lambda state: weight * (state[0] - shift) ** 2,
            loss=lambda state, action, after: (after[0] - shift) ** 2 + weight * action[0] ** 2,
        )  # fmt: skip
        return mpc.act(state)[0]

    got = jax.grad(action, (0, 1))(0.2, 0.1)
    for number, h in enumerate(np.eye(2) * 1e-5):
        slope = (action(0.2 + h[0], 0.1 + h[1]) - action(0.2 - h[0], 0.1 - h[1])) / 2e-5
        np.testing.assert_allclose(got[number], slope, rtol=1e-6)


def test_float32_is_close_to_float64():
    single = jax.jacobian(lambda theta: plan_of(theta).actions)(jnp.asarray(THETA, jnp.float32))
    with jax.enable_x64(True):
        double = jax.jacobian(lambda theta: plan_of(theta).actions)(jnp.asarray(THETA))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, double, atol=2e-3 * np.abs(double).max())


def test_jit_vmap_and_scan_agree_with_one_call_at_a_time(x64):
    mpc = control.MPC(control.Pendulum(), 8, tries=8, starts=2)
    states = jnp.asarray([[0.4, -0.3], [1.0, 1.0], [-0.2, 0.1]])
    slope = jax.grad(lambda state: mpc.act(state)[0])
    ones = [slope(state) for state in states]
    np.testing.assert_allclose(jax.vmap(slope)(states), ones, atol=1e-8)
    np.testing.assert_allclose(jax.jit(jax.vmap(slope))(states), ones, atol=1e-8)
    np.testing.assert_allclose(jax.lax.map(slope, states), ones, atol=1e-8)
    np.testing.assert_allclose(jax.jacfwd(mpc.act)(states[0])[0], ones[0], atol=1e-8)


def test_a_search_that_has_not_converged_has_no_derivative(x64):
    mpc = control.MPC(control.Pendulum(), 30, iterations=1, tries=1, starts=1)
    state = jnp.array([1.0, 0.0])  # its plan would come to the greatest speed, where the motion has a kink
    plan = mpc.plan(state)
    assert not plan.converged and np.all(np.isfinite(plan.actions))  # a plan it is, if not the best
    total = lambda state: mpc.act(state)[0]
    with pytest.raises(SpanaxError, match="has not converged in 1 iterations"):
        jax.grad(total)(state)
    assert np.all(np.isnan(jax.jit(jax.grad(total))(state)))
    assert np.all(np.isnan(jax.vmap(jax.grad(total))(state[None])))


def test_integers_in_the_state_and_in_the_loss_do_not_matter(x64):
    env = control.TimeLimit(control.Pendulum(), 50)

    class Indexed(eqx.Module):
        which: jax.Array

        def __call__(self, state, action, next_state):
            return jnp.take(next_state.state, self.which) ** 2 + 0.1 * action[0] ** 2

    mpc = control.MPC(env, 8, loss=Indexed(jnp.array(0)), tries=4, starts=1)
    state = env.reset(jax.random.key(0))._replace(state=jnp.asarray(STATE))
    by_angle = jax.grad(jax.jit(lambda angle: mpc.act(state._replace(state=jnp.stack([angle, state.state[1]])))[0]))
    assert mpc.plan(state).states.steps.tolist() == list(range(9)) and np.isfinite(by_angle(0.4))


def test_a_model_in_the_controller_is_learnt_from_what_another_does():
    true = control.Pendulum(m=1.4)
    guess = eqx.tree_at(lambda env: env.m, control.Pendulum(), jnp.array(0.8))
    state = jnp.array([1.0, 0.0])
    learner = control.MPC(guess, 8, tries=4, starts=1, loss=cheap)
    target = learner.with_env(true).act(state)

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def gap(learner):
        return (learner.act(state) - target)[0]

    for _ in range(6):  # Newton's method for one number
        value, slope = gap(learner)
        learner = eqx.tree_at(lambda m: m.env.m, learner, learner.env.m - value / slope.env.m)
    np.testing.assert_allclose(learner.env.m, 1.4, rtol=1e-3)


def cheap(state, action, next_state):
    return next_state[0] ** 2 + 0.1 * next_state[1] ** 2 + 0.5 * action[0] ** 2


def test_it_is_trained_like_any_policy():
    class Tilted(eqx.Module):
        weight: jax.Array

        def __call__(self, state, action, next_state):
            return next_state[0] ** 2 + jax.nn.softplus(self.weight) * action[0] ** 2

    env = control.TimeLimit(control.Pendulum(), 12)
    policy = control.MPC(control.Pendulum(), 6, loss=Tilted(jnp.array(3.0)), tries=4, starts=1)
    near = lambda state, action, after: after.state[0] ** 2
    result = control.train(
        Near(env), policy, via=control.BPTT(horizon=8, truncate=False), key=jax.random.key(0), updates=5, batch=2,
        loss=near, progress=False,
    )  # fmt: skip
    assert result.policy.loss.weight < 3.0  # to act more is better, and the gradient through the closed loop says so
    assert np.all(np.isfinite(result.gradient_norms))


class Near(control.TimeLimit):
    """Starts close to upright."""

    def __init__(self, env):
        super().__init__(env.env, env.steps)

    def reset(self, key):
        state = super().reset(key)
        return state._replace(state=0.2 * state.state)


def _closed_loop(length):
    mpc = control.MPC(pendulum(1.0, length), 3, tries=2, starts=1)

    def step(state, _):
        state = mpc.env.step(state, mpc.act(state))
        return state, jnp.sum(state**2)

    return jax.lax.scan(step, jnp.asarray(STATE), None, length=3)[1].sum()


@pytest.mark.slow
def test_there_are_second_derivatives_of_a_closed_loop(x64):
    h = 1e-4
    slope = jax.jit(jax.grad(_closed_loop))
    want = (slope(0.9 + h) - slope(0.9 - h)) / (2 * h)
    np.testing.assert_allclose(jax.grad(jax.grad(_closed_loop))(0.9), want, rtol=1e-6)


def test_from_a_state_that_is_not_a_number_there_is_no_action():
    mpc = control.MPC(control.Pendulum(), 3, tries=2, starts=1)
    action, slope = jax.jit(jax.value_and_grad(lambda angle: mpc.act(jnp.array([0.1, angle]))[0]))(jnp.nan)
    assert jnp.isnan(action)
    assert jnp.isnan(slope)
    assert not mpc.plan(jnp.array([jnp.nan, 0.0])).converged
