"""What all hard operations share: a derivative without a bridge raises, at the user's line; what makes no sense is refused."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax import hard

X = jnp.array([0.3, 0.1, 0.25])
# Each without a derivative of its own: f(x, **how) -> an array.
WITHOUT = {
    "heaviside": hard.heaviside,
    "sign": hard.sign,
    "floor": hard.floor,
    "ceil": hard.ceil,
    "trunc": hard.trunc,
    "round": hard.round,
    "greater": lambda x, **how: hard.greater(x, 0.2, **how),
    "greater_equal": lambda x, **how: hard.greater_equal(0.2, x, **how),
    "less": lambda x, **how: hard.less(x, 0.2, **how),
    "less_equal": lambda x, **how: hard.less_equal(0.2, x, **how),
    "equal": lambda x, **how: hard.equal(x, 0.2, **how),
    "not_equal": lambda x, **how: hard.not_equal(0.2, x, **how),
    "isclose": lambda x, **how: hard.isclose(x, 0.2, **how),
    "argmax": hard.argmax,
    "argmin": hard.argmin,
    "one_hot": lambda x, **how: hard.one_hot(x, 2, **how),
    "rank": hard.rank,
    "argsort": hard.argsort,
    "top_k": lambda x, **how: hard.top_k(x, 2, **how)[1],
    "searchsorted": lambda x, **how: hard.searchsorted(jnp.array([0.0, 0.2]), x, **how),
    "searchsorted, edges": lambda x, **how: hard.searchsorted(x, 0.2, **how),
    "bincount": lambda x, **how: hard.bincount(x, length=2, **how),
    "histogram": lambda x, **how: hard.histogram(x, 2, **how)[0],
}
every = pytest.mark.parametrize("name", WITHOUT)


def total(name, **how):
    return lambda x: jnp.sum(WITHOUT[name](x, **how))


@pytest.mark.few(12)
@every
def test_a_derivative_without_a_bridge_raises_with_remedies(name):
    called = {"bincount": "one_hot", "searchsorted, edges": "searchsorted"}.get(name, name)
    with pytest.raises(sx.SpanaxError, match=f"the derivative of {called}, which is zero") as caught:
        jax.grad(total(name))(X)
    error = caught.value
    assert "test_apply.py" in error.where and error.where.split(":")[1] == line_of(f'"{name}": ')
    assert any("StraightThrough(sx.Soft" in remedy for remedy in error.remedies)
    # StraightThrough() is named as a remedy where it is one, and only there.
    named = any(remedy.startswith("via=sx.StraightThrough():") for remedy in error.remedies)
    try:
        jax.grad(total(name, via=sx.StraightThrough()))(X)
        is_one = True
    except sx.SpanaxError:
        is_one = False
    assert named == is_one


def line_of(text):
    """The line, in this file, of a table's entry; plain functions are called in `total`."""
    lines = pathlib.Path(__file__).read_text().splitlines()
    entry, called = (
        next(i for i, line in enumerate(lines, 1) if part in line) for part in (text, "return lambda x: jnp.sum(")
    )
    return str(entry if "lambda" in lines[entry - 1] else called)


TRANSFORMED = {
    "grad": lambda f: jax.grad(f)(X),
    "jvp": lambda f: jax.jvp(f, (X,), (X,)),
    "jacfwd": lambda f: jax.jacfwd(f)(X),
    "jit": lambda f: jax.jit(jax.grad(jax.jit(f)))(X),
    "vmap": lambda f: jax.vmap(jax.grad(f))(X[None]),
    "scan": lambda f: jax.grad(lambda x: jax.lax.scan(lambda c, _: (c + f(x), None), 0.0, None, 2)[0])(X),
    "cond": lambda f: jax.grad(lambda x: jax.lax.cond(x[0] > 0, f, lambda x: 0.0, x))(X),
    "remat": lambda f: jax.grad(jax.checkpoint(f))(X),
    "linearize": lambda f: jax.linearize(f, X),
    "hessian": lambda f: jax.hessian(f)(X),
}


@pytest.mark.parametrize("transform", TRANSFORMED.values(), ids=TRANSFORMED)
@pytest.mark.parametrize("name", ["round", "greater", "rank", "histogram"])
def test_it_raises_under_every_transformation(transform, name):
    with pytest.raises(sx.SpanaxError, match="without a bridge") as caught:
        transform(total(name))
    assert "test_apply.py" in caught.value.where


@pytest.mark.few(10)
@every
def test_a_zero_that_is_meant_is_given(name):
    f = lambda x: total(name)(jax.lax.stop_gradient(x)) + jnp.sum(x)
    np.testing.assert_array_equal(jax.grad(f)(X), 1)
    assert jax.vmap(total(name))(X[None]).shape == (1,)  # values need no bridge


