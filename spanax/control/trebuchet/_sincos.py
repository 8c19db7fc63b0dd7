"""Sine and cosine of the same angle, from arithmetic alone.

XLA's own are calls of functions on a CPU, which keep loops from using vector instructions. Argument reduction by Cody and Waite
(Software Manual for the Elementary Functions, 1980), then the Taylor series.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from .._event.once import once
from .machine import Scalar


@jax.jit  # so that it is traced once
def sincos(x: Scalar) -> tuple[Scalar, Scalar]:
    """(sin(x), cos(x)) for moderate angles, a thousand turns or less, to about one unit in the last place of 1.

    Quarter turns are taken off in two parts (Cody and Waite, 1980), so that they cancel without rounding; what is left lies
    within pi/4, where the Taylor series end early.
    """
    return _sincos(x)


@jax.custom_jvp
def _sincos(x):
    # A multiple of the first part, which has half the digits of pi/2, is exact.
    digits = jnp.finfo(x.dtype).nmant
    coarse = 2.0 ** (digits // 2)
    high = round(math.pi / 2 * coarse) / coarse
    # Locally constant: the tangent does not pass through it.
    turns = jnp.round(x / (math.pi / 2))
    rest = (x - turns * high) - turns * (math.pi / 2 - high)
    # The first term left out is below the last place of the dtype on [-pi/4, pi/4].
    terms = 5 if digits < 24 else 8
    sin, cos = rest * _series(1, terms, rest * rest), _series(0, terms + 1, rest * rest)
    quarter = turns - 4 * jnp.floor(turns / 4)  # 0, 1, 2 or 3
    odd, upside_down = (quarter == 1) | (quarter == 3), quarter >= 2
    first, second = jnp.where(odd, cos, sin), jnp.where(odd, sin, cos)
    return once(jnp.where(upside_down, -first, first)), once(jnp.where(upside_down ^ odd, -second, second))


# The derivative of the series would be a series that ends one term earlier: exact to fewer digits than the cosine itself.
@_sincos.defjvp
def _sincos_jvp(primals, tangents):
    sin, cos = sincos(*primals)
    (dx,) = tangents
    return (sin, cos), (cos * dx, -sin * dx)


def _series(first: int, terms: int, square: Scalar) -> Scalar:
    """The sum of (-square)^i / (first + 2 i)! over `terms` terms, by Horner's rule."""
    total = jnp.zeros_like(square)
    for i in reversed(range(terms)):
        total = total * square + (-1) ** i / math.factorial(first + 2 * i)
    return total
