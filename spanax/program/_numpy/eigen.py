"""Eigenvalues and eigenvectors of general matrices, and complete singular vectors, with the derivatives that there are.

JAX has no derivative of `jnp.linalg.eig`'s vectors, and none of `svd` with full matrices. The formulas for the former come from
first-order perturbation theory (Magnus, "On differentiating eigenvalues and eigenvectors", Econometric Theory 1, 1985; Giles, "An
extended collection of matrix derivative results", 2008), with the norm and the phase that LAPACK chooses.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._values.values import LiftedArray, as_jax, wrap

_EIG: Any
_SVD: Any
_EIG, _SVD = type(np.linalg.eig(np.eye(1))), type(np.linalg.svd(np.eye(1)))


@jax.custom_jvp
def _eig(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigenvalues and vectors; these have norm 1 and a real largest entry, as LAPACK returns them."""
    w, v = jnp.linalg.eig(a)
    return w, v


@_eig.defjvp
def _eig_derivative(primals, tangents):
    """With D = inv(V) dA V: dw[i] = D[i, i], and dV = V (D / (w[j] - w[i])), less what changes norms and phases.

    The derivative is NaN where an eigenvalue is so ill-conditioned that rounding moves it by the square root of the precision,
    or that near to another one.
    """
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # whenever it is differentiated
        return _eig_slopes(*primals, *tangents)


def _eig_slopes(a: jax.Array, da: jax.Array) -> tuple:
    w, v = _eig(a)
    inverse = jnp.linalg.inv(v)
    change = inverse @ da.astype(v.dtype) @ v
    near = float(jnp.finfo(w.dtype).eps) ** 0.5
    size = jnp.max(jnp.abs(a), axis=(-1, -2), keepdims=True)
    # The condition number of an eigenvalue, which bounds how far a perturbation moves it, is the norm of its row of inv(V), as
    # the columns of V have norm 1.
    ill = near * jnp.linalg.norm(inverse, axis=-1) > 1
    # NaN as a factor: chosen by `where` it would be a constant, which reverse mode differentiates to 0.
    dw = jnp.where(ill, jnp.nan, 1) * jnp.diagonal(change, axis1=-2, axis2=-1)
    gaps = w[..., None, :] - w[..., :, None]
    own = jnp.eye(w.shape[-1], dtype=bool)
    # The vectors of a multiple eigenvalue are an arbitrary basis of its space, and have no derivative.
    multiple = ~own & (jnp.abs(gaps) <= near * size)
    mixed = change * jnp.where(own, 0, jnp.where(multiple, jnp.nan, 1 / jnp.where(own | multiple, 1, gaps)))
    moved = v @ mixed
    # Remove what changes a vector's length, as LAPACK scales it to norm 1 ...
    moved = moved - v * jnp.real(jnp.sum(jnp.conj(v) * moved, axis=-2, keepdims=True))
    # ... and what makes its largest entry complex, as LAPACK keeps that real.
    largest = jnp.argmax(jnp.abs(v), axis=-2)[..., None, :]
    turn = jnp.imag(jnp.take_along_axis(moved, largest, -2)) / jnp.real(jnp.take_along_axis(v, largest, -2))
    return (w, v), (dw, moved - 1j * turn * v)


def eig(a: Any) -> Any:
    """`np.linalg.eig`, always complex, because whether all eigenvalues are real depends on the matrix."""
    return _EIG(*map(wrap, _eig(_inexact(a))))


def eigvals(a: Any) -> Any:
    """`np.linalg.eigvals`, always complex."""
    return wrap(_eig(_inexact(a))[0])


def _inexact(a: Any) -> jax.Array:
    """A matrix of floats or complex numbers, or a stack of them."""
    data = as_jax(a)
    if data.ndim < 2 or data.shape[-1] != data.shape[-2]:
        raise np.linalg.LinAlgError("Last 2 dimensions of the array must be square")
    return data if jnp.issubdtype(data.dtype, jnp.inexact) else data.astype(float)


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """`np.linalg.svd`. The vectors that complete a basis are arbitrary, and their derivative is NaN."""
    # With compute_uv=False multiple singular values have derivatives as well: JAX's rule then divides by no gaps.
    data = as_jax(a)
    if data.ndim < 2:
        raise np.linalg.LinAlgError(
            f"{data.ndim}-dimensional array given. LiftedArray must be at least two-dimensional"
        )
    data = data if jnp.issubdtype(data.dtype, jnp.inexact) else data.astype(float)
    if not compute_uv:
        return wrap(jnp.linalg.svd(data, compute_uv=False, hermitian=hermitian))
    u, s, vh = jnp.linalg.svd(data, full_matrices=False, hermitian=hermitian)
    if full_matrices and data.shape[-1] != data.shape[-2]:
        k = s.shape[-1]
        # JAX's rule for the thin form, and NaN for the rest: a gradient that depends on those is never silently wrong.
        more_u, _, more_vh = jnp.linalg.svd(jax.lax.stop_gradient(data), full_matrices=True, hermitian=hermitian)
        u = jnp.concatenate([u, _without_derivative(more_u[..., k:], data)], axis=-1)
        vh = jnp.concatenate([vh, _without_derivative(more_vh[..., k:, :], data)], axis=-2)
    return _SVD(*map(LiftedArray, (u, s, vh)))


@jax.custom_jvp
def _without_derivative(x: jax.Array, data: jax.Array) -> jax.Array:
    """x, as a function of the data whose derivative is NaN."""
    return x


@_without_derivative.defjvp
def _no_derivative(primals, tangents):
    # A multiple of the data's tangents, so that it is linear in them, as reverse mode requires.
    x, data = primals
    return _without_derivative(x, data), jnp.full_like(x, jnp.nan) * jnp.sum(tangents[1])
