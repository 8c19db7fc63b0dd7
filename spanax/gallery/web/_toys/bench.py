"""The bench: bias and variance of several bridges across one Bernoulli draw, measured as fast as a slider moves."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ....bridges import DisARM, Enumerate, GumbelSoftmax, ReinMax, ScoreFunction, StraightThrough
from ....stochastic import expectation, sample
from ..requests import BadRequest, choice, number, whole

DRAWS = 2000  # gradients of each bridge
SAMPLES, BASELINES = (1, 2, 4, 8), ("none", "leave-one-out", "constant")
THETA, CONSTANT, TEMPERATURE = (-3.0, 3.0), (-1.0, 1.0), (0.1, 2.0)
GOAL = 0.25


def loss(theta: Float[Array, ""], *, key: Key[Array, ""]) -> Float[Array, ""]:
    """The program: E[(z - 1/4)^2], whose derivative is p (1 - p) / 2."""
    import numpyro.distributions as dist

    return (sample(key, dist.Bernoulli(logits=theta), name="z") - GOAL) ** 2


def truth(theta: Float[Array, ""]) -> Float[Array, ""]:
    """d/dtheta of the loss's expectation: both values of the draw enumerated."""
    return jax.grad(expectation(loss, via={"z": Enumerate()}))(theta, key=jax.random.key(0))


def measure(body: dict[str, Any]) -> dict[str, Any]:
    """{theta, samples, baseline, constant, temperature} to the true gradient and, of each bridge, `bias` and `variance` of 2,000
    gradients with their standard errors. Each gradient is the mean over so many `samples`.
    """
    theta, temperature = number(body, "theta", *THETA), number(body, "temperature", *TEMPERATURE)
    baseline, constant = choice(body, "baseline", BASELINES), number(body, "constant", *CONSTANT)
    samples = whole(body, "samples", min(SAMPLES), max(SAMPLES))
    # Each number of samples is a program of its own, so there are few of them.
    if samples not in SAMPLES:
        raise BadRequest(f"samples has to be one of {', '.join(map(str, SAMPLES))}")
    exact, others = _others(samples)(theta, temperature)
    rows = {"ScoreFunction": _scored(samples, baseline)(theta, constant), **others}
    return {
        "truth": float(exact),
        "draws": DRAWS,
        "rows": [{"name": name, **_moments(np.asarray(rows[name], float), float(exact))} for name in NAMES],
    }


NAMES = ("ScoreFunction", "DisARM", "GumbelSoftmax", "StraightThrough", "ReinMax", "Enumerate")


def _moments(gradients: np.ndarray, exact: float) -> dict[str, float]:
    n, mean, variance = len(gradients), gradients.mean(), gradients.var(ddof=1)
    fourth = ((gradients - mean) ** 4).mean()
    # Of the variance by the fourth moment: gradients of draws are anything but normal.
    spread = np.sqrt(max(fourth - variance**2, 0.0) / n)
    figures = {
        "bias": mean - exact,
        "bias_error": np.sqrt(variance / n),
        "variance": variance,
        "variance_error": spread,
    }
    return {name: float(f"{value:.6g}") for name, value in figures.items()}


def _gradients(theta: Any, via: Any, samples: int) -> Float[Array, " draws"]:
    gradient = jax.grad(expectation(loss, samples=samples, via={"z": via}))
    # The same keys whatever the sliders say: what moves is the estimators, and not the luck.
    keys = jax.random.split(jax.random.key(0), DRAWS)
    return jax.vmap(lambda key: gradient(jnp.asarray(theta, float), key=key))(keys)


@functools.cache
def _others(samples: int) -> Callable[[float, float], tuple[Any, dict[str, Any]]]:
    def run(theta, temperature):
        bridges = {
            "DisARM": DisARM(),
            "GumbelSoftmax": GumbelSoftmax(jnp.asarray(temperature, float)),
            "StraightThrough": StraightThrough(),
            "ReinMax": ReinMax(),
            "Enumerate": Enumerate(),
        }
        return truth(jnp.asarray(theta, float)), {
            name: _gradients(theta, via, samples) for name, via in bridges.items()
        }

    return jax.jit(run)


@functools.cache
def _scored(samples: int, baseline: str) -> Callable[[float, float], Any]:
    def run(theta, constant):
        baselines = {"none": None, "leave-one-out": "auto", "constant": jnp.asarray(constant, float)}
        return _gradients(theta, ScoreFunction(baseline=baselines[baseline]), samples)

    return jax.jit(run)
