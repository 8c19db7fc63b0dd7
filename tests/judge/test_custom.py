"""Gradients that are written by hand."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx

sines = sx.custom(lambda x, w: jnp.sin(x) * w, lambda x, w, y, ct: (jnp.cos(x) * w * ct, jnp.sin(x) * ct))


def native(x, w):
    return jnp.sin(x) * w


def test_the_derivative_is_backwards(dtype):
    x, w = jnp.linspace(0, 1, 3, dtype=dtype), jnp.arange(3, dtype=dtype)
    total = lambda f: lambda x, w: jnp.sum(f(x, w) ** 2)
    for transform in (
        lambda f: jax.grad(total(f), (0, 1)),
        lambda f: jax.jit(jax.grad(total(f), (0, 1))),
        lambda f: jax.vmap(jax.grad(lambda x, w: f(x, w) ** 2, (0, 1))),
        lambda f: jax.jacrev(jax.grad(total(f))),
        lambda f: jax.jacrev(f, (0, 1)),
        lambda f: f,
    ):
        ours, theirs = transform(sines)(x, w), transform(native)(x, w)
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), ours, theirs)
        assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(ours))


def test_it_need_not_be_the_derivative():
    clipped = sx.custom(lambda x: x**3, lambda x, y, ct: jnp.clip(3 * x**2 * ct, -1, 1))
    assert jax.grad(clipped)(5.0) == 1 and jax.grad(lambda x: -clipped(x))(5.0) == -1
    # The second derivative is that of what backward does, through y too.
    rounded = sx.custom(jnp.round, lambda x, y, ct: y * ct)
    assert jax.grad(rounded)(2.3) == 2 and jax.grad(jax.grad(rounded))(2.3) == 2


def test_numbers_of_python_are_differentiated_too():
    square = sx.custom(lambda x: x * x, lambda x, y, ct: 2 * x * ct)
    assert jax.grad(square)(3.0) == 6 and jax.jit(jax.grad(square))(3.0) == 6
    constant = sx.custom(lambda x: 5 * x, lambda x, y, ct: 5.0)
    assert jax.grad(constant)(jnp.float32(3.0)) == 5


def test_pytrees_integers_and_statics():
    def forward(tree, index, how, module=None):
        assert how == "sum" and module is None
        return {"y": jnp.sum(tree["x"] ** 2) + tree["w"][index], "n": index}

    def backward(tree, index, how, y, ct):
        assert ct["n"] is None and y["n"].dtype == jnp.int32
        return {"x": 2 * tree["x"] * ct["y"], "w": jnp.zeros(3).at[index].set(ct["y"]), "i": None}, None, None

    f = sx.custom(forward, backward)
    tree = {"x": jnp.arange(2.0), "w": jnp.ones(3), "i": jnp.arange(4)}
    slope = jax.grad(lambda tree: f(tree, jnp.array(1), how="sum")["y"], allow_int=True)(tree)
    assert slope["x"].tolist() == [0, 2] and slope["w"].tolist() == [0, 1, 0] and slope["i"].dtype == jax.dtypes.float0
    assert f.check(tree, jnp.array(1), "sum", key=jax.random.key(0)).agrees()


def test_modules_are_arguments():
    class Scale(eqx.Module):
        by: jax.Array
        name: str = eqx.field(static=True)

    f = sx.custom(lambda m, x: m.by * x, lambda m, x, y, ct: (Scale(ct * x, m.name), ct * m.by))
    slope = jax.grad(f)(Scale(jnp.array(2.0), "a"), 3.0)
    assert slope.by == 3 and slope.name == "a"


def test_check_finds_what_is_wrong(key):
    right = sines.check(jnp.linspace(0, 1, 3), jnp.arange(3.0), key=key)
    assert right.agrees() and right.draws == 1
    wrong = sx.custom(lambda x, w: x * w, lambda x, w, y, ct: (w * ct, 2 * x * ct))
    check = wrong.check(jnp.ones(3), jnp.ones(3), key=key)
    assert not check.agrees() and check.directions[check.worst] == "w"
    one_of_several = sx.custom(lambda x: (x, jnp.sin(x)), lambda x, y, ct: ct[0] + ct[1])
    assert not one_of_several.check(jnp.ones(2), key=key).agrees()
    with pytest.raises(sx.SpanaxError, match="no argument holds a floating-point"):
        sx.custom(lambda x: x, lambda x, y, ct: ct).check(jnp.arange(3), key=key)
    with pytest.raises(sx.SpanaxError, match="forward returns no floating-point"):
        sx.custom(lambda x: jnp.argmax(x), lambda x, y, ct: x).check(jnp.ones(3), key=key)


def test_check_of_a_function_with_noise(key):
    def forward(x, *, key):
        return jnp.sum(x * jax.random.normal(key, x.shape))

    def backward(x, y, ct, *, key):
        return ct * jax.random.normal(key, x.shape)

    f = sx.custom(forward, backward)
    assert f.check(jnp.ones(3), key=key, draws=200).agrees()
    assert jax.grad(f)(jnp.ones(3), key=key).shape == (3,)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda x: x[:1], r"float32\[1\] for a\['x'\], which is float32\[3\]"),
        (lambda x: x.astype(jnp.bfloat16), r"bfloat16\[3\] for a\['x'\]"),
        (lambda x: None, r"None for a\['x'\], a float"),
        (lambda x: (x,), "for a, which is"),
        (lambda x: 1.0, r"float32\[\] for a\['x'\]"),
    ],
)
def test_what_backward_returns_is_checked(returned, message):
    f = sx.custom(lambda a, n: a["x"] * n, lambda a, n, y, ct: ({"x": returned(ct)}, None))
    with pytest.raises(sx.SpanaxError, match=message) as error:
        jax.grad(lambda x: f({"x": x}, 2).sum())(jnp.ones(3))
    assert "test_custom.py" in error.value.where


def test_other_errors():
    f = sx.custom(lambda a, b: a * b, lambda a, b, y, ct: ct)
    with pytest.raises(sx.SpanaxError, match="forward has 2 arguments"):
        jax.grad(f)(1.0, 2.0)
    for bad in ((3, f), (f, None)):
        with pytest.raises(sx.SpanaxError, match="cannot be called"):
            sx.custom(*bad)
    scaled = sx.custom(lambda x, *, by: x * by, lambda x, y, ct, *, by: ct * by)
    assert jax.grad(scaled)(1.0, by=jnp.array(3.0)) == 3
    with pytest.raises(sx.SpanaxError, match="with respect to a keyword argument"):
        jax.grad(lambda by: scaled(1.0, by=by))(3.0)
    with pytest.raises(Exception, match="forward-mode"):
        jax.jvp(sines, (1.0, 1.0), (1.0, 1.0))
