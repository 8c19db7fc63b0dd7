"""`scipy.linalg`, with SciPy's defaults: which triangle is read, which factor comes back, what is an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np

from .._session import line, session, unliftable
from .._values.trees import rewrap
from .._values.values import as_jax, wrap
from .given import refuse_options
from .implicit import at_root
from .signs import align_signs

_JITTER = "a + jitter * np.eye(n)"


def inexact(x: Any) -> jax.Array:
    data = as_jax(x)
    return data if jnp.issubdtype(data.dtype, jnp.inexact) else data.astype(float)


def symmetric(a: jax.Array, lower: bool) -> jax.Array:
    """Made of one triangle and the diagonal."""
    one = jnp.tril(a) if lower else jnp.triu(a)
    # LAPACK reads one triangle. Building the matrix from it gives the other triangle the derivative 0, as SciPy's
    # numbers say.
    strict = jnp.tril(a, -1) if lower else jnp.triu(a, 1)
    return one + jnp.conj(jnp.swapaxes(strict, -1, -2))


def check_regular_matrix(x: jax.Array, name: str, what: str = "the matrix is singular") -> jax.Array:
    session().check(
        ~jnp.all(jnp.isfinite(jax.lax.stop_gradient(x))),
        f"scipy.linalg.{name}: {what}, or not finite",
        line(),
        _JITTER,
    )
    return x


def solve(
    a: Any,
    b: Any,
    lower: Any = False,
    overwrite_a: Any = False,
    overwrite_b: Any = False,
    check_finite: Any = True,
    assume_a: Any = None,
    transposed: Any = False,
) -> Any:
    matrix, right = inexact(a), inexact(b)
    if assume_a in ("pos", "positive definite", "sym", "symmetric", "her", "hermitian"):
        matrix = symmetric(matrix, bool(lower))
    elif assume_a not in (None, "gen", "general"):
        raise unliftable(
            f"scipy.linalg.solve(assume_a={assume_a!r}) is not lifted", "assume_a='general'", "solve_banded"
        )
    matrix = jnp.swapaxes(matrix, -1, -2) if transposed else matrix
    return wrap(check_regular_matrix(jnp.linalg.solve(matrix, right), "solve"))


def solve_triangular(
    a: Any,
    b: Any,
    trans: Any = 0,
    lower: Any = False,
    unit_diagonal: Any = False,
    overwrite_b: Any = False,
    check_finite: Any = True,
) -> Any:
    x = jsl.solve_triangular(inexact(a), inexact(b), trans, bool(lower), bool(unit_diagonal))
    return wrap(check_regular_matrix(x, "solve_triangular"))


def inv(a: Any, overwrite_a: Any = False, check_finite: Any = True, *, assume_a: Any = None, lower: Any = False) -> Any:
    refuse_options("scipy.linalg.inv", assume_a=assume_a)
    return wrap(check_regular_matrix(jnp.linalg.inv(inexact(a)), "inv"))


def det(a: Any, overwrite_a: Any = False, check_finite: Any = True) -> Any:
    return wrap(jnp.linalg.det(inexact(a)))


def pinv(a: Any, *, atol: Any = None, rtol: Any = None, return_rank: Any = False, check_finite: Any = True) -> Any:
    refuse_options("scipy.linalg.pinv", atol=atol, rtol=rtol, return_rank=return_rank)
    matrix = inexact(a)
    _full_rank(matrix, "pinv")
    return wrap(jnp.linalg.pinv(matrix))


def lstsq(
    a: Any,
    b: Any,
    cond: Any = None,
    overwrite_a: Any = False,
    overwrite_b: Any = False,
    check_finite: Any = True,
    lapack_driver: Any = None,
) -> Any:
    """Of a matrix of full rank."""
    refuse_options("scipy.linalg.lstsq", cond=cond)
    matrix, right = inexact(a), inexact(b)
    sizes = _full_rank(matrix, "lstsq")
    m, n = matrix.shape
    adjoint = jnp.conj(matrix.T)
    if m >= n:
        q, r = jnp.linalg.qr(matrix)
        x = jsl.solve_triangular(r, jnp.conj(q.T) @ right)
    else:
        # The least-norm solution of fewer equations than unknowns: through the factors of the transpose.
        q, r = jnp.linalg.qr(adjoint)
        x = q @ jsl.solve_triangular(r, right, trans=2)
    left = jnp.sum(jnp.abs(right - matrix @ x) ** 2, axis=0) if m > n else jnp.zeros(0, sizes.dtype)
    return wrap(x), wrap(left), min(m, n), wrap(sizes)


def _full_rank(matrix: jax.Array, name: str) -> jax.Array:
    sizes = jnp.linalg.svd(matrix, compute_uv=False)
    still = jax.lax.stop_gradient(sizes)
    # Near a loss of rank the pseudo-inverse jumps, so it has no derivative there.
    low = still[..., -1] <= 10 * max(matrix.shape) * jnp.finfo(matrix.dtype).eps * still[..., 0]
    session().check(
        jnp.any(low),
        f"scipy.linalg.{name}: the matrix has not full rank, where it has no derivative",
        line(),
        _JITTER,
    )
    return sizes


def norm(a: Any, ord: Any = None, axis: Any = None, keepdims: Any = False, check_finite: Any = True) -> Any:
    return session().rules.function(np.linalg.norm, (a, ord, axis, keepdims), {})


# -- factors


def _factor(a: Any, lower: Any, name: str) -> tuple[jax.Array, jax.Array]:
    matrix = inexact(a)
    factor = jnp.linalg.cholesky(symmetric(matrix, bool(lower)), upper=not lower, symmetrize_input=False)
    return matrix, check_regular_matrix(factor, name, "the matrix is not positive definite")


def cholesky(a: Any, lower: Any = False, overwrite_a: Any = False, check_finite: Any = True) -> Any:
    return wrap(_factor(a, lower, "cholesky")[1])


def cho_factor(a: Any, lower: Any = False, overwrite_a: Any = False, check_finite: Any = True) -> Any:
    """The other triangle holds the matrix's own entries, as SciPy leaves them."""
    matrix, factor = _factor(a, lower, "cho_factor")
    return wrap(factor + (jnp.triu(matrix, 1) if lower else jnp.tril(matrix, -1))), bool(lower)


