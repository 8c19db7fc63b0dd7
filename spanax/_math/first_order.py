"""A value with a stated first derivative, and an error for a second one, about which nothing is stated.

Many estimators prescribe the first derivative of a draw: dz/dtheta := slope(theta). Differentiating that prescription once more
gives a number that estimates nothing, so that a second derivative has to raise.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array

from .._primitives import beside, undifferentiated


def first_order(slope: Callable[[Any, Array], Array], name: str, value: Array, at: Any, x: Array) -> Array:
    """`value`, whose tangent gains `slope(at, dx)`.

    `slope` is a module-level function, linear in `dx`. Differentiating through `at`, which only a second derivative does, raises
    `SpanaxError`.
    """
    return _first_order(slope, name, beside(value, (at, x)), at, x)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _first_order(slope: Callable[[Any, Array], Array], name: str, value: Array, at: Any, x: Array) -> Array:
    return value


@functools.partial(_first_order.defjvp, symbolic_zeros=True)
def _jvp(slope, name, primals, tangents):
    value, at, _ = primals
    dvalue, _, dx = tangents
    if isinstance(dvalue, SymbolicZero):
        dvalue = jnp.zeros_like(value)
    # Only where x is differentiated does the tangent depend on `at`: other derivatives of any order may pass.
    if isinstance(dx, SymbolicZero):
        return value, dvalue
    at = undifferentiated(
        at,
        f"a second derivative through {name}, which has only a first one",
        "ScoreFunction(), LeaveOneOut() or Enumerate(): they are right at every order",
        "Pathwise() or GumbelSoftmax(), where they apply",
        "Soft(0.1), for a hard operation; soften(f, 0.1), for a whole function",
    )
    return value, dvalue + slope(at, dx)
