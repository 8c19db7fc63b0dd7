"""300 random programs against full enumeration: the exact expectation of the estimator, not a sample of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

import spanax as sx
from tests.stochastic.random_programs import (
    Forced,
    Reference,
    finite_gradient,
    finite_hessian,
    random_programs,
    slot_arrays,
    spanax_form,
    straight_programs,
)

THETA = np.array([0.3, -0.6, 0.8])
GENERATE = {"phases": [Phase.generate], "suppress_health_check": list(HealthCheck)}


def estimator(program):
    f = spanax_form(program, lambda statement, value: Forced(value))
    return lambda theta, values: sx.expectation(f)(theta, slot_arrays(program, values), key=jax.random.key(0))


def expected(program, reference, derivative):
    """E[derivative of the estimate], summed over every assignment of values to the draws with its probability."""
    weights = np.exp(reference.run(THETA)[1])
    each = jax.jit(jax.vmap(derivative(estimator(program)), in_axes=(None, 0)))
    values, derivatives = each(jnp.asarray(THETA), jnp.asarray(reference.values))
    return weights @ np.asarray(values), np.tensordot(weights, np.asarray(derivatives), 1)


def value_and_hessian(f):
    return lambda theta, values: (f(theta, values), jax.hessian(f)(theta, values))


@pytest.mark.parametrize("part", range(10))
def test_gradient_of_a_random_program(part, x64):
    @seed(part)
    @settings(max_examples=30, **GENERATE)
    @given(random_programs())
    def check(program):
        reference = Reference(program)
        value, gradient = expected(program, reference, jax.value_and_grad)
        truth = reference.expectation(THETA)
        slope = finite_gradient(reference.expectation, THETA)
        assert abs(value - truth) < 1e-9 * (1 + abs(truth))
        assert np.abs(gradient - slope).max() < 1e-7 * (1 + np.abs(slope).max())

    check()


@pytest.mark.parametrize("part", range(2))
def test_hessian_of_a_random_program(part, x64):
    @seed(100 + part)
    @settings(max_examples=10, **GENERATE)
    @given(random_programs(limit=24, length=2))
    def check(program):
        reference = Reference(program)
        _, hessian = expected(program, reference, value_and_hessian)
        truth = finite_hessian(reference.expectation, THETA)
        assert np.abs(hessian - truth).max() < 2e-6 * (1 + np.abs(truth).max())

    check()


@pytest.mark.parametrize("part", range(2))
def test_enumerated_random_program(part, x64):
    """No scans: every draw through `Enumerate`, so one evaluation is exact, with cond, jit, checkpoint around draws."""

    @seed(200 + part)
    @settings(max_examples=20, **GENERATE)
    @given(straight_programs())
    def check(program):
        reference = Reference(program)
        f = spanax_form(program, lambda statement, value: sx.Enumerate())
        values = slot_arrays(program, jnp.zeros(len(program.slots)))
        value, gradient = jax.jit(jax.value_and_grad(lambda t: sx.expectation(f)(t, values, key=jax.random.key(0))))(
            jnp.asarray(THETA)
        )
        slope = finite_gradient(reference.expectation, THETA)
        assert abs(value - reference.expectation(THETA)) < 1e-9 * (1 + abs(value))
        assert np.abs(gradient - slope).max() < 1e-7 * (1 + np.abs(slope).max())

    check()


@pytest.mark.parametrize("part", range(2))
def test_scores_before_enumerated_draws(part, x64):
    """The first draw through the score function, all later ones enumerated: exact once the first is summed out."""

    @seed(300 + part)
    @settings(max_examples=10, **GENERATE)
    @given(straight_programs(starts_with_draw=True))
    def check(program):
        first = program.block[0]
        reference = Reference(program)
        f = spanax_form(program, lambda s, value: Forced(value) if s == first else sx.Enumerate())

        def estimate(theta, z):
            values = jnp.zeros(len(program.slots)).at[0].set(z)
            return sx.expectation(f)(theta, slot_arrays(program, values), key=jax.random.key(0))

        z = jnp.arange(first.values, dtype=float)
        weights = first_probabilities(reference, first)
        value, gradient = jax.jit(jax.vmap(jax.value_and_grad(estimate), in_axes=(None, 0)))(jnp.asarray(THETA), z)
        slope = finite_gradient(reference.expectation, THETA)
        assert abs(weights @ value - reference.expectation(THETA)) < 1e-9 * (1 + np.abs(value).max())
        assert np.abs(weights @ gradient - slope).max() < 1e-7 * (1 + np.abs(slope).max())

    check()


def first_probabilities(reference, first):
    """p(value) of a program's first draw, by summing the reference's assignments."""
    probability = np.exp(reference.run(THETA)[1])
    return np.array([probability[reference.values[:, 0] == z].sum() for z in range(first.values)])
