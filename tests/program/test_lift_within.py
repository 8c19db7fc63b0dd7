"""`lift` with the rest of Spanax and JAX: gaps, draws, black boxes, transformations inside a lifted program."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import lax

import spanax as sx

from .lines import place


def branching(x):
    return 2 * x if x > 0 else x


def calling(x):
    return 3 * branching(x)


def gappy(x):
    a = round(x[0])  # <- round
    b = int(x[1])  # <- int
    c = 1.0 if x[2] > 0.5 else x[2]  # <- comparison
    x[3] = 2 * x[3]
    while x[3] < 9:  # <- loop
        x[3] = 3 * x[3]
    return a + b + c + np.argmax(x) + x[3]  # <- argmax


def test_gaps_are_at_the_original_lines():
    report = sx.find_gaps(sx.lift(gappy), jnp.array([0.4, 1.3, 0.7, 0.2]))
    named = {"round": "<- round", "trunc": "<- int", "argmax": "<- argmax"}
    values = {(gap.operation, gap.place) for gap in report.gaps if "value" in gap.route}
    assert values == {(operation, place(gappy, text)) for operation, text in named.items()}
    branches = {gap.place for gap in report.gaps if gap.operation == "comparison"}
    assert branches == {place(gappy, "<- comparison"), place(gappy, "<- loop")}
    assert report.verdict == "partial" and report.gaps[0].source.startswith("a = round(x[0])")


def test_gaps_of_programs_that_have_none_or_only_branches():
    assert sx.find_gaps(sx.lift(lambda x: math.sin(x) * x), 1.0).verdict == "alive"
    assert sx.find_gaps(sx.lift(lambda x: x * (2.0 if x > 0 else 1.0)), 1.0).verdict == "piecewise"
    report = sx.find_gaps(jax.jit(sx.lift(calling)), 1.0)
    assert report.verdict == "piecewise"
    assert [gap.place for gap in report.gaps] == [place(branching, "return")]


def switched(p, *, key):
    """Three switches, drawn in a loop, with a branch on each."""
    total = 0.0
    for k in jax.random.split(key, 3):
        z = sx.sample(k, dist.Bernoulli(probs=p), name="z")
        if z > 0.5:
            total += p
    return total**2


def test_draws_inside(key):
    """E = 3 p^3 + 6 p^4, and its slope, within 4 standard errors: a false alarm in 6 of 100,000 keys."""
    slope = jax.grad(sx.expectation(sx.lift(switched), samples=2))
    found = jax.jit(jax.vmap(lambda k: slope(0.4, key=k)))(jax.random.split(key, 4000))
    exact = 9 * 0.4**2 + 24 * 0.4**3
    assert abs(np.mean(found) - exact) < 4 * np.std(found) / math.sqrt(4000)


def test_an_expectation_inside(key):
    def scored(p):
        def drawn(p, *, key):
            return 2.0 * sx.sample(key, dist.Bernoulli(probs=p), via=sx.Enumerate(), name="z")

        return np.sin(p) * sx.expectation(drawn)(p, key=key)

    np.testing.assert_allclose(sx.gradient(scored, 0.3), 2 * math.sin(0.3) + 0.6 * math.cos(0.3), rtol=1e-6)


def test_a_black_box_and_hard_operations_inside():
    simulate = sx.blackbox(
        lambda x: np.asarray(x**2, x.dtype),
        out=jax.ShapeDtypeStruct((), jnp.float32),
        via=sx.Manual(vjp=lambda x, y, ct: 2 * x * ct),
    )

    def program(x):
        y = simulate(x)
        return 3 * y if y > 1 else sx.hard.round(y, via=sx.StraightThrough())

    slope = jax.grad(sx.lift(program))
    assert slope(2.0) == 12.0 and slope(0.5) == 1.0


def test_control_flow_of_jax_inside():
    def mixed(x):
        y = lax.cond(x > 0, jnp.sin, jnp.cos, x)
        return np.pi * y if y > 0 else y

    np.testing.assert_allclose(sx.gradient(mixed, 1.0), np.pi * math.cos(1.0), rtol=1e-12)


def test_functions_of_the_program_that_jax_calls():
    """Local functions, with what they see of the program around."""

    def mixed(x):
        y = lax.cond(x[0] > 0, lambda: np.sin(x[0]), lambda t=x: np.sum(t))
        return y + np.sum(jax.vmap(lambda t: t * y if t > 0.5 else t)(x)) + jax.grad(lambda t: t**3)(x[1])

    x = np.array([0.3, 2.0])
    value, slope = sx.value_and_gradient(mixed, x)
    s, c = math.sin(0.3), math.cos(0.3)
    np.testing.assert_allclose(value, s + 0.3 + 2 * s + 12, rtol=1e-12)
    np.testing.assert_allclose(slope, [3 * c + 1, s + 12], rtol=1e-12)


def test_functions_that_jax_calls_write_nothing():
    def writing(x):
        seen = []
        lax.cond(x > 0, lambda: seen.append(x) or x, lambda: x)
        return np.sin(x) * len(seen)

    with pytest.raises(sx.SpanaxError, match="writes to what was made outside"):
        sx.gradient(writing, 1.0)
