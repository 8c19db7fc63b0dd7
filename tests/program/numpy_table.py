"""How each function of NumPy that takes an array is called: `CALLS[name]` is its arguments, positional and by keyword.

Arrays of floats are not known to the lifted program; integers, booleans, axes and shapes are.
"""

from typing import Any

import numpy as np

RNG = np.random.default_rng(17)
A, B = RNG.uniform(0.3, 0.9, (3, 4)), RNG.uniform(0.3, 0.9, (3, 4))
S = RNG.uniform(0.1, 0.9, (3, 3)) + 3 * np.eye(3)
P = S @ S.T
V, W = A[0], B[1]
T = np.array([0.1, 0.4, 0.5, 0.9])
N, M = np.array([[3, 1, 2, 0], [1, 5, 2, 4]]), np.array([[True, False, True, True], [False, True, True, False]])
Z = S[:, :2] + 0.5j

CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}


def enter(names: str, *args: Any, **kwargs: Any) -> None:
    for name in names.split():
        CALLS[name] = args, kwargs


enter("all any sum prod mean median std var max min amax amin ptp cumsum cumprod argmax argmin argsort sort", A, axis=0)
enter(
    "nanmax nanmin nanmean nanmedian nanprod nanstd nansum nanvar nancumsum nancumprod nanargmax nanargmin", A, axis=1
)
enter("average", A, axis=0, weights=V[:3])
enter("percentile nanpercentile", A, T * 100, axis=1)
enter("quantile nanquantile", A, T, axis=1)
enter("cumulative_sum cumulative_prod count_nonzero", A, axis=1)
enter("angle around copy fix i0 imag real real_if_close sinc nan_to_num round iscomplex isreal isneginf isposinf", A)
enter("iscomplexobj isrealobj shape size ndim", A)
enter("allclose array_equal array_equiv isclose isin", A, B)
enter("append", A, B, 0)
enter("apply_along_axis", np.sum, 0, A)
enter("apply_over_axes", np.sum, A, [0])
enter("argpartition partition", A, 2)
enter("array_split split", A, 2, axis=1)
enter("hsplit", A, 2)
enter("vsplit", A, 3)
enter("dsplit", A[None], 2)
enter("unstack", A)
enter("atleast_1d atleast_2d atleast_3d broadcast_arrays meshgrid", V, W)
enter("bincount", N[0], weights=V, minlength=5)
enter("block", [[A, B], [B, A]])
enter("broadcast_to", V, (2, 4))
enter("choose", N[0], (V, W, T, V + W))
enter("clip", A, 0.4, B)
enter("column_stack concat concatenate dstack hstack stack vstack", (A, B))
enter("convolve correlate", V, W[:3])
enter("corrcoef cov", A, B)
enter("cross", A[:, :3], B[:, :3])
enter("delete", A, [0, 2], axis=1)
enter("diag diagflat diagonal tril triu trace matrix_transpose", S)
enter("diag_indices_from tril_indices_from triu_indices_from", S)
enter("diff", A, axis=1, prepend=B[:, :1])
enter("ediff1d", V, W[:2], T[:1])
enter("digitize", A, T)
enter("dot", A, B.T)
enter("einsum", "ij,kj->ik", A, B)
enter("empty_like zeros_like ones_like", A)
enter("full_like", A, 0.5)
enter("expand_dims", A, 1)
enter("flip fliplr flipud rot90 ravel transpose", A)
enter("geomspace linspace logspace", A, B, 4)
enter("gradient", A, 0.5, T)
enter("histogram histogram_bin_edges", V, T)
enter("histogram2d", V, W, [T, T])
enter("histogramdd", A.T, [T, T, T])
enter("inner vdot outer kron", V, W)
enter("insert", A, [1, 2], B[:, :2], axis=1)
enter("interp", V, T, W)
enter("ix_", [0, 2], [1, 2])
enter("lexsort", (V, W))
enter("moveaxis", A, 0, 1)
enter("pad", A, 1)
enter("permute_dims", A, (1, 0))
enter("piecewise", V, [np.array([True, False, True, False])], [2.0, 3.0])
enter("poly roots", V)
enter("polyadd polysub polymul polydiv", V, W[:3])
enter("polyder polyint", V)
enter("polyfit", T, V, 2)
enter("polyval", V, A)
enter("put_along_axis", A, N[:1] % 3, 0.5, 0)
enter("put", A, [1, 2], V[:2])
enter("place putmask", A, np.array([[True, False, True, True]] * 3), B)
enter("copyto", A, B)
enter("fill_diagonal", S, V[:3])
enter("repeat", A, 2, axis=1)
enter("reshape resize", A, (2, 6))
enter("roll", A, [1, 2], axis=(0, 1))
enter("rollaxis", A, 1)
enter("searchsorted", T, A)
enter("select", [M[0], M[1]], [V, W], default=T)
enter("sort_complex", V)
enter("squeeze", A[None])
enter("swapaxes", A, 0, 1)
enter("take", A, [2, 0], axis=1)
enter("take_along_axis", A, N[:1], axis=1)
enter("tensordot", A, B, axes=([0, 1], [0, 1]))
enter("tile", A, (2, 1))
enter("trapezoid", A, T)
enter("unwrap", 9 * A)
enter("vander", V, 3)
enter("where", A > 0.5, A, B)
enter("astype", A, np.float32)

