"""`scipy.integrate`: `quad` and those made of it, and `fixed_quad`."""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...._jaxprs import is_traced
from ..._session import line, session
from ..._values.trees import has_unknown
from ..._values.values import Number, as_jax, is_unknown, raw, wrap
from ..given import Given, in_program, real, refuse_options
from .quadrature import Integral, integral

_LEAST = 100  # intervals that there is room for, whatever `limit` says: there is no extrapolation at singularities


def quad(
    func: Callable,
    a: Any,
    b: Any,
    args: Any = (),
    full_output: Any = 0,
    epsabs: Any = 1.49e-8,
    epsrel: Any = 1.49e-8,
    limit: Any = 50,
    points: Any = None,
    weight: Any = None,
    wvar: Any = None,
    wopts: Any = None,
    maxp1: Any = 50,
    limlst: Any = 50,
    complex_func: Any = False,
) -> Any:
    who = "scipy.integrate.quad"
    refuse_options(who, full_output=full_output or None, weight=weight, complex_func=complex_func)
    args = args if isinstance(args, tuple) else (args,)
    limits = real(a, who), real(b, who)
    dtype = jnp.promote_types(limits[0].dtype, limits[1].dtype)
    start, end = (x.astype(dtype).reshape(()) for x in limits)
    # Traced once, with what the integrand closes over, so that Leibniz' rule has it as arguments.
    f = Given(lambda x: as_jax(in_program(func, *args)(x)).reshape(()), who, [start])
    if not f.depends and not has_unknown((a, b, epsabs, epsrel, points)):
        return NotImplemented
    tols = tuple(as_jax(x, dtype) for x in (epsabs, epsrel))
    # QUADPACK extrapolates at a singularity, where we halve intervals: that needs more of them.
    room = max(operator.index(raw(limit)), _LEAST)
    # Whether a limit is infinite decides the substitution, so it has to be known; a limit that moves is finite.
    infinite = tuple(0 if is_unknown(x) or not np.isinf(raw(x)) else int(np.sign(raw(x))) for x in (a, b))
    moves = is_unknown(a), is_unknown(b)
    if infinite[0] == infinite[1] != 0:
        return 0.0, 0.0
    if any(infinite):
        found, factor = _infinite_range(f, (start, end), infinite, moves, tols, room), _sign(infinite)
    else:
        found, factor = _finite_range(f, start, end, points, moves, tols, room, who), 1.0
    _check(who, found, f)
    return Number(found.value * factor, float), Number(found.error, float)


def _infinite_range(f: Given, limits: tuple, infinite: tuple, moves: tuple, tols: tuple, room: int) -> Integral:
    """From a finite limit, or from 0 in both directions."""
    # Over the whole line both tails start at 0, as in QUADPACK.
    both = all(infinite)
    start, end = limits
    at = jnp.zeros_like(start) if both else end if infinite[0] else start
    way = "both" if both else "up" if sum(infinite) > 0 else "down"
    return _integral(f, _tail(f, way), at[None], [moves[bool(infinite[0])] and not both], 1, tols, room)


def _sign(infinite: tuple) -> float:
    """-1 where the range is given backward: from infinity, or to -infinity."""
    return -1.0 if infinite[0] > 0 or infinite[1] < 0 else 1.0


def _finite_range(
    f: Given, start: jax.Array, end: jax.Array, points: Any, moves: tuple, tols: tuple, room: int, who: str
) -> Integral:
    """In pieces between the `points`, each with intervals of its own."""
    middle = jnp.zeros(0, start.dtype) if points is None else real(points, who).astype(start.dtype).reshape(-1)
    ends = jnp.concatenate([start[None], jnp.sort(middle), end[None]])
    moving = [moves[0], *[has_unknown(points)] * (ends.size - 2), moves[1]]
    return _integral(f, _between(f), ends, moving, ends.size - 1, tols, max(room, 2 * ends.size))


def _integral(f: Given, g: Callable, ends: jax.Array, moves: Any, pieces: int, tols: tuple, room: int) -> Integral:
    consts = f.program.consts
    # Only what is differentiated needs a derivative of the integral.
    moving = [is_traced(c) and jnp.issubdtype(c.dtype, jnp.inexact) for c in consts]
    return integral(g, consts, ends, [*moving, moves], pieces, tols, room)


def _between(f: Given) -> Callable:
    """f on each piece between neighbouring ends."""

    def g(consts: Sequence, ends: jax.Array, piece: jax.Array, u: jax.Array) -> jax.Array:
        width = ends[piece + 1] - ends[piece]
        return (f.over(consts, ends[piece] + width * u) * width).astype(ends.dtype)

    return g


