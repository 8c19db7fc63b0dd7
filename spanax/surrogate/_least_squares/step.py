"""The damped step of Levenberg and Marquardt, between bounds.

min over d of |J d + r|^2 + damping |D d|^2 with lower <= x + d <= upper, which is a linear least-squares problem in the rows
[J; sqrt(damping) D]. SciPy's `lsq_linear` solves it, by an active set: exactly at bounds (Stark and Parker 1995, BVLS).
"""

from __future__ import annotations

import numpy as np


def damped_step(
    J: np.ndarray, r: np.ndarray, scale: np.ndarray, damping: float, lower: np.ndarray, upper: np.ndarray
) -> np.ndarray:
    """d [p], for bounds on d itself; `scale`: the diagonal of D."""
    from scipy.optimize import lsq_linear

    # In units of `scale` the columns are alike. QR first: the solver then works on p rows in place of n.
    Q, R = np.linalg.qr(J / scale)
    rows = np.concatenate([R, np.sqrt(damping) * np.eye(len(scale))])
    target = np.concatenate([-(Q.T @ r), np.zeros(len(scale))])
    found = lsq_linear(rows, target, (lower * scale, upper * scale), method="bvls", tol=1e-14)
    return np.clip(found.x / scale, lower, upper)
