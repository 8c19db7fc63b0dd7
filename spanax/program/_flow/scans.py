"""Loops of a traced program: of a known number of iterations, or until a flag falls, with a bound.

Both are scans, so that derivatives of every order pass: reverse mode has no rule for JAX's `while_loop`, as it cannot know
how many states to keep. A loop with a bound is a scan of scans; the inner ones are computed again in reverse mode, which
keeps the state of about 2 sqrt(bound) iterations and costs one more run (Griewank, 1992, "Achieving logarithmic growth of
temporal and spatial complexity in reverse automatic differentiation", with one level of checkpoints). Iterations that are
not needed are skipped: 2 sqrt(bound) at most, each the price of a branch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ..._primitives import any_over_vmap

LEAN = 4096  # a loop of more iterations than these keeps few of its states


# In reverse mode an iteration computes again what is cheap, rather than write it down and read it back: measured, 2.8 times
# faster where an iteration is arithmetic on a few numbers. Products of matrices are kept.
thrifty = functools.partial(jax.checkpoint, policy=jax.checkpoint_policies.dots_saveable, prevent_cse=False)


def scan_known(step: Callable, state: Sequence, xs: Any, length: int, *, nested: bool) -> tuple[list, Any]:
    """`state, y = step(state, x)` for each of the `length` slices of `xs`. `nested`: are there loops in it?"""
    if length <= LEAN:
        # A loop inside is not computed again: at each level of nesting that would double the work.
        return lax.scan(step if nested else thrifty(step), list(state), xs, length=length)
    inner = math.isqrt(length)
    whole = inner * (length // inner)
    cut = jax.tree.map(lambda x: x[:whole].reshape(-1, inner, *x.shape[1:]), xs)
    outer = jax.checkpoint(lambda s, part: lax.scan(step, s, part, length=inner))
    state, ys = lax.scan(outer, list(state), cut, length=length // inner)
    ys = jax.tree.map(lambda y: y.reshape(whole, *y.shape[2:]), ys)
    # Fewer than sqrt(length) iterations are left over, which keep their states as they are.
    state, more = lax.scan(step, state, jax.tree.map(lambda x: x[whole:], xs), length=length - whole)
    return state, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), ys, more)


def scan_until(step: Callable, state: Sequence, going: Any, bound: int, *, nested: bool) -> tuple[Sequence, Any]:
    """`state, going = step(state)` while `going` holds, `bound` times at most: the last of both."""
    step = step if nested else thrifty(step)
    inner = max(1, math.isqrt(bound))
    outer = -(-bound // inner)

    def one(carry, k):
        state, going = carry
        runs = going & (k < bound)
        # Under vmap a branch would become a choice between both results, and every iteration would be computed. So the branch
        # asks whether any of the batch still runs, which stays one flag, and the others keep their state.
        new = lax.cond(any_over_vmap(runs), lambda: _step_where(runs, step, state, going), lambda: (state, going))
        return new, None

    @jax.checkpoint
    def some(carry, k):
        return lax.scan(one, carry, k * inner + jnp.arange(inner))[0]

    def many(carry, k):
        return lax.cond(any_over_vmap(carry[1]), lambda: some(carry, k), lambda: carry), None

    (state, going), _ = lax.scan(many, (list(state), going), jnp.arange(outer))
    return state, going


def _step_where(runs: Any, step: Callable, state: list, going: Any) -> tuple[list, Any]:
    """The step, without effect at the vmap indices that have stopped."""
    new, more = step(state)
    return [jnp.where(runs, b, a) for a, b in zip(state, new, strict=True)], jnp.where(runs, more, going)
