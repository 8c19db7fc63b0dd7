"""Training: an ensemble by variable projection, or a user's module as it is; both stop early, by points of their own.

For given hidden weights the output weights that minimise the loss solve a ridge regression, so that only the hidden ones are
left to train (Golub and Pereyra 1973, SIAM J. Numer. Anal. 10, 413; for networks: Newman et al. 2021, SIMODS 3, 1115). At that
minimum the derivative of the loss to the hidden weights is the partial one, with the output weights held fixed.

Each member of the ensemble leaves out another fifth of the training points. It keeps the weights, and afterwards the strength of
the ridge, with the least error there. Derivatives of the black box are further rows of the same regression (Sobolev training:
Czarnecki et al. 2017), scaled to their mean square.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Key

from ..._progress import progress
from .network import MEMBERS, Ensemble, Hidden, Single, with_dtype

_STEPS, _CHUNK, _PATIENCE = 800, 50, 300
_RATE, _RIDGE = 2e-2, 1e-7
_RIDGES = tuple(10.0**k for k in range(-8, 0))
_MODULE_STEPS, _MODULE_RATE, _MODULE_PATIENCE = 2000, 3e-3, 500


class Rows(NamedTuple):
    """What is trained on: points, standardised results, and derivatives (weights of 0 where there are none).

    `weights`: for each member, 1 for what it trains on, 0 for what it is stopped by. `steep`: weights of the derivatives.
    """

    U: Float[Array, "n d"]
    Z: Float[Array, "n m"]
    weights: Float[Array, "k n"]
    slope: Float[Array, "n d"]
    output: Int[Array, " n"]
    steep: Float[Array, " n"] | None


def rows(
    U: np.ndarray, Z: np.ndarray, slope: np.ndarray, output: np.ndarray, members: int = MEMBERS, *, dtype: Any
) -> Rows:
    """`slope`: of Z, NaN where there is none."""
    folds = np.arange(len(U)) % MEMBERS
    weights = np.stack([folds != k for k in range(members)])
    known = np.all(np.isfinite(slope), axis=1)
    square = np.mean(slope[known] ** 2) if np.any(known) else 1.0
    # As much weight in all as the values have: one number in d * m of the Jacobian of each point is known.
    steep = known * Z.shape[1] / (slope.shape[1] * max(square, 1e-12))
    arrays = U, Z, weights, np.where(known[:, None], slope, 0.0)
    U, Z, weights, slope = (jnp.asarray(a, dtype) for a in arrays)
    return Rows(
        U, Z, weights, slope, jnp.asarray(output, jnp.int32), jnp.asarray(steep, dtype) if np.any(known) else None
    )


def train_ensemble(key: Key[Array, ""], data: Rows, start: Hidden | None, label: str) -> Ensemble:
    """`start`: hidden weights to go on from."""
    dtype, size = data.U.dtype, data.U.shape[1]
    if start is None:
        start = jax.vmap(lambda k: Hidden.random(k, size, dtype))(jax.random.split(key, MEMBERS))
    hidden = _train(_projected_loss, with_dtype(start, dtype), data, (_STEPS, _RATE, _PATIENCE), label)
    errors = _errors_by_ridge(hidden, data)
    # A factorisation that failed in few digits has an error of NaN.
    best = jnp.asarray(_RIDGES, dtype)[jnp.argmin(jnp.where(jnp.isnan(errors), jnp.inf, errors), axis=0)]
    return Ensemble(hidden, _solve_all(hidden, data, best))


def train_module(module: Any, size: int, data: Rows, label: str) -> Single:
    arrays, static = eqx.partition(with_dtype(module, data.U.dtype), eqx.is_inexact_array)
    loss = _ModuleLoss(static, size)
    stacked = jax.tree.map(lambda leaf: leaf[None], arrays)
    settings = _MODULE_STEPS, _MODULE_RATE, _MODULE_PATIENCE
    trained = _train(loss, stacked, data, settings, label)
    return Single(eqx.combine(jax.tree.map(lambda leaf: leaf[0], trained), static), size)


def _train(loss: Callable, params: Any, data: Rows, settings: tuple[int, float, int], label: str) -> Any:
    """The parameters, with a leading axis, where each member's error at the points it left out was least."""
    import optax

    steps, rate, patience = settings
    best = jnp.full((len(data.weights),), jnp.inf, data.U.dtype)
    state = params, jax.vmap(optax.scale_by_adam().init)(params), params, best, jnp.zeros_like(best, jnp.int32)
    with progress(steps, f"training {label}") as advance:
        for start in range(0, steps, _CHUNK):
            state = _chunk(loss, data, state, jnp.asarray(start), steps, rate)
            advance(_CHUNK)
            if start + _CHUNK - int(jnp.max(state[4])) > patience:
                break
    return state[2]


