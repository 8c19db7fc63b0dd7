"""A policy of several heads and its method, against plain loops and sums."""

import itertools
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax import SpanaxError, control
from spanax.control._training.method import Task

from .envs import Coins, Line

PENDULUM = control.Pendulum()
OBSERVATION = jnp.array([0.6, 0.8, 1.0])


class Plane(Line):
    """Two actions, of which one is not about zero."""

    action_space = control.Box([-1.0, 2.0], [1.0, 6.0])


class Three(Line):
    """A step back, none, or a step on; and a wind that draws."""

    action_space = control.Discrete(3)

    def step(self, state, action, *, key):
        return state + jnp.asarray(action - 1, state.dtype) + 0.01 * jax.random.normal(key, ())

    def reset(self, key):
        return jax.random.uniform(key, (), minval=-2.0, maxval=2.0)


class Fork(Line):
    """From a start between two wells, the left one is a little deeper: with the full way to go, the choice jumps at -0.05."""

    limit: int = 2

    def reset(self, key):
        return jax.random.uniform(key, (), minval=-0.5, maxval=0.5)

    def step(self, state, action):
        return state + action[0]

    def reward(self, state, action, next_state):
        return -jnp.minimum((next_state - 2.0) ** 2, (next_state + 2.1) ** 2)


# -- the policy


@pytest.mark.parametrize(
    ("env", "heads", "constants"),
    [
        (PENDULUM, None, [[2.0], [-2.0]]),
        (PENDULUM, 2, []),
        (PENDULUM, 5, [[2.0], [-2.0]]),
        (Plane(), 3, [[1.0, 6.0], [-1.0, 2.0]]),
        (Plane(), 5, [[1.0, 6.0], [-1.0, 2.0], [1.0, 2.0], [-1.0, 6.0]]),
        (Plane(), 7, [[1.0, 6.0], [-1.0, 2.0], [1.0, 2.0], [-1.0, 6.0]]),
        (control.CartPole(), None, [0, 1]),
    ],
)
def test_constants_are_opposite_corners_and_one_head_at_least_is_a_network(env, heads, constants, key):
    policy = control.ChoicePolicy(env, heads, key=key, width=4)
    np.testing.assert_array_equal(policy.constants, np.reshape(constants, policy.constants.shape))
    if isinstance(env.action_space, control.Box):
        assert policy.heads == (heads or 3) and len(policy.networks) == policy.heads - len(constants) >= 1


def test_networks_beside_each_other_have_weights_of_their_own(key):
    first, second = control.ChoicePolicy(control.Pendulum(), heads=2, key=key, constants=[], width=4).networks
    assert not np.array_equal(first.layers[0].weight, second.layers[0].weight)


def test_the_action_is_that_of_the_best_head(key):
    policy = control.ChoicePolicy(Plane(), heads=4, key=key, width=8)
    assert len(policy.networks) == 2
    middle, half = np.array([0.0, 4.0]), np.array([1.0, 2.0])
    for x in jax.random.normal(key, (10, 1)):
        heads = [middle + half * np.tanh(net(x * policy.scale.astype(np.float32))) for net in policy.networks]
        heads += list(policy.constants)
        best = int(np.argmax(policy.gate(x * policy.scale.astype(np.float32))))
        np.testing.assert_allclose(policy(x), heads[best], rtol=1e-5)
        np.testing.assert_allclose([policy.head(x, i) for i in range(4)], heads, rtol=1e-5)


def test_the_derivative_of_the_choice_raises_and_a_draw_crosses_it(key):
    policy = control.ChoicePolicy(PENDULUM, key=key, width=4)
    arrays, rest = eqx.partition(policy, eqx.is_inexact_array)
    with pytest.raises(SpanaxError, match=r"choice among heads, which jumps[\s\S]*via=control\.Choice\(\)"):
        jax.grad(lambda a: eqx.combine(a, rest)(OBSERVATION)[0])(arrays)

    def exact(arrays):
        policy = eqx.combine(arrays, rest)
        return jnp.sum(jax.nn.softmax(policy.logits(OBSERVATION)) * policy.actions(OBSERVATION)[:, 0] ** 2)

    def drawn(arrays, *, key):
        return eqx.combine(arrays, rest)(OBSERVATION, key=key)[0] ** 2

    estimate = sx.expectation(drawn, via={"choice": sx.Enumerate()})
    for a, b in zip(
        *(jax.tree.leaves(jax.grad(f)(arrays, **k)) for f, k in ((exact, {}), (estimate, {"key": key}))), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-6)