def cho_solve(c_and_lower: Any, b: Any, overwrite_b: Any = False, check_finite: Any = True) -> Any:
    factor, lower = c_and_lower
    matrix, right = inexact(factor), inexact(b)
    first, last = (0, 2) if lower else (2, 0)
    half = jsl.solve_triangular(matrix, right, trans=first, lower=bool(lower))
    return wrap(check_regular_matrix(jsl.solve_triangular(matrix, half, trans=last, lower=bool(lower)), "cho_solve"))


def lu(
    a: Any, permute_l: Any = False, overwrite_a: Any = False, check_finite: Any = True, p_indices: Any = False
) -> Any:
    refuse_options("scipy.linalg.lu", p_indices=p_indices)
    return rewrap(tuple(jsl.lu(inexact(a), permute_l=bool(permute_l))))


def lu_factor(a: Any, overwrite_a: Any = False, check_finite: Any = True) -> Any:
    return rewrap(tuple(jsl.lu_factor(inexact(a))))


def lu_solve(lu_and_piv: Any, b: Any, trans: Any = 0, overwrite_b: Any = False, check_finite: Any = True) -> Any:
    factors, pivots = lu_and_piv
    x = jsl.lu_solve((inexact(factors), as_jax(pivots).astype(jnp.int32)), inexact(b), trans)
    return wrap(check_regular_matrix(x, "lu_solve"))


def qr(
    a: Any,
    overwrite_a: Any = False,
    lwork: Any = None,
    mode: str = "full",
    pivoting: Any = False,
    check_finite: Any = True,
) -> Any:
    matrix = inexact(a)
    m, n = matrix.shape
    refuse_options("scipy.linalg.qr", pivoting=pivoting)
    if mode == "raw" or m < n or (mode == "full" and m != n):
        raise unliftable(
            f"scipy.linalg.qr(mode={mode!r}) of a matrix of shape {(m, n)} has no derivative",
            "mode='economic', of tall ones",
        )
    q, r = jnp.linalg.qr(matrix)
    if mode == "r":
        return (wrap(r),)
    return wrap(q), wrap(r)


def svd(
    a: Any,
    full_matrices: Any = True,
    compute_uv: Any = True,
    overwrite_a: Any = False,
    check_finite: Any = True,
    lapack_driver: str = "gesdd",
) -> Any:
    matrix = inexact(a)
    if not compute_uv:
        return wrap(jnp.linalg.svd(matrix, compute_uv=False))
    if full_matrices and matrix.shape[-1] != matrix.shape[-2]:
        raise unliftable(
            "scipy.linalg.svd(full_matrices=True) of no square matrix has no derivative", "full_matrices=False"
        )
    return rewrap(tuple(jnp.linalg.svd(matrix, full_matrices=False)))


def svdvals(a: Any, overwrite_a: Any = False, check_finite: Any = True) -> Any:
    return svd(a, compute_uv=False)


def eigvals(
    a: Any, b: Any = None, overwrite_a: Any = False, check_finite: Any = True, homogeneous_eigvals: Any = False
) -> Any:
    refuse_options("scipy.linalg.eigvals", b=b, homogeneous_eigvals=homogeneous_eigvals)
    return wrap(jnp.linalg.eigvals(inexact(a)))


def eigvalsh(
    a: Any,
    b: Any = None,
    *,
    lower: Any = True,
    overwrite_a: Any = False,
    overwrite_b: Any = False,
    type: int = 1,
    check_finite: Any = True,
    subset_by_index: Any = None,
    subset_by_value: Any = None,
    driver: Any = None,
) -> Any:
    refuse_options("scipy.linalg.eigvalsh", subset_by_index=subset_by_index, subset_by_value=subset_by_value)
    return wrap(_eigen(a, b, lower, type, "eigvalsh")[0])


