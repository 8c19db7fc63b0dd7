"""Logic of truth weights: floats in [0, 1], such as the comparisons of this package return, or booleans.

Without `via` the weights are taken as they are, as the probabilities of independent events: the value is exact if they are 0 or
1, and the derivative is that of the probability. With `via` each weight is first compared with 1/2, by
`hard.greater(x, 0.5, via=via)`: with `StraightThrough` the value is then hard again. `Perturbed` needs `key`.

A weight outside [0, 1] is not a probability, and raises `SpanaxError` if its value is known when the function is called: in
plain calls and under `jax.grad`. Otherwise (under `jit` or `vmap`) it is clipped to [0, 1], and its derivative is 0 there. A
weight that only rounding took out of [0, 1] is always clipped, and keeps its derivative.
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
    """The truth weights, each compared with 1/2 by `via`, if there is one."""
    # A key each: the same noise on two weights would make them dependent.
    arrays = [_within(array(x)) for x in xs]
    if via is None:
        return arrays
    keys: list[Key[Array, ""]] | list[None] = [None] * len(xs) if key is None else list(jax.random.split(key, len(xs)))
    return [greater(x, 0.5, via=via, key=k) for x, k in zip(arrays, keys, strict=True)]


def _within(x: Array) -> Array:
    """The weight in [0, 1]. Raises `SpanaxError` if it is known to be outside."""
    if x.dtype == bool or not (jnp.issubdtype(x.dtype, jnp.integer) or jnp.issubdtype(x.dtype, jnp.floating)):
        return x
    try:
        known = bool(jnp.any(_is_outside(x)))
    except jax.errors.ConcretizationTypeError:
        # It is traced, and the value is not known now.
        known = False
    if known:
        raise SpanaxError(
            "a truth weight outside [0, 1]",
            "hard.greater(x, threshold, via=via), for a weight of a number",
            "hard.not_equal(x, 0), where anything but 0 is to be true",
        )
    return _clip_to_unit(x) if jnp.issubdtype(x.dtype, jnp.floating) else jnp.clip(x, 0, 1)


def _is_outside(x: Array) -> Bool[Array, "*s"]:
    """By more than rounding. NaN is not outside, and stays NaN."""
    # Products and sums of weights round; 1% is the most that is forgiven in half precision.
    slack = min(32 * float(jnp.finfo(x.dtype).eps), 0.01) if jnp.issubdtype(x.dtype, jnp.floating) else 0
    return (x < -slack) | (x > 1 + slack)


# The derivative of a plain clamp is 0 at the bounds, which is where hard weights are.
@jax.custom_jvp
def _clip_to_unit(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    return lax.clamp(jnp.zeros((), x.dtype), x, jnp.ones((), x.dtype))


@_clip_to_unit.defjvp
def _clip_to_unit_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return _clip_to_unit(x), jnp.where(_is_outside(x), jnp.zeros_like(dx), dx)


def logical_not(x: Truth, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """1 - x: the probability that it does not hold.

    **Arguments:**

    - `x`: the truth weights;
    - `via`: None to take the weights as they are, or the bridge of `hard.greater(x, 0.5, via=via)`, which tests each weight
      first;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    Weights of the shape of x.

    **Raises:**

    - `SpanaxError`: for a weight that is known to be outside of [0, 1];
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers.

    >>> import spanax as sx
    >>> sx.hard.logical_not(0.25).item()
    0.75
    """
    (x,) = _weights(via, key, x)
    return 1 - as_float(x)


def logical_and(x1: Truth, x2: Truth, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """x1 x2: the probability of both, if they are independent.

    **Arguments:**

    - `x1`: truth weights;
    - `x2`: truth weights, of a shape that broadcasts with that of x1;
    - `via`: None to take the weights as they are, or the bridge of `hard.greater(x, 0.5, via=via)`, which tests each weight
      first;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    Weights of the broadcast shape.

    **Raises:**

    - `SpanaxError`: for a weight that is known to be outside of [0, 1];
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers.

    >>> import spanax as sx
    >>> sx.hard.logical_and(0.5, 0.5).item()
    0.25
    """
    # Independence is assumed here and below: the weights do not say how two events are related.
    x1, x2 = alike(*_weights(via, key, x1, x2))
    return x1 * x2


def logical_or(x1: Truth, x2: Truth, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """x1 + x2 - x1 x2: the probability of at least one, if they are independent.

    **Arguments:**

    - `x1`: truth weights;
    - `x2`: truth weights, of a shape that broadcasts with that of x1;
    - `via`: None to take the weights as they are, or the bridge of `hard.greater(x, 0.5, via=via)`, which tests each weight
      first;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    Weights of the broadcast shape.

    **Raises:**

    - `SpanaxError`: for a weight that is known to be outside of [0, 1];
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers.

    >>> import spanax as sx
    >>> sx.hard.logical_or(0.5, 0.5).item()
    0.75
    """
    # Not 1 - (1 - x1)(1 - x2), which rounds small probabilities to multiples of 1e-7.
    x1, x2 = alike(*_weights(via, key, x1, x2))
    return x1 + x2 - x1 * x2


def logical_xor(x1: Truth, x2: Truth, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """x1 + x2 - 2 x1 x2: the probability of exactly one, if they are independent.

    **Arguments:**

    - `x1`: truth weights;
    - `x2`: truth weights, of a shape that broadcasts with that of x1;
    - `via`: None to take the weights as they are, or the bridge of `hard.greater(x, 0.5, via=via)`, which tests each weight
      first;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    Weights of the broadcast shape.

    **Raises:**

    - `SpanaxError`: for a weight that is known to be outside of [0, 1];
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers.

    >>> import spanax as sx
    >>> sx.hard.logical_xor(1.0, 0.25).item()
    0.75
    """
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
    """The product along `axis`, like `jnp.all`: the probability that every one holds.

    **Arguments:**

    - `x`: the truth weights;
    - `axis`: the axis, or several of them; None for all;
    - `keepdims`: whether the axes stay, with length 1;
    - `via`: None to take the weights as they are, or the bridge of `hard.greater(x, 0.5, via=via)`, which tests each weight
      first;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    Weights without the axis.

    **Raises:**

    - `SpanaxError`: for a weight that is known to be outside of [0, 1];
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers.

    >>> import jax.numpy as jnp, spanax as sx
    >>> sx.hard.all(jnp.array([0.5, 0.5, 1.0])).item()
    0.25
    """
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
    """1 less the product of the complements along `axis`, like `jnp.any`: the probability that at least one holds.

    **Arguments:**

    - `x`: the truth weights;
    - `axis`: the axis, or several of them; None for all;
    - `keepdims`: whether the axes stay, with length 1;
    - `via`: None to take the weights as they are, or the bridge of `hard.greater(x, 0.5, via=via)`, which tests each weight
      first;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    Weights without the axis.

    **Raises:**

    - `SpanaxError`: for a weight that is known to be outside of [0, 1];
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers.

    >>> import jax.numpy as jnp, spanax as sx
    >>> sx.hard.any(jnp.array([0.5, 0.5, 0.0])).item()
    0.75
    """
    # By De Morgan's law, so that one certain event makes it exactly 1.
    (x,) = _weights(via, key, x)
    return 1 - jnp.prod(1 - as_float(x), axis, keepdims=keepdims)


def where(condition: Truth, x: Numbers, y: Numbers, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """x where the condition holds and y where it does not; w x + (1 - w) y for a weight w.

    Exactly x at w = 1 and y at w = 0, as `jnp.where`; the derivative with respect to w is x - y there too. A branch of weight
    0 that is infinite or NaN does not count, in the value or in the derivative.

    **Arguments:**

    - `condition`: the truth weights;
    - `x`: the branch of weight w;
    - `y`: the branch of weight 1 - w;
    - `via`: None to take the weights as they are, or the bridge of `hard.greater(x, 0.5, via=via)`, which tests each weight
      first;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    An array of the broadcast shape.

    **Raises:**

    - `SpanaxError`: for a weight that is known to be outside of [0, 1];
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers.

    >>> import jax, spanax as sx
    >>> jax.grad(lambda w: sx.hard.where(w, 5.0, 2.0))(1.0).item()
    3.0
    """
    (condition,) = _weights(via, key, condition)
    w, x, y = alike(condition, x, y)
    # Both branches are in the sum: 0 times an infinite one would be NaN.
    x, y = _finite_if_unused(x, y, w == 0), _finite_if_unused(y, x, w == 1)
    return w * x + (1 - w) * y


def _finite_if_unused(branch: Array, other: Array, unused: Array) -> Array:
    """The branch, with a finite number in its place where it is unused and not finite."""
    # The other branch's number: the derivative with respect to w, x - y, is then 0 there.
    harmless = lax.stop_gradient(jnp.where(jnp.isfinite(other), other, 0))
    return jnp.where(unused & ~jnp.isfinite(branch), harmless, branch)


def select(
    condlist: list[Truth], choicelist: list[Numbers], default: Numbers = 0.0, *, via: Via = None, key: MaybeKey = None
) -> Float[Array, "*s"]:
    """The first choice whose condition holds, else `default`, like `jnp.select`; by `where`, from the last to the first.

    **Arguments:**

    - `condlist`: the truth weights of the conditions;
    - `choicelist`: as many choices;
    - `default`: what is returned if no condition holds;
    - `via`: None to take the weights as they are, or the bridge of `hard.greater(x, 0.5, via=via)`, which tests each weight
      first;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    An array of the broadcast shape.

    **Raises:**

    - `SpanaxError`: for a weight that is known to be outside of [0, 1];
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers;
    - `SpanaxError`: unless there are as many choices as conditions.

    >>> import spanax as sx
    >>> sx.hard.select([0.0, 0.5], [1.0, 2.0], default=4.0).item()
    3.0
    """
    if len(condlist) != len(choicelist):
        raise SpanaxError(
            f"select with {len(condlist)} conditions and {len(choicelist)} choices",
            "one choice for each condition",
        )
    # Independent conditions need independent noise. From the last to the first, each `where` hides those after it.
    keys = [None] * len(condlist) if key is None else list(jax.random.split(key, max(len(condlist), 1)))
    out = default
    for condition, choice, k in reversed(list(zip(condlist, choicelist, keys, strict=True))):
        out = where(condition, choice, out, via=via, key=k)
    return jnp.asarray(out)