def test_bptt_trains_a_policy_that_draws_its_head(key):
    policy = control.ChoicePolicy(PENDULUM, key=key, width=4)
    result = control.train(
        PENDULUM, policy, via=control.BPTT(horizon=2, truncate=False), key=key, updates=2, batch=2, progress=False
    )
    assert jnp.any(result.policy.gate.layers[0].weight != policy.gate.layers[0].weight)
    assert jnp.any(result.policy.networks[0].layers[0].weight != policy.networks[0].layers[0].weight)


def test_a_one_hot_draw_mixes_and_discrete_actions_are_numbers(key):
    policy = control.ChoicePolicy(PENDULUM, key=key, width=4, via=sx.StraightThrough())
    assert any(np.allclose(policy(OBSERVATION, key=key), head) for head in policy.actions(OBSERVATION))
    pole = control.ChoicePolicy(control.CartPole(), key=key, width=4)
    assert pole(jnp.ones(4)).dtype == jnp.float32
    three = control.ChoicePolicy(Three(), key=key, width=4)
    assert three(jnp.ones(1)).dtype == jnp.int32 and three(jnp.ones(1), key=key) in (0, 1, 2)


def test_a_policy_pickles_and_is_saved(key, tmp_path):
    policy = control.ChoicePolicy(
        Plane(), heads=5, key=key, width=4, depth=1, via=sx.Enumerate(), activation=jax.nn.tanh
    )
    policy.save(tmp_path / "policy")
    for again in (control.load_policy(tmp_path / "policy"), pickle.loads(pickle.dumps(policy))):
        assert eqx.tree_equal(again, policy, typematch=True) and again.space == policy.space
    with pytest.raises(SpanaxError, match=r"it holds a ChoicePolicy[\s\S]*control\.load_policy"):
        control.MLPPolicy.load(tmp_path / "policy")
    own = control.ChoicePolicy(PENDULUM, key=key, width=4, activation=lambda x: x)
    with pytest.raises(SpanaxError, match=r"activations of jax\.nn"):
        own.save(tmp_path / "own")
    mlp = control.MLPPolicy(PENDULUM, key=key, width=4)
    mlp.save(tmp_path / "mlp")
    assert eqx.tree_equal(control.load_policy(tmp_path / "mlp"), mlp)


class Endless(Line):
    action_space = control.Box([-jnp.inf], [jnp.inf])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda key: control.ChoicePolicy(PENDULUM, 1, key=key), "heads=1"),
        (lambda key: control.ChoicePolicy(PENDULUM, 2.5, key=key), "heads=2.5"),
        (lambda key: control.ChoicePolicy(Endless(), key=key), "no bounds"),
        (lambda key: control.ChoicePolicy(control.CartPole(), 3, key=key), "heads=3.*of Discrete"),
        (lambda key: control.ChoicePolicy(PENDULUM, 3, key=key, constants=[[5.0]]), "constants"),
        (lambda key: control.ChoicePolicy(PENDULUM, 2, key=key, constants=[[1.0], [0.0], [-1.0]]), "at most 2"),
        (lambda key: control.ChoicePolicy(PENDULUM, key=key, via=sx.Soft(0.1)), "a bridge for draws"),
    ],
)
def test_wrong_policies_are_refused(make, said, key):
    with pytest.raises(SpanaxError, match=said):
        make(key)


# -- the method


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"choice": 0}, "choice=0"),
        ({"holds": 1.5}, "holds=1.5"),
        ({"explore": 2}, "a probability"),
        ({"entropy": 1.0}, "two positive numbers"),
        ({"entropy": (1.0, 0.0)}, "entropy=0.0"),
        ({"via": sx.Soft(0.1)}, "a bridge for draws"),
    ],
)
def test_wrong_settings_are_refused(settings, said):
    with pytest.raises(SpanaxError, match=said):
        control.Choice(**settings)


