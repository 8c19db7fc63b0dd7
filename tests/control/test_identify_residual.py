"""The residual network of `identify`: refused on little data, kept where it predicts better, left out where it does not."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax import control

from .springs import Seen, Spring, noisy, play

KEY = jax.random.key(0)
TRUTH = Seen(Spring(4.0, 0.5), cubic=3.0)


def episodes(truth, count, size=0.01):
    return [noisy(play(truth, 60, seed, start=(1.0, seed / 5 - 1)), size, seed) for seed in range(count)]


def test_a_residual_is_refused_on_little_data():
    with pytest.raises(sx.SpanaxError, match="too little data for a residual of 370 weights") as error:
        control.identify(Seen(), episodes(TRUTH, 2), parameters=["spring.stiffness"], residual=16, key=KEY)
    assert "times the data" in str(error.value)


def test_what_the_parameters_leave_out_is_learned():
    found = control.identify(
        Seen(), episodes(TRUTH, 10), parameters=["spring.stiffness", "spring.damping"], residual=8, key=KEY
    )
    assert found.residual is not None and isinstance(found.env, control.Corrected)
    assert found.error_after < 0.7 * found.error_without_residual < 0.7 * found.error_before
    # It is an environment like any other: under jit, vmap and grad.
    total = lambda push: control.rollout(found.env, lambda seen: push[None], jnp.array([1.0, 0.0]), 5).rewards.sum()
    assert np.isfinite(jax.grad(total)(jnp.array(0.5)))
    assert "without the residual" in repr(found)


def test_a_residual_that_learns_nothing_is_left_out():
    truth = Seen(Spring(4.0, 0.5))
    with pytest.warns(sx.SpanaxWarning, match="the residual is left out"):
        found = control.identify(
            Seen(), episodes(truth, 10), parameters=["spring.stiffness", "spring.damping"], residual=8, key=KEY
        )
    assert found.residual is None and type(found.env) is Seen
    assert found.error_after == found.error_without_residual


def test_a_module_of_the_users_and_no_parameters():
    class Cubic(eqx.Module):
        coefficient: jax.Array

        def __call__(self, inputs):
            return jnp.stack([jnp.zeros((), inputs.dtype), self.coefficient * inputs[0] ** 3])

    model = Seen(Spring(4.0, 0.5))
    found = control.identify(model, episodes(TRUTH, 4), parameters=[], residual=Cubic(jnp.array(0.0)), key=KEY)
    assert found.parameters == {} and found.residual is not None
    # A step is 0.1 s long.
    np.testing.assert_allclose(found.residual.coefficient, -0.3, rtol=0.1)
