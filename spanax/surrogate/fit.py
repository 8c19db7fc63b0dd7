"""`Fit`: what `least_squares` found, with its errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._checks import is_number
from .._errors import SpanaxError
from .._pytree import PyTree
from ._least_squares.table import table
from ._least_squares.vector import Form


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """What `least_squares` found. `print(fit)` shows the parameters with their errors.

    - `x`: the parameters, of x0's structure and dtypes, as NumPy arrays;
    - `standard_errors`: of each number of x, in the same structure, float64;
    - `covariance`: [p, p], of all numbers of x in the order of `names`; `correlation`: the same, divided by the standard
      errors;
    - `names`: of the p numbers, such as "contact" or "rates[0]";
    - `residuals`: [n], at x, as the function returned them; under noise the mean over the repeats;
    - `jacobian`: [n, p], of the residuals;
    - `cost`: half the sum of squares of the residuals, divided by `sigma` where one was given;
    - `sigma`: of a residual: what was given, or sqrt(2 cost/(n - p)); `is_estimated` says which;
    - `freedom`: n - p;
    - `iterations`; `evaluations`: points that were asked for, those that the store had among them; `failures`: steps that were
      not taken because their evaluation failed;
    - `stopped`: "tolerance" (a further step would be a small part of the standard errors), "noise" (no longer than its own
      noise), "precision" (as small as rounding), "stalled" (no step lowers the cost), "steps" (there were no more);
      `converged`: it is one of the first three;
    - `history`: arrays with a row for each iteration: "cost", "x" [rows, p], "evaluations" (so far), "damping", "ratio" (of the
      reduction of the cost to the predicted one) and "probed" (was the full Jacobian taken?);
    - `at_bounds`: the names of numbers that lie at a bound;
    - `jacobian_noise`: the share of J'J that is noise of the Jacobian, in the direction where it is largest, before it was
      taken away; 0 where there was one Jacobian.

    >>> import jax.numpy as jnp, spanax as sx
    >>> t = jnp.arange(4.0)
    >>> fit = sx.least_squares(lambda x: x["a"] + x["b"] * t - jnp.array([1.0, 3.1, 4.9, 7.0]), {"a": 0.0, "b": 0.0})
    >>> print(round(float(fit.x["b"]), 3), round(float(fit.standard_errors["b"]), 3))
    1.98 0.042
    """

    x: PyTree[np.ndarray]
    standard_errors: PyTree[np.ndarray]
    covariance: np.ndarray
    names: tuple[str, ...]
    residuals: np.ndarray
    jacobian: np.ndarray
    cost: float
    sigma: Any
    is_estimated: bool
    iterations: int
    evaluations: int
    failures: int
    stopped: str
    history: Mapping[str, np.ndarray]
    at_bounds: tuple[str, ...]
    jacobian_noise: float
    form: Form = dataclasses.field(repr=False)

    @property
    def converged(self) -> bool:
        return self.stopped in ("tolerance", "noise", "precision")

    @property
    def freedom(self) -> int:
        return len(self.residuals) - len(self.names)

    @property
    def correlation(self) -> np.ndarray:
        errors = np.sqrt(np.diag(self.covariance))
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.covariance / np.outer(errors, errors)

    def interval(self, level: float = 0.95) -> tuple[PyTree[np.ndarray], PyTree[np.ndarray]]:
        """(lower, upper), each of x's structure: the confidence interval of each number by itself, at this level.

        x plus and minus a multiple of the standard errors: a quantile of Student's t with n - p degrees of freedom where sigma
        was estimated, else of the normal distribution. Bounds are not looked at.
        """
        half = self.quantile(level) * self.form.flatten(self.standard_errors)
        x = self.form.flatten(self.x)
        return self.form.unflatten(x - half, dtype=np.float64), self.form.unflatten(x + half, dtype=np.float64)

    def quantile(self, level: float) -> float:
        """Standard errors from the middle of an interval at this level to its ends."""
        from scipy.special import ndtri, stdtrit

        if not (is_number(level) and 0 < level < 1):
            raise SpanaxError(f"interval(level={level!r})", "level=0.95")
        if not self.is_estimated:
            return float(ndtri((1 + level) / 2))
        return float(stdtrit(self.freedom, (1 + level) / 2)) if self.freedom else np.inf

    def band(self, level: float = 0.95) -> np.ndarray:
        """[n]: how far the fitted curve may lie from each residual's place at this level, by the delta method: in its units."""
        variances = np.einsum("ni,ij,nj->n", self.jacobian, self.covariance, self.jacobian)
        return self.quantile(level) * np.sqrt(variances)

    def plot(
        self,
        path: str | Path,
        data: PyTree[Any] | None = None,
        *,
        at: Any = None,
        scale: Any = 1.0,
        level: float = 0.95,
    ) -> None:
        """Writes a picture to `path`, a .png, .pdf or .svg: the data, the fit and its band, and the residuals below.

        - `data`: as many numbers as there are residuals; the fit is drawn as data + scale * residuals. Without it the residuals
          are drawn alone;
        - `at`: where each lies, as on a time axis; by default they are numbered;
        - `scale`: of the residuals, a number or one for each: what (model - data) was divided by. Negative where the residuals
          are data - model;
        - `level`: of the band, which says how well the curve is known, not how far data scatter about it.
        """
        from ._least_squares.plot import draw

        draw(self, path, data, at, scale, level)

    def __str__(self):
        return table(self)
