"""Whole optimisations, as a user would write them, of programs that JAX cannot see."""

import pathlib
import subprocess
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import spanax as sx

MODELS = pathlib.Path(__file__).parent / "models"
OUT = jax.ShapeDtypeStruct((), float)


def descended(loss, x, steps, rate):
    """The point after Adam, with a key for each step."""
    optimiser = optax.adam(rate)

    @jax.jit
    def step(carry, key):
        x, state = carry
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimiser.update(jax.grad(loss)(x, key=key), state)
        return optax.apply_updates(x, updates), state

    carry = x, optimiser.init(x)
    for key in jax.random.split(jax.random.key(0), steps):
        carry = step(carry, key)
    return carry[0]


def test_a_shot_in_awk_is_aimed(tmp_path, x64):
    """Without drag the range is longest at 45 degrees; with it, at a flatter angle, that a scan of the program finds."""
    shot = sx.command(
        ["awk", "-v", "angle={angle}", "-v", "speed={speed}", "-v", "drag={drag}", "-f", str(MODELS / "shot.awk")],
        parse=lambda output: float(output.stdout.split()[0]),
    )
    with ThreadPoolExecutor(2) as threads:
        run, store = sx.Run(threads, timeout=30), sx.Store(tmp_path / "shots.db", "shot.awk, 1")
        fly = sx.blackbox(shot, OUT, via=sx.FiniteDifference(step=0.5), run=run, store=store, name="shot")

        def loss(angle, drag, *, key):
            return -fly({"angle": angle, "speed": jnp.float64(30), "drag": jnp.float64(drag)})

        for drag in (0.0, 0.02):
            angle = descended(lambda a, *, key, drag=drag: loss(a, drag, key=key), jnp.float64(30), 40, 2.0)
            scan = [float(-loss(jnp.float64(a), drag, key=None)) for a in np.arange(30, 56)]
            best = 45.0 if drag == 0 else 30.0 + float(np.argmax(scan))
            assert angle == pytest.approx(best, abs=0.5 if drag == 0 else 1.0)
        assert fly.stats().hits > 0


@pytest.mark.slow
def test_rosenbrock_in_awk_is_minimised(x64):
    model = sx.command(["awk", "-f", str(MODELS / "rosenbrock.awk"), "{x}"], inputs="files")
    with ThreadPoolExecutor(2) as threads:
        f = sx.blackbox(model, OUT, via=sx.FiniteDifference(step=1e-5), run=sx.Run(threads))
        x = descended(lambda x, *, key: f(x), jnp.array([-0.5, 0.6]), 300, 0.2)
        np.testing.assert_allclose(x, [1, 1], atol=0.15)
        exact = jax.grad(lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2)
        at = jnp.array([-0.3, 0.8])
        np.testing.assert_allclose(jax.grad(f)(at), exact(at), rtol=1e-6)


def test_a_calculator_solves_an_equation(x64):
    """`bc`: the fixed point of the cosine, .739085133215."""
    cosine = sx.command(["sh", "-c", "echo 'scale=20; x={x}; (c(x) - x)^2' | bc -l"])
    f = sx.blackbox(cosine, OUT, via=sx.FiniteDifference(step=1e-4))
    x = jnp.float64(0.2)
    for _ in range(12):
        value, slope = jax.value_and_grad(f)(x)
        x = x - 2 * value / slope  # Newton's step for a double root
    assert x == pytest.approx(0.739085133215, abs=1e-6)


def test_bc_is_there():
    assert subprocess.run(["bc", "--version"], capture_output=True, text=True, check=True).stdout.startswith("bc")
