"""Every verdict of the corpus, against the table, and the table against numbers that share no code with the finder."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from tests.gaps.corpus import CASES

RANDOM_INPUTS, PIECES = 20, 256
ZERO = ("dead", "independent")
KINDS = {"stop_gradient": "intended", "host callback": "no-rule", "while loop": "forward-only"}
# Words of the traced program, which no user has written.
PLUMBING = set(
    "jit pjit closed_call remat custom_jvp_call custom_vjp_call custom_lin scan cond while select_n convert_element_type "
    "gather dynamic_slice dynamic_update_slice scatter lt gt le ge eq ne lt_to le_to random_bits split random_wrap".split()
)


@contextlib.contextmanager
def settings(case):
    # numpyro itself mixes booleans, integers and floats
    promotion = "standard" if case.family == "numpyro" else "strict"
    with jax.enable_x64(case.x64), jax.numpy_dtype_promotion(promotion):
        yield


def weighted_sum(case):
    """One number that depends on every floating entry of the result: a plain sum has no derivative for a softmax."""

    def total(x):
        leaves = [y for y in jax.tree.leaves(case.function(x)) if jnp.issubdtype(y.dtype, jnp.floating)]
        weights = [np.random.default_rng(i).uniform(0.3, 1.3, y.shape).astype(y.dtype) for i, y in enumerate(leaves)]
        terms = [jnp.sum(w * y).astype(x.dtype) for w, y in zip(weights, leaves, strict=True)]
        return sum(terms, start=jnp.zeros((), x.dtype))

    return total


@functools.cache
def value_and_grad(case):
    return jax.jit(jax.value_and_grad(weighted_sum(case)))


@functools.cache
def draws(argument, x64):
    return np.asarray(jax.vmap(argument)(jax.random.split(jax.random.key(1), RANDOM_INPUTS)))


def inputs(case):
    return draws(case.argument, case.x64)


def differentiated(case, xs):
    """Values and gradients at each x, as NumPy arrays; no gradients where JAX refuses to give them."""
    try:
        values, gradients = zip(*map(value_and_grad(case), xs), strict=True)
    except (TypeError, ValueError, NotImplementedError):
        return np.array(list(map(jax.jit(weighted_sum(case)), xs))), None
    return np.array(values), np.array(gradients)


def line(case):
    """Midpoints of the pieces of a segment between two random inputs, its ends, and the step from one to the next."""
    a, b = inputs(case)[:2]
    step = (b - a) / (2 * PIECES)
    return [a + (i + 0.5) * step for i in range(PIECES)], [a, a + PIECES * step], step


def ids(case):
    return f"{case.family}-{case.name}"


every_case = pytest.mark.parametrize("case", CASES, ids=ids)


def test_names_are_unique():
    assert len({ids(case) for case in CASES}) == len(CASES)


@pytest.mark.few(40)
@every_case
def test_table_agrees_with_numbers(case):
    with settings(case):
        values, gradients = differentiated(case, inputs(case))
        assert np.all(np.isfinite(values))
        assert gradients is None or np.all(np.isfinite(gradients))
        # A rule that multiplies by an exact zero is exact: no tolerance.
        zero = gradients is None or not np.any(gradients)
        assert zero == (case.verdict in ZERO)
        if case.verdict == "independent":
            assert np.all(values == values[0])


@pytest.mark.few(40)
@pytest.mark.parametrize("case", [c for c in CASES if c.verdict == "alive" and c.exact], ids=ids)
def test_alive_means_that_nothing_is_missing(case):
    """The value's change along a line is the integral of the gradient: a gap in a value would leave a difference."""
    with settings(case):
        middles, ends, step = line(case)
        slopes = np.array([np.sum(g * step) for g in differentiated(case, middles)[1]])
        start, end = differentiated(case, ends)[0]
        # float32 and a kink inside one of 256 pieces: far below what one missing step of size 1 would leave
        assert abs(end - start - np.sum(slopes)) < 0.02 * np.sum(np.abs(slopes)) + 1e-4 * (1 + abs(end))


@functools.cache
def report(case):
    with settings(case):
        return sx.find_gaps(case.function, jnp.asarray(inputs(case)[0]))


@pytest.mark.few(60)
@every_case
def test_verdict(case):
    assert report(case).verdict == case.verdict


@pytest.mark.few(40)
@pytest.mark.parametrize("case", [c for c in CASES if c.operations], ids=ids)
def test_operations_are_named(case):
    assert set(case.operations) <= {gap.operation for gap in report(case).gaps}


@pytest.mark.few(80)
@every_case
def test_report_is_consistent(case):
    found = report(case)
    assert list(found.per_leaf.values()) == [case.verdict]
    for gap in found.gaps:
        assert gap.operation not in PLUMBING
        assert gap.kind == KINDS.get(gap.operation, gap.kind)
        assert set(gap.route.split("+")) <= {"value", "branch", "index"}
    if found.flat:
        with settings(case):
            assert not np.any(differentiated(case, inputs(case)[:1])[1])
    blamed = [gap for gap in found.gaps if gap.kind != "intended"]
    if case.verdict in ("alive", "independent"):
        assert not blamed
    if case.verdict == "piecewise":
        assert blamed and not any("value" in gap.route for gap in blamed)
    if case.verdict == "partial":
        assert any("value" in gap.route for gap in blamed)
