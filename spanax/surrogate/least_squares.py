"""`least_squares`: parameters from a vector of residuals, with their errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
    tolerance: float = 0.01,
    repeats: int | None = None,
) -> Fit:
    """The parameters x that minimise the sum of squares of the residuals of a black box, and how well the data determine them.

    Levenberg and Marquardt's method. The Jacobian comes from the probes of `via`, in one call of the host together with
    the value; between two full Jacobians it is updated from the steps themselves (Broyden), so that most steps cost one evaluation.
    """
    _check(key, steps, tolerance, repeats)
    form = Form.of("least_squares(x0=...)", x0)
    start = form.flatten(x0)
    lower, upper = flat_bounds(bounds, form)
    options = {} if via is None else {"run": run, "batched": batched, "name": name, "bounds": bounds}
    problem = make_problem(residuals, x0, form, via=via, key=key, noisy=noisy, store=store, **options)
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


def _check(key: Any, steps: Any, tolerance: Any, repeats: Any) -> None:
    if key is not None:
        check_key(key)
    check_whole("least_squares(steps", steps)
    if repeats is not None:
        check_whole("least_squares(repeats", repeats)
    if not (is_number(tolerance) and tolerance >= 0):
        raise SpanaxError(
            f"least_squares(tolerance={tolerance!r})", "tolerance=0.01, in standard errors of the parameters"
        )
