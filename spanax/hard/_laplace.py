"""Soft order statistics in n log n, by sums of exponentials over sorted numbers.

With F the cdf of Laplace noise of scale 1, and u sorted along its first axis, the sums over all pairs that ranks and
quantiles need consist of

    A_i = sum over j < i of w_j exp(-(u_i - u_j)),      B_i = sum over j > i of w_j exp(-(u_j - u_i)),

and each of these is a recurrence along u. Their derivatives are sums of the same kind, so that every order is right and costs n.
Struski et al. 2025 (LapSum, arXiv:2503.06242), section 3.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

Sorted = Float[Array, " n *b"]


@jax.custom_jvp
def sums(u: Sorted, left: Sorted, right: Sorted) -> tuple[Sorted, Sorted]:
    """A with the weights `left` and B with the weights `right`."""
    decay = jnp.exp(u[:-1] - u[1:])
    return _recurrence(decay, left), _recurrence(decay, right, reverse=True)


@sums.defjvp
def _sums_jvp(primals, tangents):
    # d exp(-(u_i - u_j)) = -exp(-(u_i - u_j)) (du_i - du_j): a sum with other weights, and a multiple of A itself.
    (u, left, right), (du, dleft, dright) = primals, tangents
    a, b = sums(u, left, right)
    da, db = sums(u, dleft + left * du, dright - right * du)
    return (a, b), (da - a * du, db + b * du)


def _recurrence(decay: Float[Array, " n-1 *b"], w: Sorted, reverse: bool = False) -> Sorted:
    """y_0 = 0, y_(i+1) = decay_i (y_i + w_i); from the end where `reverse`."""
    # Nothing comes before the only entry.
    if w.shape[0] < 2:
        return jnp.zeros_like(w)
    w, nothing = (w[1:] if reverse else w[:-1]), jnp.zeros_like(w[:1])
    # On a CPU a loop of n steps is fastest; on a GPU log n steps of doubling are, though they compute more.
    cpu, default = (functools.partial(f, reverse=reverse) for f in (_one_by_one, _by_doubling))
    y = lax.platform_dependent(decay, w, cpu=cpu, default=default)
    return jnp.concatenate([y, nothing] if reverse else [nothing, y])


def _one_by_one(decay, w, reverse):
    def step(y, each):
        y = each[0] * (y + each[1])
        return y, y

    return lax.scan(step, jnp.zeros_like(w[0]), (decay, w), reverse=reverse)[1]


def _by_doubling(decay, w, reverse):
    # y -> d (y + w) is affine, and affine maps compose to affine maps: an associative scan.
    def join(first, second):
        return first[0] * second[0], second[0] * first[1] + second[1]

    return lax.associative_scan(join, (decay, decay * w), reverse=reverse)[1]


def ranks(u: Sorted) -> Sorted:
    """1/2 + the sum over all j of F(u_i - u_j): from 1 to n, and 1/2 for each tie."""
    a, b = sums(u, jnp.ones_like(u), jnp.ones_like(u))
    return 0.5 + _at_entries(a, b)


def _at_entries(a: Sorted, b: Sorted) -> Sorted:
    """The sum over all j of F(u_i - u_j), from A and B with weights 1."""
    # F(v) = 1 - exp(-v)/2 for v > 0 and exp(v)/2 for v < 0: entries below count 1 less their share of A, those above theirs of
    # B, and the entry itself 1/2.
    places = jnp.arange(a.shape[0], dtype=a.dtype).reshape(-1, *(1,) * (a.ndim - 1))
    return places + (0.5 + (b - a) / 2)


def quantiles(u: Sorted, levels: Float[Array, " m"], consecutive: bool) -> Float[Array, " m *b"]:
    """For each level l, strictly between 0 and n, the t with sum over j of F(t - u_j) = l.

    `consecutive`: the levels ascend by 1; that costs n + m, and n m otherwise. They are constants, without a derivative.
    """
    a, b = sums(u, jnp.ones_like(u), jnp.ones_like(u))
    return _solve(u, a, b, levels, consecutive)[0]


@functools.partial(jax.custom_jvp, nondiff_argnums=(4,))
def _solve(u, a, b, levels, consecutive) -> tuple[Float[Array, " m *b"], Int[Array, " m *b"]]:
    """The quantiles, and how many of the u are below each, from A and B with weights 1."""
    n, count = u.shape[0], _below(a, b, levels, consecutive)
    (u_left, u_right), (a, b) = _neighbours(u, u, count), _neighbours(a + 1, b + 1, count)
    a, b = jnp.where(count > 0, a, 0), jnp.where(count < n, b, 0)
    # Between two neighbours the sum is count - a exp(-(t - u_left))/2 + b exp(-(u_right - t))/2: a quadratic in exp(t). It is
    # solved from the neighbour on whose side the root is, so that nothing cancels.
    c = _on_top(levels, u) - count.astype(u.dtype)
    root = jnp.sqrt(jnp.square(c) + a * b * jnp.exp(u_left - u_right))
    from_left = u_left + jnp.log(_at_least_one(a) / jnp.where(c < 0, root - c, 1))
    from_right = u_right - jnp.log(_at_least_one(b) / jnp.where(c > 0, root + c, 1))
    middle = (u_left + u_right + jnp.log(_at_least_one(a) / _at_least_one(b))) / 2
    return jnp.where(c < 0, from_left, jnp.where(c > 0, from_right, middle)), count


@_solve.defjvp
def _solve_jvp(consecutive, primals, tangents):
    """By the implicit function theorem: a mean of du, weighted by the density of the noise at t - u_j. A and B follow from u."""
    (u, a, b, levels), (du, _, _, _) = primals, tangents
    t, count = _solve(u, a, b, levels, consecutive)
    u_left, u_right = _neighbours(u, u, count)
    left, right = jnp.where(count > 0, t - u_left, jnp.inf), jnp.where(count < u.shape[0], u_right - t, jnp.inf)
    # A common factor of numerator and denominator, against underflow in a wide gap.
    nearest = lax.stop_gradient(jnp.minimum(left, right))
    by_left, by_right = jnp.exp(nearest - left), jnp.exp(nearest - right)

    def total(a, b):
        a, b = _neighbours(a, b, count)
        return by_left * a + by_right * b

    da, db = sums(u, du, du)
    dt = total(da + du, db + du) / total(a + 1, b + 1)
    return (t, count), (dt, jnp.zeros(count.shape, jax.dtypes.float0))


def _at_least_one(x):
    # A sum that counts its own entry is 1 or more, and 0 only if there is none: its logarithm is then not used.
    return jnp.maximum(x, 1)


def _on_top(levels: Float[Array, " m"], like: Sorted) -> Float[Array, " m *1"]:
    return levels.reshape(-1, *(1,) * (like.ndim - 1))


def _neighbours(left: Sorted, right: Sorted, count: Int[Array, " m *b"]) -> tuple[Array, Array]:
    """The last entry of `left` below, and the first entry of `right` above, where `count` entries are below."""
    below, above = jnp.maximum(count - 1, 0), jnp.minimum(count, left.shape[0] - 1)
    return (
        jnp.take_along_axis(left, below, 0, mode="promise_in_bounds"),
        jnp.take_along_axis(right, above, 0, mode="promise_in_bounds"),
    )


def _below(a: Sorted, b: Sorted, levels: Float[Array, " m"], consecutive: bool) -> Int[Array, " m *b"]:
    """At how many entries the sum is at most each level."""
    # The sums ascend with the entries. Levels that ascend by 1 are counted by one scatter and a running sum: n + m in place of
    # n m.
    at, levels = lax.stop_gradient((_at_entries(a, b), _on_top(levels, a)))
    if not consecutive:
        return jnp.sum(at[None] <= levels[:, None], 1, dtype=jnp.int32)
    m, n = levels.shape[0], at.shape[0]
    # `first`: the first level that counts each entry.
    first = jnp.clip(jnp.ceil(at - levels[:1]), 0, m).astype(jnp.int32).reshape(n, -1)
    columns = first.shape[1]
    places = (first * columns + jnp.arange(columns, dtype=jnp.int32)[None]).ravel()
    counts = jnp.zeros((m + 2) * columns, at.dtype).at[places].add(1, mode="promise_in_bounds").reshape(m + 2, columns)
    total = _recurrence(jnp.ones((m + 1, columns), at.dtype), counts)[1 : m + 1]
    return total.astype(jnp.int32).reshape(m, *a.shape[1:])
