"""One call of a hard operation: its exact value, crossed by a bridge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from .._errors import SpanaxError
from .._foreign_arrays import refuse_foreign
from .._jaxprs import here
from .._math.noise import KERNELS
from .._primitives import undifferentiated, without_derivative
from ..bridges import Operation, Step

Via = Step | None
MaybeKey = Key[Array, ""] | None


def as_float(x: Any) -> Array:
    """An array of floats: integers and booleans in JAX's default precision."""
    x = _real(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.result_type(float))


def array(x: Any, dtype: Any = None) -> Array:
    """An array of JAX. Raises `SpanaxError` for an array of another library."""
    # Every argument of a hard operation passes here.
    refuse_foreign(x)
    return jnp.asarray(x, dtype)


def _real(x: Any) -> Array:
    x = array(x)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise SpanaxError("a hard operation of complex numbers", "x.real or x.imag", "abs(x)")
    return x


def alike(*xs: Any) -> list[Array]:
    """Arrays of floats of one shape and one dtype."""
    # Booleans, such as conditions, take the dtype of the numbers. JAX's strict promotion stays in force among those.
    arrays = [_real(x) for x in xs]
    dtype = jnp.result_type(*[x for x in arrays if x.dtype != bool] or [float])
    dtype = dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.result_type(float)
    return list(jnp.broadcast_arrays(*(x.astype(dtype) for x in arrays)))


def under_noise(formula: Callable[..., Array]) -> dict[str, Callable]:
    """`formula(kernel, x, softness)` for each kernel."""
    # `kernel=kernel` binds the loop's variable now, not when the function is called.
    return {name: lambda x, softness, kernel=kernel: formula(kernel, x, softness) for name, kernel in KERNELS.items()}


def apply(
    name: str,
    via: Via,
    key: MaybeKey,
    *,
    x: Float[Array, "*shape"],
    hard: Callable[[Array], Array],
    soft: Mapping[str, Callable],
    identity: Callable[[Array], Array] | None = None,
    rows: bool = False,
    exact: Callable[..., Array] | None = None,
    inputs: Sequence[Array] | None = None,
    has_derivative: bool = False,
    one_of_several: bool = False,
) -> Array:
    """The operation by `via`; `x` is the array that the noise is on.

    `exact(*inputs)` is its value, if that is more exact than `hard(x)`. Without a bridge it has JAX's derivative if it
    `has_derivative`, and otherwise one that raises: for `one_of_several` results only if that result is used, and NaN in forward
    mode.
    """
    exact, inputs = (hard, (x,)) if exact is None or inputs is None else (exact, inputs)
    if via is None:
        if has_derivative:
            return exact(*inputs)
        diagnosis = _diagnosis(name, identity is not None)
        if one_of_several:
            return without_derivative(exact(*inputs), inputs, *diagnosis)
        # JAX's derivative would be a silent 0.
        return exact(*undifferentiated(tuple(inputs), *diagnosis))
    if not isinstance(via, Step):
        raise SpanaxError(f"{name} via {via!r}, which is not a bridge for a hard operation", *_bridges(True))
    # A bridge gives the derivative: JAX's own, of a maximum or a sort, may not be added to it.
    value = lax.stop_gradient(exact(*inputs))
    return via.step(Operation(name, here(), value, hard, soft, identity, rows), x, key)


def _diagnosis(name: str, like_identity: bool) -> tuple[str, ...]:
    problem = f"the derivative of {name}, which is zero wherever it exists, without a bridge"
    return problem, *_bridges(like_identity), "jax.lax.stop_gradient around its input, if a zero is meant"


def _bridges(like_identity: bool) -> list[str]:
    named = ["via=sx.StraightThrough(sx.Soft(0.1)): the exact value, the derivative of the relaxed operation"]
    named += ["via=sx.StraightThrough(): the exact value, the derivative of the identity"] if like_identity else []
    return [*named, "via=sx.Soft(0.1): the relaxed value; 0.1 is the standard deviation of noise on the input"]


# All row operations work along the last axis, and put their axis back afterwards: one layout for sorts, scans and kernels.
def on_last(x: Array, axis: int | None, name: str) -> tuple[Array, int | None]:
    """x with `axis` moved to the end (flattened if it is None), and that axis, not negative."""
    if axis is None:
        return x.ravel(), None
    if isinstance(axis, bool) or not isinstance(axis, int) or not -x.ndim <= axis < x.ndim:
        raise SpanaxError(f"{name} of axis {axis}, and x has shape {list(x.shape)}", "axis=-1")
    return jnp.moveaxis(x, axis, -1), axis % x.ndim
