"""A black box as one step of a traced program: values, derivatives, batches, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx

Shape = jax.ShapeDtypeStruct
FD = sx.FiniteDifference(step=1e-2)


def wave(x):
    return np.sum(np.sin(x))


def test_values_and_derivatives_under_every_transformation(x64):
    f = sx.blackbox(wave, Shape((), float), via=sx.FiniteDifference(step=1e-4))
    x = jnp.arange(1.0, 5.0)
    assert f(x) == jnp.sum(jnp.sin(x))
    value, slope = jax.jit(jax.value_and_grad(f))(x)
    for derivative in (
        slope,
        jax.grad(f)(x),
        jax.jacfwd(f)(x),
        jax.jit(jax.jacrev(f))(x),
        jax.jvp(f, (x,), (jnp.ones(4),))[1] * jnp.cos(x) / jnp.sum(jnp.cos(x)),
        jax.grad(jax.checkpoint(f))(x),
        jax.vmap(jax.grad(f))(jnp.stack([x, x]))[1],
        jax.jit(jax.vmap(jax.vmap(jax.grad(f))))(jnp.stack([x, x])[None])[0, 1],
        jax.grad(lambda x: jax.lax.cond(x[0] > 0, f, lambda x: 0.0, x))(x),
    ):
        np.testing.assert_allclose(derivative, np.cos(x), atol=1e-8)
    assert value == pytest.approx(wave(np.asarray(x)), abs=1e-15)


def test_among_differentiable_steps_in_a_loop(x64):
    f = sx.blackbox(wave, Shape((), float), via=sx.FiniteDifference(step=1e-4))

    def rolled(step):
        def loop(theta):
            carry, ys = jax.lax.scan(lambda c, _: (c + 0.1 * step(jnp.tanh(c)) * theta, step(c)), theta, None, length=4)
            return jnp.sum(carry) * jnp.sum(ys)

        return loop

    theta = jnp.array([0.3, -0.7, 1.1])
    expected = jax.grad(rolled(lambda x: jnp.sum(jnp.sin(x))))(theta)
    for wrap in (lambda f: f, jax.jit, lambda f: jax.jit(jax.checkpoint(f))):
        np.testing.assert_allclose(jax.grad(wrap(rolled(f)))(theta), expected, atol=1e-7)
    tangent = jax.jvp(rolled(f), (theta,), (theta,))[1]
    np.testing.assert_allclose(tangent, expected @ theta, atol=1e-7)


def test_a_gradient_is_one_call_of_the_host_and_one_evaluation_more_than_its_points(key):
    for via, points in ((FD, 6), (sx.SPSA(0.1, samples=5), 10), (sx.Smoothing(0.1, pairs=7), 14)):
        f = sx.blackbox(wave, Shape((), float), via=via)
        jax.jit(jax.value_and_grad(lambda x, f=f: f(x, key=key) ** 2))(jnp.ones(3))
        assert (f.stats().calls, f.stats().evaluations) == (1, points + 1)
    f(jnp.ones(3), key=key)
    assert (f.stats().calls, f.stats().evaluations) == (2, points + 2)


def test_mapped_axes_become_one_batch():
    sizes = []

    def many(x):
        sizes.append(x.shape)
        return np.sum(np.sin(x), axis=-1)

    f = sx.blackbox(many, Shape((), float), via=FD, batched=True)
    x = jnp.arange(24.0).reshape(4, 2, 3)
    slopes = jax.jit(jax.vmap(jax.vmap(jax.grad(f))))(x)
    np.testing.assert_allclose(slopes, np.cos(x), atol=2e-3)
    assert sizes == [(4 * 2 * (1 + 6), 3)]
    shared = jax.vmap(lambda scale, x: f({"x": x}["x"]) * scale, in_axes=(0, None))(jnp.ones(2), x[0, 0])
    np.testing.assert_allclose(shared, wave(np.asarray(x[0, 0])), rtol=1e-6)


def test_only_leaves_that_are_differentiated_are_probed(key):
    seen = []

    def product(d):
        seen.append((float(d["b"]), int(d["n"])))
        return d["a"] * d["b"] * d["n"]

    x = {"a": jnp.array([1.0, 2.0]), "b": jnp.float32(3.0), "n": jnp.int32(2)}
    via = sx.FiniteDifference(step={"a": 0.5, "b": 0.25, "n": 1.0})
    f = sx.blackbox(product, Shape((2,), float), via=via)
    slope = jax.grad(lambda a: f({**x, "a": a}).sum())(x["a"])
    np.testing.assert_allclose(slope, [6, 6], rtol=1e-6)
    assert len(seen) == 1 + 4 and set(seen) == {(3.0, 2)}
    slopes = jax.grad(lambda x: f(x).sum(), allow_int=True)(x)
    np.testing.assert_allclose(slopes["b"], 6, rtol=1e-6)
    assert slopes["n"].dtype == jax.dtypes.float0


def test_pytrees_integers_and_shapes_from_the_input(dtype):
    def fn(d):
        assert isinstance(d["p"], np.ndarray) and d["p"].dtype == dtype
        return {"both": np.append(d["p"], 2 * d["p"]), "count": np.array([d["p"].size, 7])}

    def out(d):
        n = d["p"].shape[0]
        return {"both": Shape((2 * n,), d["p"].dtype), "count": Shape((2,), int)}

    f = sx.blackbox(fn, out, via=FD)
    for n in (0, 1, 3):
        result = f({"p": jnp.ones(n, dtype)})
        assert result["both"].shape == (2 * n,) and result["both"].dtype == dtype
        assert result["count"].tolist() == [n, 7]
        jacobian = jax.jit(jax.jacrev(lambda p: f({"p": p})["both"]))(jnp.ones(n, dtype))
        np.testing.assert_allclose(jacobian, np.vstack([np.eye(n), 2 * np.eye(n)]), atol=1e-4)


def test_wide_numbers_leave_the_host_whole(x64):
    big, z = 2**62 + 1, 1 / 3 + 1j / 7
    f = sx.blackbox(
        lambda x: (np.int64(big), np.uint64(2**63 + 5), z * x, x / 3),
        lambda x: (
            Shape((), jnp.int64),
            Shape((), jnp.uint64),
            Shape(x.shape, jnp.complex128),
            Shape(x.shape, x.dtype),
        ),
        via=FD,
    )
    for got in (f(jnp.ones(2)), jax.jit(f)(jnp.ones(2)), jax.jit(jax.vmap(f))(jnp.ones((1, 2)))):
        a, b, c, d = map(np.asarray, got)
        assert (a.ravel()[0], b.ravel()[0], c.ravel()[1], d.ravel()[0]) == (big, 2**63 + 5, z, 1 / 3)


def test_forward_and_reverse_mode_are_of_one_estimate(key):
    f = sx.blackbox(lambda x: np.array([wave(x), x[0] * x[1]]), Shape((2,), float), via=sx.Smoothing(0.3, pairs=3))
    x = jnp.array([0.3, 1.2])
    np.testing.assert_allclose(jax.jacfwd(f)(x, key=key), jax.jacrev(f)(x, key=key), rtol=1e-4)


def test_where_jax_offers_no_callback_of_its_own(monkeypatch):
    from jax.interpreters import mlir

    monkeypatch.delattr(mlir, "emit_python_callback")
    f = sx.blackbox(wave, Shape((), float), via=FD)
    slope = jax.jit(jax.grad(f))(jnp.arange(3.0))
    np.testing.assert_allclose(slope, np.cos(np.arange(3.0)), atol=2e-3)


def test_inside_the_library_s_own_transformations(key):
    f = sx.blackbox(lambda x: np.sum(x**2), Shape((), float), via=FD)
    import numpyro.distributions as dist

    def loss(p, *, key):
        z = sx.sample(key, dist.Bernoulli(probs=p), via=sx.Enumerate())
        return f(jnp.stack([p, z]))

    # E = p^2 + p, so 2 p + 1
    slope = jax.grad(lambda p: sx.expectation(loss)(p, key=key))(jnp.float32(0.3))
    np.testing.assert_allclose(slope, 1.6, atol=1e-3)
    smooth = jax.grad(sx.smooth(f, via=sx.Smoothing(0.1, pairs=64), control_variate=None))(jnp.ones(2), key=key)
    np.testing.assert_allclose(smooth, [2, 2], atol=0.5)
    assert sx.find_gaps(lambda x: f(x) * 2.0, jnp.ones(2)).verdict == "alive"


def test_a_black_box_is_a_pytree(key):
    f = sx.blackbox(lambda x: {"y": x}, lambda x: {"y": x}, via=sx.Smoothing(jnp.float32(0.1), pairs=2))
    slope = jax.jit(lambda f, x: jax.grad(lambda x: f(x, key=key)["y"].sum())(x))
    assert slope(f, jnp.ones(2)).shape == (2,)
    assert f.host.counter.total().calls == 1
    slope(f, jnp.ones(2))
    assert slope._cache_size() == 1
    assert jax.tree.leaves(f) == [f.via.sigma]


# -- refused


def test_a_second_derivative():
    f = sx.blackbox(wave, Shape((), float), via=FD)
    for second in (
        jax.hessian(f),
        jax.jit(jax.hessian(f)),
        jax.jacfwd(jax.grad(f)),
        jax.grad(lambda x: jax.grad(f)(x).sum()),
    ):
        with pytest.raises(sx.SpanaxError, match="second derivative"):
            second(jnp.ones(2))
    mixed = jax.grad(lambda t: jax.grad(lambda x: f(x) * t)(jnp.ones(2)).sum())(2.0)
    np.testing.assert_allclose(mixed, 2 * np.cos(1), atol=1e-2)


def test_a_derivative_with_respect_to_the_bridge(key):
    def f(sigma):
        box = sx.blackbox(wave, Shape((), float), via=sx.Smoothing(sigma, pairs=2))
        return jax.grad(lambda x: box(x, key=key))(jnp.ones(2)).sum()

    with pytest.raises(sx.SpanaxError, match="bridge"):
        jax.grad(f)(jnp.float32(0.1))


def test_a_derivative_that_would_be_silently_zero():
    f = sx.blackbox(lambda x: np.int32(x.sum()), Shape((), int), via=FD)
    with pytest.raises(sx.SpanaxError, match="no floating-point number"):
        jax.grad(lambda x: f(x).astype(float))(jnp.ones(2))
    g = sx.blackbox(lambda x: np.abs(x.sum()), Shape((), float), via=sx.FiniteDifference(scheme="complex"))
    with pytest.raises(sx.SpanaxError, match="real numbers at a complex point"):
        jax.grad(g)(jnp.ones(2))


def test_complex_numbers():
    f = sx.blackbox(lambda x: x * 1j, lambda x: Shape(x.shape, complex), via=FD)
    assert f(jnp.ones(1))[0] == 1j
    with pytest.raises(sx.SpanaxError, match="complex numbers"):
        jax.jacfwd(f)(jnp.ones(1))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (np.nan, "returned NaN"),
        (np.ones(2), r"shape \(2,\) instead of \(\)"),
        ((1.0, 2.0), "structure"),
        (1j, "complex128 where float32"),
        ("text", "where float32 was declared"),
        (None, "structure"),
    ],
)
def test_results_that_do_not_fit(returned, message):
    f = sx.blackbox(lambda x: returned, Shape((), float), via=FD, name="solver")
    with pytest.raises(sx.SpanaxError, match=message) as error:
        f(jnp.array([0.1, 2.0]))
    assert "'solver'" in str(error.value) and "x=array([0.1, 2. ], dtype=float32)" in str(error.value)
    assert "test_call.py" in error.value.where and error.value.remedies
    with pytest.raises((ValueError, RuntimeError), match=message):  # JAX's own, with the message
        jax.block_until_ready(jax.jit(f)(jnp.array([0.1, 2.0])))


def test_jax_inside_the_function():
    f = sx.blackbox(lambda x: jnp.sum(x), Shape((), float), via=FD)
    with pytest.raises(sx.SpanaxError, match=r"jax\.Array"):
        f(jnp.ones(2))


def test_an_input_that_is_nan_is_not_evaluated():
    calls = []
    f = sx.blackbox(lambda x: calls.append(x), Shape((), float), via=FD)
    with pytest.raises(sx.SpanaxError, match="input holds a NaN"):
        f(jnp.array([1.0, jnp.nan]))
    assert not calls


def test_arguments_that_do_not_fit(key):
    good = {"fn": wave, "out": Shape((), float), "via": FD}
    for bad in (
        {"fn": 3},
        {"via": sx.GumbelSoftmax(0.5)},
        {"via": "smoothing"},
        {"out": 3.0},
        {"out": ()},
        {"run": 4},
        {"store": "runs.db"},
        {"name": ""},
    ):
        with pytest.raises(sx.SpanaxError) as error:
            sx.blackbox(**{**good, **bad})
        assert error.value.remedies and "test_call.py" in error.value.where
    f = sx.blackbox(wave, Shape((), float), via=sx.Smoothing(0.1, pairs=2))
    with pytest.raises(sx.SpanaxError, match="random directions"):
        jax.grad(f)(jnp.ones(2))
    with pytest.raises(sx.SpanaxError, match="without arrays"):
        f(())
    with pytest.raises(sx.SpanaxError):
        f(jnp.ones(2), key=3)
    with pytest.raises(sx.SpanaxError, match="noisy"):
        sx.blackbox(wave, Shape((), float), via=FD, noisy=True)(jnp.ones(2))
    assert repr(f) == f"BlackBox('wave', via={f.via!r})"


def test_a_program_that_leaves_the_process():
    f = sx.blackbox(wave, Shape((), float), via=FD)
    with pytest.raises(sx.SpanaxError, match="exported"):
        jax.export.export(jax.jit(f))(jnp.ones(2))


# -- noise


def test_a_seed_makes_a_noisy_function_one_of_x_and_key(key):
    seeds = []

    def noisy(x, seed):
        seeds.append(seed)
        return np.sum(x**2) + np.random.default_rng(seed).normal()

    f = sx.blackbox(noisy, Shape((), float), via=FD, noisy=True)
    x = jnp.array([1.0, 2.0])
    assert f(x, key=key) == jax.jit(f)(x, key=key) != f(x, key=jax.random.key(1))
    slope = jax.grad(f)(x, key=key)  # the noise is common to all points
    np.testing.assert_allclose(slope, 2 * x, atol=1e-2)
    assert len(set(seeds)) == 2 and all(isinstance(seed, int) and 0 <= seed < 2**63 for seed in seeds)
    each = jax.vmap(lambda k: f(x, key=k))(jax.random.split(key, 5))
    assert len(set(np.asarray(each).tolist())) == 5


def test_seeds_of_a_batch(key):
    def noisy(x, seed):
        return np.sum(x, axis=1) + np.array([np.random.default_rng(s).normal() for s in seed])

    f = sx.blackbox(noisy, Shape((), float), via=FD, noisy=True, batched=True)
    one = [f(jnp.ones(2), key=k) for k in jax.random.split(key, 3)]
    np.testing.assert_allclose(jax.vmap(lambda k: f(jnp.ones(2), key=k))(jax.random.split(key, 3)), one, rtol=1e-6)


def test_the_function_may_keep_and_change_what_it_is_given():
    kept = []

    def fn(x):
        kept.append(x)
        x += 1
        return np.sum(x)

    f = jax.jit(sx.blackbox(fn, Shape((), float), via=FD))
    assert [float(f(jnp.full(2, i * 1.0))) for i in range(3)] == [2, 4, 6]
    assert [x.tolist() for x in kept] == [[1, 1], [2, 2], [3, 3]]


def test_one_key_in_a_composition(key):
    """Each Jacobian is unbiased, so their product is if they are independent: 4 standard errors, a false alarm in 15,000."""
    f = sx.blackbox(lambda X: 1.5 * X, lambda x: x, via=sx.Smoothing(0.1, pairs=3), batched=True)

    def rolled(x, key):
        return jax.lax.scan(lambda c, _: (f(c, key=key), None), x, None, length=2)[0].sum()

    slopes = jax.jit(jax.vmap(lambda k: jax.grad(rolled)(jnp.ones(10), k)))(jax.random.split(key, 2000))
    each = np.asarray(slopes, float).mean(axis=1)
    assert abs(each.mean() - 1.5**2) < 4 * each.std() / np.sqrt(len(each))


def test_a_seed_tells_nothing_of_the_directions():
    """200 signs of the first direction against the top bit of the seed: a false alarm in 10^4."""
    seeds, points = [], []

    def fn(x, seed):
        seeds.append(seed)
        points.append(x)
        return x.sum()

    f = sx.blackbox(fn, Shape((), float), via=sx.SPSA(0.1), noisy=True)
    slope = jax.jit(jax.grad(f))
    for i in range(200):
        slope(jnp.ones(2), key=jax.random.key(i))
    bits = np.array([(s >> 62) & 1 for s in seeds[::3]])
    signs = np.array([x[0] > 1 for x in points[1::3]])
    assert len(signs) == 200 and abs(np.corrcoef(bits, signs)[0, 1]) < 4 / np.sqrt(200)


def test_jax_s_own_check_of_keys(key):
    f = sx.blackbox(lambda x, seed: x.sum(), Shape((), float), via=sx.Smoothing(0.1, pairs=2), noisy=True)
    with jax.debug_key_reuse(True):
        assert jax.jit(jax.grad(f))(jnp.ones(2), key=jax.random.key(1)).shape == (2,)


@pytest.mark.slow
def test_every_dtype_of_an_input_gives_a_key(x64):
    from spanax.blackbox._traced.keys import probing_key

    dtypes = [
        "bool",
        "int8",
        "uint16",
        "int32",
        "int64",
        "float16",
        "bfloat16",
        "float32",
        "float64",
        "complex64",
        "complex128",
    ]
    for name in dtypes:
        x = jnp.array([0, 1, 1], name)
        data = [jax.random.key_data(probing_key(jax.random.key(0), [y])).tolist() for y in (x, x[::-1], x)]
        assert data[0] != data[1] and data[0] == data[2]
