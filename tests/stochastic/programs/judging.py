"""The verdict on a random program: its estimates against the reference."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

import spanax as sx

from .families import FAMILIES
from .growing import THETA
from .language import RandomProgram, draws
from .reference import Reference
from .writing import function_of, source_of

DIRECTION = np.array([0.6, -0.5, 0.7])
DRAWS = 6_000


@dataclasses.dataclass(frozen=True)
class Verdict:
    kind: str  # "right", "wrong", "refused"
    found: np.ndarray | None = None  # value, gradient and, at order 2, the gradient's derivative along DIRECTION
    truth: np.ndarray | None = None
    error: np.ndarray | None = None  # of `found`, one standard deviation
    why: str = ""


def truth_of(program: RandomProgram, reference: Reference) -> np.ndarray:
    parts = [[reference.expectation(THETA)], reference.gradient(THETA)]
    if program.order == 2:
        parts.append(reference.curvature(THETA, DIRECTION))
    return np.concatenate(parts)


def derivatives(program: RandomProgram, estimate):
    """(theta, *others) -> value, gradient, curvature, of an estimate(theta, *others)."""
    forward = program.transform == "forward"

    def all_of(theta, *others):
        g = lambda t: estimate(t, *others)
        if forward:
            value, gradient = g(theta), jax.jacfwd(g)
        else:
            value, gradient = None, jax.grad(g)
        parts = []
        if program.order == 2:
            slope, bend = jax.jvp(gradient, (theta,), (jnp.asarray(DIRECTION, theta.dtype),))
            parts = [slope, bend]
            value = g(theta)
        elif forward:
            parts = [gradient(theta)]
        else:
            value, slope = jax.value_and_grad(g)(theta)
            parts = [slope]
        return jnp.concatenate(
            [
                value[None].astype(jnp.float32 if value.dtype == jnp.float32 else value.dtype),
                *(p.astype(value.dtype) for p in parts),
            ]
        )

    return all_of


def estimate_of(program: RandomProgram, f):
    vias = {f"z{d.slot}": eval(d.override, {"sx": sx}) for d in draws(program.block) if d.override}
    return sx.expectation(f, samples=program.samples, via=vias)


def precision(program: RandomProgram):
    return jax.enable_x64(program.dtype == "float64")


def judge(program: RandomProgram, mode: str, number: int = 0) -> Verdict:
    """Compares; a refusal, or any other error, of a valid program is "refused"."""
    reference = Reference(program)
    truth = truth_of(program, reference)
    with precision(program):
        try:
            if mode == "sampled":
                return _sampled(program, truth, number)
            return _exact(program, reference, truth, mode == "forced", number)
        except Exception as error:  # whatever it is, it is a finding
            return Verdict("refused", truth=truth, why=f"{type(error).__name__}: {error}")


def _exact(program, reference, truth, forced, number) -> Verdict:
    f = function_of(source_of(program, forced), f"<program {number}>")
    g = estimate_of(program, f)
    if forced:
        estimate = derivatives(program, lambda t, v: g(t, v, key=jax.random.key(0)))
        each = jax.jit(jax.vmap(estimate, (None, 0)))(jnp.asarray(THETA), jnp.asarray(reference.outcomes))
        found = reference.run(THETA)[1] @ np.asarray(each)
    else:
        estimate = derivatives(program, lambda t: g(t, key=jax.random.key(0)))
        found = np.asarray(jax.jit(estimate)(jnp.asarray(THETA)))
    scale = 1 + np.abs(truth)
    error = np.abs(found - truth) / scale
    tolerance = tolerance_of(program, forced)
    return Verdict("right" if error.max() < tolerance else "wrong", found, truth, tolerance * scale)


def tolerance_of(program, forced=False) -> float:
    tail = sum(FAMILIES[d.family].tail for d in draws(program.block))
    return 1e-6 + 10 * tail


def _sampled(program, truth, number) -> Verdict:
    f = function_of(source_of(program), f"<program {number}>")
    g = estimate_of(program, f)
    theta = jnp.asarray(THETA, program.dtype)
    if program.transform == "mean":
        one = derivatives(program, lambda t, ks: jnp.mean(jax.vmap(lambda k: g(t, key=k))(ks)))
    elif program.transform == "jit":
        one = derivatives(program, jax.jit(lambda t, k: g(t, key=k)))
    else:
        one = derivatives(program, lambda t, k: g(t, key=k))
    run = jax.jit(jax.vmap(one, (None, 0)))

    def draw(stage, times):
        batches = []
        for batch in range(times):
            key = jax.random.key(1_000_003 * stage + batch)
            shape = (DRAWS // 4, 4) if program.transform == "mean" else (DRAWS,)
            keys = jax.random.split(key, shape)
            keys = jax.random.key_data(keys) if program.legacy_key else keys
            batches.append(np.asarray(run(theta, keys), np.float64))
        all_of = np.concatenate(batches)
        return all_of.mean(0), all_of.std(0) / np.sqrt(len(all_of))

    floor = {"float32": 2e-4, "float64": 1e-6, "bfloat16": 2e-2}[program.dtype] + 3 * tolerance_of(program)
    for stage, (times, threshold) in enumerate(STAGES):
        mean, error = draw(stage, times)
        off = np.abs(mean - truth) - floor * (1 + np.abs(truth))
        if not (off > threshold * error).any() and np.isfinite(mean).all():
            return Verdict("right", mean, truth, error)
    return Verdict("wrong", mean, truth, error)


# Draws (in batches of DRAWS) and the distance in standard errors, stage by stage with fresh keys: the next stage is for what
# the one before found suspicious. All three together: a false alarm in 0.0027 * 0.00047 * 5.7e-7 of the comparisons.
STAGES = ((1, 3.0), (10, 3.5), (100, 5.0))
