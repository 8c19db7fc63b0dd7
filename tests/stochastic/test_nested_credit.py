"""Which costs a draw in nested scans pays for, pass by pass: against sums written out by hand.

Every draw is forced to a value, so that the estimate is a number to compare, not only its mean.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import lax

import spanax as sx
from tests.stochastic.programs.forced import Forced

THETA = 0.3
P = 1 / (1 + np.exp(-THETA))
PASSES = list(itertools.product(range(2), range(3)))  # (outer, inner), in order


def coin(theta, key, i, j, values):
    key = jax.random.fold_in(jax.random.fold_in(key, i), j)
    return sx.sample(key, dist.Bernoulli(logits=theta), via=Forced(values[i, j]))


def nested(theta, values, key, inner, after, state):
    """`inner(state, z-to-be, i, j)` for each pass; `after(state)` at the end of each outer pass."""

    def outer(state, i):
        state, _ = lax.scan(lambda s, j: (inner(s, lambda: coin(theta, key, i, j, values)), None), state, jnp.arange(3))
        after(state)
        return state, None

    return lax.scan(outer, state, jnp.arange(2))[0]


def slope(program, values, key):
    return jax.grad(lambda theta: sx.expectation(lambda t, *, key: program(t, values, key))(theta, key=key))(THETA)


def cost_before_the_draw(theta, values, key):
    def inner(state, draw):
        sx.cost(state)
        return state + draw()

    nested(theta, values, key, inner, lambda state: None, jnp.zeros(()))
    return 0.0 * theta


def cost_after_the_draw(theta, values, key):
    def inner(state, draw):
        state = state + draw()
        sx.cost(state)
        return state

    nested(theta, values, key, inner, lambda state: None, jnp.zeros(()))
    return 0.0 * theta


def shift_register(theta, values, key):
    """A draw leaves the register, and is read, two inner passes later; the cost comes after the inner loop."""
    nested(
        theta,
        values,
        key,
        lambda s, draw: (draw(), s[0], s[1]),
        lambda s: sx.cost(s[2] * (1 + s[0])),
        (jnp.zeros(()),) * 3,
    )
    return 0.0 * theta


def states(values):
    return np.cumsum([values[p] for p in PASSES])


def paid_before(values, k):
    return sum(states(values)[m - 1] for m in range(k + 1, 6))


def paid_after(values, k):
    return sum(states(values)[k:])


def paid_by_register(values, k):
    (i, _), costs = PASSES[k], [values[i, 0] * (1 + values[i, 2]) for i in range(2)]
    return sum(costs[i:])  # by dataflow, passes are told apart but not the places of the register


@pytest.mark.parametrize(
    "program, paid",
    [(cost_before_the_draw, paid_before), (cost_after_the_draw, paid_after), (shift_register, paid_by_register)],
    ids=lambda f: f.__name__,
)
def test_costs_to_go_in_nested_scans(program, paid, x64, key):
    found = jax.jit(lambda values: slope(program, values, key))
    for flat in itertools.product([0.0, 1.0], repeat=6):
        values = np.reshape(flat, (2, 3))
        expected = sum((values[p] - P) * paid(values, k) for k, p in enumerate(PASSES))
        np.testing.assert_allclose(found(values), expected, atol=1e-12)
