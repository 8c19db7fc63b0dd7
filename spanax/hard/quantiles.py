"""quantile, percentile and median: order statistics at a few places, in n log n.

`via` is the bridge, as in `hard.sort`: `Soft`, `StraightThrough` or `Perturbed`, which needs `key`; without a bridge the
derivative is JAX's. The methods of interpolation are NumPy's.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .._errors import SpanaxError
from .._math.sorting import sorted_rows
from ._apply import MaybeKey, Via, apply, array, as_float, on_last
from ._rows import soft_places

# Between the order statistics at p = floor(p) + share and the next one, the share of the next one; at the end it may be 1.
_METHODS = {
    "linear": lambda share: share,
    "lower": jnp.floor,
    "higher": jnp.ceil,
    "midpoint": lambda share: (jnp.floor(share) + jnp.ceil(share)) / 2,
    "nearest": lambda share: jnp.round(share),
}


def quantile(
    a: Float[Array, "*s"],
    q: Float[Array, "*q"] | float,
    axis: int | None = None,
    method: str = "linear",
    keepdims: bool = False,
    *,
    via: Via = None,
    key: MaybeKey = None,
) -> Float[Array, "*q *out"]:
    """The q-quantile, 0 <= q <= 1, like `jnp.quantile`. Relaxed: the same interpolation between the values of `hard.sort`.

    **Arguments:**

    - `a`: the array;
    - `q`: the level or levels, which come on leading axes of the result;
    - `axis`: the axis; None for the flattened array;
    - `method`: how to interpolate between two entries: `"linear"`, `"lower"`, `"higher"`, `"midpoint"` or `"nearest"`;
    - `keepdims`: whether the axis stays, with length 1;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value with JAX's derivative;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    The quantiles: the shape of q, then that of a without the axis.

    **Raises:**

    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers;
    - `SpanaxError`: for an unknown `method`, for no entries, or an axis that does not exist;
    - `SpanaxError`: via `StraightThrough()` without `Soft`: it is nothing like the identity.

    >>> import jax.numpy as jnp, spanax as sx
    >>> float(sx.hard.quantile(jnp.array([3.0, 1.0, 2.0]), 0.25))
    1.5
    """
    return _quantile("quantile", a, q, axis, method, keepdims, via, key)


def percentile(
    a: Float[Array, "*s"],
    q: Float[Array, "*q"] | float,
    axis: int | None = None,
    method: str = "linear",
    keepdims: bool = False,
    *,
    via: Via = None,
    key: MaybeKey = None,
) -> Float[Array, "*q *out"]:
    """`quantile` at q / 100, like `jnp.percentile`.

    **Arguments:**

    - `a`: the array;
    - `q`: the level or levels, which come on leading axes of the result;
    - `axis`: the axis; None for the flattened array;
    - `method`: how to interpolate between two entries: `"linear"`, `"lower"`, `"higher"`, `"midpoint"` or `"nearest"`;
    - `keepdims`: whether the axis stays, with length 1;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value with JAX's derivative;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    The percentiles: the shape of q, then that of a without the axis.

    **Raises:**

    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers;
    - `SpanaxError`: for an unknown `method`, for no entries, or an axis that does not exist;
    - `SpanaxError`: via `StraightThrough()` without `Soft`: it is nothing like the identity.

    >>> import jax.numpy as jnp, spanax as sx
    >>> float(sx.hard.percentile(jnp.array([3.0, 1.0, 2.0]), 50))
    2.0
    """
    return _quantile("percentile", a, array(q) / 100, axis, method, keepdims, via, key)


def median(
    a: Float[Array, "*s"], axis: int | None = None, keepdims: bool = False, *, via: Via = None, key: MaybeKey = None
) -> Float[Array, "*out"]:
    """`quantile` at 1/2, like `jnp.median`.

    **Arguments:**

    - `a`: the array;
    - `axis`: the axis; None for the flattened array;
    - `keepdims`: whether the axis stays, with length 1;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value with JAX's derivative;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    The median along `axis`.

    **Raises:**

    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers;
    - `SpanaxError`: for no entries, or an axis that does not exist;
    - `SpanaxError`: via `StraightThrough()` without `Soft`: it is nothing like the identity.

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> jax.grad(lambda a: sx.hard.median(a))(jnp.array([3.0, 1.0, 2.0])).tolist()
    [0.0, 0.0, 1.0]
    """
    return _quantile("median", a, 0.5, axis, "linear", keepdims, via, key)


def _quantile(name, a, q, axis, method, keepdims, via, key):
    a = as_float(a)
    x, position = on_last(a, axis, name)
    n = x.shape[-1]
    if method not in _METHODS or n == 0:
        what = f"method={method!r}" if n else "no entries"
        raise SpanaxError(f"{name} with {what}", f"method: {', '.join(_METHODS)}", "at least one entry")
    # Half precision counts to 256 or 2048 only.
    q = array(q, jnp.float32 if x.dtype.itemsize < 4 else x.dtype)
    # The q-quantile of n entries is at the place q (n - 1), between two of them.
    at = jnp.clip(q.ravel(), 0, 1) * (n - 1)
    lower = jnp.clip(jnp.floor(at), 0, max(n - 2, 0))
    share = _METHODS[method](at - lower).astype(x.dtype)
    # The places are constants, as are the levels: only the values between them move.
    places = lax.stop_gradient(jnp.concatenate([lower, jnp.minimum(lower + 1, n - 1)])).astype(jnp.int32)

    def between(values):
        low, high = jnp.split(values, 2, -1)
        upper = _row(share, low)
        # An infinite neighbour of weight 0 does not count, and two equal infinities have no NaN between them.
        low = jnp.where((upper == 1) & jnp.isinf(low), high, low)
        high = jnp.where((upper == 0) & jnp.isinf(high), low, high)
        return jnp.where(low == high, low, low * (1 - upper) + high * upper)

    out = apply(
        name,
        via,
        key,
        x=x,
        hard=lambda x: between(_nan_to_all(sorted_rows(x).values)[..., places]),
        soft={"laplace": lambda x, softness: between(soft_places(x, softness, places))},
        rows=True,
        has_derivative=True,
    )
    # The levels come first, as in NumPy.
    out = jnp.moveaxis(out, -1, 0)
    if keepdims:
        out = jnp.expand_dims(out, tuple(range(1, a.ndim + 1)) if position is None else position + 1)
    return out.reshape(q.shape + out.shape[1:])


def _row(share, like):
    # Ranks are not promoted implicitly here: the axes of the rows are spelled out.
    return jnp.expand_dims(share, tuple(range(like.ndim - 1)))


def _nan_to_all(values):
    """A row whose last value is NaN is all NaN."""
    # As in NumPy: the quantile of a row with a NaN is NaN, wherever it would lie.
    return jnp.where(jnp.isnan(values[..., -1:]), jnp.nan, values)
