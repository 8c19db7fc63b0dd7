"""Order along an axis: sort, argsort, rank and top_k, in n log n.

In all of them `via` is the bridge: `Soft`, whose noise is Laplace noise, `StraightThrough` or `Perturbed`, which needs
`key`. Without one the value is exact; the sorted values have JAX's derivative (that of the permutation), and a
derivative of ranks or indices raises `SpanaxError`. Indices come as weights, as in `hard.argmax`: n of them for each
place.

Relaxed, n numbers stand for the distribution of x_J + noise, J uniform. The rank of x_i is the expected rank of x_i +
noise among the others; the k-th value is the quantile of that distribution at (k - 1/2)/n; the weights of the k-th
place are the probabilities that x_j + noise lies between its quantiles at (k - 1)/n and k/n, which sum to 1 over the
places and over the entries. Infinities stay where they are, and have no derivative; a NaN makes its whole row NaN.
Struski et al. 2025 (LapSum, arXiv:2503.06242).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import SpanaxError
from .._math.sorting import sorted_rows
from ._apply import MaybeKey, Via, apply, as_float, on_last
from ._rows import hard_rank, largest, soft_permutation, soft_rank, soft_sort


def _identity(x):
    return x


def _place(out: Array, position: int | None) -> Array:
    return out if position is None else jnp.moveaxis(out, -1, position)


def rank(a: Float[Array, "*s"], axis: int | None = -1, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """The place of each entry, from 1 (the smallest) to n; equal entries share the mean, as in `scipy.stats.rankdata`.

    `StraightThrough()`: the derivative of the identity.

    **Arguments:**

    - `a`: the array;
    - `axis`: the axis; None for the ranks of the flattened array;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value, whose derivative raises;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    The ranks, of the shape of a.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers;
    - `SpanaxError`: for an axis that does not exist.

    >>> import jax.numpy as jnp, spanax as sx
    >>> sx.hard.rank(jnp.array([0.3, 0.1, 0.3])).tolist()
    [2.5, 1.0, 2.5]
    >>> print(sx.hard.rank(jnp.array([0.3, 0.1, 0.3]), via=sx.Soft(0.1)).round(2))
    [2.47 1.06 2.47]
    """
    x, position = on_last(as_float(a), axis, "rank")
    # Rows without entries have no middle and no neighbours for the formulas below.
    if x.size == 0:
        return x if position is None else as_float(a)
    # Laplace noise alone has the closed form in n log n; other kernels would need all n^2 pairs.
    soft = {"laplace": soft_rank}
    return _place(apply("rank", via, key, x=x, hard=hard_rank, soft=soft, identity=_identity, rows=True), position)


def sort(
    a: Float[Array, "*s"], axis: int | None = -1, *, descending: bool = False, via: Via = None, key: MaybeKey = None
) -> Float[Array, "*s"]:
    """The entries in ascending order (NaN last), like `jnp.sort`.

    **Arguments:**

    - `a`: the array;
    - `axis`: the axis; None for the flattened array;
    - `descending`: whether the order is reversed, with NaN first;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value with JAX's derivative;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    The sorted entries, of the shape of a, or flattened.

    **Raises:**

    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers;
    - `SpanaxError`: for an axis that does not exist;
    - `SpanaxError`: via `StraightThrough()` without `Soft`: it is nothing like the identity.

    >>> import jax.numpy as jnp, spanax as sx
    >>> sx.hard.sort(jnp.array([1.0, 3.0, 2.0]), descending=True).tolist()
    [3.0, 2.0, 1.0]
    """
    x, position = on_last(as_float(a), axis, "sort")
    if x.size == 0:
        return x if position is None else as_float(a)

    def hard(x):
        values = sorted_rows(x).values
        return jnp.flip(values, -1) if descending else values

    return _place(_values("sort", x, x.shape[-1], hard, descending, via, key), position)


def _values(name, x, count, hard, descending, via, key):
    """The values at the first `count` places."""
    # The noise is symmetric: relaxed, the descending values of x are the ascending ones of -x, negated.
    sign = -1 if descending else 1

    def soft(x, softness):
        return sign * soft_sort(sign * x, softness, 0, count)

    return apply(name, via, key, x=x, hard=hard, soft={"laplace": soft}, rows=True, has_derivative=True)


def argsort(
    a: Float[Array, "*s"], axis: int | None = -1, *, descending: bool = False, via: Via = None, key: MaybeKey = None
) -> Float[Array, "*s n"]:
    """Weights of the indices that sort: `jax.nn.one_hot(jnp.argsort(a, axis), n)`; stable.

    `hard.take_along_axis(a, argsort(a), -1)` is the sorted array. Weights take n^2 numbers; `rank` and `sort` take n.

    **Arguments:**

    - `a`: the array;
    - `axis`: the axis; None for the flattened array;
    - `descending`: whether the order is reversed;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value, whose derivative raises;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    The weights: the shape of a (or flattened) and a new last axis of the n entries.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers;
    - `SpanaxError`: for an axis that does not exist;
    - `SpanaxError`: via `StraightThrough()` without `Soft`: it is nothing like the identity.

    >>> import jax.numpy as jnp, spanax as sx
    >>> sx.hard.argsort(jnp.array([0.3, 0.1])).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    x, position = on_last(as_float(a), axis, "argsort")
    n = x.shape[-1]
    if x.size == 0:
        return jnp.zeros((*jnp.shape(a), n), x.dtype) if position is not None else jnp.zeros((n, n), x.dtype)
    weights = _order("argsort", x, n, descending, via, key, False)
    return weights if position is None else jnp.moveaxis(weights, -2, position)


