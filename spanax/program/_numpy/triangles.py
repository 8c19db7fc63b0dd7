"""NumPy's decompositions of symmetric matrices, which read one triangle of the matrix and never the other.

JAX's functions average both triangles, which would spread the gradient over both, although NumPy's value depends on one.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._session import line, session
from .._values.trees import rewrap
from .._values.values import as_jax, wrap


def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """`np.linalg.cholesky`."""
    factor = jnp.linalg.cholesky(_symmetric(a, upper), upper=upper, symmetrize_input=False)
    # NumPy raises a LinAlgError, JAX returns NaN.
    session().check(
        jnp.any(jnp.isnan(factor)),
        "np.linalg.cholesky: the matrix is not positive definite",
        line(),
        "a + jitter * np.eye(n)",
    )
    return wrap(factor)


def eigh(a: Any, UPLO: str = "L") -> Any:
    """`np.linalg.eigh`."""
    return rewrap(jnp.linalg.eigh(_symmetric(a, UPLO.upper() == "U"), symmetrize_input=False))


def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """`np.linalg.eigvalsh`."""
    return wrap(jnp.linalg.eigh(_symmetric(a, UPLO.upper() == "U"), symmetrize_input=False)[0])


def _symmetric(a: Any, upper: bool) -> jax.Array:
    """The symmetric matrix with this triangle and diagonal."""
    x = as_jax(a)
    x = x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(float)
    # The derivative reaches this triangle only: each of its elements appears twice in the matrix.
    triangle, strict = (jnp.triu(x), jnp.triu(x, 1)) if upper else (jnp.tril(x), jnp.tril(x, -1))
    return triangle + jnp.conj(jnp.swapaxes(strict, -1, -2))
