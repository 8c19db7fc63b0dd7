"""Choices along an axis: argmax, argmin, max, min, one_hot.

An index comes as weights: an array of indices of shape S, into n entries, has the shape S + (n,) here, and where
jax.numpy has the index i there is a 1 at i. `hard.take` and `hard.take_along_axis` use such weights in place of
indices. `via` is the bridge: `Soft` (the noise is on every entry), `StraightThrough` or `Perturbed`, which needs `key`.
Without a bridge the value is exact, and a derivative of an index raises `SpanaxError`; that of max and min is JAX's.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import SpanaxError
from .._math.noise import units
from ._apply import MaybeKey, Via, apply, as_float, on_last, under_noise
from ._maximisers import gaussian_max, gaussian_weights, gumbel_max, gumbel_weights, one_hot_argmax

# By kernel. Logistic noise on the difference of two entries is Gumbel noise on each of them.
_WEIGHTS = {"logistic": gumbel_weights, "gaussian": gaussian_weights}
_MAXIMA = {"logistic": gumbel_max, "gaussian": gaussian_max}


def argmax(
    a: Float[Array, "*s"], axis: int | None = None, keepdims: bool = False, *, via: Via = None, key: MaybeKey = None
) -> Float[Array, "*index n"]:
    """One-hot weights of the first maximum, with the entries on a new last axis: `jax.nn.one_hot(jnp.argmax(a, axis), n)`.

    Relaxed: the probability that the maximum of a + noise is there; with the logistic kernel a softmax. `StraightThrough()`:
    the derivative of `a` itself.

    **Arguments:**

    - `a`: the array;
    - `axis`: the axis; None for the flattened array;
    - `keepdims`: whether the axis stays, with length 1;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value, whose derivative raises;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    The weights: the shape of `jnp.argmax(a, axis, keepdims)` and a new last axis of the n entries.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers;
    - `SpanaxError`: for no entries, or an axis that does not exist.

    >>> import jax.numpy as jnp, spanax as sx
    >>> sx.hard.argmax(jnp.array([0.1, 0.7, 0.2])).tolist()
    [0.0, 1.0, 0.0]
    >>> [f"{weight:.2f}" for weight in sx.hard.argmax(jnp.array([0.1, 0.7, 0.2]), via=sx.Soft(0.5))]
    ['0.14', '0.67', '0.19']
    """
    return _argmax("argmax", as_float(a), 1, axis, keepdims, via, key)


def argmin(
    a: Float[Array, "*s"], axis: int | None = None, keepdims: bool = False, *, via: Via = None, key: MaybeKey = None
) -> Float[Array, "*index n"]:
    """One-hot weights of the first minimum, with the entries on a new last axis; as `argmax` of -a.

    **Arguments:**

    - `a`: the array;
    - `axis`: the axis; None for the flattened array;
    - `keepdims`: whether the axis stays, with length 1;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value, whose derivative raises;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    The weights: the shape of `jnp.argmin(a, axis, keepdims)` and a new last axis of the n entries.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers;
    - `SpanaxError`: for no entries, or an axis that does not exist.

    >>> import jax.numpy as jnp, spanax as sx
    >>> sx.hard.argmin(jnp.array([0.1, 0.7, 0.2])).tolist()
    [1.0, 0.0, 0.0]
    """
    return _argmax("argmin", as_float(a), -1, axis, keepdims, via, key)


def _entries(a: Array, axis: int | None, name: str) -> tuple[Array, int | None]:
    """`on_last`, for an operation that needs at least one entry."""
    x, position = on_last(a, axis, name)
    if x.shape[-1] == 0:
        raise SpanaxError(f"{name} of no entries, and x has shape {list(a.shape)}", "at least one entry")
    return x, position


def _argmax(name, a, sign, axis, keepdims, via, key):
    # A minimum is the maximum of -a, and its noise is that of this maximum: Gumbel noise is not symmetric.
    x, position = _entries(a, axis, name)
    weights = apply(
        name,
        via,
        key,
        x=x,
        hard=lambda x: one_hot_argmax(sign * x),
        soft={kernel: lambda x, s, soft=soft: soft(sign * x, s) for kernel, soft in _WEIGHTS.items()},
        # One-hot weights grow with their entry, as the entries themselves do.
        identity=lambda x: sign * x,
        rows=True,
    )
    if not keepdims:
        return weights
    return jnp.expand_dims(weights, tuple(range(a.ndim)) if position is None else position)


def max(
    a: Float[Array, "*s"], axis: int | None = None, keepdims: bool = False, *, via: Via = None, key: MaybeKey = None
) -> Float[Array, "*out"]:
    """The largest entry, like `jnp.max`.

    Relaxed: E max(a + noise), whose derivatives are the weights of `argmax`.

    **Arguments:**

    - `a`: the array;
    - `axis`: the axis; None for the flattened array;
    - `keepdims`: whether the axis stays, with length 1;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value with JAX's derivative;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    The maximum along `axis`.

    **Raises:**

    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers;
    - `SpanaxError`: for no entries, or an axis that does not exist.

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> slope = jax.grad(lambda a: sx.hard.max(a, via=sx.Soft(0.5)))(jnp.array([0.1, 0.7, 0.2]))
    >>> [f"{weight:.2f}" for weight in slope]
    ['0.14', '0.67', '0.19']
    """
    return _max("max", as_float(a), 1, axis, keepdims, via, key)


def min(
    a: Float[Array, "*s"], axis: int | None = None, keepdims: bool = False, *, via: Via = None, key: MaybeKey = None
) -> Float[Array, "*out"]:
    """The smallest entry, like `jnp.min`; relaxed: E min(a + noise).

    **Arguments:**

    - `a`: the array;
    - `axis`: the axis; None for the flattened array;
    - `keepdims`: whether the axis stays, with length 1;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value with JAX's derivative;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    The minimum along `axis`.

    **Raises:**

    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers;
    - `SpanaxError`: for no entries, or an axis that does not exist.

    >>> import jax.numpy as jnp, spanax as sx
    >>> sx.hard.min(jnp.array([[0.5, 0.25], [2.0, 1.0]]), axis=1).tolist()
    [0.25, 1.0]
    """
    return _max("min", as_float(a), -1, axis, keepdims, via, key)


def _max(name, a, sign, axis, keepdims, via, key):
    x, position = _entries(a, axis, name)
    out = apply(
        name,
        via,
        key,
        x=x,
        # JAX's derivative of a maximum is shared among equal entries: it is used as it is without a bridge.
        hard=lambda x: sign * jnp.max(sign * x, -1),
        soft={kernel: lambda x, s, soft=soft: sign * soft(sign * x, s) for kernel, soft in _MAXIMA.items()},
        rows=True,
        has_derivative=True,
    )
    if not keepdims:
        return out
    return jnp.expand_dims(out, tuple(range(a.ndim)) if position is None else position)


def one_hot(
    x: Float[Array, "*s"], num_classes: int, *, via: Via = None, key: MaybeKey = None
) -> Float[Array, "*s num_classes"]:
    """1 at the whole number nearest to x, like `jax.nn.one_hot`; all 0 if that is outside of 0 ... num_classes - 1.

    x may be a float, such as a rounded one. Relaxed: the probability that x + noise rounds to it.

    **Arguments:**

    - `x`: the numbers;
    - `num_classes`: the length of the new axis;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value, whose derivative raises;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    The weights, with the classes on a new last axis.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers.

    >>> import spanax as sx
    >>> sx.hard.one_hot(1.2, 3).tolist()
    [0.0, 1.0, 0.0]
    """
    classes = jnp.arange(num_classes)

    # Noise moves the number, so that all classes of one number are one row.
    def off(x):
        return x - jnp.expand_dims(classes.astype(x.dtype), tuple(range(x.ndim - 1)))

    def hard(x):
        return (off(jnp.round(x)) == 0).astype(x.dtype)

    def soft(kernel, x, softness):
        # The probability that the number falls within half a unit of the class.
        d = off(x)
        return kernel.cdf(units(d + 0.5, softness)) - kernel.cdf(units(d - 0.5, softness))

    return apply("one_hot", via, key, x=as_float(x)[..., None], hard=hard, soft=under_noise(soft), rows=True)