def _order(name, x, count, descending, via, key, one_of_several):
    """The weights at the first `count` places."""
    # Flipping the ascending order would reverse equal entries: `largest` keeps their order.
    sign = -1 if descending else 1

    def hard(x):
        order = largest(x, count)[1] if descending else sorted_rows(x).order[..., :count]
        return jax.nn.one_hot(order, x.shape[-1], dtype=x.dtype)

    # The places of -x from the smallest are those of x from the largest.
    def soft(x, softness):
        return soft_permutation(sign * x, softness, 0, count)

    laplace = {"laplace": soft}
    return apply(name, via, key, x=x, hard=hard, soft=laplace, rows=True, one_of_several=one_of_several)


def top_k(
    operand: Float[Array, "*s"], k: int, *, axis: int = -1, via: Via = None, key: MaybeKey = None
) -> tuple[Float[Array, "*k"], Float[Array, "*k n"]]:
    """The k largest values, descending (NaN first), and the weights of their indices, like `jax.lax.top_k`.

    The sum of the weights over the k places is the soft top-k mask. Without a bridge the derivative of the values is JAX's;
    that of the weights raises in reverse mode, and is NaN in forward mode.

    **Arguments:**

    - `operand`: the array;
    - `k`: how many;
    - `axis`: the axis;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    The values, and the weights with a new last axis of the n entries.

    **Raises:**

    - `SpanaxError`: if the weights without a bridge are differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers;
    - `SpanaxError`: if k is not in 0 ... n, or the axis does not exist.

    >>> import jax.numpy as jnp, spanax as sx
    >>> values, weights = sx.hard.top_k(jnp.array([0.1, 0.7, 0.2]), 2)
    >>> weights.sum(0).tolist()
    [0.0, 1.0, 1.0]
    """
    x, position = on_last(as_float(operand), axis, "top_k")
    n = x.shape[-1]
    if not (isinstance(k, int) and 0 <= k <= n):
        raise SpanaxError(f"top_k of k={k!r} among {n} entries", f"k from 0 to {n}")
    if x.size == 0 or k == 0:
        values, weights = jnp.zeros((*x.shape[:-1], k), x.dtype), jnp.zeros((*x.shape[:-1], k, n), x.dtype)
    else:
        # Each is an operation of its own: JAX's derivative of the values is right, and weights without a bridge have none.
        values = _values("top_k", x, k, lambda x: largest(x, k)[0], True, via, key)
        weights = _order("top_k", x, k, True, via, key, True)
    return jnp.moveaxis(values, -1, position or 0), jnp.moveaxis(weights, -2, position or 0)