def _tail(f: Given, way: str) -> Callable:
    """f from the end to infinity, as QUADPACK's QAGI has it: x = end + (1 - u) / u."""

    def g(consts: Sequence, ends: jax.Array, piece: jax.Array, u: jax.Array) -> jax.Array:
        # u in (0, 1] covers [end, infinity); dx = -du/u^2 gives the weight.
        x = (1 - u) / u
        parts = [f.over(consts, ends[0] + s * x) for s in {"up": (1,), "down": (-1,), "both": (1, -1)}[way]]
        return (sum(parts) / u**2).astype(ends.dtype)

    return g


def _check(who: str, found: Integral, f: Given) -> None:
    session().check(
        found.failed,
        f"{who} did not reach its tolerance: the integral may diverge, the function may be singular, or fail, inside the range",
        line(),
        "points=[...], where it is singular",
        "a larger epsabs, or limit",
    )
    session().check(
        found.jumps & jnp.asarray(f.depends),
        f"{who}: the function jumps inside the range, at a place that may depend on the arguments",
        line(),
        "points=[...] with the place of the jump",
        "an integral up to there, and one from there on",
    )
    session().check(
        found.rough,
        f"{who}: the function's derivative could not be integrated to the tolerance",
        line(),
        "points=[...], where the derivative is singular",
        "a larger epsabs, or limit",
    )


def dblquad(
    func: Callable,
    a: Any,
    b: Any,
    gfun: Any,
    hfun: Any,
    args: Any = (),
    epsabs: Any = 1.49e-8,
    epsrel: Any = 1.49e-8,
) -> Any:
    """An integral of integrals, each by `quad`."""
    args = args if isinstance(args, tuple) else (args,)
    tols = {"epsabs": epsabs, "epsrel": epsrel}

    def inner(x: Any) -> Any:
        low, high = (in_program(g)(x) if callable(g) else g for g in (gfun, hfun))
        return _quad(lambda y: in_program(func, x, *args)(y), low, high, **tols)[0]

    return _outer("scipy.integrate.dblquad", func, inner, a, b, tols, (gfun, hfun))


def _outer(who: str, func: Callable, inner: Callable, a: Any, b: Any, tols: dict, limits: tuple) -> Any:
    # Traced once to see whether the inner integral depends on anything that is not known: otherwise SciPy itself is
    # called.
    depends = Given(inner, who, [real(a, who).reshape(())]).depends
    if not depends and not has_unknown((a, b, limits)):
        return NotImplemented
    return quad(inner, a, b, **tols)


def _quad(function: Callable, a: Any, b: Any, **tols: Any) -> Any:
    """In the way that suits: SciPy's, where all is known."""
    return session().rules.call(importlib.import_module("scipy.integrate").quad, function, a, b, **tols)


def fixed_quad(func: Callable, a: Any, b: Any, args: Any = (), n: int = 5) -> Any:
    who = "scipy.integrate.fixed_quad"
    args = args if isinstance(args, tuple) else (args,)
    x, w = np.polynomial.legendre.leggauss(operator.index(raw(n)))
    start, end = real(a, who), real(b, who)
    dtype = jnp.promote_types(start.dtype, end.dtype)
    x, w = x.astype(dtype), w.astype(dtype)
    values = in_program(func, *args)(wrap((end - start) * (x + 1) / 2 + start))
    if not has_unknown((a, b, values)):
        return NotImplemented
    return wrap((end - start) / 2 * jnp.sum(w * as_jax(values), axis=-1)), None


# -- of samples


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    return wrap(jnp.sum(_trapezoids(y, x, dx, axis), axis=axis))


def cumulative_trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1, initial: Any = None) -> Any:
    total = jnp.cumsum(_trapezoids(y, x, dx, axis), axis=axis)
    if initial is not None:
        first = jnp.zeros_like(jax.lax.slice_in_dim(total, 0, 1, axis=axis))
        total = jnp.concatenate([first, total], axis=axis)
    return wrap(total)


def _trapezoids(y: Any, x: Any, dx: Any, axis: int) -> jax.Array:
    rows = jnp.moveaxis(real(y, "scipy.integrate.trapezoid"), axis, -1)
    widths = (
        as_jax(dx) if x is None else jnp.diff(as_jax(x) if as_jax(x).ndim == 1 else jnp.moveaxis(as_jax(x), axis, -1))
    )
    return jnp.moveaxis((rows[..., 1:] + rows[..., :-1]) / 2 * widths, -1, axis)


SAMPLES = {f"integrate.{rule.__name__}": rule for rule in (trapezoid, cumulative_trapezoid)}
RULES = {f"integrate.{rule.__name__}": rule for rule in (quad, dblquad, fixed_quad)}
