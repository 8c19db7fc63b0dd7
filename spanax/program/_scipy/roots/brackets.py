"""SciPy's solvers in a bracket, step by step as its C code has them: the same root, after the same number of steps.

Each is `step(f, state, xtol, rtol) -> state` of a dictionary with `x`, the root so far, and `done`.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

State = dict[str, jax.Array]


def find_in_bracket(
    name: str, f: Callable, a: jax.Array, b: jax.Array, xtol: jax.Array, rtol: jax.Array, maxiter: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The root, the number of steps, and whether it was found in `maxiter` of them."""
    fa, fb = f(a), f(b)
    state = {"xpre": a, "fpre": fa, "x": b, "fx": fb, "xblk": b, "fblk": 0 * fb, "spre": b - a, "scur": b - a}
    # An end that is a root by itself ends it, as SciPy has it.
    state["done"], state["k"] = (fa == 0) | (fb == 0), jnp.zeros((), jnp.int32)
    step = _STEPS[name]
    final = lax.while_loop(
        lambda s: ~s["done"] & (s["k"] < maxiter), lambda s: {**step(f, s, xtol, rtol), "k": s["k"] + 1}, state
    )
    x = jnp.where(fa == 0, a, jnp.where(fb == 0, b, final["x"]))
    return x, final["k"], final["done"]


def _brent(stry: Callable) -> Callable:
    """Brent, Algorithms for Minimization Without Derivatives (1973), chapter 4; `stry`: the extrapolated step."""

    def step(f: Callable, s: State, xtol: jax.Array, rtol: jax.Array) -> State:
        xpre, fpre, x, fx, xblk, fblk = s["xpre"], s["fpre"], s["x"], s["fx"], s["xblk"], s["fblk"]
        apart = (fpre != 0) & (fx != 0) & (jnp.signbit(fpre) != jnp.signbit(fx))
        xblk, fblk = jnp.where(apart, xpre, xblk), jnp.where(apart, fpre, fblk)
        spre, scur = (jnp.where(apart, x - xpre, one) for one in (s["spre"], s["scur"]))
        # The best point is the last one: bisection or extrapolation go on from there.
        swap = jnp.abs(fblk) < jnp.abs(fx)
        xpre, x, xblk = jnp.where(swap, x, xpre), jnp.where(swap, xblk, x), jnp.where(swap, x, xblk)
        fpre, fx, fblk = jnp.where(swap, fx, fpre), jnp.where(swap, fblk, fx), jnp.where(swap, fx, fblk)
        delta, sbis = (xtol + rtol * jnp.abs(x)) / 2, (xblk - x) / 2
        done = (fx == 0) | (jnp.abs(sbis) < delta)
        secant = -fx * (x - xpre) / (fx - fpre)
        tried = jnp.where(xpre == xblk, secant, stry(xpre, fpre, x, fx, xblk, fblk))
        short = 2 * jnp.abs(tried) < jnp.minimum(jnp.abs(spre), 3 * jnp.abs(sbis) - delta)
        good = (jnp.abs(spre) > delta) & (jnp.abs(fx) < jnp.abs(fpre)) & short
        spre, scur = jnp.where(good, scur, sbis), jnp.where(good, tried, sbis)
        new = x + jnp.where(jnp.abs(scur) > delta, scur, jnp.where(sbis > 0, delta, -delta))
        # All is computed and selected by `done`, because under vmap lanes end at different times.
        moved = {"xpre": x, "fpre": fx, "x": new, "fx": f(jnp.where(done, x, new))}
        kept = {"xpre": xpre, "fpre": fpre, "x": x, "fx": fx}
        rest = {"xblk": xblk, "fblk": fblk, "spre": spre, "scur": scur, "done": done}
        return {**jax.tree.map(lambda a, b: jnp.where(done, a, b), kept, moved), **rest, "k": s["k"]}

    return step


def _quadratic(xpre, fpre, x, fx, xblk, fblk):
    dpre, dblk = (fpre - fx) / (xpre - x), (fblk - fx) / (xblk - x)
    return -fx * (fblk * dblk - fpre * dpre) / (dblk * dpre * (fblk - fpre))


def _hyperbolic(xpre, fpre, x, fx, xblk, fblk):
    dpre, dblk = (fpre - fx) / (xpre - x), (fblk - fx) / (xblk - x)
    return -fx * (fblk - fpre) / (fblk * dpre - fpre * dblk)


def _bisect(f: Callable, s: State, xtol: jax.Array, rtol: jax.Array) -> State:
    """`xpre` is the end that moves, `spre` the length of the bracket."""
    # SciPy's bisection moves one end by halves of the first bracket, which gives the same numbers bit by bit.
    half = s["spre"] * 0.5
    x = s["xpre"] + half
    fx = f(x)
    done = (fx == 0) | (jnp.abs(half) < xtol + rtol * jnp.abs(x))
    xpre = jnp.where(jnp.signbit(fx) == jnp.signbit(s["fpre"]), x, s["xpre"])
    return {**s, "spre": half, "xpre": xpre, "x": x, "fx": fx, "done": done}


def _ridder(f: Callable, s: State, xtol: jax.Array, rtol: jax.Array) -> State:
    """Ridders (1979); the bracket is from `xpre` to `xblk`, which starts at `x`."""
    first = s["k"] == 0
    xa, fa = s["xpre"], s["fpre"]
    xb, fb = jnp.where(first, s["x"], s["xblk"]), jnp.where(first, s["fx"], s["fblk"])
    tol = xtol + rtol * jnp.where(first, jnp.minimum(jnp.abs(xa), jnp.abs(xb)), s["x"])
    dm = 0.5 * (xb - xa)
    xm = xa + dm
    fm = f(xm)
    # An exponential factor makes the three values lie on a line; the root of that line is the new point.
    dn = jnp.where(fb - fa > 0, 1.0, -1.0).astype(dm.dtype) * dm * fm / jnp.sqrt(fm * fm - fa * fb)
    sign = jnp.where(dn > 0, 1.0, -1.0).astype(dm.dtype)
    x = xm - sign * jnp.minimum(jnp.abs(dn), jnp.abs(dm) - 0.5 * tol)
    fx = f(x)
    inside, left = jnp.signbit(fx) != jnp.signbit(fm), jnp.signbit(fx) != jnp.signbit(fa)
    xa, fa, xb, fb = (
        jnp.where(inside, x, jnp.where(left, xa, x)),
        jnp.where(inside, fx, jnp.where(left, fa, fx)),
        jnp.where(inside, xm, jnp.where(left, x, xb)),
        jnp.where(inside, fm, jnp.where(left, fx, fb)),
    )
    done = (fx == 0) | (jnp.abs(xb - xa) < xtol + rtol * x)
    return {**s, "xpre": xa, "fpre": fa, "xblk": xb, "fblk": fb, "x": x, "fx": fx, "done": done}


_STEPS = {"brentq": _brent(_quadratic), "brenth": _brent(_hyperbolic), "bisect": _bisect, "ridder": _ridder}
