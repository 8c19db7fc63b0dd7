"""Do the values of f at the points around x differ by more than their last digits?"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Key

from .._errors import SpanaxError
from .._jaxprs import as_varying, is_traced, varying_type
from .._math.resolution import FEW, Found, problem, remedies
from .._primitives import any_over_vmap
from .._pytree import PyTree


def check_resolution(
    f: Callable[[PyTree[Array], Key[Array, ""]], Float[Array, ""]],
    x: PyTree[Array],
    X: PyTree[Array],
    Y: Float[Array, " points"],
    key: Key[Array, ""],
    slope: PyTree[Array],
) -> PyTree[Array]:
    """The slope; NaN where it would be made of rounding, and an error where that is known here.

    That is so where the values Y = f(X) differ by no more than a few units in the last place. Where all are the same, f may be
    flat, as a program with jumps is between them: then 0 is what the values say, and only a derivative of f itself that is not 0,
    and too small to show, says that a change was rounded away.
    """
    # A difference of values is known to a unit in their last place, whatever the noise. If all the differences are a
    # few units, the quotient is made of rounding.
    low, high = jnp.min(Y), jnp.max(Y)
    spread, size = high - low, jnp.maximum(jnp.abs(low), jnp.abs(high))
    unit = _unit(Y, size, spread)
    # any_over_vmap, so that under vmap the costly test runs only if some example needs it: a cond becomes a select there.
    suspect = any_over_vmap(spread <= FEW * unit)

    def is_rounding() -> Bool[Array, ""]:
        change = _change(f, x, X, key).astype(unit.dtype)
        return (spread <= FEW * unit) & ((spread > 0) | ((change > 0) & (change <= FEW * unit)))

    if is_traced(suspect):
        # Inside shard_map both branches need the same varying axes.
        none = as_varying(jnp.zeros((), bool), varying_type(jax.eval_shape(is_rounding)))
        bad = lax.cond(suspect, is_rounding, lambda: none)
    else:
        bad = is_rounding() if suspect else jnp.zeros((), bool)
    if not is_traced(bad):
        if not bad:
            return slope
        value = low if jnp.abs(low) > jnp.abs(high) else high
        found = Found(0, float(value), float(spread), float(unit), Y.dtype.name)
        flat = "" if spread else ", though f's own derivative is not 0"
        raise SpanaxError(f"the derivative of smooth(f): {problem(found, len(Y))}{flat}", *remedies(found, "`sigma`"))
    return jax.tree.map(lambda leaf: jnp.where(bad, jnp.nan, leaf), slope)


def _unit(Y: Array, size: Array, spread: Array) -> Array:
    """One in the last place of a number of this size: of float32, where float64 holds nothing else."""
    unit = _unit_in_last_place(size, Y.dtype)
    if Y.dtype != jnp.float64:
        return unit
    # A float64 result may hold float32 numbers, as those of many simulators do: then their last digit is much larger.
    single = jnp.all(Y.astype(jnp.float32).astype(jnp.float64) == Y) & (spread > 0)
    return jnp.where(single, _unit_in_last_place(size, jnp.dtype(jnp.float32)), unit)


def _unit_in_last_place(size: Array, dtype: jnp.dtype) -> Array:
    finfo = jnp.finfo(dtype)
    _, exponent = jnp.frexp(jnp.where(jnp.isfinite(size), size, 0))
    spacing = jnp.ldexp(jnp.asarray(finfo.eps, size.dtype), exponent - 1)
    return jnp.maximum(spacing, jnp.asarray(finfo.tiny, size.dtype) * jnp.asarray(finfo.eps, size.dtype))


def _change(f: Callable, x: PyTree[Array], X: PyTree[Array], key: Key[Array, ""]) -> Float[Array, ""]:
    """By how much f would change from x to the first point, by its own derivative; 0 where that is not to be had."""
    # One point is enough: f's own derivative says whether there is anything to be seen at all.
    move = jax.tree.map(lambda at, to: to[0] - at, x, X)
    try:
        return jnp.abs(jax.jvp(lambda x: f(x, key), (x,), (move,))[1])
    except Exception:  # a host function, or a rule for reverse mode alone
        return jnp.zeros(())
