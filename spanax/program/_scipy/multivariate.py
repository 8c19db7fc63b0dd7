"""`scipy.stats.multivariate_normal` and `gaussian_kde`."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import jax.scipy.special as jss
import numpy as np

from .._session import line, session, unliftable
from .._values.trees import has_unknown
from .._values.values import LiftedArray, as_jax, is_unknown, raw, wrap
from .given import real


class Density:
    """Something with a pdf and a logpdf; its other methods are refused."""

    name = ""

    def logpdf(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def pdf(self, *args: Any, **kwargs: Any) -> Any:
        return np.exp(self.logpdf(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.method(name)

    def method(self, name: str) -> Callable:
        if name not in ("logpdf", "pdf", "evaluate", "__call__"):
            raise unliftable(f"scipy.stats.{self.name}.{name} is not lifted", "logpdf, or pdf", "sx.blackbox around it")
        return self.logpdf if name == "logpdf" else self.pdf


def density_of(owner: Any) -> Density | None:
    stats = importlib.import_module("scipy.stats")
    if owner is stats.multivariate_normal:
        return Normal()
    if owner is stats.dirichlet:
        return Dirichlet()
    if type(owner).__name__ == "multivariate_normal_frozen":
        return Normal((owner.mean, owner.cov, owner.allow_singular))
    if isinstance(owner, stats.gaussian_kde):
        return Kde(owner.dataset, owner.factor, owner.weights)
    return None


class Normal(Density):
    """The multivariate normal distribution."""

    name = "multivariate_normal"

    def __init__(self, given: tuple = ()):
        self.given = given

    def logpdf(self, x: Any, mean: Any = None, cov: Any = 1, allow_singular: Any = False) -> Any:
        mean, cov, allow_singular = self.given or (mean, cov, allow_singular)
        who = "scipy.stats.multivariate_normal"
        centre = None if mean is None else jnp.atleast_1d(real(mean, who))
        matrix = real(cov, who)
        dim = centre.size if centre is not None else (matrix.shape[0] if matrix.ndim == 2 else 1)
        if matrix.ndim == 1 and matrix.size != dim:
            raise ValueError("a diagonal covariance of another dimension than the mean")
        points = real(x, who)
        # SciPy's forms of x: one number, one point, many numbers in one dimension, or points along the last axis.
        points = points[None] if points.ndim == 0 else points
        points = (points[:, None] if dim == 1 else points[None]) if points.ndim == 1 else points
        away = points if centre is None else points - centre
        if is_unknown(cov) or has_unknown(cov):
            (size, volume), rank = _regular(away, _square(matrix, dim), who), dim
        else:
            size, volume, rank = _known(away, np.asarray(_whole(raw(cov), dim)), bool(allow_singular), who)
        value = -0.5 * (rank * math.log(2 * math.pi) + volume + size)
        return wrap(value.squeeze())


def _square(matrix: Any, dim: int) -> Any:
    """A variance, or a diagonal of them, as a matrix."""
    return matrix * jnp.eye(dim) if matrix.ndim == 0 else jnp.diag(matrix) if matrix.ndim == 1 else matrix


def _whole(cov: Any, dim: int) -> np.ndarray:
    matrix = np.asarray(cov.data if isinstance(cov, LiftedArray) else cov, float)
    return matrix * np.eye(dim) if matrix.ndim == 0 else np.diag(matrix) if matrix.ndim == 1 else matrix


def _regular(away: Any, matrix: Any, who: str) -> tuple:
    """Squared distances and the log-determinant, by Cholesky's factor of the lower triangle."""
    lower = jnp.tril(matrix) + jnp.tril(matrix, -1).T
    # SciPy reads the lower triangle alone, so a derivative by the upper one is 0.
    factor = jnp.linalg.cholesky(lower, symmetrize_input=False)
    session().check(
        ~jnp.all(jnp.isfinite(factor)),
        f"{who}: the covariance, which depends on the arguments, is not positive definite: no density, or no derivative",
        line(),
        "cov + jitter * np.eye(n)",
    )
    flat = away.reshape(-1, away.shape[-1])
    scaled = jsl.solve_triangular(factor, flat.T, lower=True)
    return jnp.sum(scaled**2, axis=0).reshape(away.shape[:-1]), 2 * jnp.sum(jnp.log(jnp.diag(factor)))


