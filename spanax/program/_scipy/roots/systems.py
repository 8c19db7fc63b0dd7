"""`scipy.optimize.fsolve` and `root`: n equations of n unknowns, with the implicit function theorem's derivative."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..._session import line, session, unliftable
from ..._values.trees import has_unknown
from ..._values.values import as_jax, raw, wrap
from ..given import Given, Part, Result, in_program, real, refuse_options
from ..implicit import at_root, check_regular
from .hybrid import hybrid

_SOLVED = "The solution converged."
_REASONS = {
    2: "the number of calls to the function reached maxfev",
    3: "xtol is too small: no further improvement is possible",
    4: "no good progress, as measured by the improvement of the last five Jacobians",
    5: "no good progress, as measured by the improvement of the last ten iterations",
}


def fsolve(
    func: Callable,
    x0: Any,
    args: Any = (),
    fprime: Any = None,
    full_output: Any = 0,
    col_deriv: Any = 0,
    xtol: Any = 1.49012e-08,
    maxfev: Any = 0,
    band: Any = None,
    epsfcn: Any = None,
    factor: Any = 100,
    diag: Any = None,
) -> Any:
    who = "scipy.optimize.fsolve"
    refuse_options(who, band=band)
    found = _solve(who, func, x0, args, fprime, bool(col_deriv), xtol, maxfev, factor, diag)
    if found is NotImplemented or not full_output:
        return found if found is NotImplemented else wrap(found[0])
    x, value = found
    return wrap(x), Result(f"{who}'s infodict", fvec=wrap(value)), 1, _SOLVED


def root(
    fun: Callable,
    x0: Any,
    args: Any = (),
    method: str = "hybr",
    jac: Any = None,
    tol: Any = None,
    callback: Any = None,
    options: Any = None,
) -> Any:
    who = "scipy.optimize.root"
    if method.lower() != "hybr":
        raise unliftable(f"{who}(method={method!r}) is not lifted", "method='hybr'", "sx.blackbox around it")
    refuse_options(who, callback=callback)
    given = _options(who, options, tol)
    if jac is not None and not callable(jac) and jac:
        fun, jac = Part(fun, 0), Part(fun, 1)
    found = _solve(who, fun, x0, args, jac if callable(jac) else None, **given)
    if found is NotImplemented:
        return found
    x, value = found
    return Result(who, x=wrap(x), fun=wrap(value), success=True, status=1, message=_SOLVED, method="hybr")


def _options(who: str, options: Any, tol: Any) -> dict[str, Any]:
    """SciPy's options of `hybr`; those for differences (eps, epsfcn) mean nothing, as the Jacobian is exact."""
    left = dict(options or {})
    given = {name: left.pop(name, value) for name, value in _OPTIONS.items()}
    refuse_options(who, **{name: value for name, value in left.items() if name not in ("eps", "epsfcn")})
    return {**given, "xtol": tol} if tol is not None else given


_OPTIONS = {"col_deriv": 0, "xtol": 1.49012e-08, "maxfev": 0, "factor": 100, "diag": None}


def _solve(
    who: str,
    func: Callable,
    x0: Any,
    args: Any,
    fprime: Any,
    col_deriv: Any,
    xtol: Any,
    maxfev: Any,
    factor: Any,
    diag: Any,
) -> Any:
    args = args if isinstance(args, tuple) else (args,)
    # The solution depends on the start only in which one it is.
    start = jax.lax.stop_gradient(real(x0, who)).reshape(-1)
    f = Given(in_program(func, *args), who, [start])
    slope = None if fprime is None else Given(in_program(fprime, *args), who, [start])
    if not f.depends and not (slope and slope.depends) and not has_unknown((x0, xtol, diag)):
        return NotImplemented
    square = _square(who, f, func, args, start)
    n = start.size
    jacobian = jax.jacfwd(square.still) if slope is None else lambda x: _matrix(slope.still(x), n, bool(col_deriv))
    # SciPy's own defaults for the number of calls, with and without a Jacobian.
    bound = operator.index(raw(maxfev)) or (200 if slope is None else 100) * (n + 1)
    scales = None if diag is None else as_jax(diag, start.dtype)
    tol = jnp.maximum(as_jax(xtol, start.dtype), 4 * jnp.finfo(start.dtype).eps)
    x, info = hybrid(square.still, jacobian, start, scales, tol, bound, float(raw(factor)))
    for code, reason in _REASONS.items():
        session().check(info == code, f"{who} failed to converge: {reason}", line(), "a start that is nearer")
    x = _polish(who, square, x, tol)
    return at_root(square, x), square(jax.lax.stop_gradient(x))


def _square(who: str, f: Given, func: Callable, args: tuple, start: jax.Array) -> Given:
    """The function as n numbers of n numbers; SciPy takes a row or a column of them as well."""
    n = start.size
    if f.shape not in ((n,), (1, n), (n, 1)) and not (n == 1 and f.shape == ()):
        shapes = f"the function's shape is {f.shape}, that of its argument {start.shape}"
        raise unliftable(f"{who}: {shapes}", "as many equations")
    return Given(lambda x: as_jax(in_program(func, *args)(x)).reshape(n), who, [start])


def _polish(who: str, square: Given, x: jax.Array, tol: jax.Array) -> jax.Array:
    """One Newton step more. The derivative is that of the implicit function theorem, which holds at the root and not near it."""
    check_regular(square, x)
    rest = jnp.linalg.solve(jax.jacfwd(square.still)(x), square.still(x))
    far = jnp.linalg.norm(rest) > 1000 * tol * (jnp.linalg.norm(x) + tol)
    session().check(far, f"{who} failed to converge: it stopped where there is no solution", line(), "another start")
    return x - rest


def _matrix(x: jax.Array, n: int, transposed: bool) -> jax.Array:
    matrix = x.reshape(n, n)
    return matrix.T if transposed else matrix


RULES = {"optimize.fsolve": fsolve, "optimize.root": root}