enter("linalg.cholesky linalg.eigh linalg.eigvalsh", P)
enter("linalg.cond linalg.det linalg.inv linalg.pinv linalg.slogdet linalg.matrix_rank", S)
enter("linalg.eigvals linalg.diagonal linalg.matrix_norm linalg.matrix_transpose linalg.trace", S)
enter("linalg.norm linalg.svdvals", A)
enter("linalg.svd", A, full_matrices=False)
enter("linalg.qr", A.T)
enter("linalg.vector_norm", A, axis=1)
enter("linalg.matmul", A, B.T)
enter("linalg.vecdot", A, B)
enter("linalg.outer", V, W)
enter("linalg.tensordot", A, B)
enter("linalg.cross", A[:, :3], B[:, :3])
enter("linalg.matrix_power", S, 3)
enter("linalg.multi_dot", [A, B.T, A])
enter("linalg.solve", S, A)
enter("linalg.lstsq", A.T, V, None)
enter("linalg.tensorinv", S.reshape(3, 3), ind=1)
enter("linalg.tensorsolve", S, V[:3])

enter("fft.fft fft.ifft fft.rfft fft.ihfft", A, axis=1)
enter("fft.irfft fft.hfft", A, 5)
enter("fft.fft2 fft.ifft2 fft.rfft2 fft.irfft2 fft.fftn fft.ifftn fft.rfftn fft.irfftn fft.fftshift fft.ifftshift", A)

enter(
    "sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arctanh exp exp2 expm1 log log2 log10 log1p sqrt cbrt", A
)
enter("square absolute fabs negative positive reciprocal sign rint ceil floor trunc deg2rad rad2deg degrees radians", A)
enter("isnan isinf isfinite signbit logical_not conjugate spacing frexp modf", A)
enter("arccosh", A + 1)
enter("add subtract multiply divide power float_power floor_divide remainder fmod maximum minimum fmax fmin", A, V)
enter("arctan2 hypot logaddexp logaddexp2 copysign heaviside nextafter divmod", A, V)
enter("equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor", A, V)
enter("matmul", A, B.T)
enter("vecdot", A, B)
enter("matvec", A, V)
enter("vecmat", V[:3], A)
enter("ldexp", A, 2)
enter("add.reduce multiply.reduce maximum.reduce minimum.reduce logaddexp.reduce hypot.reduce", A, axis=1)
enter("add.accumulate multiply.accumulate maximum.accumulate minimum.accumulate subtract.reduce", A, axis=1)
enter("add.outer subtract.outer multiply.outer maximum.outer", V, W)
enter("add.reduceat multiply.reduceat maximum.reduceat", A, [0, 2, 3], axis=1)

# What takes an array and is not for a program that computes, or has other work to do.
OTHERS = {
    "texts": "array2string array_repr array_str",
    "files": "save savetxt savez savez_compressed",
    "dates": "busday_count busday_offset is_busday datetime_as_string",
    "types and memory": "can_cast common_type may_share_memory min_scalar_type result_type shares_memory einsum_path",
    "integers": "packbits unpackbits ravel_multi_index unravel_index",
    "lengths that depend on values": "argwhere compress extract flatnonzero intersect1d nonzero setdiff1d setxor1d trim_zeros "
    "union1d unique unique_all unique_counts unique_inverse unique_values",
    "vectors of general matrices": "linalg.eig",
    "ufuncs of integers": "bitwise_and bitwise_count invert bitwise_or bitwise_xor gcd lcm left_shift right_shift isnat",
}


def function_of(name: str) -> Any:
    found: Any = np
    for part in name.split("."):
        found = getattr(found, part)
    return found