def test_other_policies_and_black_boxes_are_refused(key):
    with pytest.raises(SpanaxError, match=r"MLPPolicy is not one[\s\S]*control\.ChoicePolicy"):
        control.train(PENDULUM, control.MLPPolicy(PENDULUM, key=key), via=control.Choice(), key=key)

    class Sealed(Line):
        black_box = True

    with pytest.raises(SpanaxError, match="from one and the same state"):
        control.train(Sealed(), control.ChoicePolicy(Sealed(), key=key), via=control.Choice(), key=key)


def cost_by_a_loop(env, policy, state, head, hold, steps):
    total = 0.0
    for t in range(steps):
        if env.done(state):
            break
        x = env.observe(state)
        action = policy.head(x, head if t < hold else int(jnp.argmax(policy.logits(x))))
        after = env.step(state, action)
        total -= float(env.reward(state, action, after))
        state = after
    return total


@pytest.mark.parametrize("env", [PENDULUM, Line(edge=2.0)])
def test_what_a_head_costs_is_the_best_of_its_plans(env, key):
    policy = control.ChoicePolicy(env, key=key, width=8)
    way, state, holds = control.Choice(horizon=7), env.reset(jax.random.key(3)), jnp.array([1, 3, 6])
    costs = way._costs(Task(env, 2, None), policy, state, holds, key)
    steps = min(7, env.max_steps)
    plans = [[cost_by_a_loop(env, policy, state, head, hold, steps) for hold in (1, 3, 6)] for head in range(3)]
    least = np.min(plans, 1)
    np.testing.assert_allclose(costs, least - least.min(), rtol=1e-4, atol=1e-4)


def test_lengths_are_spread_over_the_scale(key):
    way = control.Choice(holds=4, longest=20)
    lengths = np.asarray(way._lengths(Task(PENDULUM, 500, None), key))
    assert lengths.shape == (500, 4) and lengths.min() == 1 and lengths.max() == 20
    assert (np.diff(lengths, axis=1) >= 0).all() and np.median(lengths[:, 3]) > 10
    # A best plan found in hindsight would be too good.
    assert way._lengths(Task(Three(), 5, None), key).shape == (5, 1)


def looked(way, env, policy, batch, key, looks=1):
    task = Task(env, batch, None)
    memory = way.start(task, policy, key)
    for i in range(looks):
        memory = way._look(task, policy, memory, 0, jax.random.fold_in(key, i))._replace(
            update=memory.update + way.fits
        )
    return task, memory


def test_looks_are_kept_in_rows_and_chains_move_on(key):
    way = control.Choice(motion=0, rows=2, fits=1, chain=3, horizon=3)
    policy = control.ChoicePolicy(PENDULUM, key=key, width=4)
    _, one = looked(way, PENDULUM, policy, 4, key)
    _, two = looked(way, PENDULUM, policy, 4, key, looks=2)
    _, three = looked(way, PENDULUM, policy, 4, key, looks=3)
    assert not np.any(one.costs[1]) and np.any(one.costs[0])
    np.testing.assert_array_equal(two.costs[0], one.costs[0])
    # The third look takes the place of the first.
    np.testing.assert_array_equal(three.costs[1], two.costs[1])
    assert np.any(three.costs[0] != two.costs[0]) and np.all(np.min(three.costs, -1) == 0)
    # What was seen in the second look is where the first one's chains stopped, but for those that began again.
    goes_on = (1 + np.arange(4)) % 3 != 0
    np.testing.assert_allclose(two.observations[1][goes_on], jax.vmap(PENDULUM.observe)(one.states)[goes_on], rtol=1e-6)