@eqx.filter_jit
def _chunk(loss: Callable, data: Rows, state: Any, start: Int[Array, ""], steps: int, rate: float) -> Any:
    import optax

    adam, schedule = optax.scale_by_adam(), optax.cosine_decay_schedule(rate, steps)
    fixed = data._replace(weights=None)

    def step(state, count):
        params, moments, best, least, last = state
        gradient, error = jax.vmap(lambda p, w: jax.grad(loss, has_aux=True)(p, w, fixed))(params, data.weights)
        better = error < least
        best = jax.tree.map(lambda new, old: jnp.where(_aligned(better, new), new, old), params, best)
        # An improvement of less than 1% in hundreds of steps is not worth them.
        last = jnp.where(error < least * jnp.asarray(0.99, error.dtype), count, last)
        direction, moments = jax.vmap(lambda g, m: adam.update(g, m))(gradient, moments)
        size = schedule(count).astype(error.dtype)
        params = jax.tree.map(lambda p, d: p - size * d, params, direction)
        return (params, moments, best, jnp.where(better, error, least), last), None

    # optax divides by powers of its own counters, of other dtypes.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        counts = start + jnp.arange(_CHUNK, dtype=start.dtype)
        return lax.scan(step, state, counts.astype(jnp.int32))[0]


def _aligned(mask: Array, like: Array) -> Array:
    return mask.reshape(-1, *(1,) * (like.ndim - 1))


def _projected_loss(hidden: Hidden, weights: Float[Array, " n"], data: Rows) -> tuple[Array, Array]:
    """The loss at the best output weights, and the error at the points that are left out."""
    F, S = _features(hidden, data)
    C = lax.stop_gradient(_solve(F, S, weights, data, jnp.asarray(_RIDGE, F.dtype)))
    residual = jnp.sum((F @ C - data.Z) ** 2, axis=1)
    loss = _mean(residual, weights) + jnp.sum(_penalty(F, _RIDGE)[:, None] * C**2)
    if S is not None:
        # (n, d, p) along each point's output: (n, p) of C.
        along = jnp.einsum("ndp,np->nd", S, C[:, data.output].T)
        loss = loss + _mean(data.steep * jnp.sum((along - data.slope) ** 2, axis=1), weights)
    return loss, _mean(residual, 1 - weights)


def _features(hidden: Hidden, data: Rows) -> tuple[Array, Array | None]:
    """At all points, and their derivatives, where the black box has some."""
    F = jax.vmap(hidden.features)(data.U)
    if data.steep is None:
        return F, None
    return F, jnp.swapaxes(jax.vmap(jax.jacfwd(hidden.features))(data.U), 1, 2)


def _solve(F: Array, S: Array | None, weights: Array, data: Rows, ridge: Array) -> Float[Array, "p m"]:
    share = weights / jnp.sum(weights)
    A, B = (F * share[:, None]).T @ F + jnp.diag(_penalty(F, ridge)), (F * share[:, None]).T @ data.Z
    if S is None:
        return _cholesky_solve(A, B)
    # Another output's derivative is known at each point, so each output has an equation of its own.
    w = (share * data.steep)[:, None, None]
    outputs = data.Z.shape[1]
    grams = jax.ops.segment_sum(jnp.einsum("ndp,ndq->npq", S * w, S), data.output, outputs)
    sides = jax.ops.segment_sum(jnp.einsum("ndp,nd->np", S * w, data.slope), data.output, outputs)
    return jax.vmap(_cholesky_solve)(A[None] + grams, (B.T + sides)[:, :, None])[..., 0].T


def _cholesky_solve(A: Array, B: Array) -> Array:
    return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(A), B)


def _penalty(F: Array, ridge: Any) -> Float[Array, " p"]:
    # The constant is free, up to what keeps the equations solvable.
    return jnp.ones(F.shape[1], F.dtype).at[-1].set(1e-3) * ridge


def _mean(values: Array, weights: Array) -> Array:
    return jnp.sum(values * weights) / jnp.sum(weights)


@jax.jit
def _errors_by_ridge(hidden: Hidden, data: Rows) -> Float[Array, "r k"]:
    def error(hidden, weights, ridge):
        F, S = _features(hidden, data)
        return _mean(jnp.sum((F @ _solve(F, S, weights, data, ridge) - data.Z) ** 2, axis=1), 1 - weights)

    by_member = jax.vmap(error, (0, 0, None))
    return lax.map(lambda ridge: by_member(hidden, data.weights, ridge), jnp.asarray(_RIDGES, data.U.dtype))


@jax.jit
def _solve_all(hidden: Hidden, data: Rows, ridges: Float[Array, " k"]) -> Float[Array, "k p m"]:
    return jax.vmap(lambda h, w, r: _solve(*_features(h, data), w, data, r))(hidden, data.weights, ridges)


class _ModuleLoss(eqx.Module):
    """Mean squared errors of a module of the user's; `static`: all of it but its arrays."""

    static: Any
    size: int = eqx.field(static=True)

    def __call__(self, arrays: Any, weights: Float[Array, " n"], data: Rows) -> tuple[Array, Array]:
        network = Single(eqx.combine(arrays, self.static), self.size)
        residual = jnp.sum((jax.vmap(lambda u: network.members(u)[0])(data.U) - data.Z) ** 2, axis=1)
        loss = _mean(residual, weights)
        if data.steep is not None:

            def slope(u, k):
                return jax.grad(lambda u: network.members(u)[0, k])(u)

            along = jax.vmap(slope)(data.U, data.output)
            loss = loss + _mean(data.steep * jnp.sum((along - data.slope) ** 2, axis=1), weights)
        return loss, _mean(residual, 1 - weights)