def eigh(
    a: Any,
    b: Any = None,
    *,
    lower: Any = True,
    eigvals_only: Any = False,
    overwrite_a: Any = False,
    overwrite_b: Any = False,
    type: int = 1,
    check_finite: Any = True,
    subset_by_index: Any = None,
    subset_by_value: Any = None,
    driver: Any = None,
) -> Any:
    """The signs of the vectors are those of SciPy, which depend on the driver."""
    refuse_options("scipy.linalg.eigh", subset_by_index=subset_by_index, subset_by_value=subset_by_value)
    values, vectors, matrices = _eigen(a, b, lower, type, "eigh")
    if eigvals_only:
        return wrap(values)
    return wrap(values), wrap(align_signs(vectors, matrices, bool(lower)))


def _eigen(a: Any, b: Any, lower: Any, kind: int, name: str) -> tuple[jax.Array, jax.Array, list[jax.Array]]:
    if kind != 1:
        raise unliftable(f"scipy.linalg.{name}(type={kind}) is not lifted", "type=1")
    matrix = symmetric(inexact(a), bool(lower))
    if b is None:
        return *jnp.linalg.eigh(matrix, symmetrize_input=False), [matrix]
    metric = symmetric(inexact(b), bool(lower))
    root = check_regular_matrix(jnp.linalg.cholesky(metric, symmetrize_input=False), name, "b is not positive definite")
    half = jsl.solve_triangular(root, matrix, lower=True)
    whole = jnp.conj(jsl.solve_triangular(root, jnp.conj(half.T), lower=True)).T
    values, vectors = jnp.linalg.eigh((whole + jnp.conj(whole.T)) / 2, symmetrize_input=False)
    return values, jsl.solve_triangular(root, vectors, trans=2, lower=True), [matrix, metric]


# -- functions of matrices


def expm(A: Any) -> Any:
    return wrap(jsl.expm(inexact(A)))


def sqrtm(A: Any, disp: Any = None, blocksize: Any = None) -> Any:
    """The principal root, where it is real: by the iteration of Denman and Beavers (1976)."""
    matrix = inexact(A)
    n = matrix.shape[-1]

    def step(s: tuple) -> tuple:
        x, y, k, _ = s
        new, other = (x + jnp.linalg.inv(y)) / 2, (y + jnp.linalg.inv(x)) / 2
        near = jnp.linalg.norm(new - x) <= 1e-2 * jnp.sqrt(jnp.finfo(x.dtype).eps) * jnp.linalg.norm(new)
        return new, other, k + 1, near

    still = jax.lax.stop_gradient(matrix)
    start = still, jnp.eye(n, dtype=still.dtype), jnp.zeros((), jnp.int32), jnp.asarray(False)
    root = jax.lax.while_loop(lambda s: ~s[3] & (s[2] < 60), step, start)[0]
    left = jnp.linalg.norm(root @ root - still) <= 1e4 * jnp.finfo(root.dtype).eps * jnp.linalg.norm(still)
    session().check(
        ~left,
        "scipy.linalg.sqrtm: the matrix has no real principal root, or is too near to one that has none",
        line(),
        "a matrix without eigenvalues on the negative axis",
    )
    return wrap(at_root(lambda x: x @ x - matrix, root))


def solve_sylvester(a: Any, b: Any, q: Any) -> Any:
    """a x + x b = q."""
    left, right, target = inexact(a), inexact(b), inexact(q)
    m, n = target.shape
    whole = jnp.kron(left, jnp.eye(n)) + jnp.kron(jnp.eye(m), right.T)
    return wrap(check_regular_matrix(jnp.linalg.solve(whole, target.reshape(-1)).reshape(m, n), "solve_sylvester"))


def solve_continuous_lyapunov(a: Any, q: Any) -> Any:
    matrix = inexact(a)
    return solve_sylvester(matrix, jnp.conj(matrix.T), q)


def solve_discrete_lyapunov(a: Any, q: Any, method: Any = None) -> Any:
    """a x a^H - x + q = 0."""
    matrix, target = inexact(a), inexact(q)
    whole = jnp.eye(target.size) - jnp.kron(matrix, jnp.conj(matrix))
    x = jnp.linalg.solve(whole, target.reshape(-1)).reshape(target.shape)
    return wrap(check_regular_matrix(x, "solve_discrete_lyapunov"))


_ALL: tuple[Callable, ...] = (
    solve, solve_triangular, inv, det, pinv, lstsq, norm, cholesky, cho_factor, cho_solve, lu, lu_factor, lu_solve, qr, svd,
    svdvals, eigvals, eigvalsh, eigh, expm, sqrtm, solve_sylvester, solve_continuous_lyapunov, solve_discrete_lyapunov,
)  # fmt: skip
RULES = {f"linalg.{rule.__name__}": rule for rule in _ALL}
