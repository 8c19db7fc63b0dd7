"""`scipy.optimize`: roots of one function. The steps are SciPy's, the derivative is that of the implicit function theorem."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._session import line, session, unliftable
from ..._values.trees import has_unknown
from ..._values.values import Number, as_jax, raw, wrap
from ..given import Given, Part, Result, in_program, real
from ..implicit import at_root, check_converged, check_regular, check_simple
from .brackets import find_in_bracket
from .newton import newton as newton_steps, secant

_RTOL = 4 * float(np.finfo(float).eps)


def bracket_rule(name: str, who: str = "") -> Callable:
    """`scipy.optimize.brentq` and those like it."""
    who = who or f"scipy.optimize.{name}"

    def solve(
        f: Callable,
        a: Any,
        b: Any,
        args: Any = (),
        xtol: Any = 2e-12,
        rtol: Any = _RTOL,
        maxiter: int = 100,
        full_output: bool = False,
        disp: bool = True,
    ) -> Any:
        args = args if isinstance(args, tuple) else (args,)
        # The root depends on the bracket only in which root it is, so no derivative goes through its ends.
        start = real(a, who), real(b, who)
        dtype = jnp.promote_types(start[0].dtype, start[1].dtype)
        lower, upper = (jax.lax.stop_gradient(x.astype(dtype).reshape(())) for x in start)
        given = Given(in_program(f, *args), who, [lower])
        if not given.depends and not has_unknown((a, b, xtol, rtol)):
            return NotImplemented
        # SciPy takes a function that returns an array of one number as well.
        single = Given(lambda x: as_jax(in_program(f, *args)(x)).reshape(()), who, [lower]) if given.shape else given
        xtol, rtol = as_jax(xtol, dtype), jnp.maximum(as_jax(rtol, dtype), 4 * jnp.finfo(dtype).eps)
        ends = single.still(lower), single.still(upper)
        session().check(
            (ends[0] != 0) & (ends[1] != 0) & (jnp.signbit(ends[0]) == jnp.signbit(ends[1])),
            f"{who}: f(a) and f(b) must have different signs",
            line(),
            "a bracket with a root in it",
        )
        x, steps, done = find_in_bracket(name, single.still, lower, upper, xtol, rtol, operator.index(raw(maxiter)))
        check_converged(done, who, f"in {maxiter} iterations")
        check_simple(
            single, x, xtol + rtol * jnp.abs(x), jnp.maximum(*(jnp.where(jnp.isfinite(e), jnp.abs(e), 0) for e in ends))
        )
        return _result(who, at_root(single, x), steps, full_output, name, float)

    return solve


def newton(
    func: Callable,
    x0: Any,
    fprime: Any = None,
    args: Any = (),
    tol: Any = 1.48e-8,
    maxiter: int = 50,
    fprime2: Any = None,
    x1: Any = None,
    rtol: Any = 0.0,
    full_output: bool = False,
    disp: bool = True,
    who: str = "scipy.optimize.newton",
    method: str = "",
    exact: bool = False,
) -> Any:
    """`exact`: the slope is the function's own, not given."""
    args = args if isinstance(args, tuple) else (args,)
    start = jax.lax.stop_gradient(real(x0, who))
    f = Given(in_program(func, *args), who, [start])
    slopes = [Given(in_program(g, *args), who, [start]) for g in (fprime, fprime2) if g is not None]
    if not any(g.depends for g in (f, *slopes)) and not has_unknown((x0, x1, tol, rtol)):
        return NotImplemented
    if f.shape != start.shape:
        raise unliftable(f"{who}: the function's shape {f.shape} is not that of its argument, {start.shape}", "as many")
    rtol = as_jax(rtol, start.dtype)
    # In single precision SciPy's default tolerance is below the spacing of floats: it would never be met.
    tol = jnp.maximum(as_jax(tol, start.dtype), 4 * jnp.finfo(start.dtype).eps * jnp.abs(start).max())
    # The steps use values alone; the derivative of the root is put in afterwards, at the point where it holds.
    x, count, done = _steps(f, slopes, exact, start, x1, tol, rtol, operator.index(raw(maxiter)))
    check_converged(done, who, f"in {maxiter} iterations")
    if x.ndim:
        check_regular(f, x)
    else:
        check_simple(f, x, tol + rtol * jnp.abs(x), jnp.zeros((), x.dtype))
    name = method or ("halley" if len(slopes) > 1 else "newton" if slopes else "secant")
    return _result(who, at_root(f, x), count, full_output, name, None)


