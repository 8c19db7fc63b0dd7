"""Order statistics of the rows of an array, hard and soft, along the last axis.

The soft ones replace each entry by Laplace noise around it; `_laplace.py` has the sums over all pairs. Infinities stay where
they are and have no derivative; a NaN makes its whole row NaN.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from .._math.noise import KERNELS
from .._math.sorting import sorted_rows
from ._laplace import quantiles, ranks

Row = Float[Array, "*b n"]
_SCALE = math.sqrt(0.5)  # of Laplace noise of standard deviation 1


def _in_single(f: Callable[..., Array]) -> Callable[..., Array]:
    """`f` in float32 if x is narrower: half precision counts to 256 or 2048 only."""

    @functools.wraps(f)
    def run(x, *args):
        if x.dtype.itemsize >= 4:
            return f(x, *args)
        wide = [a.astype(jnp.float32) if isinstance(a, jax.Array) and a.dtype == x.dtype else a for a in args]
        return f(x.astype(jnp.float32), *wide).astype(x.dtype)

    return run


def _middle(values: Row) -> Float[Array, "*b 1"]:
    """The middle one of sorted values, stopped; 0 if that is infinite or NaN."""
    # Subtracted before the division by the softness: numbers far from 0 keep their digits.
    half = values.shape[-1] // 2
    middle = lax.stop_gradient(values[..., half : half + 1])
    return jnp.where(jnp.isfinite(middle), middle, 0)


def _to_noise_units(x: Row, middle: Float[Array, "*b 1"], softness) -> Row:
    """x - middle in units of the noise's scale; infinities become numbers far away, without derivative."""
    # A quarter of the largest float: differences of two such numbers do not overflow.
    far = float(jnp.finfo(x.dtype).max) / 4
    infinite = jnp.isinf(x)
    u = jnp.where(infinite, 0, x - middle) / (_SCALE * softness)
    return jnp.where(infinite, far * jnp.sign(x), jnp.clip(u, -far, far))


def _no_nan(x: Row, out: Array) -> Array:
    """`out`, and NaN in the rows of x that hold one."""
    # The sum of NaNs and zeros is NaN or 0. An infinity is not bad, and inf - inf may not become NaN here.
    bad = jnp.isnan(jnp.sum(lax.stop_gradient(jnp.where(jnp.isnan(x), x, 0)), -1))
    return jnp.where(bad.reshape(bad.shape + (1,) * (out.ndim - bad.ndim)), jnp.nan, out)


@_in_single
def soft_rank(x: Row, softness) -> Row:
    # The sums run over sorted numbers; ranks then go back to where their entries were.
    rows = sorted_rows(x)
    u = _to_noise_units(rows.values, _middle(rows.values), softness)
    return _no_nan(x, rows.to_original_order(_along_last(ranks, u)))


# Numbers that fit into the cache, and rows that are worked on together if not all do.
_IN_CACHE, _TOGETHER = 1 << 20, 8


def _along_last(f: Callable[[Array], Array], rows: Row) -> Array:
    """`f`, which works along the first axis, along the last one."""

    # A scan over n steps of many rows reads all of them from memory in each step: a few rows at a time stay in the cache.

    def whole(rows):
        return jnp.moveaxis(f(jnp.moveaxis(rows, -1, 0)), 0, -1)

    if rows.size <= _IN_CACHE or rows.size <= _TOGETHER * rows.shape[-1]:
        return whole(rows)
    flat = rows.reshape(-1, rows.shape[-1])
    most = len(flat) - len(flat) % _TOGETHER
    out = lax.map(whole, flat[:most].reshape(-1, _TOGETHER, flat.shape[-1]))
    out = out.reshape(most, -1)
    out = jnp.concatenate([out, whole(flat[most:])]) if most < len(flat) else out
    return out.reshape(*rows.shape[:-1], -1)


