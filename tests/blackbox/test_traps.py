"""Functions that misbehave in ways that could make a value or a derivative silently wrong."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import spanax as sx

Shape = jax.ShapeDtypeStruct
FD = sx.FiniteDifference(step=0.25)


@pytest.mark.parametrize("batched", [False, True])
def test_a_failed_attempt_that_changed_its_input(batched):
    failed = []

    def fn(x):
        x *= 10
        if not failed:
            failed.append(1)
            raise RuntimeError
        return x.sum(axis=-1)

    assert sx.blackbox(fn, Shape((), float), via=FD, batched=batched)(jnp.ones(2)) == 20


def test_a_row_that_is_nan_after_all_rows_were_changed():
    calls = []

    def fn(X):
        X *= 10
        calls.append(len(X))
        y = X.sum(axis=1)
        if len(calls) == 1:
            y[1] = np.nan
        return y

    f = sx.blackbox(fn, Shape((), float), via=FD, batched=True)
    assert jax.vmap(f)(jnp.ones((3, 2))).tolist() == [20, 20, 20]


def test_a_result_in_the_same_buffer_each_time():
    buffer = np.zeros(1, np.float32)

    def fn(x):
        buffer[:] = x
        return buffer

    x = jnp.arange(50.0)[:, None]
    here = sx.blackbox(fn, lambda x: x, via=FD)
    np.testing.assert_array_equal(jax.vmap(here)(x), x)
    with ThreadPoolExecutor(1) as threads:
        there = sx.blackbox(fn, lambda x: x, via=FD, run=sx.Run(threads))
        np.testing.assert_array_equal(jax.vmap(there)(x), x)


class Sim:
    def __init__(self, scale):
        self.scale = scale

    def run(self, x):
        return self.scale * x.sum()


def test_methods_of_different_objects_share_no_rows(tmp_path):
    store = sx.Store(tmp_path / "runs.db", "1")
    with pytest.raises(sx.SpanaxError, match="no name of its own"):
        sx.blackbox(Sim(1.0).run, Shape((), float), via=FD, store=store)
    sx.blackbox(np.linalg.norm, Shape((), float), via=FD, store=store)(jnp.ones(2))
    with pytest.raises(sx.SpanaxError, match="holds evaluations of"):
        sx.blackbox(_norm(), Shape((), float), via=FD, store=store)(jnp.ones(2))


def _norm():
    """Of the same name, in another module."""

    def norm(x):
        return 0.0

    norm.__qualname__ = "norm"
    return norm


@pytest.mark.parametrize(
    "returned, dtype",
    [
        (np.int64(3_000_000_000), "int32"),
        (2**40, "int32"),
        (np.int64(300), "int8"),
        (1e300, "float32"),
        (1e5, "float16"),
    ],
)
def test_numbers_that_do_not_fit(returned, dtype):
    f = sx.blackbox(lambda x: returned, Shape((), dtype), via=FD)
    with pytest.raises(sx.SpanaxError, match="does not fit into"):
        f(jnp.ones(2))


def test_numbers_that_are_infinite_or_rounded_fit():
    f = sx.blackbox(lambda x: np.array([np.inf, 1 / 3]), Shape((2,), "float32"), via=FD)
    assert f(jnp.ones(2)).tolist() == [np.inf, np.float32(1 / 3)]


def test_nan_of_narrow_floats():
    f = sx.blackbox(lambda x: ml_dtypes.bfloat16(np.nan), Shape((), jnp.bfloat16), via=FD)
    with pytest.raises(sx.SpanaxError, match="returned NaN"):
        f(jnp.ones(2))
    g = sx.blackbox(lambda x: 3.0, Shape((), float), via=FD)
    with pytest.raises(sx.SpanaxError, match="input holds a NaN"):
        g(jnp.array([np.nan], jnp.bfloat16))


def test_narrow_floats_in_a_store(tmp_path):
    store = sx.Store(tmp_path / "runs.db", "1")
    f = sx.blackbox(lambda x: 2 * x, lambda x: x, via=FD, store=store, name="twice")
    x = jnp.array([1.5, -2.0], jnp.bfloat16)
    assert f(x).tolist() == f(x).tolist() == [3, -4] and f.stats().hits == 1


def test_masked_results():
    f = sx.blackbox(lambda x: np.ma.mean(np.ma.masked_all(3)), Shape((), float), via=FD)
    with pytest.raises(sx.SpanaxError, match="masked"):
        f(jnp.ones(2))


def test_a_complex_step_off_the_real_axis():
    f = sx.blackbox(
        lambda x: np.sqrt(x.astype(complex)).sum(), Shape((), float), via=sx.FiniteDifference(scheme="complex")
    )
    with pytest.raises(sx.SpanaxError, match="complex value at a real point"):
        jax.grad(f)(jnp.array([-1.0, 4.0]))


@pytest.mark.parametrize("via", [FD, sx.FiniteDifference()], ids=repr)
def test_a_value_that_is_a_failed_point_of_another_lane(tmp_path, via, x64):
    def fn(x):
        if x > 1.4:
            raise ValueError
        return x**2

    store = sx.Store(tmp_path / "runs.db", "1")
    f = sx.blackbox(
        fn, Shape((), float), via=via, store=store, run=sx.Run(retries=0, on_failure="drop", max_failed=1.0), name="f"
    )
    with pytest.raises(sx.SpanaxError, match="it is the value itself"):
        jax.vmap(jax.value_and_grad(f))(jnp.array([1.25, 1.5]))


def test_steps_of_arrays_where_some_leaves_move(x64):
    x = {"a": jnp.ones(2), "b": jnp.ones(3)}
    f = sx.blackbox(lambda d: d["a"].sum() ** 2 * d["b"].sum(), Shape((), float), via=sx.FiniteDifference())
    slope = jax.grad(lambda a: f.fitted(x)({**x, "a": a}))(x["a"])
    np.testing.assert_allclose(slope, 12, rtol=1e-6)


def test_no_lanes():
    f = sx.blackbox(lambda x: x.sum(), Shape((), float), via=FD)
    g = sx.blackbox(lambda x: x.sum(), Shape((), float), via=sx.Manual(vjp=lambda x, y, ct: ct * np.ones_like(x)))
    for each in (f, g):
        assert jax.vmap(jax.grad(each))(jnp.ones((0, 2))).shape == (0, 2)
        assert jax.vmap(each)(jnp.ones((0, 2))).shape == (0,)


def test_a_derivative_of_a_noisy_function_by_hand(key):
    def fn(x, seed):
        return x.sum() + np.random.default_rng(seed).normal()

    for vjp in (lambda x, y, ct: ct * np.ones_like(x), lambda x, y, ct, seed: ct * np.ones_like(x)):
        f = sx.blackbox(fn, Shape((), float), via=sx.Manual(vjp=vjp), noisy=True)
        assert jax.grad(f)(jnp.ones(2), key=key).tolist() == [1, 1]


def test_exit_is_a_failure_like_any_other():
    def fn(x):
        raise SystemExit("bad input")

    with pytest.raises(sx.SpanaxError, match="SystemExit: bad input"):
        sx.blackbox(fn, Shape((), float), via=FD)(jnp.ones(2))


def test_what_takes_it_apart_is_told():
    f = sx.blackbox(lambda x: x.sum(), Shape((), float), via=FD)
    with pytest.raises(sx.SpanaxError, match="took it apart"):
        jax.grad(sx.soften(lambda x: f(jnp.round(x)), 0.1))(jnp.ones(2))