@pytest.mark.parametrize("bridge", [None, sx.Enumerate()])
def test_the_gates_gradient_is_that_of_the_expected_cost_less_the_entropy(bridge, key):
    way = control.Choice(motion=0, choice=10, rows=1, fits=1, horizon=4, entropy=(0.7, 0.7), via=bridge)
    policy = control.ChoicePolicy(PENDULUM, key=key, width=4)
    task, memory = looked(way, PENDULUM, policy, 1, key)  # one state: whatever rows are drawn, it is the same

    def by_hand(gate):
        logits = eqx.tree_at(lambda p: p.gate, policy, gate).logits(memory.observations[0, 0])
        p, costs = jax.nn.softmax(logits), memory.costs[0, 0]
        return jnp.sum(p * costs) / jnp.max(costs) + 0.7 * jnp.sum(p * jnp.log(p))

    def ours(gate):
        changed = eqx.tree_at(lambda p: p.gate, policy, gate)
        return way._gate_cost(task, changed, memory._replace(update=jnp.zeros((), jnp.int32)), 0, key)

    (a, left), (b, right) = (eqx.filter_value_and_grad(f)(policy.gate) for f in (by_hand, ours))
    np.testing.assert_allclose(a, b, rtol=1e-4)
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_motion_first_and_then_the_gate(key):
    way = control.Choice(motion=2, choice=2, horizon=3, window=3)
    policy = control.ChoicePolicy(PENDULUM, key=key, width=4)
    after = [
        control.train(PENDULUM, policy, via=way, key=key, updates=n, batch=2, progress=False).policy for n in (2, 4)
    ]
    assert eqx.tree_equal(after[0].gate, policy.gate) and not eqx.tree_equal(after[1].gate, policy.gate)
    assert eqx.tree_equal(after[1].networks, after[0].networks) and not eqx.tree_equal(
        after[0].networks, policy.networks
    )


def test_at_a_fork_the_better_way_is_chosen(key):
    env = Fork()
    way = control.Choice(motion=40, choice=200, horizon=2, window=2, longest=2, holds=2, rows=50)
    policy = control.ChoicePolicy(env, key=key, width=16)
    result = control.train(env, policy, via=way, key=key, progress=False)
    starts = jnp.linspace(-0.49, 0.49, 50)
    returns = control.evaluate(env, result.policy, starts)
    # Two steps of at most 1: exactly, by trying all pairs of full steps.
    ways = [np.cumsum(steps) for steps in itertools.product((-1.0, 1.0), repeat=2)]
    cost = lambda x: np.minimum((x - 2.0) ** 2, (x + 2.1) ** 2)
    best = [max(-cost(x + way[0]) - cost(x + way[1]) for way in ways) for x in np.asarray(starts)]
    assert np.mean(np.asarray(best) - returns) < 0.05
    assert result.env_steps == 40 * 32 * 2 + 50 * 32 * (3 * 2 * 2 + 16)


def test_discrete_actions_in_a_wind_are_chosen(key):
    env = Three()
    way = control.Choice(choice=160, horizon=2, longest=1, rows=40)
    result = control.train(
        env, control.ChoicePolicy(env, key=key, width=16), via=way, key=key, updates=160, progress=False
    )
    actions = jax.vmap(result.policy)(jnp.array([[-1.6], [-1.2], [0.1], [1.1], [1.8]]))
    assert actions.tolist() == [2, 2, 1, 0, 0]


def test_a_training_resumes_as_if_it_had_not_stopped(key, tmp_path):
    def train(updates, path):
        way, policy = (
            control.Choice(motion=2, choice=4, horizon=3, window=3, rows=4),
            control.ChoicePolicy(Line(), key=key, width=4),
        )
        return control.train(
            Line(),
            policy,
            via=way,
            key=key,
            updates=updates,
            batch=2,
            progress=False,
            checkpoint=path,
            optimizer=way.optimizer(6, policy),
        )

    train(4, tmp_path / "run")
    resumed, whole = train(6, tmp_path / "run"), train(6, None)
    assert eqx.tree_equal(resumed.policy, whole.policy)


def test_in_float64(key, x64):
    way = control.Choice(motion=1, choice=2, horizon=3, window=3)
    policy = control.ChoicePolicy(Coins(), key=key, width=4)
    result = control.train(Coins(), policy, via=way, key=key, updates=2, batch=2, progress=False)
    assert result.policy.gate.layers[0].weight.dtype == jnp.float64
    result = control.train(
        PENDULUM, control.ChoicePolicy(PENDULUM, key=key, width=4), via=way, key=key, batch=2, progress=False
    )
    assert np.isfinite(result.gradient_norms).all() and result.policy(jnp.ones(3)).dtype == jnp.float64


@pytest.mark.slow
def test_the_default_recipe_leaves_the_pendulum_a_regret_below_4(key):
    from benchmarks.pendulum import regret

    result = control.train(
        PENDULUM, control.ChoicePolicy(PENDULUM, heads=3, key=key), via=control.Choice(), key=key, progress=False
    )
    assert regret(result.policy) < 4
