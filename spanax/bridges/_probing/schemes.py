"""The schemes of finite differences: which points, which difference, and what it is divided by.

- central: (f(x + h) - f(x - h)) / 2h = f'(x) + h^2 f'''/6 + ...
- forward: (f(x + h) - f(x)) / h = f'(x) + h f''/2 + ...
- complex: Im f(x + ih) / h = f'(x) - h^2 f'''/6 + ... of an analytic f (Squire and Trapp 1998, SIAM Review 40, 110)
"""

from __future__ import annotations

import abc

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from ..._errors import SpanaxError
from ..._math.directions import widest
from ..._pytree import PyTree
from .probes import both_ways, keep_rows

Kept = Bool[Array, " n"] | None


class Scheme(abc.ABC):
    """One scheme, looked up by its name in `SCHEMES`.

    - `order`: the power of the step in its error, which a chosen step balances with noise; 0 if the step need not be chosen;
    - `bias`, `evaluations`, `source`: as in the bridge's `Facts`;
    - `in_pairs`: are there two points for each number in x?
    - `moves_x`: do the real parts of the points differ from x?
    """

    order: int
    bias: str
    evaluations: str
    source = "Moré and Wild 2012; Shi et al. 2022"
    in_pairs, moves_x = False, True

    @abc.abstractmethod
    def around(self, leaf: Array, move: Array) -> Array:
        """The points around one array, in rows, for moves in rows."""

    @abc.abstractmethod
    def real_parts(self, x: list[Array], X: PyTree[Array], Y: PyTree[Array]) -> tuple[list[Array], PyTree, PyTree]:
        """x, the points and the values as real numbers whose difference quotient is the derivative."""

    @abc.abstractmethod
    def ends(self, rows: Array, at: Array, kept: Kept) -> tuple[Array, Array]:
        """The two ends of the difference in each coordinate; `at`, which belongs to x itself, if a point was dropped."""

    @abc.abstractmethod
    def base(self, Y: PyTree[Array], y: PyTree[Array] | None, kept: Kept) -> PyTree[Array]:
        """What values are compared with if there is no second one, on a leading axis of length 1."""

    @abc.abstractmethod
    def usable(self, kept: np.ndarray) -> bool:
        """Does each coordinate still have a difference?"""


class _Central(Scheme):
    order, bias, evaluations = 2, "biased by O(step^2)", "2 size(x)"
    in_pairs = True

    def around(self, leaf, move):
        return both_ways(leaf, move)

    def real_parts(self, x, X, Y):
        return x, X, Y

    def ends(self, rows, at, kept):
        (plus, minus), (up, down) = jnp.split(rows, 2), (None, None) if kept is None else jnp.split(kept, 2)
        return keep_rows(up, plus, at), keep_rows(down, minus, at)

    def base(self, Y, y, kept):
        # With all points there, f(x) cancels: nobody has to evaluate it.
        return _zeros(Y) if kept is None else _value_at_x("central", y)

    def usable(self, kept):
        up, down = np.split(kept, 2)
        return bool(np.all(up | down))


class _Forward(Scheme):
    order, bias, evaluations = 1, "biased by O(step)", "size(x)"

    def around(self, leaf, move):
        return leaf[None] + move

    def real_parts(self, x, X, Y):
        return x, X, Y

    def ends(self, rows, at, kept):
        return keep_rows(kept, rows, at), at

    def base(self, Y, y, kept):
        return _value_at_x("forward", y)

    def usable(self, kept):
        return bool(np.all(kept))


class _Complex(Scheme):
    order, bias, evaluations = 0, "exact but for rounding, if f is analytic", "size(x)"
    source, moves_x = "Squire and Trapp 1998", False

    def around(self, leaf, move):
        dtype = widest([leaf])
        return jax.lax.complex(jnp.broadcast_to(leaf[None], move.shape).astype(dtype), move.astype(dtype))

    def real_parts(self, x, X, Y):
        # Only the imaginary parts move, from 0.
        return [jnp.zeros_like(leaf) for leaf in x], jax.tree.map(jnp.imag, X), jax.tree.map(_imaginary, Y)

    def ends(self, rows, at, kept):
        return keep_rows(kept, rows, at), at

    def base(self, Y, y, kept):
        return _zeros(Y)

    def usable(self, kept):
        return bool(np.all(kept))


SCHEMES: dict[str, Scheme] = {"central": _Central(), "forward": _Forward(), "complex": _Complex()}


def _zeros(Y: PyTree[Array]) -> PyTree[Array]:
    return jax.tree.map(lambda values: jnp.zeros_like(values[:1]), Y)


def _value_at_x(scheme: str, y: PyTree[Array] | None) -> PyTree[Array]:
    if y is None:
        raise SpanaxError(f"FiniteDifference({scheme!r}).combine needs the value at x", "y=f(x)")
    return jax.tree.map(lambda at: at[None], y)


def _imaginary(values: Array) -> Array:
    if not jnp.issubdtype(values.dtype, jnp.complexfloating):
        raise SpanaxError(
            f'FiniteDifference(scheme="complex") needs complex values, and f returned {values.dtype}',
            "an f that computes with complex numbers and returns them",
            'scheme="central"',
        )
    return jnp.imag(values)
