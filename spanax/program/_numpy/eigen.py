"""Eigenvalues and eigenvectors of general matrices, and complete singular vectors, with the derivatives that there are."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._values.values import Array, as_jax, wrapped

_EIG: Any
_SVD: Any
_EIG, _SVD = type(np.linalg.eig(np.eye(1))), type(np.linalg.svd(np.eye(1)))


@jax.custom_jvp
def _eig(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Vectors of norm 1, whose largest entry is real: as LAPACK has them."""
    w, v = jnp.linalg.eig(a)
    return w, v


@_eig.defjvp
def _eig_derivative(primals, tangents):
    """With inv(V) dA V = D: dw[i] = D[i, i], and dV = V (D / (w[j] - w[i])), less what changes norms and phases.

    Where an eigenvalue is so ill-conditioned that rounding has moved it by the square root of the precision, or as near to
    another one, there is no derivative to be had: NaN.
    """
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # whenever it is differentiated
        return _eig_slopes(*primals, *tangents)


def _eig_slopes(a: jax.Array, da: jax.Array) -> tuple:
    w, v = _eig(a)
    inverse = jnp.linalg.inv(v)
    change = inverse @ da.astype(v.dtype) @ v
    near = float(jnp.finfo(w.dtype).eps) ** 0.5
    size = jnp.max(jnp.abs(a), axis=(-1, -2), keepdims=True)
    ill = near * jnp.linalg.norm(inverse, axis=-1) > 1
    # As factors: a NaN that is merely chosen is a constant, whose derivative reverse mode takes for 0.
    dw = jnp.where(ill, jnp.nan, 1) * jnp.diagonal(change, axis1=-2, axis2=-1)
    gaps = w[..., None, :] - w[..., :, None]
    own = jnp.eye(w.shape[-1], dtype=bool)
    multiple = ~own & (jnp.abs(gaps) <= near * size)
    mixed = change * jnp.where(own, 0, jnp.where(multiple, jnp.nan, 1 / jnp.where(own | multiple, 1, gaps)))
    moved = v @ mixed
    moved = moved - v * jnp.real(jnp.sum(jnp.conj(v) * moved, axis=-2, keepdims=True))
    largest = jnp.argmax(jnp.abs(v), axis=-2)[..., None, :]
    turn = jnp.imag(jnp.take_along_axis(moved, largest, -2)) / jnp.real(jnp.take_along_axis(v, largest, -2))
    return (w, v), (dw, moved - 1j * turn * v)


def eig(a: Any) -> Any:
    """`np.linalg.eig`, always complex: whether all are real depends on the matrix."""
    return _EIG(*map(wrapped, _eig(_inexact(a))))


def eigvals(a: Any) -> Any:
    """`np.linalg.eigvals`, always complex."""
    return wrapped(_eig(_inexact(a))[0])


def _inexact(a: Any) -> jax.Array:
    data = as_jax(a)
    if data.ndim < 2 or data.shape[-1] != data.shape[-2]:
        raise np.linalg.LinAlgError("Last 2 dimensions of the array must be square")
    return data if jnp.issubdtype(data.dtype, jnp.inexact) else data.astype(float)


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """`np.linalg.svd`. The vectors that complete a basis have no derivative: they may be any."""
    data = as_jax(a)
    if data.ndim < 2:
        raise np.linalg.LinAlgError(f"{data.ndim}-dimensional array given. Array must be at least two-dimensional")
    data = data if jnp.issubdtype(data.dtype, jnp.inexact) else data.astype(float)
    if not compute_uv:
        return wrapped(jnp.linalg.svd(data, compute_uv=False, hermitian=hermitian))
    u, s, vh = jnp.linalg.svd(data, full_matrices=False, hermitian=hermitian)
    if full_matrices and data.shape[-1] != data.shape[-2]:
        k = s.shape[-1]
        more_u, _, more_vh = jnp.linalg.svd(jax.lax.stop_gradient(data), full_matrices=True, hermitian=hermitian)
        u = jnp.concatenate([u, _without_derivative(more_u[..., k:], data)], axis=-1)
        vh = jnp.concatenate([vh, _without_derivative(more_vh[..., k:, :], data)], axis=-2)
    return _SVD(*map(Array, (u, s, vh)))


@jax.custom_jvp
def _without_derivative(x: jax.Array, data: jax.Array) -> jax.Array:
    """x, a function of the data whose derivative is NaN."""
    return x


@_without_derivative.defjvp
def _no_derivative(primals, tangents):
    x, data = primals
    return _without_derivative(x, data), jnp.full_like(x, jnp.nan) * jnp.sum(tangents[1])