def _steps(
    f: Given, slopes: list[Given], exact: bool, start: jax.Array, x1: Any, tol: jax.Array, rtol: jax.Array, most: int
) -> tuple:
    """Newton's or Halley's steps where there is a slope, else those of the secant method, as SciPy chooses."""
    if not (exact or slopes):
        second = None if x1 is None else jax.lax.stop_gradient(as_jax(x1, start.dtype))
        return secant(f.still, start, second, tol, rtol, most)
    slope = slopes[0].still if slopes else _slope(f)
    return newton_steps(f.still, slope, slopes[1].still if len(slopes) > 1 else None, start, tol, rtol, most)


def _slope(f: Given) -> Callable:
    return lambda x: jax.jvp(f.still, (x,), (jnp.ones_like(x),))[1]


def _result(who: str, x: jax.Array, steps: jax.Array, full_output: Any, method: str, python: type | None) -> Any:
    root = Number(x, python) if not x.ndim else wrap(x)
    if not full_output:
        return root
    return root, Result(
        who, root=root, x=root, iterations=Number(steps, int), converged=True, flag="converged", method=method
    )


def root_scalar(
    f: Callable,
    args: Any = (),
    method: str | None = None,
    bracket: Any = None,
    fprime: Any = None,
    fprime2: Any = None,
    x0: Any = None,
    x1: Any = None,
    xtol: Any = None,
    rtol: Any = None,
    maxiter: Any = None,
    options: Any = None,
) -> Any:
    who = "scipy.optimize.root_scalar"
    args = args if isinstance(args, tuple) else (args,)
    f, fprime, fprime2 = _take_apart(f, fprime, fprime2)
    given = {"xtol": xtol, "rtol": rtol, "maxiter": maxiter, **(options or {})}
    given = {name: value for name, value in given.items() if value is not None}
    method = (method or _default_method(who, bracket, x0, x1, fprime, fprime2)).lower()
    if method in BRACKETED:
        if bracket is None:
            raise ValueError(f"Bracket needed for {method}")
        found = bracket_rule(method, who)(f, bracket[0], bracket[1], args, **given, full_output=True)
    elif method in _OPEN:
        found = _solve_open(who, method, f, x0, x1, fprime, fprime2, args, given)
    else:
        raise unliftable(f"{who}(method={method!r}) is not lifted", "method='brentq'", "sx.blackbox around it")
    return found if found is NotImplemented else found[1]


def _take_apart(f: Any, fprime: Any, fprime2: Any) -> tuple[Any, Any, Any]:
    """fprime=True or fprime2=True: f returns its derivatives as well, which are functions of their own from here on."""
    if fprime2 is not None and not callable(fprime2) and fprime2:
        return Part(f, 0), Part(f, 1), Part(f, 2)
    if fprime is not None and not callable(fprime) and fprime:
        return Part(f, 0), Part(f, 1), fprime2
    return f, fprime, fprime2


def _solve_open(
    who: str, method: str, f: Callable, x0: Any, x1: Any, fprime: Any, fprime2: Any, args: tuple, given: dict
) -> Any:
    """From one start, by slopes: Newton's, Halley's or the secant method."""
    if x0 is None or (method == "halley" and not (callable(fprime) and callable(fprime2))):
        raise ValueError(f"x0 must not be None for {method}, and halley needs fprime and fprime2")
    if "xtol" in given:
        given["tol"] = given.pop("xtol")
    return newton(
        f,
        x0,
        fprime if method != "secant" and callable(fprime) else None,
        args,
        fprime2=fprime2 if method == "halley" else None,
        x1=x1 if method == "secant" else None,
        full_output=True,
        who=who,
        method=method,
        exact=method == "newton",
        **given,
    )


def _default_method(who: str, bracket: Any, x0: Any, x1: Any, fprime: Any, fprime2: Any) -> str:
    return "brentq" if bracket is not None else _open_method(who, x0, x1, fprime, fprime2)


def _open_method(who: str, x0: Any, x1: Any, fprime: Any, fprime2: Any) -> str:
    if x0 is None:
        raise ValueError("Unable to select a solver as neither bracket nor starting point provided.")
    if callable(fprime):
        return "halley" if callable(fprime2) else "newton"
    return "newton" if x1 is None else "secant"


_OPEN = ("newton", "halley", "secant")
BRACKETED = ("brentq", "brenth", "bisect", "ridder")
RULES = {**{f"optimize.{name}": bracket_rule(name) for name in BRACKETED}, "optimize.newton": newton}
RULES["optimize.root_scalar"] = root_scalar