@_in_single
def hard_rank(x: Row) -> Row:
    """From 1 to n, and the mean of their places for equal numbers."""
    rows, n = sorted_rows(x), x.shape[-1]
    values = rows.values
    place = jnp.arange(n, dtype=x.dtype)
    if n == 0:
        return x
    # A run of equal values has the mean of its first and last place: both are spread over the run by running maxima and minima.
    starts = jnp.concatenate([jnp.ones_like(values[..., :1], bool), values[..., 1:] != values[..., :-1]], -1)
    ends = jnp.concatenate([starts[..., 1:], jnp.ones_like(starts[..., :1])], -1)
    first = lax.cummax(jnp.where(starts, place, -1), x.ndim - 1)
    last = lax.cummin(jnp.where(ends, place, n), x.ndim - 1, reverse=True)
    return _no_nan(x, rows.to_original_order((first + last) / 2 + 1))


@_in_single
def soft_sort(x: Row, softness, first: int, count: int) -> Float[Array, "*b count"]:
    """The values at places `first`, ..., first + count - 1 of n, counted from 0, ascending."""
    # The k-th value of n stands for the k-th n-th part of the distribution: its quantile in the middle of that part.
    levels = jnp.arange(first, first + count, dtype=x.dtype) + 0.5
    return _soft_places(x, softness, levels, range(first, first + count), True)


@_in_single
def soft_places(x: Row, softness, places: Int[Array, " m"]) -> Float[Array, "*b m"]:
    """The values at those places, counted from 0, ascending."""
    return _soft_places(x, softness, places.astype(x.dtype) + 0.5, places, False)


def _soft_places(x, softness, levels, places, consecutive):
    hard = sorted_rows(x).values
    middle = _middle(hard)
    u = _to_noise_units(hard, middle, softness)
    soft = middle + _along_last(lambda u: quantiles(u, levels, consecutive), u) * (_SCALE * softness)
    # An infinite entry has no soft neighbourhood: its place keeps the hard value.
    hard = lax.stop_gradient(hard[..., places.start : places.stop] if consecutive else hard[..., places])
    return _no_nan(x, jnp.where(jnp.isinf(hard), hard, soft))


@_in_single
def soft_permutation(x: Row, softness, first: int, count: int) -> Float[Array, "*b count n"]:
    """Weights over the entries for the same places: P(x_j + noise lies in that n-th part of all noisy entries).

    Doubly stochastic for all n places: each row and each column sums to 1.
    """
    n = x.shape[-1]
    values = sorted_rows(x).values
    middle = _middle(values)
    u = _to_noise_units(x, middle, softness)
    # Bounds between the parts; below the first part the cdf is 0, and above the last one 1.
    inner = range(max(first, 1), min(first + count, n - 1) + 1)
    levels = jnp.asarray([*inner], x.dtype)
    bounds = _along_last(lambda u: quantiles(u, levels, True), _to_noise_units(values, middle, softness))
    # The probability of a part is the difference of the cdf at its two bounds: every column sums to 1, the differences telescope.
    cdf = KERNELS["laplace"].cdf((bounds[..., :, None] - u[..., None, :]) * _SCALE)
    ends = [jnp.zeros_like(u[..., None, :])] if first == 0 else []
    cdf = jnp.concatenate([*ends, cdf, *([jnp.ones_like(u[..., None, :])] if first + count == n else [])], -2)
    return _no_nan(x, cdf[..., 1:, :] - cdf[..., :-1, :])


def largest(x: Row, count: int) -> tuple[Float[Array, "*b count"], Int[Array, "*b count"]]:
    """The `count` largest values, descending, NaN first, and their indices; equal values keep their order."""
    order = sorted_rows(-x).order
    nans = jnp.sum(jnp.isnan(x), -1, keepdims=True, dtype=jnp.int32)
    # NaNs are last among the -x, and come first here.
    count_up = lax.broadcasted_iota(jnp.int32, (*x.shape[:-1], count), x.ndim - 1)
    places = (count_up - nans) % x.shape[-1]
    indices = jnp.take_along_axis(order, places, -1, mode="promise_in_bounds")
    return jnp.take_along_axis(x, indices, -1, mode="promise_in_bounds"), indices
