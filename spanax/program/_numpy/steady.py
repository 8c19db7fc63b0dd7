"""Functions with a domain, whose derivative is 0 where their value is NaN.

JAX multiplies a derivative of NaN by the zero of a number that is not chosen, and has NaN: np.where(x > 0, np.sqrt(x), 0) has no
gradient at x = -1. Here it has one; a NaN that IS chosen shows in the result itself. (JAX's FAQ, "gradients contain NaN where
using where", tells users to replace the argument by hand. This does the same inside the derivative.)
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array

# For each function of NumPy, an argument inside its domain.
_INSIDE = {
    "sqrt": 1.0,
    "log": 1.0,
    "log2": 1.0,
    "log10": 1.0,
    "log1p": 1.0,
    "divide": 1.0,
    "reciprocal": 1.0,
    "power": 1.0,
    "float_power": 1.0,
    "arcsin": 0.0,
    "arccos": 0.0,
    "arctanh": 0.0,
    "arccosh": 2.0,
}


def steady(name: str) -> Callable[..., Array] | None:
    """The function with that name, for arrays of one dtype; None if it has no domain to leave."""
    return _STEADY.get(name)


def _with_steady_derivative(name: str, inside: float) -> Callable[..., Array]:
    function = getattr(jnp, name)

    @jax.custom_jvp
    def run(*xs: Array) -> Array:
        return function(*xs)

    @run.defjvp
    def derivative(primals, tangents):
        value = run(*primals)
        # The value is NaN exactly where an argument is outside the domain, or NaN itself.
        outside = jnp.isnan(value)
        chosen = [jnp.where(outside, jnp.full_like(x, inside), x) for x in primals]
        slope = jax.jvp(function, chosen, list(tangents))[1]
        return value, jnp.where(outside, jnp.zeros_like(slope), slope)

    return lambda *xs: run(*_same_shape(xs))


def _same_shape(xs: tuple[Array, ...]) -> list[Array]:
    # Broadcast first, because `outside` has the shape of the result and selects elements of the arguments.
    shape = jnp.broadcast_shapes(*(x.shape for x in xs))
    return [x if x.shape == shape else jnp.broadcast_to(x, shape) for x in xs]


@jax.custom_jvp
def _xlogy(x: Array, y: Array) -> Array:
    return jax.scipy.special.xlogy(x, y)


@functools.partial(_xlogy.defjvp, symbolic_zeros=True)
def _xlogy_derivative(primals, tangents):
    """At x = 0 the value is 0 for every y, and so is the derivative along y, even at y = 0; that along x is log y."""
    (x, y), (by_x, by_y) = primals, tangents
    value = _xlogy(x, y)
    slope = jnp.zeros_like(value)
    # If x is a constant, a tangent of 0 times log y = -inf at y = 0 would be NaN, hence symbolic zeros.
    if not isinstance(by_x, SymbolicZero):
        slope = slope + by_x * jnp.log(y)
    if not isinstance(by_y, SymbolicZero):
        is_zero = x == 0
        slope = slope + by_y * jnp.where(is_zero, jnp.zeros_like(x), x / jnp.where(is_zero, jnp.ones_like(y), y))
    return value, slope


_STEADY = {"xlogy": lambda *xs: _xlogy(*_same_shape(xs))} | {
    name: _with_steady_derivative(name, inside) for name, inside in _INSIDE.items()
}