@pytest.mark.few(8)
@pytest.mark.parametrize("name", WITHOUT)
def test_jit_and_vmap_change_nothing(name):
    """One compiled program of values and gradients of a batch, mapped over its last axis, against one by one."""
    f = jax.value_and_grad(lambda x: jnp.sum(jnp.sin(0.5 + WITHOUT[name](x, via=sx.StraightThrough(sx.Soft(0.2))))))
    x = jnp.array([[0.3, 0.1, 0.25], [0.2, 0.2, -0.4]])
    values, slopes = jax.jit(jax.vmap(f, in_axes=1, out_axes=(0, 1)))(x.T)
    alone = jax.jit(f)(x[1])
    np.testing.assert_allclose(values[1], alone[0], rtol=1e-5)
    np.testing.assert_allclose(slopes[:, 1], alone[1], rtol=1e-4, atol=1e-5)
    assert np.all(np.isfinite(slopes)) and np.any(slopes != 0)


@pytest.mark.parametrize("name", ["floor", "greater", "argmax", "rank"])
def test_jit_and_vmap_change_nothing_of_perturbed(name):
    f = jax.value_and_grad(lambda x, key: jnp.sum(jnp.sin(WITHOUT[name](x, via=sx.Perturbed(0.2, 4), key=key)) ** 2))
    x, keys = jnp.array([[0.3, 0.1, 0.25], [0.2, 0.2, -0.4]]), jax.random.split(jax.random.key(3))
    values, slopes = jax.jit(jax.vmap(f, in_axes=(1, 0), out_axes=(0, 1)))(x.T, keys)
    alone = f(x[1], keys[1])
    np.testing.assert_allclose(values[1], alone[0], rtol=1e-5)
    np.testing.assert_allclose(slopes[:, 1], alone[1], rtol=1e-4, atol=1e-5)


def test_the_softness_may_be_traced_and_mapped():
    """One softness for each element, and its derivative."""
    f = lambda x, s: hard.greater(x, 0.0, via=sx.StraightThrough(sx.Soft(s)))
    softness = jnp.array([0.1, 0.2, 0.4])
    slopes = jax.jit(jax.vmap(jax.grad(f)))(jnp.zeros(3), softness)
    np.testing.assert_allclose(slopes * softness, slopes[0] * 0.1, rtol=1e-6)


# -- what is refused


@pytest.mark.parametrize(
    "via",
    ["soft", sx.Soft, 0.1, sx.GumbelSoftmax(0.5), sx.Pathwise(), sx.ScoreFunction(), sx.MovingAverage()],
    ids=repr,
)
@pytest.mark.parametrize("f", [hard.round, hard.argmax, hard.sort, lambda x, via: hard.where(x, 1.0, 2.0, via=via)])
def test_what_is_no_bridge_of_a_hard_operation(f, via):
    with pytest.raises(sx.SpanaxError, match="not a bridge for a hard operation") as caught:
        f(X, via=via)
    assert "test_apply.py" in caught.value.where and len(caught.value.remedies) >= 2


@pytest.mark.parametrize("axis", [1, -2, (0,), 0.0, True, "x"], ids=repr)
@pytest.mark.parametrize("name", ["argmax", "max", "sort", "argsort", "rank", "median", "top_k", "take"])
def test_a_bad_axis(name, axis):
    call = {"top_k": lambda: hard.top_k(X, 1, axis=axis), "take": lambda: hard.take(X, jnp.ones(3), axis)}
    with pytest.raises(sx.SpanaxError, match=rf"{name} of axis .*x has shape \[3\]") as caught:
        call.get(name, lambda: getattr(hard, name)(X, axis=axis))()
    assert "test_apply.py" in caught.value.where


@every
def test_complex_numbers_are_refused(name):
    with pytest.raises(sx.SpanaxError, match="complex"):
        WITHOUT[name](X.astype(jnp.complex64))


@pytest.mark.few(10)
@every
def test_an_unknown_kernel_of_an_operation(name):
    """Each operation names the kernels that it knows."""
    known = []
    for kernel in ("logistic", "gaussian", "laplace"):
        try:
            jax.eval_shape(lambda x, kernel=kernel: WITHOUT[name](x, via=sx.Soft(0.1, kernel)), X)
            known.append(kernel)
        except sx.SpanaxError as error:
            assert kernel in error.problem and "test_apply.py" in error.where and error.remedies
    assert known == {
        "argmax": ["logistic", "gaussian"],
        "argmin": ["logistic", "gaussian"],
        "rank": ["laplace"],
        "argsort": ["laplace"],
        "top_k": ["laplace"],
    }.get(name, ["logistic", "gaussian", "laplace"])
