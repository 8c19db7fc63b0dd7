"""An initial value problem in steps of a length that the error decides, as SciPy has it, with derivatives of every order.

The step lengths are chosen without a derivative: it is that of the numerical solution on the steps taken, which is as accurate
as the solution. Times that are given, the start and the end keep theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import lax

from ..._flow.scans import scan_until


@dataclass(frozen=True)
class Problem:
    """y' = f(t, y), with the tolerances."""

    f: Callable
    still: Callable  # f without a derivative
    rtol: jax.Array
    atol: jax.Array
    longest: jax.Array  # step

    def scale(self, *ys: jax.Array) -> jax.Array:
        size = jnp.abs(ys[0])
        for y in ys[1:]:
            size = jnp.maximum(size, jnp.abs(y))
        return self.atol + size * self.rtol


@dataclass(frozen=True)
class Attempt:
    """A step that was tried. `factor`: by which the length changes; `dense`: y at places from 0 to 1 inside it."""

    y: jax.Array
    slope: jax.Array
    accepted: jax.Array
    factor: jax.Array
    dense: Callable
    memory: list


class Method(Protocol):
    @property
    def error_order(self) -> int: ...

    def memory(self, problem: Problem, y: jax.Array) -> list:
        """What steps hand to each other beside the solution."""
        ...

    def attempt(
        self, problem: Problem, t: jax.Array, y: jax.Array, slope: jax.Array, h: jax.Array, rejected: Any, memory: list
    ) -> Attempt: ...


def powers(x: jax.Array, most: int) -> jax.Array:
    """x, x**2, ... as columns: one by one, because the derivative of a power of an array of integers needs JAX's promotion."""
    return jnp.stack([x**k for k in range(1, most + 1)], axis=-1)


def rms(x: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.mean(x**2))


@dataclass(frozen=True)
class Solution:
    """At the end and at the times asked for. `small`: a step came down to rounding; `still`: the bound of steps was reached."""

    y: jax.Array
    rows: jax.Array | None
    small: jax.Array
    unfinished: jax.Array


def integrate(
    method: Method,
    problem: Problem,
    span: tuple[jax.Array, jax.Array],
    y0: jax.Array,
    times: jax.Array | None,
    first: jax.Array | None,
    bound: int,
) -> Solution:
    still = lax.stop_gradient
    start, end = span
    sign = jnp.where(still(end) >= still(start), 1, -1).astype(y0.dtype)
    slope = problem.f(start, y0)
    if first is None:
        first = _first_step(problem, still(start), still(y0), still(end), still(slope), sign, method.error_order)
    rows = None if times is None else jnp.broadcast_to(y0, (times.size, y0.size))
    no = jnp.asarray(False)
    state = [start, y0, slope, still(first), no, no, *([] if rows is None else [rows]), *method.memory(problem, y0)]
    places = 6 if rows is None else 7

    def step(state: list) -> tuple[list, jax.Array]:
        t, y, slope, length, rejected, _ = state[:6]
        now = still(t)
        # SciPy's shortest step: ten spacings of floats at t.
        least = 10 * jnp.abs(jnp.nextafter(now, sign * jnp.inf) - now)
        length = jnp.where(rejected, length, jnp.clip(length, least, jnp.maximum(problem.longest, least)))
        small = length < least
        last = sign * (now + sign * length - still(end)) >= 0
        # The last step ends exactly at the end, and has the end's derivative; all others have that of the start.
        new_t = jnp.where(last, end, t + sign * length)
        h = new_t - t
        tried = method.attempt(problem, t, y, slope, h, rejected, state[places:])
        accepted = tried.accepted
        out = []
        if times is not None:
            # Times asked for are read off the step's own polynomial, each in the step that it lies in.
            inside = accepted & (sign * (still(times) - now) > 0) & (sign * (still(times) - still(new_t)) <= 0)
            x = jnp.where(inside, (times - t) / h, 0)
            out = [jnp.where(inside[:, None], tried.dense(x), state[6])]
        going = ~(accepted & last) & ~small & jnp.isfinite(length)
        length = jnp.abs(still(h)) * still(tried.factor)
        moved = (new_t, t), (tried.y, y), (tried.slope, slope)
        head = [*(jnp.where(accepted, new, old) for new, old in moved), length, ~accepted, small]
        return [*head, *out, *map(still, tried.memory)], going

    # A bounded loop, since reverse mode has to keep the states of all steps.
    final, going = scan_until(step, state, still(end) != still(start), bound, nested=True)
    return Solution(final[1], None if times is None else final[6], final[5], going)


def _first_step(
    problem: Problem, t: jax.Array, y: jax.Array, end: jax.Array, slope: jax.Array, sign: jax.Array, order: int
) -> jax.Array:
    """Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I, section II.4."""
    scale, whole = problem.scale(y), jnp.abs(end - t)
    d0, d1 = rms(y / scale), rms(slope / scale)
    # A step over which an explicit Euler step would change y by 1%, and from it one at which the second derivative is
    # within the tolerance.
    h0 = jnp.where((d0 < 1e-5) | (d1 < 1e-5), 1e-6, 0.01 * d0 / jnp.where(d1 == 0, 1, d1))
    h0 = jnp.minimum(h0, whole)
    moved = problem.still(t + h0 * sign, y + h0 * sign * slope)
    d2 = rms((moved - slope) / scale) / jnp.where(h0 == 0, 1, h0)
    most = jnp.maximum(d1, d2)
    h1 = jnp.where(
        most <= 1e-15, jnp.maximum(1e-6, h0 * 1e-3), (0.01 / jnp.where(most == 0, 1, most)) ** (1 / (order + 1))
    )
    return jnp.minimum(jnp.minimum(100 * h0, h1), jnp.minimum(whole, problem.longest))
