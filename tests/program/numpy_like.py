"""NumPy's functions, methods and keywords beyond those of `autograd_like`: value and slope by the same check.

`PROGRAMS[name]` is a function with its arguments, which are its own.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .autograd_like import MATRIX, SPD, normal, uniform

MASK = np.array([[True, False, True, True], [True, True, False, True], [False, True, True, True]])


def written_at(x):
    y = np.zeros(4)
    np.add.at(y, [0, 1, 1, 3], x)
    np.subtract.at(y, [0, 0], x[:2])
    np.multiply.at(y, [2, 3], 2.0)
    np.maximum.at(y, [1], x[2])
    return y


def written_by_functions(x):
    y, A = x.copy(), np.outer(x, x)
    np.put(y, [0, 2], x[1:3] * 2)
    np.putmask(y, x > 0.3, x[::-1])
    np.place(y, np.array([True, False] * 3), [x[0], 5.0])
    np.copyto(y[3:], x[:3], where=x[:3] < 0)
    np.fill_diagonal(A, x)
    np.put_along_axis(A, np.arange(6)[:, None], x[:, None] ** 2, axis=1)
    return y * A.sum(axis=0)


def some_are_nan(x):
    y = x * 1.0
    y[0, 1] = np.nan
    return np.nancumsum(y, axis=1) + np.nansum(y) + np.nanmean(y, axis=0) + np.nancumprod(y, axis=0)


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "ufunc_reduce": (
        lambda x: np.add.reduce(x, axis=1) + np.multiply.reduce(x, axis=1) + np.maximum.reduce(x, axis=1, initial=0.2),
        (normal(3, 4),),
    ),
    "ufunc_reduce_where": (
        lambda x: np.add.reduce(x, where=x > 0.2, initial=1.0) + np.minimum.reduce(x.ravel()),
        (normal(3, 4),),
    ),
    "logaddexp_reduce": (lambda x: np.logaddexp.reduce(x, axis=1) + np.hypot.reduce(x, axis=1), (normal(3, 4),)),
    "ufunc_accumulate": (
        lambda x: (
            np.add.accumulate(x)
            + np.multiply.accumulate(x, axis=1)
            + np.maximum.accumulate(x)
            + np.minimum.accumulate(x)
        ),
        (normal(3, 4),),
    ),
    "logaddexp_accumulate": (lambda x: np.logaddexp.accumulate(x), (normal(4),)),
    "ufunc_reduceat": (lambda x: np.add.reduceat(x, [0, 2, 3]) * np.multiply.reduceat(x, [0, 3, 1]), (normal(5),)),
    "ufunc_outer": (
        lambda x, y: np.add.outer(x, y) * np.multiply.outer(x, y) - np.maximum.outer(x, y) + np.power.outer(x, y),
        (uniform(0.5, 2, 3), uniform(0.5, 2, 4)),
    ),
    "ufunc_at": (lambda x: written_at(x), (normal(4),)),
    "ufunc_out": (lambda x: np.multiply(x, 2.0, out=np.zeros(3)) + np.exp(x, out=np.empty(3)), (normal(3),)),
    "vecdot_matvec_vecmat": (
        lambda A, x: np.vecdot(A, x) + np.matvec(A, x) + np.vecmat(x, A.T) + np.linalg.vecdot(A, A),
        (normal(3, 4), normal(4)),
    ),
    "copysign_heaviside": (lambda x, y: np.copysign(x, y) + np.heaviside(x, 0.5) * y, (normal(4), normal(4))),
    "modf_frexp_ldexp": (lambda x: np.modf(x)[0] * 2 + np.frexp(x)[0] + np.ldexp(x, 3), (3 * normal(4),)),
    "divmod_ufunc": (
        lambda x, y: np.divmod(x, y)[1] + np.floor_divide(x, y) * x,
        (uniform(2, 5, 3), uniform(0.7, 1.9, 3)),
    ),
    "trunc_rint": (lambda x: x * (np.trunc(x) + np.rint(x)), (3 * normal(4),)),
    "i0_sinc_unwrap": (lambda x: np.i0(x) + np.sinc(x) + np.unwrap(4 * x), (normal(5),)),
    "vector_norm_matrix_norm": (
        lambda A: (
            np.linalg.vector_norm(A, axis=1)
            + np.linalg.vector_norm(A, ord=3)
            + np.linalg.matrix_norm(A)
            + np.linalg.matrix_norm(A, ord=2)
        ),
        (normal(3, 4),),
    ),
    "linalg_cond": (lambda A: np.linalg.cond(A) + np.linalg.cond(A, 1) + np.linalg.cond(A, "fro"), (MATRIX,)),
    "linalg_svdvals": (lambda A: np.linalg.svdvals(A) * np.linalg.svd(A)[1], (normal(4, 3),)),
    "linalg_svd_full": (lambda A: np.linalg.svd(A)[1] ** 2, (normal(3, 5),)),
    "linalg_eigvals": (lambda A: np.sort(np.abs(np.linalg.eigvals(A))), (MATRIX,)),
    "linalg_eig_vectors": (
        lambda A: (lambda w, v: np.real(v @ np.diag(w)) + np.abs(v))(*np.linalg.eig(A)),
        (MATRIX + np.diag([0.0, 2.0, 5.0]),),
    ),
    "linalg_tensorsolve_tensorinv": (
        lambda A, b: (
            np.linalg.tensorsolve(A.reshape(2, 3, 6), b.reshape(2, 3))
            + np.linalg.tensorinv(A.reshape(6, 2, 3), ind=1).sum()
        ),
        (normal(6, 6) + 4 * np.eye(6), normal(6)),
    ),
    "linalg_cross_outer": (
        lambda x, y: np.linalg.cross(x, y) + np.linalg.outer(x, y) @ x + np.linalg.trace(np.linalg.outer(x, y)),
        (normal(3), normal(3)),
    ),
    "linalg_diagonal_transpose": (
        lambda A: np.linalg.diagonal(A, offset=1) + np.linalg.matrix_transpose(A)[:2, 0] + A.mT[0, :2],
        (normal(3, 3),),
    ),
    "linalg_matmul_tensordot": (
        lambda A, B: np.linalg.matmul(A, B) + np.linalg.tensordot(A, B, axes=1),
        (normal(2, 3), normal(3, 2)),
    ),
    "linalg_pinv_hermitian": (lambda A: np.linalg.pinv((A + A.T) / 2, hermitian=True), (SPD,)),
    "linalg_matrix_power_negative": (lambda A: np.linalg.matrix_power(A, -2) + np.linalg.matrix_power(A, 0), (MATRIX,)),
    "linalg_qr_modes": (
        lambda A: np.abs(np.linalg.qr(A, mode="r")) + np.abs(np.linalg.qr(A)[0].T @ A),
        (normal(4, 3),),
    ),
    "linalg_lstsq_matrix": (
        lambda A, b: np.linalg.lstsq(A, b, rcond=None)[0] + np.linalg.lstsq(A, b, rcond=None)[1],
        (normal(5, 3), normal(5, 2)),
    ),
    "take_and_choose": (
        lambda x, y: (
            np.take(x, [[0, 2], [1, 1]])
            + np.choose([[0, 1], [1, 0]], [x[:2], y[:2]])
            + x.take(1) * np.take(y, [5, -4], mode="wrap")
        ),
        (normal(4), normal(4)),
    ),
    "take_along_axis": (lambda x: np.take_along_axis(x, np.argsort(x, axis=1), axis=1) * np.arange(4), (normal(3, 4),)),
    "put_functions": (lambda x: written_by_functions(x), (normal(6),)),
    "insert_delete": (
        lambda x, y: np.insert(x, [1, 3], y) * np.arange(6) + np.delete(np.insert(x, 0, 2.0), 2).sum(),
        (normal(4), normal(2)),
    ),
    "resize_and_trim": (
        lambda x: np.resize(x, (2, 3)) + np.ediff1d(x)[0] + np.ediff1d(x, to_end=x[:2], to_begin=9.0).sum(),
        (normal(4),),
    ),
    "pad_modes": (
        lambda x: (
            np.pad(x, 2, mode="edge")
            + np.pad(x, 2, mode="reflect")
            + np.pad(x, 2, mode="wrap")
            + np.pad(x, (1, 3), constant_values=x[0])
            + np.pad(x, 2, mode="linear_ramp")
        ),
        (normal(5),),
    ),
    "block": (lambda A, b: np.block([[A, b[:, None]], [b[None, :], 1.0]]), (normal(3, 3), normal(3))),
    "unstack_permute_concat": (
        lambda A: (
            np.unstack(A)[1] + np.permute_dims(A, (1, 0))[:, 0] + np.concat([A, A])[3] + np.matrix_transpose(A)[:, 2]
        ),
        (normal(3, 4),),
    ),
    "cumulative": (
        lambda x: np.cumulative_sum(x) * np.cumulative_prod(x) + np.cumulative_sum(x, include_initial=True)[1:],
        (normal(4),),
    ),
    "nan_family": (
        lambda x: (
            np.nanmax(x, axis=0)
            + np.nanmin(x, axis=0)
            + np.nanprod(x, axis=0)
            + np.nanstd(x, axis=0)
            + np.nanvar(x, axis=0)
        ),
        (normal(3, 4),),
    ),
    "nan_order_statistics": (
        lambda x: np.nanmedian(x, axis=0) + np.nanpercentile(x, 30, axis=0) + np.nanquantile(x, 0.6, axis=0),
        (normal(5, 3),),
    ),
    "nan_cumulative_with_nans": (lambda x: some_are_nan(x), (normal(3, 4),)),
    "quantile_methods": (
        lambda x: (
            np.quantile(x, [0.2, 0.7], axis=0)
            + np.quantile(x, 0.4, method="lower")
            + np.percentile(x, 60, method="nearest")
        ),
        (normal(6, 3),),
    ),
    "average_returned": (
        lambda x, w: np.average(x, weights=w, returned=True)[0] + np.average(x, axis=1, weights=w).sum(),
        (normal(2, 4), uniform(0.1, 1, 2, 4)),
    ),
    "std_keywords": (
        lambda x: (
            np.std(x, axis=0, ddof=1, keepdims=True)
            + np.var(x, axis=(0, 1))
            + np.mean(x, axis=0, where=MASK)
            + np.sum(x, axis=0, initial=2.0, where=MASK)
            + np.max(x, axis=0, initial=0.0)
        ),
        (normal(3, 4),),
    ),
    "prod_keywords": (
        lambda x: np.prod(x, axis=1, keepdims=True) + np.prod(x, initial=3.0) + np.min(x, where=MASK, initial=9.0),
        (normal(3, 4),),
    ),
    "corrcoef_cov_of_two": (
        lambda x, y: (
            np.corrcoef(x, y)
            + np.cov(x, y, ddof=0)
            + np.cov(x, y, bias=True)
            + np.cov(x, y, aweights=np.arange(1.0, 6.0))
        ),
        (normal(5), normal(5)),
    ),
    "gradient_spacings": (
        lambda x, y: (
            np.gradient(x, 0.5)
            + np.gradient(x, y)
            + np.gradient(np.outer(x, x), axis=0)[0]
            + np.gradient(x, edge_order=2)
        ),
        (normal(5), np.array([0.0, 1.0, 1.7, 3.0, 4.1])),
    ),
    "diff_keywords": (lambda x: np.diff(x, prepend=0.0) + np.diff(x, append=x[:1]), (normal(5),)),
    "trapezoid_axes": (
        lambda x: np.trapezoid(x, dx=0.5, axis=0) + np.trapezoid(x, x=np.arange(3.0) ** 2, axis=0),
        (normal(3, 4),),
    ),
    "interp_ends": (
        lambda x, y: (
            np.interp(x, [0.0, 1.0, 2.5], y, left=y[0] * 2, right=-1.0) + np.interp(x, [0.0, 1.0, 2.5], y, period=4.0)
        ),
        (3 * normal(5), normal(3)),
    ),
    "convolve_modes": (
        lambda x, y: (
            np.convolve(x, y, "valid").sum()
            + np.convolve(y, x, mode="same")
            + np.correlate(x, y, "full")[:6]
            + np.correlate(x, y, "same")
        ),
        (normal(6), normal(3)),
    ),
    "kron_of_matrices": (
        lambda A, B: np.kron(A, B) + np.tensordot(A, B, axes=0).reshape(4, 4),
        (normal(2, 2), normal(2, 2)),
    ),
    "inner_of_matrices": (lambda A, B: np.inner(A, B) + np.vdot(A, B) + A.dot(B.T), (normal(2, 3), normal(2, 3))),
    "einsum_lists": (
        lambda A, B: (
            np.einsum(A, [0, 1], B, [1, 2]) + np.einsum("ij,jk", A, B, optimize=True) + np.einsum("ii", (A @ B))
        ),
        (normal(2, 3), normal(3, 2)),
    ),
    "tri_functions": (
        lambda A: (
            A[np.tril_indices(3)]
            + A[np.triu_indices(3, k=0)]
            + A[np.tril_indices_from(A)]
            + A[np.diag_indices(3)].sum()
        ),
        (normal(3, 3),),
    ),
    "geomspace_logspace": (
        lambda a, b: np.geomspace(a, b, 4) + np.logspace(a, b, 4, base=2.0) + np.linspace(a, b, 4, endpoint=False),
        (0.4, 1.7),
    ),
    "vander_kinds": (lambda x: np.vander(x) @ x + np.vander(x, 3, increasing=True).sum(), (normal(4),)),
    "poly_functions": (
        lambda x: (
            np.polymul(x, [1.0, 2.0])
            + np.polyadd(x, [1.0, 2.0]).sum() * np.polysub([1.0], x)[0]
            + np.polyder(x).sum()
            + np.polyint(x, 2, k=[1.0, 2.0]).sum()
        ),
        (normal(4),),
    ),
    "polydiv": (lambda p, q: np.polydiv(p, q)[0].sum() + np.polydiv(p, q)[1], (normal(5), np.array([1.3, 0.2, -0.7]))),
    "polyfit": (
        lambda x, y: np.polyfit(x, y, 2) + np.polyfit(x, y, 2, w=np.arange(1.0, 6.0)),
        (np.sort(normal(5)), normal(5)),
    ),
    "poly_from_roots": (lambda x: np.poly(x), (normal(3),)),
    "poly_from_matrix": (lambda A: np.poly(A), (MATRIX,)),
    "roots": (lambda c: np.sort(np.abs(np.roots(c))), (np.array([1.0, -2.3, 0.4, 1.7]),)),
    "poly1d": (
        lambda c, x: (
            np.poly1d(c)(x) * np.poly1d(c).deriv()(x)
            + np.poly1d(c).integ(k=2.0)(x)
            + (np.poly1d(c) * np.poly1d([1.0, x[0]]) - 2.0)(x)
        ),
        (normal(3), normal(4)),
    ),
    "poly1d_powers_and_quotients": (
        lambda c: (
            (np.poly1d(c) ** 2 / np.poly1d([1.0, c[0]]))[0](0.3)
            + np.poly1d(c, True)(0.7)
            + np.poly1d(c)[1]
            + np.abs(np.poly1d(c).r).sum()
        ),
        (normal(3),),
    ),
    "vectorize": (
        lambda x, y: np.vectorize(lambda a, b: a * b if a > b else a - b)(x[:, None], y),
        (normal(3), normal(2)),
    ),
    "vectorize_signature": (
        lambda x: np.vectorize(lambda r: r / np.sum(r**2), signature="(n)->(n)")(x),
        (normal(3, 4),),
    ),
    "polynomial_module": (
        lambda c, x: (
            np.polynomial.polynomial.polyval(x, c)
            + np.polynomial.chebyshev.chebval(x, c)
            + np.polynomial.legendre.legval(x, c)
        ),
        (normal(4), normal(3)),
    ),
    "r_c_and_grids": (
        lambda x: (
            np.r_[x, 1.0, x[::-1]] @ np.arange(9.0)
            + np.c_[x, x**2] @ np.array([1.0, 2.0])
            + np.mgrid[0 : x[0] : 4j].sum()
            + np.ogrid[x[0] : x[1] : 3j, 0:2][0].prod()
        ),
        (normal(4),),
    ),
    "lists_of_arrays": (
        lambda x: (
            np.sum([x[0], x[1]], axis=0)
            + np.linalg.norm([x[0, 0], x[1, 1]])
            + np.mean([x[0], (1.0, 2.0, x[0, 0])], axis=0)
            + np.dot([x[0], x[1]], x[0])[0]
        ),
        (normal(2, 3),),
    ),
    "select_and_piecewise_defaults": (
        lambda x: (
            np.select([x > 0.5, x < -0.5], [x**2, np.sin(x)], 3.0 * x)
            + np.piecewise(x, [x < 0, x >= 0], [lambda v: -v * 2, lambda v: v**3])
        ),
        (normal(6),),
    ),
    "bincount_weights": (
        lambda w: np.bincount([0, 1, 1, 3, 0], weights=w) + np.bincount(np.array([2, 2, 0, 1, 3]), w, minlength=4),
        (normal(5),),
    ),
    "histogram_weights": (lambda w: np.histogram([0.1, 0.4, 0.5, 0.9], bins=3, weights=w)[0], (normal(4),)),
    "sorting_variants": (
        lambda x: (
            np.sort(x, axis=0)
            + np.sort_complex(x[:, 0]).real[:, None]
            + np.partition(x, 1, axis=1)[:, :1]
            + x[np.lexsort((x[:, 0],))]
        ),
        (normal(3, 4),),
    ),
    "fft_others": (
        lambda x: (
            np.fft.hfft(x, 6)
            + np.fft.ihfft(x)[0]
            + np.fft.irfft2(np.fft.rfft2(np.outer(x, x))).sum()
            + np.fft.irfftn(np.fft.rfftn(np.outer(x, x))).sum()
        ),
        (normal(4),),
    ),
    "fft_norms": (
        lambda x: (
            np.fft.fft(x, norm="ortho")
            + np.fft.ifft(x, norm="forward")
            + np.fft.fftn(np.outer(x, x), axes=(0,))[:, 0]
            + np.fft.fftshift(x)
        ),
        (normal(4),),
    ),
    "angle_and_parts": (
        lambda x, y: (
            np.angle(x + 1j * y) + np.real_if_close(x) + np.angle(x + 1j * y, deg=True) + np.conjugate(x + 1j * y).imag
        ),
        (normal(3), normal(3)),
    ),
    "array_methods": (
        lambda x: (
            x.cumsum(axis=1) + x.cumprod(0) + x.clip(-0.5, 0.8) + x.round() * x + x.var(axis=0) + x.min() * x.argmax()
        ),
        (normal(3, 4),),
    ),
    "array_methods_of_shape": (
        lambda x: (
            x.squeeze().repeat(2, axis=0)[:3]
            + x[0].diagonal().sum()
            + x.take([0, 1, 2, 2], axis=2)[0]
            + np.rollaxis(x, 2)[:4, 0].T
            + x[0].compress([True, True, False, True], axis=1).sum()
        ),
        (normal(1, 3, 4),),
    ),
    "sliding_windows": (
        lambda x: np.lib.stride_tricks.sliding_window_view(x, 3) @ np.array([1.0, 2.0, -1.0]),
        (normal(6),),
    ),
    "apply_over_axes": (
        lambda x: np.apply_over_axes(np.sum, x, [0, 2])[0] + np.apply_along_axis(lambda r: r @ r, 1, x)[:, :1].sum(),
        (normal(2, 3, 4),),
    ),
    "broadcast_arrays": (
        lambda x, y: np.broadcast_arrays(x, y[:, None])[0] * np.broadcast_arrays(x, y[:, None])[1],
        (normal(3), normal(2)),
    ),
    "meshgrid_indexing": (
        lambda x, y: np.meshgrid(x, y, indexing="ij")[0] * np.meshgrid(x, y, indexing="ij", sparse=True)[1],
        (normal(3), normal(4)),
    ),
    "float_power_and_true_divide": (
        lambda x, y: (
            np.float_power(x, y)
            + np.true_divide(x, y)
            + np.pow(x, 3)
            + np.asin(x / 9)
            + np.atan2(x, y)
            + np.acosh(x + 1)
        ),
        (uniform(0.5, 2, 3), uniform(0.5, 2, 3)),
    ),
    "searchsorted_as_weights": (
        lambda x: x * np.searchsorted([-1.0, 0.0, 1.0], x) + np.digitize(x, [0.0, 0.5]) * x**2,
        (normal(5),),
    ),
    "count_and_logic": (
        lambda x: (
            x * np.count_nonzero(x > 0)
            + np.isclose(x, x + 1e-12) * x
            + np.array_equal(x, x) * x
            + np.allclose(x, 2 * x) * x
        ),
        (normal(4),),
    ),
    "copies_and_casts": (
        lambda x: (
            np.astype(x, float)
            + np.require(x) * np.asarray_chkfinite(x)
            + np.ascontiguousarray(x)
            + np.asfortranarray(x)
            + np.copy(x)
        ),
        (normal(4),),
    ),
    "windows": (
        lambda x: (
            x * np.hanning(5) + x * np.hamming(5) + np.blackman(5) * x + np.bartlett(5) * x + np.kaiser(5, 2.0) * x
        ),
        (normal(5),),
    ),
    "divide_where": (
        lambda x: np.divide(1.0, x, out=np.zeros(4), where=x > 0) + np.sqrt(x, out=np.ones(4), where=x > 0),
        (np.array([0.4, -1.0, 2.0, -0.3]),),
    ),
}
