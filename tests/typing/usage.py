# pyright: strict
"""Typical use, as a program that a strict type checker must accept: what users see has types, and none is unknown.

Pyright reads it in `make lint`. It is not run: what these calls do is what the parts' own tests are about.
"""

import pathlib
from collections.abc import Callable
from typing import assert_type

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist  # pyright: ignore[reportMissingTypeStubs]
from jax import Array

import spanax as sx


def grad(f: Callable[..., Array]) -> Callable[..., Array]:
    """`jax.grad`, whose own annotations are partly unknown."""
    return jax.grad(f)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def stochastic_step(x: Array, key: Array) -> Array:
    def loss(logits: Array, target: Array, *, key: Array) -> Array:
        z = sx.sample(key, dist.Bernoulli(logits=logits).to_event(1), via=sx.ScoreFunction(), name="z")
        assert_type(z, Array)
        sx.cost(jnp.sum(z), name="size")
        return jnp.sum((z - target) ** 2)

    estimate = sx.expectation(loss, samples=4, via={"z": sx.DisARM()})
    return grad(estimate)(x, x, key=key)


def one_draw(key: Array) -> Array:
    return sx.expect(lambda z: z**2, dist.Normal(0.0, 1.0), key=key)


def hard_steps(score: Array) -> Array:
    mask = sx.hard.greater(score, 0.5, via=sx.StraightThrough(sx.Soft(0.1)))
    assert_type(mask, Array)
    order = sx.hard.rank(score, via=sx.Soft(0.1))
    values, weights = sx.hard.top_k(score, 2, via=sx.Soft(0.1))
    return jnp.sum(mask * order) + jnp.sum(values) + jnp.sum(weights)


def simulate(x: np.ndarray) -> np.ndarray:
    return np.sum(x**2)


def black_box(x: Array, key: Array) -> Array:
    run = sx.Run(sx.processes(2), timeout=60, retries=1, on_failure="drop")
    f = sx.blackbox(simulate, jax.ShapeDtypeStruct((), x.dtype), via=sx.Smoothing(sigma=0.1, pairs=4), run=run)
    assert_type(f, sx.BlackBox)
    assert_type(f.stats().evaluations, int)

    def objective(x: Array) -> Array:
        return f(x, key=key) ** 2

    return grad(objective)(x)


def external_program(x: Array, store: pathlib.Path) -> Array:
    def parse(output: sx.Output) -> float:
        return float(output.stdout)

    solver = sx.command(["echo", "{x}"], parse=parse)
    f = sx.blackbox(
        solver, jax.ShapeDtypeStruct((), jnp.float32), via=sx.FiniteDifference(0.1), store=sx.Store(store, "1")
    )
    return f(x)


def smoothed(x: Array, key: Array) -> Array:
    def f(x: Array) -> Array:
        return jnp.sum(jnp.round(x))

    guide = sx.Guide(like=x)
    smooth = sx.smooth(f, via=sx.Smoothing(sigma=0.1), guide=guide)
    guide = guide.update(grad(smooth)(x, key=key))
    assert_type(guide, sx.Guide)
    return sx.soften(f, 0.1)(x)


def plain_python(x: Array) -> Array:
    def shoot(wind: float, angle: float) -> float:
        return wind * angle if wind > 0 else angle

    d_wind, d_angle = sx.gradient(shoot, -2.0, 45.0)
    value, slopes = sx.value_and_gradient(shoot, -2.0, 45.0)
    print(d_wind + d_angle, value, slopes)
    return sx.lift(shoot)(x, x)


def finding(x: Array, key: Array) -> str:
    def f(x: Array) -> Array:
        return jnp.sum(jnp.round(x) + x**2)

    report = sx.find_gaps(f, x)
    for gap in report.gaps:
        assert_type(gap.line, int)
        assert_type(gap.file, str)
    jumps = sx.find_jumps(f, x, key=key, radius=0.1)
    hidden = sx.hidden_gradient(f, x, key=key, sigma=0.1)
    assert_type(hidden.share, float)
    return report.to_text() + jumps.to_json()


def judging(x: Array, key: Array, picture: pathlib.Path) -> str:
    def f(x: Array, *, key: Array) -> Array:
        z = sx.sample(key, dist.Bernoulli(logits=x), name="z")
        return jnp.sum(z)

    comparison = sx.compare(f, x, key=key, vias={"z": [sx.ScoreFunction(), sx.GumbelSoftmax(0.5)]})
    for row in comparison.rows:
        assert_type(row.label, str)
        assert_type(row.variance, float)
    advice = sx.recommend(f, x, key=key, budget_seconds=1.0)
    print(advice)
    check = sx.check_gradient(sx.expectation(f), x, key=key)
    assert_type(check.agrees(), bool)
    comparison.plot(picture)
    return comparison.to_text()


def control(key: Array) -> None:
    env = sx.control.Pendulum()
    policy = sx.control.MLPPolicy(env, key=key)
    result = sx.control.train(env, policy, via=sx.control.BPTT(horizon=40), key=key, updates=2, batch=4)
    assert_type(result, sx.control.Result)
    returns = sx.control.evaluate(env, result.policy, 4, key=key)
    print(returns.mean())
