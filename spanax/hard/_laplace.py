"""Soft order statistics in n log n, by sums of exponentials over sorted numbers.

With F the cdf of Laplace noise of scale 1, and u sorted, the sums over all pairs that ranks and quantiles need are made of

    A_i = sum over j < i of w_j exp(-(u_i - u_j)),      B_i = sum over j > i of w_j exp(-(u_j - u_i)),

and each of these is a recurrence along u. Their derivatives are sums of the same kind, so that every order is right and costs n.
Struski et al. 2025 (LapSum, arXiv:2503.06242), section 3.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Row = Float[Array, "*b n"]


@jax.custom_jvp
def sums(u: Row, left: Row, right: Row) -> tuple[Row, Row]:
    """A with the weights `left` and B with the weights `right`, for u sorted along its last axis."""
    decay = jnp.exp(u[..., :-1] - u[..., 1:])
    return _forward(decay, left), jnp.flip(_forward(jnp.flip(decay, -1), jnp.flip(right, -1)), -1)


@sums.defjvp
def _sums_jvp(primals, tangents):
    (u, left, right), (du, dleft, dright) = primals, tangents
    a, b = sums(u, left, right)
    da, db = sums(u, dleft + left * du, dright - right * du)
    return (a, b), (da - a * du, db + b * du)


def _forward(decay: Row, w: Row) -> Row:
    """y_0 = 0, y_(i+1) = decay_i (y_i + w_i)."""
    if w.shape[-1] < 2:
        return jnp.zeros_like(w)
    decay, w = jnp.moveaxis(decay, -1, 0), jnp.moveaxis(w, -1, 0)  # the recurrence runs over the leading axis
    y = lax.platform_dependent(decay, w[:-1], cpu=_one_by_one, default=_by_doubling)
    return jnp.moveaxis(jnp.concatenate([jnp.zeros_like(w[:1]), y]), 0, -1)


def _one_by_one(decay, w):
    def step(y, each):
        y = each[0] * (y + each[1])
        return y, y

    return lax.scan(step, jnp.zeros_like(w[0]), (decay, w))[1]


def _by_doubling(decay, w):
    def join(first, second):
        return first[0] * second[0], second[0] * first[1] + second[1]

    return lax.associative_scan(join, (decay, decay * w))[1]


def ranks(u: Row) -> Row:
    """1/2 + the sum over all j of F(u_i - u_j), for u sorted: from 1 to n, and 1/2 for each tie."""
    a, b = sums(u, jnp.ones_like(u), jnp.ones_like(u))
    return jnp.arange(1, u.shape[-1] + 1, dtype=u.dtype) + (b - a) / 2


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def quantiles(u: Row, levels: Float[Array, " m"], consecutive: bool) -> Float[Array, "*b m"]:
    """For each level l, strictly between 0 and n, the t with sum over j of F(t - u_j) = l; for u sorted.

    `consecutive`: the levels ascend by 1; that costs n + m, and n m otherwise.
    """
    n, count = u.shape[-1], _below(u, levels, consecutive)
    a, b = sums(u, jnp.ones_like(u), jnp.ones_like(u))
    (u_left, u_right), (a, b) = _neighbours(u, u, count), _neighbours(a + 1, b + 1, count)
    a, b = jnp.where(count > 0, a, 0), jnp.where(count < n, b, 0)
    # Between two neighbours the sum is count - a exp(-(t - u_left))/2 + b exp(-(u_right - t))/2: a quadratic in exp(t).
    c = levels - count.astype(u.dtype)
    root = jnp.sqrt(jnp.square(c) + a * b * jnp.exp(u_left - u_right))
    from_left = u_left + jnp.log(_at_least_one(a) / jnp.where(c < 0, root - c, 1))
    from_right = u_right - jnp.log(_at_least_one(b) / jnp.where(c > 0, root + c, 1))
    middle = (u_left + u_right + jnp.log(_at_least_one(a) / _at_least_one(b))) / 2
    return jnp.where(c < 0, from_left, jnp.where(c > 0, from_right, middle))


@quantiles.defjvp
def _quantiles_jvp(consecutive, primals, tangents):
    """By the implicit function theorem: a mean of du, weighted by the density of the noise at t - u_j."""
    (u, levels), (du, dlevels) = primals, tangents
    t, n, count = quantiles(u, levels, consecutive), u.shape[-1], _below(u, levels, consecutive)
    u_left, u_right = _neighbours(u, u, count)
    left, right = jnp.where(count > 0, t - u_left, jnp.inf), jnp.where(count < n, u_right - t, jnp.inf)
    nearest = lax.stop_gradient(jnp.minimum(left, right))  # a common factor, against underflow in a wide gap
    by_left, by_right = jnp.exp(nearest - left), jnp.exp(nearest - right)

    def total(w):
        a, b = sums(u, w, w)
        a, b = _neighbours(a + w, b + w, count)
        return by_left * a + by_right * b

    return t, (total(du) + 2 * jnp.exp(nearest) * dlevels) / total(jnp.ones_like(u))


def _at_least_one(x):
    """A sum that counts its own entry is 1 or more, and 0 only where there is none."""
    return jnp.maximum(x, 1)


def _neighbours(left: Row, right: Row, count) -> tuple[Array, Array]:
    """The last entry of `left` below, and the first entry of `right` above, where `count` entries are below."""
    n = left.shape[-1]
    below, above = jnp.maximum(count - 1, 0), jnp.minimum(count, n - 1)
    return (
        jnp.take_along_axis(left, below, -1, mode="promise_in_bounds"),
        jnp.take_along_axis(right, above, -1, mode="promise_in_bounds"),
    )


def _below(u: Row, levels: Float[Array, " m"], consecutive: bool):
    """How many of the u_i have a sum over F(u_i - u_j) of at most each level: (*b, m) integers."""
    at, m = lax.stop_gradient(ranks(u) - 0.5), levels.shape[0]
    levels = jnp.expand_dims(lax.stop_gradient(levels), tuple(range(u.ndim - 1)))
    if not consecutive:
        return jnp.sum(at[..., None, :] <= levels[..., None], -1, dtype=jnp.int32)
    first = jnp.clip(jnp.ceil(at - levels[..., :1]), 0, m).astype(jnp.int32)  # the first level that counts it
    rows = first.reshape(-1, u.shape[-1])
    places = rows + (m + 1) * jnp.arange(rows.shape[0], dtype=jnp.int32)[:, None]
    counts = jnp.zeros(rows.shape[0] * (m + 1), jnp.int32).at[places.ravel()].add(1, mode="promise_in_bounds")
    return jnp.cumsum(counts.reshape(*u.shape[:-1], m + 1)[..., :m], -1, dtype=jnp.int32)
