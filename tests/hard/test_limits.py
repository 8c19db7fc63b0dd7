"""As the softness goes to 0, every relaxed operation goes to the hard one; a new public operation needs a line here."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax import hard

X = jnp.array([0.31, -1.2, 2.4, 0.13])  # no ties, no integers, no halves
Y = jnp.array([0.3, -1.3, 2.6, 0.5])
CONDITION = jnp.array([0.9, 0.2, 0.8, 0.1])

OPERATIONS = {
    "heaviside": lambda via: hard.heaviside(X, via=via),
    "sign": lambda via: hard.sign(X, via=via),
    "floor": lambda via: hard.floor(X, via=via),
    "ceil": lambda via: hard.ceil(X, via=via),
    "trunc": lambda via: hard.trunc(X, via=via),
    "round": lambda via: hard.round(X, via=via),
    "greater": lambda via: hard.greater(X, Y, via=via),
    "greater_equal": lambda via: hard.greater_equal(X, Y, via=via),
    "less": lambda via: hard.less(X, Y, via=via),
    "less_equal": lambda via: hard.less_equal(X, Y, via=via),
    "equal": lambda via: hard.equal(X, Y.at[2].set(X[2]), via=via),
    "not_equal": lambda via: hard.not_equal(X, Y.at[2].set(X[2]), via=via),
    "isclose": lambda via: hard.isclose(X, Y, 0.05, via=via),
    "logical_and": lambda via: hard.logical_and(CONDITION, X, via=via),
    "logical_or": lambda via: hard.logical_or(CONDITION, X, via=via),
    "logical_not": lambda via: hard.logical_not(CONDITION, via=via),
    "logical_xor": lambda via: hard.logical_xor(CONDITION, X, via=via),
    "all": lambda via: hard.all(CONDITION, via=via),
    "any": lambda via: hard.any(CONDITION, via=via),
    "where": lambda via: hard.where(CONDITION, X, Y, via=via),
    "select": lambda via: hard.select([CONDITION, X], [Y, X], 7.0, via=via),
    "abs": lambda via: hard.abs(X, via=via),
    "relu": lambda via: hard.relu(X, via=via),
    "clip": lambda via: hard.clip(X, 0.0, 1.0, via=via),
    "maximum": lambda via: hard.maximum(X, Y, via=via),
    "minimum": lambda via: hard.minimum(X, Y, via=via),
    "argmax": lambda via: hard.argmax(X, via=via),
    "argmin": lambda via: hard.argmin(X, via=via),
    "max": lambda via: hard.max(X, via=via),
    "min": lambda via: hard.min(X, via=via),
    "one_hot": lambda via: hard.one_hot(X, 3, via=via),
    "sort": lambda via: hard.sort(X, via=via),
    "argsort": lambda via: hard.argsort(X, via=via),
    "rank": lambda via: hard.rank(X, via=via),
    "top_k": lambda via: jnp.concatenate([a.ravel() for a in hard.top_k(X, 2, via=via)]),
    "median": lambda via: hard.median(X, via=via),
    "quantile": lambda via: hard.quantile(X, 0.4, via=via),
    "percentile": lambda via: hard.percentile(X, 30.0, via=via),
    "searchsorted": lambda via: hard.searchsorted(jnp.array([0.0, 1.0]), X, via=via),
    "bincount": lambda via: hard.bincount(X, length=3, via=via),
    "histogram": lambda via: hard.histogram(X, 4, (-2.0, 3.0), via=via)[0],
}
LINEAR = {"take", "take_along_axis", "choose", "dynamic_index"}  # in the weights: nothing to relax


def test_every_public_operation_is_here():
    public = {name for name, f in vars(hard).items() if isinstance(f, types.FunctionType) and not name.startswith("_")}
    assert public == OPERATIONS.keys() | LINEAR


def decided(name):
    """By `via`, each truth weight is first tested for being above 1/2."""
    bools, x = CONDITION > 0.5, X > 0.5
    return {
        "logical_and": jnp.logical_and(bools, x),
        "logical_or": jnp.logical_or(bools, x),
        "logical_not": jnp.logical_not(bools),
        "logical_xor": jnp.logical_xor(bools, x),
        "all": jnp.all(bools),
        "any": jnp.any(bools),
        "where": jnp.where(bools, X, Y),
        "select": jnp.select([bools, x], [Y, X], 7.0),
    }[name]


# With the kernel of each operation's choice, and where another one has formulas of its own.
CASES = [
    *((name, None) for name in OPERATIONS),
    ("floor", "gaussian"),
    ("floor", "laplace"),
    ("argmax", "gaussian"),
    ("max", "gaussian"),
]


@pytest.mark.few(10)
@pytest.mark.parametrize("name, kernel", CASES)
def test_the_relaxed_value_tends_to_the_hard_one(name, kernel):
    f = OPERATIONS[name]
    truth = decided(name) if name.startswith(("logical", "all", "any", "where", "select")) else f(None)
    truth = np.asarray(truth, np.float32)
    both = jax.jit(lambda s: (f(sx.Soft(s, kernel)), f(sx.StraightThrough(sx.Soft(s, kernel)))))
    soft, through = zip(*map(both, (0.1, 0.01, 1e-3)), strict=True)
    errors = [np.max(np.abs(value - truth)) for value in soft]
    assert errors[2] <= 2e-3 and errors[2] <= errors[1] + 1e-6 <= errors[0] + 2e-6
    for value in through:
        np.testing.assert_array_equal(value, truth)