def _known(away: Any, matrix: np.ndarray, singular: bool, who: str) -> tuple:
    """As SciPy has it, also for a covariance that is not of full rank; and the rank."""
    sizes, vectors = np.linalg.eigh(np.tril(matrix) + np.tril(matrix, -1).T)
    # SciPy's threshold for an eigenvalue that counts as 0.
    least = 1e6 * np.finfo(float).eps * np.max(np.abs(sizes))
    kept = sizes > least
    if np.min(sizes) < -least or (not singular and not np.all(kept)):
        raise unliftable(f"{who}: the covariance is not positive definite", "allow_singular=True, or + jitter")
    size = jnp.sum((away @ jnp.asarray(vectors[:, kept] / np.sqrt(sizes[kept]), away.dtype)) ** 2, axis=-1)
    off = jnp.linalg.norm(away @ jnp.asarray(vectors[:, ~kept], away.dtype), axis=-1) if not np.all(kept) else 0 * size
    return jnp.where(off < 1e3 * least, size, jnp.inf), float(np.sum(np.log(sizes[kept]))), int(np.sum(kept))


class Dirichlet(Density):
    """At points of the simplex: a column for each, whose last entry may be left out."""

    name = "dirichlet"

    def logpdf(self, x: Any, alpha: Any) -> Any:
        who = "scipy.stats.dirichlet"
        shapes, points = real(alpha, who), real(x, who)
        # SciPy takes points without their last entry, which follows from the others.
        if points.shape[0] == shapes.size - 1:
            points = jnp.concatenate([points, 1 - jnp.sum(points, axis=0, keepdims=True)])
        still = jax.lax.stop_gradient
        session().check(
            jnp.any(still(shapes) <= 0)
            | jnp.any(still(points) < 0)
            | jnp.any(jnp.abs(jnp.sum(still(points), 0) - 1) > 1e-9),
            f"{who}: a point is not on the simplex, or a parameter not positive",
            line(),
            "entries that add up to 1",
        )
        volume = jnp.sum(jss.gammaln(shapes)) - jss.gammaln(jnp.sum(shapes))
        return wrap((jnp.sum(jss.xlogy(shapes - 1, points.T), axis=-1) - volume).squeeze())


class Kde(Density):
    """A Gaussian kernel density estimate."""

    name = "gaussian_kde"

    def __init__(self, dataset: Any, bw_method: Any = None, weights: Any = None):
        self.data = jnp.atleast_2d(real(dataset, "scipy.stats.gaussian_kde"))
        self.d, self.n = self.data.shape
        count = self.n
        self.weights = jnp.full(count, 1 / count, self.data.dtype) if weights is None else as_jax(weights)
        self.weights = self.weights / jnp.sum(self.weights)
        effective = 1 / jnp.sum(self.weights**2)
        if bw_method is None or bw_method == "scott":
            self.factor = effective ** (-1 / (self.d + 4))
        elif bw_method == "silverman":
            self.factor = (effective * (self.d + 2) / 4) ** (-1 / (self.d + 4))
        else:
            self.factor = real(bw_method, "scipy.stats.gaussian_kde")

    def logpdf(self, x: Any) -> Any:
        points = jnp.atleast_2d(real(x, "scipy.stats.gaussian_kde"))
        if points.shape[0] != self.d and points.shape[0] == 1 and points.shape[1] == self.d:
            points = points.T
        centred = self.data - (self.data @ self.weights)[:, None]
        spread = (centred * self.weights) @ centred.T / (1 - jnp.sum(self.weights**2)) * self.factor**2
        factor = jnp.linalg.cholesky(spread, symmetrize_input=False)
        away = (points[:, :, None] - self.data[:, None, :]).reshape(self.d, -1)
        scaled = jnp.sum(jsl.solve_triangular(factor, away, lower=True) ** 2, axis=0).reshape(points.shape[1], self.n)
        logs = jnp.sum(jnp.log(jnp.diag(factor))) + self.d * math.log(2 * math.pi) / 2
        return wrap(jss.logsumexp(-scaled / 2, axis=1, b=self.weights) - logs)

    evaluate = __call__ = Density.pdf
