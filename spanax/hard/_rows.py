"""Order statistics of the rows of an array, hard and soft, along the last axis."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from ..bridges._noise import KERNELS
from ._laplace import quantiles, ranks
from ._sorting import sort_with_order

Row = Float[Array, "*b n"]
_SCALE = math.sqrt(0.5)  # of Laplace noise of standard deviation 1


def _scaled(x: Row, softness) -> Row:
    """x in units of the noise's scale, around its middle; infinities become numbers far away."""
    far = jnp.finfo(x.dtype).max / 4
    return jnp.clip(x / (_SCALE * softness), -far, far)


def _scatter(values: Row, order: Int[Array, "*b n"]) -> Row:
    """The values of sorted entries in the order that the entries had."""
    rows = order.reshape(-1, order.shape[-1]) if order.size else order.reshape(0, order.shape[-1])
    places = rows + order.shape[-1] * jnp.arange(rows.shape[0], dtype=order.dtype)[:, None]
    flat = jnp.zeros(values.size, values.dtype).at[places.ravel()]
    return flat.set(values.ravel(), unique_indices=True, mode="promise_in_bounds").reshape(values.shape)


def _no_nan(x: Row, out: Array) -> Array:
    """`out`, and NaN in the rows of x that hold one."""
    bad = jnp.isnan(jnp.sum(lax.stop_gradient(jnp.where(jnp.isnan(x), x, 0)), -1))
    return jnp.where(bad.reshape(bad.shape + (1,) * (out.ndim - bad.ndim)), jnp.nan, out)


def soft_rank(x: Row, softness) -> Row:
    values, order = sort_with_order(_scaled(x, softness))
    return _no_nan(x, _scatter(ranks(values), order))


def hard_rank(x: Row) -> Row:
    """From 1 to n, and the mean of their places for equal numbers."""
    values, order = sort_with_order(x)
    n = x.shape[-1]
    place = jnp.arange(n, dtype=x.dtype)
    if n == 0:
        return x
    starts = jnp.concatenate([jnp.ones_like(values[..., :1], bool), values[..., 1:] != values[..., :-1]], -1)
    ends = jnp.concatenate([starts[..., 1:], jnp.ones_like(starts[..., :1])], -1)
    first = lax.cummax(jnp.where(starts, place, -1), x.ndim - 1)
    last = lax.cummin(jnp.where(ends, place, n), x.ndim - 1, reverse=True)
    return _no_nan(x, _scatter((first + last) / 2 + 1, order))


def soft_sort(x: Row, softness, first: int, count: int) -> Float[Array, "*b count"]:
    """The values at places `first`, ..., first + count - 1 of n, counted from 0, ascending."""
    levels = jnp.arange(first, first + count, dtype=x.dtype) + 0.5
    return _soft_places(x, softness, levels, range(first, first + count), True)


def soft_places(x: Row, softness, places: Int[Array, " m"]) -> Float[Array, "*b m"]:
    """The values at those places, counted from 0, ascending."""
    return _soft_places(x, softness, places.astype(x.dtype) + 0.5, places, False)


def _soft_places(x, softness, levels, places, consecutive):
    hard, _ = sort_with_order(x)
    u = _scaled(hard, softness)
    soft = quantiles(u, levels, consecutive) * (_SCALE * softness)
    hard = lax.stop_gradient(hard[..., places.start : places.stop] if consecutive else hard[..., places])
    return _no_nan(x, jnp.where(jnp.isinf(hard), hard, soft))


def soft_permutation(x: Row, softness, first: int, count: int) -> Float[Array, "*b count n"]:
    """Weights over the entries for the same places: P(x_j + noise lies in that n-th part of all noisy entries).

    Doubly stochastic for all n places: each row and each column sums to 1.
    """
    n = x.shape[-1]
    u = _scaled(x, softness)
    inner = range(max(first, 1), min(first + count, n - 1) + 1)  # bounds between parts
    bounds = quantiles(sort_with_order(u)[0], jnp.asarray([*inner], x.dtype), True)
    cdf = KERNELS["laplace"].cdf((bounds[..., :, None] - u[..., None, :]) * _SCALE)
    ends = [jnp.zeros_like(u[..., None, :])] if first == 0 else []
    cdf = jnp.concatenate([*ends, cdf, *([jnp.ones_like(u[..., None, :])] if first + count == n else [])], -2)
    return _no_nan(x, cdf[..., 1:, :] - cdf[..., :-1, :])


def hard_permutation(x: Row, first: int, count: int) -> Float[Array, "*b count n"]:
    order = sort_with_order(x)[1][..., first : first + count]
    return jax.nn.one_hot(order, x.shape[-1], dtype=x.dtype)
