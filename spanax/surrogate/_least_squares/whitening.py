"""What residuals are divided by before their squares are added: one standard deviation, one for each, or a covariance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..._errors import SpanaxError

_HOW = (
    "sigma=0.1, the standard deviation of each residual",
    "sigma=array, one for each residual",
    "sigma=matrix, the covariance of the residuals",
    "sigma=None, to estimate one number for all from the residuals",
)


Map = Callable[[np.ndarray], np.ndarray]


def whitening(sigma: Any, count: int) -> tuple[Map, Map]:
    """The functions that whiten residuals [n] or a Jacobian [n, p], and back. Raises `SpanaxError` if sigma does not fit."""
    if sigma is None:
        return (lambda r: r), (lambda r: r)
    try:
        array = np.asarray(sigma, np.float64)
    except (TypeError, ValueError):
        raise SpanaxError(f"least_squares(sigma={sigma!r})", *_HOW) from None
    if array.shape == (count, count) and count > 1:
        return _by_covariance(array)
    if array.shape not in ((), (count,)):
        raise SpanaxError(f"least_squares(sigma=...) of shape {array.shape} for {count} residuals", *_HOW)
    if not (np.all(array > 0) and np.all(np.isfinite(array))):
        raise SpanaxError("least_squares(sigma=...) must be positive and finite", *_HOW)
    return (lambda r: r / _beside(array, r)), (lambda r: r * _beside(array, r))


def _beside(array: np.ndarray, r: np.ndarray) -> np.ndarray:
    return array[:, None] if array.ndim and r.ndim == 2 else array


def _by_covariance(matrix: np.ndarray) -> tuple[Map, Map]:
    from scipy.linalg import solve_triangular

    try:
        root = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        problem = "least_squares(sigma=...) is a matrix that is not positive definite"
        raise SpanaxError(problem, "a covariance of the residuals", *_HOW[:2]) from None
    if not np.allclose(matrix, matrix.T):
        raise SpanaxError("least_squares(sigma=...) is a matrix that is not symmetric", *_HOW[2:3])
    return (lambda r: solve_triangular(root, r, lower=True)), (lambda r: root @ r)
