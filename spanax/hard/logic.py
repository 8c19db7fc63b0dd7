"""Logic of truth weights: floats in [0, 1], such as the comparisons of this package return, or booleans.

Without `via` the weights are taken as they are, as the probabilities of independent events: the value is exact where
they are 0 or 1, and the derivative is that of the probability. With `via` each weight is first tested for being above 1/2, by
`hard.greater(x, 0.5, via=via)`: the value is then hard again with `StraightThrough`. `Perturbed` needs `key`.

A weight outside [0, 1] is not a chance, and raises `SpanaxError` where its value is known when the function is called: in
plain calls and under `jax.grad`. Where it is not (under `jit` or `vmap`), it is clipped into [0, 1], and its derivative is 0
there. What rounding takes out of [0, 1] is clipped always, and keeps its derivative.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Key

from .._errors import SpanaxError
from ._apply import MaybeKey, Via, alike, array, as_float
from .comparisons import Numbers, greater

Truth = Float[Array, "*s"] | Bool[Array, "*s"]


def _weights(via: Via, key: MaybeKey, *xs: Truth) -> list[Array]:
    """The truth weights, each tested by `via`, if there is one."""
    arrays = [_within(array(x)) for x in xs]
    if via is None:
        return arrays
    keys: list[Key[Array, ""]] | list[None] = [None] * len(xs) if key is None else list(jax.random.split(key, len(xs)))
    return [greater(x, 0.5, via=via, key=k) for x, k in zip(arrays, keys, strict=True)]


def _within(x: Array) -> Array:
    """The weight in [0, 1]; raises where it is known to lie outside."""
    if x.dtype == bool or not (jnp.issubdtype(x.dtype, jnp.integer) or jnp.issubdtype(x.dtype, jnp.floating)):
        return x
    try:
        known = bool(jnp.any(_is_outside(x)))
    except jax.errors.ConcretizationTypeError:  # traced: the value is not known now
        known = False
    if known:
        raise SpanaxError(
            "a truth weight outside [0, 1]",
            "hard.greater(x, threshold, via=via), for a weight of a number",
            "hard.not_equal(x, 0), where anything but 0 is to be true",
        )
    return _clipped(x) if jnp.issubdtype(x.dtype, jnp.floating) else jnp.clip(x, 0, 1)


def _is_outside(x: Array) -> Bool[Array, "*s"]:
    """By more than rounding; not NaN, which stays one."""
    slack = min(32 * float(jnp.finfo(x.dtype).eps), 0.01) if jnp.issubdtype(x.dtype, jnp.floating) else 0
    return (x < -slack) | (x > 1 + slack)


@jax.custom_jvp
def _clipped(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    return lax.clamp(jnp.zeros((), x.dtype), x, jnp.ones((), x.dtype))


@_clipped.defjvp
def _clipped_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return _clipped(x), jnp.where(_is_outside(x), jnp.zeros_like(dx), dx)


def logical_not(x: Truth, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """1 - x."""
    (x,) = _weights(via, key, x)
    return 1 - as_float(x)


def logical_and(x1: Truth, x2: Truth, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """x1 x2: the probability of both."""
    x1, x2 = alike(*_weights(via, key, x1, x2))
    return x1 * x2


def logical_or(x1: Truth, x2: Truth, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """x1 + x2 - x1 x2: the probability of at least one."""
    x1, x2 = alike(*_weights(via, key, x1, x2))
    return x1 + x2 - x1 * x2


def logical_xor(x1: Truth, x2: Truth, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """x1 + x2 - 2 x1 x2: the probability of exactly one."""
    x1, x2 = alike(*_weights(via, key, x1, x2))
    return x1 + x2 - 2 * x1 * x2


def all(
    x: Truth,
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = False,
    *,
    via: Via = None,
    key: MaybeKey = None,
) -> Float[Array, "*out"]:
    """The product along `axis`, like `jnp.all`: the probability that every one holds."""
    (x,) = _weights(via, key, x)
    return jnp.prod(as_float(x), axis, keepdims=keepdims)


def any(
    x: Truth,
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = False,
    *,
    via: Via = None,
    key: MaybeKey = None,
) -> Float[Array, "*out"]:
    """1 less the product of the complements along `axis`, like `jnp.any`: the probability that at least one holds."""
    (x,) = _weights(via, key, x)
    return 1 - jnp.prod(1 - as_float(x), axis, keepdims=keepdims)


def where(condition: Truth, x: Numbers, y: Numbers, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """x where the condition holds and y where it does not; w x + (1 - w) y for a weight w.

    Exactly x at w = 1 and y at w = 0, as `jnp.where`; the derivative with respect to w is x - y also there. A branch of weight 0
    that is infinite or NaN does not count, in the value or in the derivative.
    """
    (condition,) = _weights(via, key, condition)
    w, x, y = alike(condition, x, y)
    x, y = _counting(x, y, w == 0), _counting(y, x, w == 1)
    return w * x + (1 - w) * y


def _counting(branch: Array, other: Array, unused: Array) -> Array:
    """The branch, with something harmless in its place where it is unused and not finite."""
    harmless = lax.stop_gradient(jnp.where(jnp.isfinite(other), other, 0))
    return jnp.where(unused & ~jnp.isfinite(branch), harmless, branch)


def select(
    condlist: list[Truth], choicelist: list[Numbers], default: Numbers = 0.0, *, via: Via = None, key: MaybeKey = None
) -> Float[Array, "*s"]:
    """The first choice whose condition holds, else `default`, like `jnp.select`; by `where`, from the last to the first.

    Raises `SpanaxError` unless there are as many choices as conditions.
    """
    if len(condlist) != len(choicelist):
        raise SpanaxError(
            f"select with {len(condlist)} conditions and {len(choicelist)} choices",
            "one choice for each condition",
        )
    keys = [None] * len(condlist) if key is None else list(jax.random.split(key, max(len(condlist), 1)))
    out = default
    for condition, choice, k in reversed(list(zip(condlist, choicelist, keys, strict=True))):
        out = where(condition, choice, out, via=via, key=k)
    return jnp.asarray(out)
