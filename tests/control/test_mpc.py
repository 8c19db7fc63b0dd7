"""`control.MPC`: its plans are minima inside the box, found from several starts, and it is a policy like any other."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from spanax import SpanaxError, control
from spanax.control._mpc.box_qp import box_qp

MATRIX = np.array([[1.0, 0.2, 0.0], [-0.1, 0.9, 0.3], [0.0, 0.1, 1.05]])
INPUT = np.array([[0.1, 0.0], [0.4, 0.1], [0.0, 0.5]])
WEIGHTS = np.array([1.0, 0.5, 2.0])


class Linear(control.Env):
    """Three numbers pushed by two, with a quadratic cost."""

    matrix: jax.Array
    bound: float = eqx.field(static=True)

    def __init__(self, bound, dtype=float):
        self.matrix, self.bound = jnp.asarray(MATRIX, dtype), bound

    def reset(self, key):
        return jax.random.normal(key, (3,))

    def step(self, state, action):
        return self.matrix @ state + jnp.asarray(INPUT, state.dtype) @ action

    def observe(self, state):
        return state

    def state_from(self, observation):
        return observation

    def reward(self, state, action, next_state):
        return (
            -jnp.sum(jnp.asarray(WEIGHTS, state.dtype) * next_state**2)
            - 0.3 * jnp.sum(action**2)
            - 0.1 * jnp.prod(action)
        )

    @property
    def action_space(self):
        return control.Box([-self.bound] * 2, [self.bound] * 2)

    @property
    def observation_space(self):
        return control.Box([-np.inf] * 3, [np.inf] * 3)

    @property
    def max_steps(self):
        return 20


def minimum(state, horizon, bound):
    """The least cost of the linear problem and its actions, by SciPy, over all actions at once."""

    def cost(actions):
        x, total = np.array(state, float), 0.0
        for u in actions.reshape(horizon, 2):
            x = MATRIX @ x + INPUT @ u
            total += np.sum(WEIGHTS * x**2) + 0.3 * np.sum(u**2) + 0.1 * np.prod(u)
        return total

    found = scipy.optimize.minimize(
        cost,
        np.zeros(2 * horizon),
        bounds=[(-bound, bound)] * (2 * horizon),
        options={"ftol": 1e-15, "gtol": 1e-9, "maxfun": 10**6},
    )
    return found.fun, found.x.reshape(horizon, 2)


@pytest.mark.parametrize("bound", [np.inf, 0.7, 0.2])
def test_a_plan_is_the_minimum_that_scipy_finds(bound, x64):
    state = np.array([1.0, -0.5, 0.8])
    cost, actions = minimum(state, 6, bound)
    plan = control.MPC(Linear(bound), horizon=6).plan(jnp.asarray(state))
    assert bool(plan.converged)
    np.testing.assert_allclose(plan.cost, cost, rtol=1e-8)
    np.testing.assert_allclose(plan.actions, actions, atol=1e-5)
    if np.isfinite(bound):
        assert np.any(np.abs(actions) > bound - 1e-9)  # bounds do hold some of them


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_the_small_problem_of_each_step_meets_its_conditions_of_optimality(m, x64):
    rng = np.random.default_rng(m)
    for _ in range(20):
        root = rng.normal(size=(m, m))
        hess, slope = root @ root.T + 0.1 * np.eye(m), 3 * rng.normal(size=m)
        low, high = -rng.uniform(0, 1, m), rng.uniform(0, 1, m)
        solved = box_qp(*map(jnp.asarray, (hess, slope, low, high, 0.0)))
        gradient = slope + hess @ solved.change
        free = np.asarray(solved.free)
        np.testing.assert_allclose(gradient[free], 0, atol=1e-10)
        assert np.all((gradient >= 0)[np.asarray(solved.change) <= low]) and np.all(
            (gradient <= 0)[np.asarray(solved.change) >= high]
        )
        assert bool(solved.convex) and np.all((low <= solved.change) & (solved.change <= high))


def test_a_plan_has_the_states_and_the_cost_of_its_actions():
    env, state = control.Pendulum(), jnp.array([2.0, 0.5])
    plan = control.MPC(env, horizon=12).plan(state)
    actions = iter(plan.actions)
    assert plan.actions.shape == (12, 1) and plan.states.shape == (13, 2)
    total = 0.0
    for before, after in zip(plan.states[:-1], plan.states[1:], strict=True):
        action = next(actions)
        np.testing.assert_allclose(env.step(before, action), after, atol=1e-5)
        total -= env.reward(before, action, after)
    np.testing.assert_allclose(plan.cost, total, rtol=1e-5)


def test_no_other_start_finds_a_better_plan(x64):
    env, state, horizon = control.Pendulum(), jnp.array([0.5, -1.0]), 15

    def cost(actions):
        def step(state, action):
            after = env.step(state, action)
            return after, -env.reward(state, action, after)

        return jax.lax.scan(step, state, jnp.asarray(actions)[:, None])[1].sum()

    value = jax.jit(jax.value_and_grad(cost))
    plan, rng = control.MPC(env, horizon=horizon).plan(state), np.random.default_rng(0)
    for _ in range(10):
        found = scipy.optimize.minimize(
            lambda u: tuple(map(np.asarray, value(u))),
            rng.uniform(-2, 2, horizon),
            jac=True,
            bounds=[(-2, 2)] * horizon,
        )
        assert plan.cost <= found.fun + 1e-6


def test_of_many_starts_the_worse_are_dropped_within_the_iterations():
    state, env = jnp.array([2.1, -0.9]), control.Pendulum()
    few, many = (control.MPC(env, 15, 15, tries=64, starts=starts).plan(state) for starts in (4, 64))
    assert many.cost <= few.cost + 1e-3 and bool(many.converged)
    # Where laps are all that there is, Newton's own 20 steps follow.
    brief = control.MPC(env, 15, 2, tries=64, starts=64).plan(state)
    assert jnp.isfinite(brief.cost) and brief.iterations <= 2 + 20


def test_in_closed_loop_it_is_a_policy_and_a_last_plan_helps(x64):
    env, state = control.Pendulum(), jnp.array([0.4, 0.0])
    mpc = control.MPC(env, horizon=20, starts=3)
    played = control.rollout(env, mpc, state, 60)
    assert jnp.abs(played.final).max() < 0.05  # it stands
    plan = mpc.plan(state)
    alone = control.MPC(env, horizon=20, iterations=3, starts=1).plan(plan.states[1], plan=plan)
    assert bool(alone.converged) and alone.iterations <= 12
    np.testing.assert_allclose(alone.actions[0], mpc.plan(plan.states[1]).actions[0], atol=1e-6)


def test_angles_wrap(x64):
    env = control.Pendulum()
    mpc = control.MPC(env, horizon=10, starts=3)
    for angle in (0.3, 3.0, -2.5):
        turned = [mpc.act(jnp.array([angle + 2 * np.pi * k, 0.7])) for k in (-2, 0, 1)]
        np.testing.assert_allclose(turned, np.broadcast_to(turned[1], (3, 1)), atol=1e-8)
        np.testing.assert_allclose(mpc(env.observe(jnp.array([angle, 0.7]))), turned[1], atol=1e-8)


@pytest.mark.parametrize(
    "env",
    [control.Pendulum(), control.CartPole(), control.Trebuchet(), control.TimeLimit(control.Pendulum(), 9)],
    ids=lambda env: type(env).__name__,
)
def test_an_observation_tells_the_state(env, key):
    state = env.reset(key)
    told = env.state_from(env.observe(state))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), told, state)
    many = control.Batched(env, 3)
    states = many.reset(key)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), many.state_from(many.observe(states)), states
    )


def test_a_choice_of_two_is_refused_or_planned_as_a_number_in_between(key):
    env = control.CartPole()
    with pytest.raises(SpanaxError, match=r"MPC plans continuous actions[\s\S]*relax=True"):
        control.MPC(env)
    mpc = control.MPC(
        env,
        horizon=20,
        relax=True,
        starts=1,
        loss=lambda state, action, after: after[2] ** 2 + 0.1 * after[0] ** 2 + 0.01 * after[1] ** 2,
    )
    action = mpc.act(env.reset(key))
    assert action.shape == () and 0 <= action <= 1
    # Rounded, it plays by the game's rules.
    played = control.rollout(env, lambda seen: jnp.round(mpc(seen)), env.reset(key), 100)
    assert bool(played.alive.all())


class Blind(Linear):
    def state_from(self, observation):
        return control.Env.state_from(self, observation)


class Drawing(Linear):
    def step(self, state, action, *, key):
        return state


class Vector(Linear):
    def reward(self, state, action, next_state):
        return -(next_state**2)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: control.MPC("Pendulum-v1"), "not a control.Env"),
        (lambda: control.MPC(control.Pendulum(), horizon=0), r"MPC\(horizon=0\)"),
        (lambda: control.MPC(control.Pendulum(), iterations=2.5), r"MPC\(iterations=2.5\)"),
        (lambda: control.MPC(control.Pendulum(), starts=True), r"MPC\(starts=True\)"),
        (lambda: control.MPC(control.Pendulum(), loss=3.0), r"MPC\(loss=3.0\)"),
        (lambda: control.MPC(control.Pendulum(), terminal=3.0), r"MPC\(terminal=3.0\)"),
        (lambda: control.MPC(Drawing(1.0)), "a step of Drawing draws"),
        (lambda: control.MPC(Vector(1.0)).act(jnp.ones(3)), r"the reward has shape \[3\]"),
        (
            lambda: control.MPC(Linear(1.0), terminal=lambda state: state).act(jnp.ones(3)),
            "the terminal cost has shape",
        ),
        (lambda: control.MPC(Blind(1.0))(jnp.ones(3)), "Blind has no state_from"),
        (lambda: control.MPC(control.Pendulum()).act(jnp.array([1, 0])), "no floating-point array"),
        (lambda: control.MPC(control.Pendulum()).act(jnp.ones((3, 2))), "jax.vmap for several"),
        (lambda: control.MPC(control.Pendulum()).with_learnt_terminal(key=0), "one PRNG key"),
    ],
)
def test_what_does_not_fit_is_refused(make, match):
    with pytest.raises(SpanaxError, match=match):
        make()


def test_the_model_is_refined_with_what_was_observed():
    true = control.Pendulum(l=0.9)
    mpc = control.MPC(control.Pendulum(), horizon=10, tries=8, starts=1)
    played = control.rollout(true, lambda observation: 2 * jnp.sin(observation[2:]), jnp.array([3.0, 0.0]), 60)
    refined = mpc.refined(played, parameters=["l"], key=jax.random.key(0))
    np.testing.assert_allclose(refined.env.l, 0.9, rtol=1e-3)
    assert (refined.horizon, refined.tries) == (10, 8) and mpc.env.l == 1.0
