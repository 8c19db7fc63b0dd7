"""Functions with gaps, for `test_lines`: a gap belongs to the line here, whoever calls it from wherever."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax


def quantize(x):
    x = 2.0 * x
    return jnp.round(x)  # GAP: elsewhere


@jax.jit
def quantize_jitted(x):
    return jnp.floor(x)  # GAP: elsewhere-jit


def positive_part(x):
    return lax.cond(
        x > 0,  # GAP: elsewhere-condition
        lambda v: v,
        lambda v: 0.0 * jnp.ceil(v),  # GAP: elsewhere-branch
        x,
    )


class Threshold(eqx.Module):
    at: jax.Array

    def __call__(self, x):
        return jnp.where(self.above(x), x, 0.0)

    def above(self, x):
        return x > self.at  # GAP: elsewhere-method
