"""Python's integers, which have no largest one, in JAX's, which have: what does not fit is an error when the program runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._session import line, session
from .values import Number, as_jax, canonical, is_unknown, raw

# Integers of a program that is lifted wrap around silently in JAX, where Python's grow: a wrong value without a trace. Sums
# with a small known number, such as counters, are not checked, as they would have to be added up longer than any loop runs.
_SMALL = 2.0**-20  # known numbers, this small beside the largest: too many of them are needed to get there
_SIZES: dict[str, Callable] = {
    "add": jnp.add,
    "subtract": jnp.subtract,
    "multiply": jnp.multiply,
    "power": jnp.power,
    "left_shift": lambda a, n: a * jnp.exp2(n),
}


def check_whole(ufunc: np.ufunc, inputs: tuple, result: Number) -> None:
    """Checks the result of an operator on Python's integers when the program runs: that it exists, and that it fits."""
    if result.dtype.kind != "i":
        return
    if ufunc in (np.floor_divide, np.remainder) and is_unknown(inputs[1]):
        session().check(as_jax(inputs[1]) == 0, "integer division or modulo by zero", line(), "a test before it")
    limits = np.iinfo(result.dtype)
    if ufunc.__name__ not in _SIZES or result.span or _adds_little(ufunc, inputs, limits.max * _SMALL):
        return
    # In floating point, where the size does not overflow; 1e-6 below the limit covers its rounding in single precision.
    floats = [jax.lax.stop_gradient(as_jax(x, canonical(float))) for x in inputs]
    fits = jnp.abs(_SIZES[ufunc.__name__](*floats)) < float(limits.max) * (1 - 1e-6)
    problem = (
        f"an integer does not fit into {limits.bits} bits, which a lifted program has where it depends on the arguments"
    )
    session().check(~fits, problem, line(), "floats: 1.0 instead of 1", "fewer iterations of the loop")


def _adds_little(ufunc: np.ufunc, inputs: tuple, small: float) -> bool:
    return ufunc in (np.add, np.subtract) and any(not is_unknown(x) and abs(raw(x)) < small for x in inputs)


def whole_power(base: Any, exponent: Any) -> Number:
    """`base ** exponent` for Python's integers; a negative exponent, which would make it a float, is an error."""
    # Python's result would be a float, of another type than for a positive exponent: which one it is must be known when it is
    # traced.
    n = as_jax(exponent, canonical(int))
    session().check(n < 0, "an integer has a negative exponent", line(), "a float as the base: 2.0 ** n")
    return Number(jnp.power(as_jax(base, canonical(int)), jnp.maximum(n, 0)), int)
