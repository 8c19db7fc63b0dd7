"""Which line makes NaN: of values and of derivatives, inside loops, branches, calls and rules."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import spanax as sx


def masked(x):
    return jnp.sum(jnp.where(x > 0, jnp.sqrt(x), 0.0))  # here


def value(x):
    y = jnp.log(x)  # here
    return y - y + x


def in_scan(x):
    def step(c, t):
        c = c * t
        return c + 0.1 * jnp.arccos(c) ** 2, c  # here

    return lax.scan(step, x, jnp.array([0.5, 2.0, 0.3]))[0]


def root_of_roots(x):
    def step(c, _):
        return jnp.sqrt(c), c  # here

    return lax.scan(step, x, None, length=3)[0] ** 8


def in_while(x):
    def step(state):
        i, c = state
        return i + 1, jnp.where(i == 1, jnp.cbrt(c - c) * c, c)  # here

    return lax.while_loop(lambda state: state[0] < 3, step, (0, x))[1]


def in_branch(x):
    def other(x):
        return jnp.arccos(x) ** 2  # here

    return lax.cond(x > 5, lambda x: x, other, x)


@jax.jit
def compiled(x):
    return x * jnp.arcsin(x) ** 0.5 / jnp.sqrt(x)  # here


@jax.custom_vjp
def ruled(x):
    return x


def user_of_rule(x):
    return jnp.sin(ruled(x))  # here


ruled.defvjp(lambda x: (x, x), lambda x, g: (g * jnp.log(x - x) * 0,))


def plain(x):
    return np.arccos(x) ** 2  # here


CASES = [  # function, argument, of what, operation, rounds
    (masked, np.array([0.0, 4.0]), "derivative", "sqrt", ()),
    (value, 0.0, "value", "log", ()),
    (in_scan, 1.0, "value", "arccos", (1,)),
    (root_of_roots, 0.0, "derivative", "sqrt", (2,)),
    (in_while, 2.0, "derivative", "cbrt", (2,)),
    (in_branch, 1.0, "derivative", "arccos", ()),
    (compiled, 0.0, "value", "division", ()),
    (user_of_rule, 1.0, "derivative", "custom_vjp rule", ()),
    (sx.lift(plain), 1.0, "derivative", "arccos", ()),
]


@pytest.mark.few(3)
@pytest.mark.parametrize(("f", "x", "of", "operation", "rounds"), CASES, ids=[c[0].__name__ for c in CASES])
def test_the_line_is_named(f, x, of, operation, rounds):
    report = sx.find_gaps(f, jnp.asarray(x, float), nan=True)
    found = report.not_finite
    assert (found.of, found.operation, found.rounds) == (of, operation, rounds)
    assert found.source.endswith("# here") and found.source in inspect.getsource(inspect.unwrap(f))
    assert found.file == __file__ and found.problem in " ".join(str(report).split())


def test_nothing_is_named_where_all_is_finite():
    for f, x in ((masked, np.array([1.0, 4.0])), (in_scan, 0.3), (in_branch, 0.2), (root_of_roots, 1.0)):
        assert sx.find_gaps(f, jnp.asarray(x, float), nan=True).not_finite is None
    assert sx.find_gaps(masked, jnp.zeros(2)).not_finite is None  # not asked for


def test_an_infinite_slope_is_named_as_that():
    found = sx.find_gaps(jnp.sqrt, jnp.zeros(()), nan=True).not_finite
    assert (found.of, found.makes, found.operation) == ("derivative", "inf", "sqrt")


def test_shapes_alone_cannot_be_run():
    with pytest.raises(sx.SpanaxError, match="given by shape only"):
        sx.find_gaps(masked, jax.ShapeDtypeStruct((2,), float), nan=True)
