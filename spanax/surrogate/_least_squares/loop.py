"""The loop of `least_squares`: damped Gauss-Newton steps on a Jacobian that is probed seldom and updated often.

Levenberg 1944 and Marquardt 1963, with Moré's scaling (1978, Lecture Notes in Mathematics 630, 105); between two full Jacobians
Broyden's rank-one update (1965, Mathematics of Computation 19, 577), as in the secant version of Madsen, Nielsen and Tingleff
(2004, Methods for Non-Linear Least Squares Problems, section 3.5). All decisions are functions of x0, the key and the values.

Noise: from one full Jacobian to the next all values have one key, so that a step is judged by values with the same noise. Each
full Jacobian has a new key and evaluates its x anew, so that luck does not outlive it; both values of one x say how large the
noise is.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import numpy as np

from ..._errors import SpanaxError
from .problem import Problem
from .step import damped_step

# Of the predicted reduction: what a step must reach to be taken, what makes the Jacobian worth probing again, and what is good.
_TAKEN, _POOR, _GOOD = 1e-4, 0.25, 0.75
_START, _SHRINK, _GROW = 1e-2, 0.2, 3.0  # the damping, in units of the columns of J
# Steps that were not taken, with one Jacobian and with one after the other, until the search gives up.
_WITH_ONE, _STALLED = 3, 8
_FAILURES = 10  # in a row


@dataclasses.dataclass
class History:
    """A row for each iteration; see `Fit.history`."""

    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def arrays(self) -> dict[str, np.ndarray]:
        names = self.rows[0] if self.rows else ()
        return {name: np.array([row[name] for row in self.rows]) for name in names}


@dataclasses.dataclass(eq=False)
class Search:
    """The state of one search. `tolerance`: in standard errors; `sigma`: of whitened residuals, None where it is estimated."""

    problem: Problem
    x: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    key: Any
    tolerance: float
    sigma: float | None
    history: History = dataclasses.field(default_factory=History)
    damping: float = _START
    cycle: int = -1
    is_fresh: bool = False
    ratio: float = math.nan  # of the last step
    tried: float = math.nan  # the same, of this iteration
    rejected: int = 0  # with this Jacobian
    first: float = 0.0  # the cost at x0
    stalled: int = 0  # since a step was taken
    failed: int = 0  # in a row
    noise: list[float] = dataclasses.field(default_factory=list)

    def run(self, steps: int) -> str:
        """Why it stopped: "tolerance", "precision", "noise", "stalled" or "steps"."""
        self.probe()
        self.first = self.cost
        self._record(probed=True)
        for _ in range(steps):
            cycle, self.tried = self.cycle, math.nan
            stopped = self._advance()
            self._record(probed=self.cycle > cycle)
            if stopped:
                return stopped
        return "steps"

    @property
    def cost(self) -> float:
        """The sum of squares of the whitened residuals."""
        return float(self.r @ self.r)

    @property
    def cycle_key(self) -> Any:
        return None if self.key is None else jax.random.fold_in(jax.random.fold_in(self.key, 0), max(self.cycle, 0))

    @property
    def variance(self) -> float | None:
        """Of the noise in one residual, from one x evaluated with two keys; None where that has not happened."""
        return float(np.mean(self.noise)) if self.noise else None

    def _advance(self) -> str:
        stopped = self._negligible()
        if stopped and self.is_fresh:
            return stopped
        # With an updated Jacobian that is a guess, which a full one confirms; it is needed for the covariance in any case.
        if stopped or self._is_worn():
            self.probe()
            return ""
        return self._step()

    def _step(self) -> str:
        step = damped_step(self.J, self.r, self.scale, self.damping, self.lower - self.x, self.upper - self.x)
        there = self.problem.rounded(self.x + step, self.lower, self.upper)
        step = there - self.x
        if not np.any(step):
            return self._reject("precision")
        model = self.r + self.J @ step
        predicted = self.cost - float(model @ model)
        r = self.problem.value(there, self.cycle_key)
        self._count_failures(r)
        # A point without a value is as bad as can be.
        gain = -math.inf if r is None else self.cost - float(r @ r)
        self.ratio = self.tried = gain / predicted if predicted > 0 else -math.inf
        if r is None or not self.ratio > _TAKEN:
            return self._reject("")
        self._update(step, r - model)
        self.x, self.r = there, r
        self.rejected = self.stalled = 0
        if self.ratio > _GOOD:
            self.damping = max(self.damping * _SHRINK, 1e-15)
        elif self.ratio < _POOR:
            self.damping *= _GROW
        return ""

    def _reject(self, why: str) -> str:
        # A stale Jacobian is to blame before the length of the step is.
        if not self.is_fresh:
            self.probe()
            return ""
        self.damping *= _GROW
        self.rejected += 1
        self.stalled += 1
        if why or self.damping > 1e12:
            return why or "stalled"
        limit = _STALLED if self.problem.is_random else 3 * _STALLED
        if self.stalled >= limit:
            return "noise" if self.problem.is_random else "stalled"
        return ""

    def _update(self, step: np.ndarray, error: np.ndarray) -> None:
        """Broyden's: the least change, in scaled units, by which the Jacobian explains the last step."""
        weighted = self.scale**2 * step
        self.J = self.J + np.outer(error, weighted) / float(weighted @ step)
        self.is_fresh = False

    def _is_worn(self) -> bool:
        """Is it time for a full Jacobian?"""
        if self.is_fresh:
            # One that was drawn may be bad by bad luck.
            return self.problem.is_random and self.rejected >= _WITH_ONE
        return self.ratio < _POOR

    def probe(self) -> None:
        """The full Jacobian at x, and x's residuals with it, with a key of their own."""
        known = self.r if self.cycle >= 0 else None
        self.cycle += 1
        self.r, self.J = self.problem.probe(self.x, self.cycle_key)
        columns = np.linalg.norm(self.J, axis=0)
        # Moré: scales only grow, so that a column that vanishes on the way does not make a step long.
        before = np.zeros_like(columns) if known is None else self.scale
        self.scale = np.maximum(before, columns)
        self.scale[self.scale == 0] = 1.0
        self.is_fresh, self.rejected = True, 0
        if self.problem.noisy and known is not None:
            self.noise.append(float(np.mean((self.r - known) ** 2)) / 2)

    def _negligible(self) -> str:
        """Why the full Gauss-Newton step is not worth taking; "" if it is."""
        full = damped_step(self.J, self.r, self.scale, 0.0, self.lower - self.x, self.upper - self.x)
        length = float(np.sum((self.J @ full) ** 2))
        n, p = self.J.shape
        variance = self.cost / max(n - p, 1) if self.sigma is None else self.sigma**2
        if length <= self.tolerance**2 * variance:
            return "tolerance"
        # Noise alone makes a step of this squared length, chi-squared with p degrees of freedom: its mean and 3 deviations.
        if self.variance is not None and length <= self.variance * (p + 3 * math.sqrt(2 * p)):
            return "noise"
        fine = self.problem.resolution**0.75
        if math.sqrt(self.cost) <= fine * math.sqrt(self.first):
            return "precision"
        if np.linalg.norm(self.scale * full) <= fine * np.linalg.norm(self.scale * self.x):
            return "precision"
        # The sum of squares could not show such a step: it would be rounded away.
        if length <= 16 * self.problem.resolution * self.cost:
            return "precision"
        return ""

    def _count_failures(self, r: np.ndarray | None) -> None:
        self.failed = 0 if r is not None else self.failed + 1
        if self.failed >= _FAILURES:
            raise SpanaxError(
                f"least_squares: {_FAILURES} steps in a row led to points whose evaluation failed",
                "bounds=..., within which the program has values",
                "an x0 that is nearer",
            )

    def _record(self, *, probed: bool) -> None:
        self.history.rows.append(
            {
                "cost": self.cost / 2,
                "x": self.x.copy(),
                "evaluations": self.problem.evaluations,
                "damping": self.damping,
                "ratio": self.tried,
                "probed": probed,
            }
        )
