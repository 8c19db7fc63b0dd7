"""The sort primitive: NumPy's on a CPU, the same as XLA's under every transformation."""

import concurrent.futures

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from spanax import hard
from spanax._math.sorting import sorted_rows

SHAPES = [(0,), (1,), (7,), (2, 3, 9), (0, 4), (3, 0), (70, 1000)]


def rows(shape, of, seed=0):
    """Many ties, zeros of both signs, infinities and NaN of both signs."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-40, 40, size=shape) / 8
    special = np.array([np.inf, -np.inf, -0.0, 0.0, np.nan, -np.nan, np.finfo(np.float16).max])
    at = rng.integers(40, size=shape)
    return jnp.asarray(np.where(at < len(special), special[at % len(special)], x), of)


@pytest.mark.parametrize("of", ["float16", "bfloat16", "float32", "float64"])
def test_it_is_the_stable_sort_and_its_inverse(of):
    with jax.enable_x64(of == "float64"):
        every = [rows(shape, of) for shape in SHAPES]
        sort = jax.jit(lambda xs: [(sorted_rows(x), jnp.sort(x, -1), jnp.argsort(x, -1, stable=True)) for x in xs])
        for shape, ((values, order, places), by_xla, order_of_xla) in zip(SHAPES, sort(every), strict=True):
            assert values.dtype == of and order.dtype == places.dtype == jnp.int32
            np.testing.assert_array_equal(np.float64(values), np.float64(by_xla))
            np.testing.assert_array_equal(order, order_of_xla)
            np.testing.assert_array_equal(
                np.take_along_axis(np.asarray(order), np.asarray(places), -1),
                np.broadcast_to(np.arange(shape[-1]), shape),
            )


def test_double_precision_comes_back_whole_from_any_thread():
    """`jax.enable_x64` holds in the thread of the caller only, and XLA may call back from another."""
    x = np.random.default_rng(0).normal(size=(64, 3000))

    def once(_):
        with jax.enable_x64(True):
            f = jax.jit(lambda x: [sorted_rows(jnp.sin(x * i)).values for i in range(3)])
            return [np.asarray(v) for v in f(jnp.asarray(x))]

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for outs in pool.map(once, range(4)):
            for i, out in enumerate(outs):
                assert out.dtype == np.float64
                np.testing.assert_allclose(out, np.sort(np.sin(x * i), -1), atol=1e-15)


def test_vmap_over_several_axes():
    x = rows((3, 4, 5, 2), "float32")
    over = jax.vmap(jax.vmap(lambda x: hard.sort(x, 0), 1), 2, 1)  # (5, 2) each, then the axes of 4 and 3... in front
    expected = jnp.moveaxis(jax.vmap(jax.vmap(lambda x: jnp.sort(x, 0), 1), 2, 1)(x), 0, 0)
    np.testing.assert_array_equal(over(x), expected)


def test_inside_scan_while_and_cond():
    x = jnp.array([3.0, 1.0, 2.0])

    def f(x):
        x, _ = jax.lax.scan(lambda x, _: (hard.sort(jnp.sin(2 * x)), None), x, None, 3)
        x = jax.lax.while_loop(lambda x: x[0] < 1, lambda x: hard.sort(x + 0.5), x)
        return jax.lax.cond(x[0] > 0, lambda x: hard.sort(-x), lambda x: x, x)

    def g(x):
        for _ in range(3):
            x = np.sort(np.sin(2 * x))
        while x[0] < 1:
            x = np.sort(x + 0.5)
        return np.sort(-x)

    np.testing.assert_allclose(jax.jit(f)(x), g(np.asarray(x)), rtol=1e-5)
    scanned = lambda x: jnp.sum(
        jax.lax.scan(lambda x, _: (hard.sort(jnp.sin(2 * x)), None), x, None, 3)[0] * jnp.arange(3.0)
    )
    theirs = lambda x: jnp.sum(
        jax.lax.scan(lambda x, _: (jnp.sort(jnp.sin(2 * x)), None), x, None, 3)[0] * jnp.arange(3.0)
    )
    np.testing.assert_allclose(jax.grad(scanned)(x), jax.grad(theirs)(x), rtol=1e-5)
    np.testing.assert_allclose(jax.hessian(scanned)(x), jax.hessian(theirs)(x), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(jax.jvp(scanned, (x,), (x,))[1], jax.jvp(theirs, (x,), (x,))[1], rtol=1e-5)


@pytest.mark.parametrize("platforms", [["cpu"], ["cpu", "cuda", "tpu"]], ids=",".join)
def test_an_exported_program_calls_nothing_in_this_process(platforms):
    program = jax.export.export(jax.jit(hard.sort), platforms=platforms)(jax.ShapeDtypeStruct((5,), jnp.float32))
    assert "callback" not in program.mlir_module()
    assert program.call(jnp.array([3.0, 1.0, 2.0, 5.0, 4.0])).tolist() == [1, 2, 3, 4, 5]
