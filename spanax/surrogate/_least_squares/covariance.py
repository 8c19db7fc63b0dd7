"""The covariance of the fitted parameters, from full Jacobians that were each probed with a key of their own.

With Jacobians J_i = J + N_i, i = 1 ... R, whose noise N_i is independent, their mean Jm has E[Jm'Jm] = J'J + E[N'N]/R: the
noise adds to J'J, and standard errors from it are too small (the attenuation of regression on noisy regressors; Fuller 1987,
Measurement Error Models, section 2.2). What it adds is estimated by the spread of the J_i, and taken away:

    C = sum_i (J_i - Jm)'(J_i - Jm) / (R (R - 1)),    G = Jm'Jm - C,    E[G] = J'J,

which is the mean of J_i'J_k over i != k. One Gauss-Newton step with G, d = -inv(G) Jm' rm, has the covariance

    V = inv(G) Jm' S Jm inv(G),   S the covariance of the mean residuals rm,

where Jm'Jm instead of G is right: the noise of the Jacobian meets the residuals, and its product varies.
"""

from __future__ import annotations

import dataclasses

import numpy as np

# The least share of Jm'Jm that is left in any direction: below it, the noise of the Jacobian says nothing about that direction.
_LEAST = 0.1


@dataclasses.dataclass(frozen=True, eq=False)
class Normal:
    """The normal equations from R residuals [R, n] and Jacobians [R, n, p], in units of the columns of the mean Jacobian.

    - `J`, `r`: the means; `scale`: the lengths of J's columns;
    - `G`: J'J less what the noise of the Jacobians adds; `g`: J'r less what noise that both have adds;
    - `noise`: the variance of each mean residual that the R of them show, 0 for one;
    - `share`: of J'J, in the direction where it is largest, that is noise.
    """

    J: np.ndarray
    r: np.ndarray
    scale: np.ndarray
    G: np.ndarray
    g: np.ndarray
    noise: np.ndarray
    share: float

    @classmethod
    def of(cls, r: np.ndarray, J: np.ndarray) -> Normal:
        R = len(r)
        mean_r, mean_J = r.mean(0), J.mean(0)
        scale = np.linalg.norm(mean_J, axis=0)
        scale[scale == 0] = 1.0
        unit = mean_J / scale
        gram, slope = unit.T @ unit, unit.T @ mean_r
        if R == 1:
            return cls(unit, mean_r, scale, gram, slope, np.zeros_like(mean_r), 0.0)
        dJ, dr = (J - mean_J) / scale, r - mean_r
        added = np.einsum("rni,rnj->ij", dJ, dJ) / (R * (R - 1))
        shared = np.einsum("rni,rn->i", dJ, dr) / (R * (R - 1))
        G, share = _less(gram, added)
        return cls(unit, mean_r, scale, G, slope - shared, np.sum(dr**2, axis=0) / (R * (R - 1)), share)

    def is_steep(self, variance: np.ndarray) -> bool:
        """Is the slope J'r more than residuals of these variances give at the minimum?"""
        p = len(self.g)
        # At the minimum it is chi-squared with p degrees of freedom: beyond its mean and 3 standard deviations there is a way
        # to go.
        square = float(self.g @ np.linalg.lstsq((self.J.T * variance) @ self.J, self.g)[0])
        return square > p + 3 * np.sqrt(2 * p)

    def covariance(self, variance: np.ndarray, resolution: float) -> tuple[np.ndarray, np.ndarray]:
        """Of the parameters, for residuals of these variances, and the directions, in rows, that J does not determine.

        `resolution`: the relative spacing of floats in J.
        """
        inverse, lost = _inverse(self.G, resolution)
        middle = (self.J.T * variance) @ self.J
        V = inverse @ middle @ inverse / np.outer(self.scale, self.scale)
        V = (V + V.T) / 2
        # No finite error belongs to a parameter that is part of an undetermined direction.
        free = np.any(np.abs(lost) > 1e-3, axis=0) if len(lost) else np.zeros(len(V), bool)
        V[free], V[:, free] = np.nan, np.nan
        V[free, free] = np.inf
        return V, lost / self.scale


def _less(gram: np.ndarray, added: np.ndarray) -> tuple[np.ndarray, float]:
    """gram - added, positive definite: in the coordinates in which gram is the identity, at least `_LEAST` is left."""
    values, vectors = np.linalg.eigh(gram)
    # Directions that gram does not have stay as they are.
    kept = values > len(values) * np.finfo(float).eps * max(values[-1], 1e-300)
    root = vectors[:, kept] * np.sqrt(values[kept])
    back = vectors[:, kept] / np.sqrt(values[kept])
    shares, directions = np.linalg.eigh(back.T @ added @ back)
    left = np.maximum(1 - shares, _LEAST)
    half = root @ directions
    return (half * left) @ half.T, float(shares[-1]) if len(shares) else 0.0


def _inverse(G: np.ndarray, resolution: float) -> tuple[np.ndarray, np.ndarray]:
    """The pseudoinverse, and the directions without a determined value, in rows."""
    values, vectors = np.linalg.eigh(G)
    # Singular values of J below about sqrt(resolution) of the largest are what differences of that precision make of zero.
    lost = values <= 64 * resolution * max(values[-1], 0.0)
    kept = vectors[:, ~lost]
    return (kept / values[~lost]) @ kept.T, vectors[:, lost].T
