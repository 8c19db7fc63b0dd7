"""Functions with a domain, whose derivative is 0 where their value is NaN.

JAX multiplies a derivative of NaN by the zero of a number that is not chosen, and has NaN: np.where(x > 0, np.sqrt(x), 0) has no
gradient at x = -1. Here it has; a NaN that IS chosen shows in the result itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array

# By NumPy's name: an argument inside of the domain.
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
    """The function of that name, of arrays of one dtype; None where its derivative needs no care."""
    return _STEADY.get(name)


def _made(name: str, inside: float) -> Callable[..., Array]:
    function = getattr(jnp, name)

    @jax.custom_jvp
    def run(*xs: Array) -> Array:
        return function(*xs)

    @run.defjvp
    def derivative(primals, tangents):
        value = run(*primals)
        outside = jnp.isnan(value)
        chosen = [jnp.where(outside, jnp.full_like(x, inside), x) for x in primals]
        slope = jax.jvp(function, chosen, list(tangents))[1]
        return value, jnp.where(outside, jnp.zeros_like(slope), slope)

    return lambda *xs: run(*_same_shape(xs))


def _same_shape(xs: tuple[Array, ...]) -> list[Array]:
    shape = jnp.broadcast_shapes(*(x.shape for x in xs))
    return [x if x.shape == shape else jnp.broadcast_to(x, shape) for x in xs]


@jax.custom_jvp
def _xlogy(x: Array, y: Array) -> Array:
    return jax.scipy.special.xlogy(x, y)


@functools.partial(_xlogy.defjvp, symbolic_zeros=True)
def _xlogy_derivative(primals, tangents):
    """At x = 0 it is 0 for every y, and so is the slope along y, at y = 0 as well; that along x is log y."""
    (x, y), (by_x, by_y) = primals, tangents
    value = _xlogy(x, y)
    slope = jnp.zeros_like(value)
    if not isinstance(by_x, SymbolicZero):
        slope = slope + by_x * jnp.log(y)
    if not isinstance(by_y, SymbolicZero):
        is_zero = x == 0
        slope = slope + by_y * jnp.where(is_zero, jnp.zeros_like(x), x / jnp.where(is_zero, jnp.ones_like(y), y))
    return value, slope


_STEADY = {"xlogy": lambda *xs: _xlogy(*_same_shape(xs))} | {
    name: _made(name, inside) for name, inside in _INSIDE.items()
}
