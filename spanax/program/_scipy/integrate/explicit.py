"""Explicit Runge-Kutta steps with SciPy's own tableaux: RK23, RK45 and DOP853."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .steps import Attempt, Problem, powers, rms


@dataclass(frozen=True)
class Explicit:
    """One of them, by its name in scipy.integrate."""

    name: str

    @property
    def table(self) -> Any:
        return getattr(importlib.import_module("scipy.integrate"), self.name)

    @property
    def error_order(self) -> int:
        return self.table.error_estimator_order

    def memory(self, problem: Problem, y: jax.Array) -> list:
        return []

    def attempt(
        self, problem: Problem, t: jax.Array, y: jax.Array, slope: jax.Array, h: jax.Array, rejected: Any, memory: list
    ) -> Attempt:
        table, stages = self.table, self.table.n_stages
        # One more row than stages: the slope at the end of the step, which is the first one of the next (FSAL).
        slopes = jnp.zeros((stages + 1, y.size), y.dtype).at[0].set(slope)
        slopes = _fill(problem.f, slopes, t, y, h, table.A[:stages, :stages], table.C[:stages], 1)
        new = y + h * (jnp.asarray(table.B, y.dtype) @ slopes[:-1])
        after = problem.f(t + h, new)
        slopes = slopes.at[-1].set(after)
        still = lax.stop_gradient
        # The error decides which steps are taken, not what they give: nothing of it is differentiated.
        error = self.error(still(slopes), still(h), problem.scale(still(y), still(new)))
        exponent = -1 / (self.error_order + 1)
        # SciPy's control: safety .9, growth between .2 and 10, and no growth right after a rejected step.
        power = jnp.where(error == 0, 1, error) ** exponent
        grown = jnp.where(error == 0, 10.0, jnp.minimum(10.0, 0.9 * power))
        grown = jnp.where(rejected, jnp.minimum(1.0, grown), grown)
        shrunk = jnp.maximum(0.2, jnp.where(jnp.isfinite(power), 0.9 * power, 0.2))
        dense = self.dense(problem, slopes, t, y, new, h)
        return Attempt(new, after, error < 1, jnp.where(error < 1, grown, shrunk), dense, [])

    def error(self, slopes: jax.Array, h: jax.Array, scale: jax.Array) -> jax.Array:
        if self.name != "DOP853":
            return rms(h * (jnp.asarray(self.table.E, h.dtype) @ slopes) / scale)
        fifth, third = (
            jnp.sum((jnp.asarray(E, h.dtype) @ slopes / scale) ** 2) for E in (self.table.E5, self.table.E3)
        )
        # DOP853 has two embedded estimates; Hairer's combination damps the third-order one.
        both = fifth + 0.01 * third
        return jnp.where(both == 0, 0, jnp.abs(h) * fifth / jnp.sqrt(jnp.where(both == 0, 1, both) * scale.size))

    def dense(
        self, problem: Problem, slopes: jax.Array, t: jax.Array, y: jax.Array, new: jax.Array, h: jax.Array
    ) -> Callable:
        """The polynomial through the step, of x from 0 to 1 (m of them): m rows."""
        if self.name == "DOP853":
            return lambda x: _dop853(self.table, problem.f, slopes, t, y, new, h, x)
        coefficients = slopes.T @ jnp.asarray(self.table.P, y.dtype)
        return lambda x: y + h * powers(x, coefficients.shape[1]) @ coefficients.T


def _fill(
    f: Callable, slopes: jax.Array, t: jax.Array, y: jax.Array, h: jax.Array, A: np.ndarray, C: np.ndarray, first: int
) -> jax.Array:
    """The rows from `first` on: f(t + c h, y + h a K)."""
    wide = np.zeros((len(A), slopes.shape[0]))
    # A scan needs rows of equal length, so the tableau is filled up with zeros.
    wide[:, : A.shape[1]] = A
    rows = np.arange(first, len(A)), wide[first:].astype(y.dtype), C[first:].astype(y.dtype)

    def one(K: jax.Array, row: tuple) -> tuple:
        i, a, c = row
        return K.at[i].set(f(t + c * h, y + h * (a @ K))), None

    return lax.scan(one, slopes, rows)[0]


def _dop853(
    table: Any,
    f: Callable,
    slopes: jax.Array,
    t: jax.Array,
    y: jax.Array,
    new: jax.Array,
    h: jax.Array,
    x: jax.Array,
) -> jax.Array:
    """Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I, section II.6."""
    known, extra = len(slopes), len(table.A_EXTRA)
    wide = jnp.concatenate([slopes, jnp.zeros((extra, y.size), y.dtype)])
    A = np.zeros((known + extra, known + extra))
    A[known:, : table.A_EXTRA.shape[1]] = table.A_EXTRA
    C = np.concatenate([np.zeros(known), table.C_EXTRA])
    wide = _fill(f, wide, t, y, h, A, C, known)
    delta = new - y
    parts = [delta, h * slopes[0] - delta, 2 * delta - h * (slopes[known - 1] + slopes[0])]
    parts += list(h * (jnp.asarray(table.D, y.dtype) @ wide))
    value = jnp.zeros((x.size, y.size), y.dtype)
    # Horner's rule in x and 1 - x by turns, as the interpolant of order 7 is written.
    for i, part in enumerate(reversed(parts)):
        value = (value + part) * (x if i % 2 == 0 else 1 - x)[:, None]
    return y + value
