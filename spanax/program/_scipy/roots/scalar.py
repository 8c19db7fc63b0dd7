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
from ..._values.values import Number, as_jax, raw, wrapped
from ..given import Given, Part, Result, called, real
from ..implicit import at_root, check_regular, check_simple, converged
from .brackets import bracketed
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
        start = real(a, who), real(b, who)
        dtype = jnp.promote_types(start[0].dtype, start[1].dtype)
        lower, upper = (jax.lax.stop_gradient(x.astype(dtype).reshape(())) for x in start)
        given = Given(called(f, *args), who, [lower])
        if not given.depends and not has_unknown((a, b, xtol, rtol)):
            return NotImplemented
        single = Given(lambda x: as_jax(called(f, *args)(x)).reshape(()), who, [lower]) if given.shape else given
        xtol, rtol = as_jax(xtol, dtype), jnp.maximum(as_jax(rtol, dtype), 4 * jnp.finfo(dtype).eps)
        ends = single.still(lower), single.still(upper)
        session().check(
            (ends[0] != 0) & (ends[1] != 0) & (jnp.signbit(ends[0]) == jnp.signbit(ends[1])),
            f"{who}: f(a) and f(b) must have different signs",
            line(),
            "a bracket with a root in it",
        )
        x, steps, done = bracketed(name, single.still, lower, upper, xtol, rtol, operator.index(raw(maxiter)))
        converged(done, who, f"in {maxiter} iterations")
        check_simple(
            single, x, xtol + rtol * jnp.abs(x), jnp.maximum(*(jnp.where(jnp.isfinite(e), jnp.abs(e), 0) for e in ends))
        )
        return _returned(who, at_root(single, x), steps, full_output, name, float)

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
    f = Given(called(func, *args), who, [start])
    slopes = [Given(called(g, *args), who, [start]) for g in (fprime, fprime2) if g is not None]
    if not any(g.depends for g in (f, *slopes)) and not has_unknown((x0, x1, tol, rtol)):
        return NotImplemented
    if f.shape != start.shape:
        raise unliftable(f"{who}: the function's shape {f.shape} is not that of its argument, {start.shape}", "as many")
    tol, rtol = as_jax(tol, start.dtype), as_jax(rtol, start.dtype)
    eps = jnp.finfo(start.dtype).eps
    tol = jnp.maximum(tol, 4 * eps * jnp.abs(start).max())
    steps = operator.index(raw(maxiter))
    if exact or slopes:
        slope = slopes[0].still if slopes else _slope(f)
        curvature = slopes[1].still if len(slopes) > 1 else None
        x, count, done = newton_steps(f.still, slope, curvature, start, tol, rtol, steps)
    else:
        second = None if x1 is None else jax.lax.stop_gradient(as_jax(x1, start.dtype))
        x, count, done = secant(f.still, start, second, tol, rtol, steps)
    converged(done, who, f"in {maxiter} iterations")
    if x.ndim:
        check_regular(f, x)
    else:
        check_simple(f, x, tol + rtol * jnp.abs(x), jnp.zeros((), x.dtype))
    name = method or ("halley" if len(slopes) > 1 else "newton" if slopes else "secant")
    return _returned(who, at_root(f, x), count, full_output, name, None)


def _slope(f: Given) -> Callable:
    return lambda x: jax.jvp(f.still, (x,), (jnp.ones_like(x),))[1]


def _returned(who: str, x: jax.Array, steps: jax.Array, full_output: Any, method: str, python: type | None) -> Any:
    root = Number(x, python) if not x.ndim else wrapped(x)
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
    if fprime2 is not None and not callable(fprime2) and fprime2:
        whole = f
        f, fprime, fprime2 = (Part(whole, i) for i in range(3))
    elif fprime is not None and not callable(fprime) and fprime:
        whole = f
        f, fprime = (Part(whole, i) for i in range(2))
    given = {"xtol": xtol, "rtol": rtol, "maxiter": maxiter, **(options or {})}
    given = {name: value for name, value in given.items() if value is not None}
    if method is None:
        method = "brentq" if bracket is not None else _open_method(who, x0, x1, fprime, fprime2)
    method = method.lower()
    if method in BRACKETED:
        if bracket is None:
            raise ValueError(f"Bracket needed for {method}")
        found = bracket_rule(method, who)(f, bracket[0], bracket[1], args, **given, full_output=True)
        return found if found is NotImplemented else found[1]
    if method not in ("newton", "halley", "secant"):
        raise unliftable(f"{who}(method={method!r}) is not lifted", "method='brentq'", "sx.blackbox around it")
    if x0 is None or (method == "halley" and not (callable(fprime) and callable(fprime2))):
        raise ValueError(f"x0 must not be None for {method}, and halley needs fprime and fprime2")
    if "xtol" in given:
        given["tol"] = given.pop("xtol")
    fprime = fprime if method != "secant" and callable(fprime) else None
    found = newton(
        f,
        x0,
        fprime,
        args,
        fprime2=fprime2 if method == "halley" else None,
        x1=x1 if method == "secant" else None,
        full_output=True,
        who=who,
        method=method,
        exact=method == "newton",
        **given,
    )
    return found if found is NotImplemented else found[1]


def _open_method(who: str, x0: Any, x1: Any, fprime: Any, fprime2: Any) -> str:
    if x0 is None:
        raise ValueError("Unable to select a solver as neither bracket nor starting point provided.")
    if callable(fprime):
        return "halley" if callable(fprime2) else "newton"
    return "newton" if x1 is None else "secant"


BRACKETED = ("brentq", "brenth", "bisect", "ridder")
RULES = {**{f"optimize.{name}": bracket_rule(name) for name in BRACKETED}, "optimize.newton": newton}
RULES["optimize.root_scalar"] = root_scalar
