"""NumPy's decompositions of symmetric matrices, which read one triangle of what they are given and never the other."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._session import line, session
from .._values.trees import rewrapped
from .._values.values import as_jax, wrapped


def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """`np.linalg.cholesky`."""
    factor = jnp.linalg.cholesky(_symmetric(a, upper), upper=upper, symmetrize_input=False)
    session().check(
        jnp.any(jnp.isnan(factor)),
        "np.linalg.cholesky: the matrix is not positive definite",
        line(),
        "a + jitter * np.eye(n)",
    )
    return wrapped(factor)


def eigh(a: Any, UPLO: str = "L") -> Any:
    """`np.linalg.eigh`."""
    return rewrapped(jnp.linalg.eigh(_symmetric(a, UPLO.upper() == "U"), symmetrize_input=False))


def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """`np.linalg.eigvalsh`."""
    return wrapped(jnp.linalg.eigh(_symmetric(a, UPLO.upper() == "U"), symmetrize_input=False)[0])


def _symmetric(a: Any, upper: bool) -> jax.Array:
    """Made of one triangle and the diagonal."""
    x = as_jax(a)
    x = x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(float)
    triangle, strict = (jnp.triu(x), jnp.triu(x, 1)) if upper else (jnp.tril(x), jnp.tril(x, -1))
    return triangle + jnp.conj(jnp.swapaxes(strict, -1, -2))
