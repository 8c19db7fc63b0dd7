"""Powell's hybrid method for n equations of n unknowns, as MINPACK's hybrj has it (More, Garbow, Hillstrom 1980).

A trust region around the point, steps between Newton's and the gradient's, and Broyden's updates of the Jacobian until two steps
in turn have failed. Dense, and with the function's own Jacobian where MINPACK takes differences: the points are the same but for
rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

State = dict[str, jax.Array]


def hybrid(
    f: Callable, jacobian: Callable, x0: jax.Array, diag: jax.Array | None, xtol: Any, maxfev: int, factor: float
) -> tuple[jax.Array, jax.Array]:
    """The solution, and MINPACK's `info`: 1 where it was found."""
    first = f(x0)
    matrix = jacobian(x0)
    sizes = jnp.linalg.norm(matrix, axis=0)
    scale = jnp.where(sizes == 0, 1, sizes) if diag is None else diag
    radius = factor * jnp.linalg.norm(scale * x0)
    zero, one = jnp.zeros((), jnp.int32), jnp.ones((), jnp.int32)
    state = {
        "x": x0,
        "f": first,
        "J": matrix,
        "diag": scale,
        "delta": jnp.where(radius == 0, jnp.asarray(factor, x0.dtype), radius),
        "fresh": jnp.asarray(True),
        "first": jnp.asarray(True),
        "good": zero,
        "bad": zero,
        "slow1": zero,
        "slow2": zero,
        # MINPACK counts the differences that it takes for a Jacobian; ours is exact, and counted alike, so that
        # `maxfev` means the same.
        "calls": one + x0.size,
        "info": jnp.where(jnp.linalg.norm(first) == 0, one, zero),
    }

    def step(s: State) -> State:
        new = _one_step(f, s, xtol, maxfev)
        # Two failures in a row: Broyden's updates have drifted, so the Jacobian is computed anew.
        again = (new["bad"] == 2) & (new["info"] == 0)
        return lax.cond(again, lambda s: _with_new_jacobian(jacobian, s, diag is None), lambda s: s, new)

    final = lax.while_loop(lambda s: s["info"] == 0, step, state)
    return final["x"], final["info"]


def _with_new_jacobian(jacobian: Callable, s: State, scaled: bool) -> State:
    matrix = jacobian(s["x"])
    diag = jnp.maximum(s["diag"], jnp.linalg.norm(matrix, axis=0)) if scaled else s["diag"]
    return {**s, "J": matrix, "diag": diag, "fresh": jnp.asarray(True), "calls": s["calls"] + s["x"].size}


def _one_step(f: Callable, s: State, xtol: Any, maxfev: int) -> State:
    """One step, and what it says about the trust region and the Jacobian."""
    x, old, matrix, diag = s["x"], s["f"], s["J"], s["diag"]
    p = _dogleg(matrix, old, diag, s["delta"])
    size, norm = jnp.linalg.norm(diag * p), jnp.linalg.norm(old)
    delta = jnp.where(s["first"], jnp.minimum(s["delta"], size), s["delta"])
    new = f(x + p)
    new_norm = jnp.linalg.norm(new)
    actual = jnp.where(new_norm < norm, 1 - (new_norm / norm) ** 2, -1.0)
    linear = old + matrix @ p
    left = jnp.linalg.norm(linear)
    promised = jnp.where(left < norm, 1 - (left / norm) ** 2, 0.0)
    # Actual over predicted reduction, as in every trust-region method.
    ratio = jnp.where(promised > 0, actual / jnp.where(promised > 0, promised, 1), 0.0)
    failed = ~(ratio >= 0.1)
    good, bad = jnp.where(failed, 0, s["good"] + 1), jnp.where(failed, s["bad"] + 1, 0)
    wider = jnp.where((ratio >= 0.5) | (good > 1), jnp.maximum(delta, size / 0.5), delta)
    wider = jnp.where(jnp.abs(ratio - 1) <= 0.1, size / 0.5, wider)
    delta = jnp.where(failed, 0.5 * delta, wider)
    accepted = ratio >= 1e-4
    # Broyden's rank-one update, in scaled variables: it makes the model right along the last step.
    broyden = jnp.outer(new - linear, diag**2 * p) / jnp.where(size == 0, 1, size**2)
    x, kept, kept_norm = (
        jnp.where(accepted, x + p, x),
        jnp.where(accepted, new, old),
        jnp.where(accepted, new_norm, norm),
    )
    # MINPACK's two measures of slow progress, for its codes 5 and 4.
    slow1 = jnp.where(actual >= 0.001, 0, s["slow1"] + 1)
    slow2 = jnp.where(actual >= 0.1, 0, jnp.where(s["fresh"], s["slow2"] + 1, s["slow2"]))
    calls = s["calls"] + 1
    info = jnp.where(slow1 == 10, 5, jnp.where(slow2 == 5, 4, 0))
    scale = jnp.linalg.norm(diag * x)
    info = jnp.where(0.1 * jnp.maximum(0.1 * delta, size) <= jnp.finfo(x.dtype).eps * scale, 3, info)
    info = jnp.where(calls >= maxfev, 2, info)
    # The step itself tells where rounding keeps the function from 0, which differs from compiler to compiler.
    there = (jnp.minimum(delta, size) <= xtol * scale) | (kept_norm == 0)
    info = jnp.where(there, 1, info).astype(jnp.int32)
    return {
        "x": x,
        "f": kept,
        "J": matrix + broyden,
        "diag": diag,
        "delta": delta,
        "fresh": jnp.asarray(False),
        "first": s["first"] & ~accepted,
        "good": good,
        "bad": bad,
        "slow1": slow1,
        "slow2": slow2,
        "calls": calls,
        "info": info,
    }


def _dogleg(matrix: jax.Array, f: jax.Array, diag: jax.Array, delta: jax.Array) -> jax.Array:
    """Newton's step where it lies within `delta`, else a mixture of it and the gradient's."""
    q, r = jnp.linalg.qr(matrix)
    b = -q.T @ f
    pivots = jnp.diag(r)
    # A pivot of 0 is replaced by one just above rounding, so that the step is long along it, and not infinite.
    tiny = jnp.finfo(f.dtype).eps * jnp.max(jnp.abs(r), axis=0)
    tiny = jnp.where(tiny == 0, jnp.finfo(f.dtype).eps, tiny)
    r = r + jnp.diag(jnp.where(pivots == 0, tiny, 0))
    newton = jax.scipy.linalg.solve_triangular(r, b)
    length = jnp.linalg.norm(diag * newton)
    steepest = (r.T @ b) / diag
    slope = jnp.linalg.norm(steepest)
    safe = jnp.where(slope == 0, 1, slope)
    descent = steepest / safe / diag
    # How far down the gradient the quadratic model falls.
    bend = jnp.linalg.norm(r @ descent)
    reach = jnp.where(slope == 0, 0, slope / jnp.where(bend == 0, 1, bend) ** 2)
    part, short = delta / jnp.where(length == 0, 1, length), reach / delta
    t = (jnp.linalg.norm(b) / safe) * (jnp.linalg.norm(b) / jnp.where(length == 0, 1, length)) * short
    inside = (t - part) ** 2 + (1 - part**2) * (1 - short**2)
    t = t - part * short**2 + jnp.sqrt(jnp.maximum(inside, 0))
    mixed = jnp.where(short < 1, part * (1 - short**2) / jnp.where(t == 0, 1, t), 0)
    mixed = jnp.where(slope == 0, part, mixed)
    bent = (1 - mixed) * jnp.minimum(reach, delta) * descent + mixed * newton
    return jnp.where(length <= delta, newton, bent)
