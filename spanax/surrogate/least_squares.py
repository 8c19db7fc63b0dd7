"""`least_squares`: parameters from a vector of residuals, with their errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Array, Key

from .._checks import check_key, check_whole, is_number
from .._errors import SpanaxError
from .._pytree import PyTree
from ..blackbox import BlackBox, Run, Store
from ..bridges import Manual, Probing
from ._least_squares.final import final_fields
from ._least_squares.loop import Search
from ._least_squares.problem import make_problem
from ._least_squares.vector import Form, flat_bounds
from ._least_squares.whitening import whitening
from .fit import Fit

# Independent Jacobians at the end where they are noisy: enough to see their spread.
_REPEATS = 4


def least_squares(
    residuals: Callable[..., Any] | BlackBox,
    x0: PyTree[Any],
    *,
    via: Probing | Manual | None = None,
    bounds: tuple[Any, Any] | None = None,
    key: Key[Array, ""] | None = None,
    run: Run | None = None,
    store: Store | None = None,
    sigma: Any = None,
    noisy: bool = False,
    batched: bool = False,
    name: str | None = None,
    steps: int = 100,
    tolerance: float = 0.001,
    repeats: int | None = None,
) -> Fit:
    """The parameters x that minimise the sum of squares of residuals, and how well the data determine them.

    The method of Levenberg and Marquardt, for residuals that are expensive, may fail, may be noisy and have no derivative. A
    full Jacobian comes from the probes of `via`, in one call of the host together with the value, so that workers have all
    its points at once. After each step Broyden's update corrects it, and a step costs one evaluation; a full one is probed
    again where a step did not lower the cost by a quarter of what was predicted, and at the end. Steps between bounds are
    those of SciPy's `lsq_linear`. A step to a point whose evaluation fails is not taken, and a shorter one is tried.

    Under noise, values are compared with the same key, and each full Jacobian has a new key and a new value, so that a lucky
    value does not stay. The search ends where a step is no longer than its own noise. Then `repeats` Jacobians and residuals,
    each with a key of its own, are averaged, and one more step is taken by their mean.

    The errors: with J_i these Jacobians and Jm their mean, R of them, C = sum_i (J_i - Jm)'(J_i - Jm) / (R (R - 1)) is what
    their noise adds to Jm'Jm; without G = Jm'Jm - C in its place standard errors would be too small. The covariance of x is
    inv(G) Jm' S Jm inv(G), S = s^2 I, s^2 = sum of squares/(n - p). Where `sigma` is given, S is its square plus the variance
    of the simulator's noise in the mean residuals, which the repeats show. Without noise this is the usual s^2 inv(J'J).
    Unchecked: that the residuals are independent (or `sigma` is their covariance) and that the model is linear within the
    errors.

    **Arguments:**

    - `residuals`: a function of NumPy, of x, that returns any pytree of numbers, n in all: (model - data), or that divided by
      the standard deviation of the data. Or a `BlackBox`. Or a function that JAX can differentiate, which may have black
      boxes in it and may take `key=`.
    - `x0`: where to start: a float, an array, or a pytree of them; p numbers, with n at least p.
    - `via`: the bridge that gives the Jacobian: `FiniteDifference` (recommended; a step that it has to choose is chosen once,
      at x0), `Smoothing` with at least p pairs (for residuals that jump), `SPSA`, `Manual`. None for functions of JAX, whose
      Jacobian is exact, and for a `BlackBox` with its own.
    - `bounds`: (lower, upper) of x, inclusive, as in `blackbox`; nothing is evaluated outside, not even a probe.
    - `key`: for noisy functions and random bridges.
    - `run`: workers, timeouts, and what happens to probes that fail, as in `blackbox`.
    - `store`: keeps each evaluation on disk. A fit that was killed is called again as before, and reads what it had evaluated.
    - `noisy`: the function gives different values at the same x, as in `blackbox`.
    - `batched`: the function takes many points at once, as in `blackbox`.
    - `name`: in messages and in the store.
    - `sigma`: of the data in the residuals, where it is known: a standard deviation, one for each residual, or their covariance
      [n, n]; residuals are divided by it (by its Cholesky factor). 1.0 if that is done already. None: equal, and estimated.
    - `steps`: how many iterations at most.
    - `tolerance`: the search ends where a full step would be shorter than this, in standard errors of the parameters.
    - `repeats`: Jacobians at the end, 4 by default where they are noisy; without noise one is enough.

    **Returns:**

    A `Fit`: `x`, `standard_errors`, `covariance`, `interval(level)`, `residuals`, `history`, `plot(path)`; `print` shows a
    table.

    It warns (`SpanaxWarning`) where the search did not converge, a number of x lies at a bound, the data do not determine x
    (and names the combination), n = p leaves no estimate of sigma, and where the noise of the Jacobians is more than half of
    J'J in some direction.

    **Raises:**

    - `SpanaxError` for arguments that do not fit, fewer residuals than parameters, an x0 outside its bounds; where the first
      point, or too many probes, fail (see `Run`); after 10 failed steps in a row; for numbers that are not finite.

    Moré 1978 (Lecture Notes in Mathematics 630, 105); Broyden 1965 (Math. Comp. 19, 577); the correction: Fuller 1987,
    Measurement Error Models, section 2.2.

    >>> import numpy as np, spanax as sx
    >>> t = np.array([0.0, 1.0, 2.0, 3.0])
    >>> data = np.array([2.03, 1.18, 0.75, 0.44])
    >>> fit = sx.least_squares(
    ...     lambda x: x["height"] * np.exp(-x["rate"] * t) - data,
    ...     {"height": 1.0, "rate": 1.0},
    ...     via=sx.FiniteDifference(step=0.01),
    ... )
    >>> print(round(float(fit.x["rate"]), 2), round(float(fit.standard_errors["rate"]), 2))
    0.51 0.01
    """
    _check(residuals, key, steps, tolerance, repeats)
    form = Form.of("least_squares(x0=...)", x0)
    start = form.flatten(x0)
    # A black box keeps to its own bounds, and so does the search.
    own = residuals.host.bounds if isinstance(residuals, BlackBox) else None
    lower, upper = flat_bounds(bounds if own is None else own, form)
    if np.any(start < form.rounded(lower)) or np.any(start > form.rounded(upper)):
        raise SpanaxError("least_squares: x0 lies outside its bounds", "an x0 between them", "wider bounds")
    options = {"run": run, "store": store, "noisy": noisy, "batched": batched, "name": name, "bounds": bounds}
    problem = make_problem(residuals, x0, form, via, key, options)
    n, p = problem.count, form.size
    if n < p:
        raise SpanaxError(
            f"least_squares: {n} residuals cannot determine {p} parameters",
            "more residuals: the whole curve in place of its sum",
            "prior knowledge as residuals: (x - expected)/its standard deviation",
            "fewer parameters: what is known in a closure, and not in x0",
        )
    problem.whiten, problem.raw = whitening(sigma, n)
    search = Search(problem, start, lower, upper, key, tolerance, None if sigma is None else 1.0)
    stopped = search.run(steps)
    return Fit(**final_fields(search, stopped, sigma, repeats or (_REPEATS if problem.is_random else 1)))


def _check(residuals: Any, key: Any, steps: Any, tolerance: Any, repeats: Any) -> None:
    if not callable(residuals):
        raise SpanaxError(f"least_squares(residuals={residuals!r})", "a function of x that returns an array")
    if key is not None:
        check_key(key)
    check_whole("least_squares(steps", steps)
    if repeats is not None:
        check_whole("least_squares(repeats", repeats)
    if not (is_number(tolerance) and tolerance >= 0):
        raise SpanaxError(
            f"least_squares(tolerance={tolerance!r})", "tolerance=0.001, in standard errors of the parameters"
        )
