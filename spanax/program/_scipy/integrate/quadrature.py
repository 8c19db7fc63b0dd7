"""An integral by Gauss-Kronrod rules of 21 points, on intervals that are halved where the error is largest (QUADPACK's QAG).

The derivative is that of the sum on the intervals found: Leibniz' rule, at the limits and the points between as well. Intervals
are halved until the integrand's derivative, in one direction of all that it depends on, is as accurate as the integrand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...._primitives import any_over_vmap
from ..host import standard

_HALF = (
    "0.995657163025808080735527280689003 0.973906528517171720077964012084452 0.930157491355708226001207180059508 "
    "0.865063366688984510732096688423493 0.780817726586416897063717578345042 0.679409568299024406234327365114874 "
    "0.562757134668604683339000099272694 0.433395394129247190799265943165784 0.294392862701460198131126603103866 "
    "0.148874338981631210884826001129720"
)
_KRONROD = (
    "0.011694638867371874278064396062192 0.032558162307964727478818972459390 0.054755896574351996031381300244580 "
    "0.075039674810919952767043140916190 0.093125454583697605535065465083366 0.109387158802297641899210590325805 "
    "0.123491976262065851077958109585166 0.134709217311473325928054001771707 0.142775938577060080797094273138717 "
    "0.147739104901338491374841515972068"
)
_half, _kronrod = (np.array(text.split(), float) for text in (_HALF, _KRONROD))
NODES = np.concatenate([-_half, [0.0], _half[::-1]])
WEIGHTS = np.concatenate([_kronrod, [0.149445554002916905664936468389821], _kronrod[::-1]])
GAUSS = np.zeros(21)
# The 10 Gauss nodes are every second one of Kronrod's 21, so one set of values gives both sums, and their difference
# the error.
GAUSS[1::2] = np.polynomial.legendre.leggauss(10)[1]


@dataclass(frozen=True)
class Integral:
    value: jax.Array
    error: jax.Array
    failed: jax.Array  # the tolerance was not reached
    rough: jax.Array  # neither was it by the derivative
    jumps: jax.Array  # inside the range, not at its points


# g(consts, ends, piece, u): the integrand on the unit interval of one piece of the range.
Integrand = Callable[[Sequence, jax.Array, jax.Array, jax.Array], jax.Array]


def integral(
    g: Integrand, consts: Sequence, ends: jax.Array, moving: Sequence, pieces: int, tols: tuple, limit: int
) -> Integral:
    """Over all pieces. `moving`: which of the consts, and last of all which of the ends, have a derivative."""
    adapted = without_derivative(lambda arguments, tols: _adapt(g, arguments, moving, pieces, tols, limit))

    # What a rule of JAX's closes over must be known: all that may be traced is an argument.
    @jax.custom_jvp
    def run(arguments: list, tols: tuple) -> tuple:
        return adapted(arguments, tols)[0]

    @run.defjvp
    def derivative(primals, tangents):
        with standard():
            # The grid is found once, without a derivative, and the sum on it is differentiated: the grid moves no
            # value beyond the tolerance.
            out, grid = adapted(*primals)
            slope = jax.jvp(lambda arguments: _sum(g, arguments, grid), primals[:1], tangents[:1])[1]
        return out, (slope, *map(_no_tangent, out[1:]))

    return Integral(*run([*consts, ends], tols))


def without_derivative(f: Callable) -> Callable:
    """The function without a derivative, in every mode and order."""
    run = jax.custom_jvp(f)
    run.defjvp(lambda primals, tangents: _with_zeros(run(*primals)))
    return run


def _with_zeros(out: Any) -> tuple:
    return out, jax.tree.map(_no_tangent, out)


def _no_tangent(x: jax.Array) -> Any:
    return jnp.zeros_like(x) if jnp.issubdtype(x.dtype, jnp.inexact) else np.zeros(x.shape, jax.dtypes.float0)


def _points(lower: jax.Array, upper: jax.Array) -> jax.Array:
    return (lower + upper) / 2 + (upper - lower) / 2 * jnp.asarray(NODES, lower.dtype)


def _sum(g: Integrand, arguments: list, grid: tuple) -> jax.Array:
    """The sum on intervals that are given; those of no width are none."""
    ends = arguments[-1]

    def one(total: jax.Array, row: tuple) -> tuple:
        lower, upper, piece = row

        def part() -> jax.Array:
            u = _points(lower, upper)
            values = jax.vmap(lambda u: g(arguments[:-1], ends, piece, u))(u)
            return jnp.where(upper > lower, (upper - lower) / 2 * (jnp.asarray(WEIGHTS, u.dtype) @ values), 0)

        # Rows that were never used have no width. any_over_vmap keeps it a branch under vmap.
        return total + lax.cond(any_over_vmap(upper > lower), part, lambda: jnp.zeros_like(total)), None

    return lax.scan(one, jnp.zeros((), ends.dtype), grid)[0]


def _adapt(g: Integrand, arguments: list, moving: Sequence, pieces: int, tols: tuple, limit: int) -> tuple:
    """The integral with what is known of it, and the grid: lower and upper ends, and the piece of each interval."""
    dtype = arguments[-1].dtype
    # One random direction stands for all: where the derivative is rough, it is rough along almost every direction.
    probe = _direction(arguments, moving)
    moves = any(np.any(m) for m in moving)

    def values(piece: jax.Array, u: jax.Array) -> jax.Array:
        """The integrand and its derivative in one direction."""

        def run(arguments: list) -> jax.Array:
            return g(arguments[:-1], arguments[-1], piece, u)

        return jnp.stack(jax.jvp(run, (arguments,), (probe,)) if moves else [run(arguments)])

    def measure(lower: jax.Array, upper: jax.Array, piece: jax.Array) -> tuple:
        u = _points(lower, upper)
        rows = jax.vmap(values, (None, 0), 1)(piece, u)
        half = (upper - lower) / 2
        W = jnp.asarray(WEIGHTS, dtype)
        total, size = half * (rows @ W), half * (jnp.abs(rows) @ W)
        # QUADPACK's heuristic: (200 error / spread)^1.5, which is the true order of the difference for a smooth
        # integrand.
        spread = half * (jnp.abs(rows - (total / (2 * half))[:, None]) @ W)
        error = jnp.abs(half * (rows @ jnp.asarray(WEIGHTS - GAUSS, dtype)))
        safe = jnp.where(spread == 0, 1, spread)
        error = jnp.where(spread == 0, error, spread * jnp.minimum(1, (200 * error / safe) ** 1.5))
        error = jnp.where(jnp.isfinite(error), jnp.maximum(error, 50 * jnp.finfo(dtype).eps * size), jnp.inf)
        return total, size, error, jnp.max(rows[0]) - jnp.min(rows[0]), jnp.max(jnp.abs(rows[0]))

    lower, upper = jnp.zeros(limit, dtype), jnp.zeros(limit, dtype)
    piece = jnp.zeros(limit, int)
    form = jax.eval_shape(measure, lower[0], upper[0], piece[0])
    data = jax.tree.map(lambda x: jnp.zeros((limit, *x.shape), dtype), form)
    absolute, relative = tols
    floor = 100 * jnp.finfo(dtype).eps

    def tolerance(data: tuple) -> jax.Array:
        total, size = jnp.sum(data[0], 0), jnp.sum(data[1], 0)
        scale = jnp.concatenate([jnp.abs(total[:1]), size[1:]])  # one direction of the derivative may cancel to 0
        return jnp.maximum(jnp.maximum(absolute, relative * scale), floor * size)

    def excess(data: tuple) -> jax.Array:
        return data[2] / tolerance(data)

    def goes_on(s: tuple) -> jax.Array:
        return (s[0] < pieces) | ((s[0] < limit) & jnp.any(jnp.sum(excess(s[4]), 0) > 1))

    def halve(s: tuple) -> tuple:
        """Both halves of the worst interval; at first each piece as a whole."""
        count, lower, upper, piece, data = s
        first = count < pieces
        # At first each piece is measured as a whole; then the worst interval is halved, until the sum of all errors
        # is small enough.
        worst = jnp.where(first, count, jnp.argmax(jnp.max(excess(data), axis=1)))
        middle = (lower[worst] + upper[worst]) / 2
        lowers = jnp.where(first, 0, jnp.stack([lower[worst], middle]))
        uppers = jnp.where(first, 1, jnp.stack([middle, upper[worst]]))
        pieces_ = jnp.where(first, count, piece[worst])
        both = jax.vmap(measure, (0, 0, None))(lowers, uppers, pieces_)
        where = jnp.stack([worst, count])
        data = jax.tree.map(lambda x, new: x.at[where].set(new), data, both)
        return count + 1, lower.at[where].set(lowers), upper.at[where].set(uppers), piece.at[where].set(pieces_), data

    start = jnp.zeros((), int), lower, upper, piece, data
    _, lower, upper, piece, data = lax.while_loop(goes_on, halve, start)
    # A jump shows as a tiny interval whose values still differ by a good part of the whole range: halving does not
    # help there.
    over = jnp.sum(excess(data), 0)
    width, error = upper - lower, data[2][:, 0]
    jumps = (
        (lower > 0)
        & (upper < 1)
        & (width < 0.02)
        & (data[3] > 0.05 * jnp.max(data[4]))
        & (error > 0.01 * width * data[3])
    )
    total = jnp.sum(data[0][:, 0])
    out = total, jnp.sum(error), ~(over[0] <= 1), jnp.any(~(over[1:] <= 1000)), jnp.any(jumps)
    return out, (lower, upper, piece)


def _direction(arguments: list, moving: Sequence) -> list:
    """A fixed one, with an entry for each number that has a derivative."""
    random = np.random.default_rng(0)

    def one(x: Any, moves: Any) -> Any:
        if not jnp.issubdtype(jnp.result_type(x), jnp.inexact):
            return np.zeros(jnp.shape(x), jax.dtypes.float0)
        # Away from 0, so that no argument is left out.
        signs = random.choice([-1.0, 1.0], jnp.shape(x)) * random.uniform(0.5, 1.5, jnp.shape(x))
        return jnp.asarray(signs * np.asarray(moves), jnp.result_type(x))

    return [one(x, moves) for x, moves in zip(arguments, moving, strict=True)]
