"""Gradients while workers die, hang, raise and return nonsense: nothing is lost, and the gradient is the right one."""

import os
import signal
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from tests.blackbox import programs

OUT = jax.ShapeDtypeStruct((), float)
X = jnp.array([1.0, 2.0, -0.5])


@pytest.fixture(scope="module")
def pool():
    with sx.processes(2) as pool:
        yield pool


@pytest.mark.parametrize("fault", ["dies", "hangs", "raises", "is_nan", "has_wrong_shape"])
def test_a_fault_that_passes(pool, tmp_path, fault):
    fn = programs.FaultyBowl(tmp_path, getattr(programs, fault))
    store = sx.Store(tmp_path / "runs.db", "1")
    run = sx.Run(pool, timeout=1.5 if fault == "hangs" else None)
    f = sx.blackbox(fn, OUT, via=sx.FiniteDifference(step=0.125), run=run, store=store, name="bowl")
    np.testing.assert_allclose(jax.jit(jax.grad(f))(X), 2 * X, rtol=1e-4)
    assert f.stats().evaluations == 7 == len(store.table()["y"])
    assert f.stats().retries == 1 and f.stats().failures == 0


@pytest.mark.parametrize("fault", ["dies", "raises"])
def test_a_poisonous_input_is_dropped_or_named(pool, tmp_path, fault):
    fn = programs.FaultyBowl(tmp_path, getattr(programs, fault), always=True)
    dropping = sx.blackbox(fn, OUT, via=sx.FiniteDifference(step=0.125), run=sx.Run(pool, retries=1, on_failure="drop"))
    np.testing.assert_allclose(jax.grad(dropping)(X), 2 * X - jnp.array([0.125, 0, 0]), rtol=1e-4)  # one-sided there
    assert dropping.stats().failures == 1 and dropping.stats().evaluations == 6
    raising = sx.blackbox(fn, OUT, via=sx.FiniteDifference(step=0.125), run=sx.Run(pool, retries=1))
    with pytest.raises(
        sx.SpanaxError, match=r"after 2 attempts: (its process died \(signal 9|raised ValueError)"
    ) as error:
        jax.grad(raising)(X)
    assert "1.125" in str(error.value)


def test_kill_9_of_a_worker_in_the_middle_of_60_points(pool, tmp_path, key):
    """0 of 60 are lost, and the gradient is that of undisturbed workers."""
    calm = sx.blackbox(programs.bowl, OUT, via=sx.Smoothing(0.1, pairs=30))
    store = sx.Store(tmp_path / "runs.db", "1")
    f = sx.blackbox(programs.napping_bowl, OUT, via=sx.Smoothing(0.1, pairs=30), run=sx.Run(pool), store=store)
    victims = []

    def kill():
        while len(store.table()["seconds"]) < 15:
            time.sleep(0.01)
        victims.append(pool.submit(os.getpid).result())
        os.kill(victims[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    slope = jax.grad(f)(X, key=key)
    killer.join()
    np.testing.assert_allclose(slope, jax.grad(calm)(X, key=key), rtol=1e-5)
    assert victims and f.stats().evaluations == 61 == len(store.table()["y"]) and f.stats().failures == 0


def test_batched_functions_are_shared_out(pool, key):
    f = sx.blackbox(programs.many_bowls, OUT, via=sx.Smoothing(0.1, pairs=30), run=sx.Run(pool), batched=True)
    g = sx.blackbox(programs.bowl, OUT, via=sx.Smoothing(0.1, pairs=30))
    np.testing.assert_allclose(jax.grad(f)(X, key=key), jax.grad(g)(X, key=key), rtol=1e-5)
    assert f.stats().evaluations == 61


def test_the_user_s_derivative_runs_on_the_workers(pool):
    via = sx.Manual(vjp=programs.bowl_vjp)
    f = sx.blackbox(programs.bowl, OUT, via=via, run=sx.Run(pool))
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.grad(f)))(jnp.stack([X, -X])), [2 * X, -2 * X], rtol=1e-6)


def test_a_command_keeps_its_time_anywhere(key):
    slow = sx.command(["sh", "-c", "sleep {x}; echo {x}"])
    run = sx.Run(timeout=0.3, retries=0)
    f = sx.blackbox(slow, OUT, via=sx.SPSA(0.1), run=run)
    assert f(jnp.float32(0.0)) == 0
    with pytest.raises(sx.SpanaxError, match=r"0\.3 s"):
        f(jnp.float32(5.0))


def test_a_function_that_cannot_be_sent(pool):
    f = sx.blackbox(lambda x: x.sum(), OUT, via=sx.SPSA(0.1), run=sx.Run(pool))
    with pytest.raises(sx.SpanaxError, match="module"):
        f(X)
    timed = sx.blackbox(lambda x: x.sum(), OUT, via=sx.SPSA(0.1), run=sx.Run(timeout=1))
    with pytest.raises(sx.SpanaxError, match="killed"):
        timed(X)
