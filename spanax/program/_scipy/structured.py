"""`scipy.linalg`: matrices of a form (Toeplitz, circulant, banded), and systems of equations with them.

They are solved as full matrices: n^3 operations where SciPy takes n^2 or fewer, but with every derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np

from .._session import unliftable
from .._values.values import as_jax, raw, wrap
from .linalg import check_regular_matrix, inexact, symmetric


def toeplitz(c: Any, r: Any = None) -> Any:
    column = as_jax(c).reshape(-1)
    row = jnp.conj(column) if r is None else as_jax(r).reshape(-1)
    values = jnp.concatenate([column[::-1], row[1:]])
    m, n = column.size, row.size
    return wrap(values[m - 1 - np.arange(m)[:, None] + np.arange(n)])


def circulant(c: Any) -> Any:
    column = as_jax(c)
    n = column.shape[-1]
    return wrap(column[..., (np.arange(n)[:, None] - np.arange(n)) % n])


def block_diag(*arrs: Any) -> Any:
    return wrap(jsl.block_diag(*map(as_jax, arrs)))


def solve_toeplitz(c_or_cr: Any, b: Any, check_finite: Any = True) -> Any:
    pair = c_or_cr if isinstance(c_or_cr, tuple) else (c_or_cr,)
    return wrap(check_regular_matrix(jnp.linalg.solve(inexact(toeplitz(*pair)), inexact(b)), "solve_toeplitz"))


def _from_bands(ab: jax.Array, below: int, above: int) -> jax.Array:
    """The matrix whose diagonals are the rows."""
    n = ab.shape[-1]
    i, j = np.indices((n, n))
    row = above + i - j
    inside = (row >= 0) & (row <= below + above)
    return jnp.where(inside, ab[np.clip(row, 0, below + above), j], 0)


def solve_banded(
    l_and_u: Any, ab: Any, b: Any, overwrite_ab: Any = False, overwrite_b: Any = False, check_finite: Any = True
) -> Any:
    below, above = map(int, raw(l_and_u))
    return wrap(
        check_regular_matrix(jnp.linalg.solve(_from_bands(inexact(ab), below, above), inexact(b)), "solve_banded")
    )


def solveh_banded(
    ab: Any, b: Any, overwrite_ab: Any = False, overwrite_b: Any = False, lower: Any = False, check_finite: Any = True
) -> Any:
    bands = inexact(ab)
    width = bands.shape[0] - 1
    whole = symmetric(_from_bands(bands, *((width, 0) if lower else (0, width))), bool(lower))
    factor = check_regular_matrix(jnp.linalg.cholesky(whole), "solveh_banded", "the matrix is not positive definite")
    return wrap(jsl.cho_solve((factor, True), inexact(b)))


def eigvalsh_tridiagonal(d: Any, e: Any, select: Any = "a", *args: Any, **kwargs: Any) -> Any:
    if select != "a":
        raise unliftable("scipy.linalg.eigvalsh_tridiagonal(select=...) is not lifted", "select='a'")
    diagonal, side = inexact(d), inexact(e)
    whole = jnp.diag(diagonal) + jnp.diag(side, 1) + jnp.diag(side, -1)
    return wrap(jnp.linalg.eigvalsh(whole, symmetrize_input=False))


_ALL: tuple[Callable, ...] = (
    toeplitz, circulant, block_diag, solve_toeplitz, solve_banded, solveh_banded, eigvalsh_tridiagonal,
)  # fmt: skip
RULES = {f"linalg.{rule.__name__}": rule for rule in _ALL}
