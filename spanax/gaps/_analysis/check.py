"""The gradient itself, where the structure of a program leaves a doubt: is it zero wherever it is looked at?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._jaxprs import JaxprEqn, P, below, evaluate_jaxpr
from ...stochastic.expectation import expectation
from .finder import Finder
from .operations import CALLBACKS
from .traced import Traced

# Evaluation points times numbers in the arguments, at the most.
NUMBERS = 1 << 20  # how many to hold at once; programs of larger arguments are looked at in fewer points
POINTS, FEWEST = 512, 16


NEAR = 4  # points right around the arguments
AROUND = 0.01  # of the arguments' own size


class Slopes(NamedTuple):
    """What the gradient is where it was looked at: leaves for which it is 0 at all points, and at the arguments and near them."""

    nowhere: set[int]
    not_here: set[int]


def _scales(points: int) -> list[tuple[float, float]]:
    """How far from the arguments, in their own size, and around them or around 0: the arguments first, then the nearest."""
    # Geometric distances, since nothing is known of the scale on which f changes: from .01 to 1e4 of the arguments'
    # own size around them, and around 0, where many programs have been initialised.
    count = max((points - NEAR) // 2, 1)
    far = zip(np.geomspace(0.01, 1e4, count), np.geomspace(1e-6, 1e4, count), strict=True)
    first = [(0.0, 1.0), *[(AROUND, 1.0)] * NEAR]
    return [*first, *(pair for s, t in far for pair in ((float(s), 1.0), (float(t), 0.0)))][:points]


SHORT = 500  # equations: compiling a longer program takes longer than running it bit by bit at a few points


def slopes_of(program: Traced, finder: Finder, doubtful: Sequence[int]) -> Slopes | None:
    """Which of these leaves have no gradient anywhere that we look, at the arguments and at random ones, and which none nearby.

    None where it cannot be computed. Nearby is not said where arguments are given by shape only, nor where a draw is bridged:
    from one replicate a score is often 0.
    """
    try:
        with jax.numpy_dtype_promotion("standard"):
            # 512 points in one vmapped program where that is cheap to compile and to hold; otherwise a few points one
            # after the other.
            few = finder.size > SHORT or NUMBERS // program.size < FEWEST
            slopes = (_in_turn if few else _at_once)(program, finder, doubtful)
    except Exception:  # a second opinion only: what raises here is not what the structure was asked about
        return None
    nowhere = {i for i, slope in zip(doubtful, slopes, strict=True) if _is_zero(slope)}
    # Without values for all arguments there is no "here"; and a score from one replicate is 0 too often to say
    # "flat".
    if finder.sites or not program.is_concrete:
        return Slopes(nowhere, set())
    zero = {i for i, slope in zip(doubtful, slopes, strict=True) if _is_zero_nearby(slope)}
    return Slopes(nowhere, zero - nowhere)


def may_run(program: Traced) -> bool:
    """A loop might not end at a random point, and what a callback does out there is the user's affair; large ones take long."""
    return program.size <= NUMBERS and not any(below(eqn, _may_not_run) for eqn in program.closed.jaxpr.eqns)


def _has_reverse_rule(eqn: JaxprEqn) -> bool:
    return eqn.primitive is P.custom_vjp_call_p


def _may_not_run(eqn: JaxprEqn) -> bool:
    return eqn.primitive is P.while_p or eqn.primitive.name in CALLBACKS or bool(eqn.effects)


def _at_once(program: Traced, finder: Finder, doubtful: Sequence[int]) -> list[np.ndarray]:
    scales = _scales(min(POINTS, NUMBERS // max(program.size, 1)))
    points = [program.near(seed, *scale) for seed, scale in enumerate(scales)]
    leaves, others = ([_stack(xs) for xs in zip(*of_all, strict=True)] for of_all in zip(*points, strict=True))
    return list(map(np.asarray, jax.jit(jax.vmap(_slopes(program, finder, doubtful)))(leaves, others)))


def _stack(xs: Sequence) -> Any:
    return np.stack(xs) if isinstance(xs[0], np.ndarray | np.generic) else jnp.stack(xs)


def _in_turn(program: Traced, finder: Finder, doubtful: Sequence[int]) -> list[np.ndarray]:
    """One point that shows a gradient is enough."""
    slopes, found = _slopes(program, finder, doubtful), []
    for seed, scale in enumerate([(0.0, 1.0), *[(AROUND, 1.0)] * NEAR, (1.0, 1.0), (1.0, 0.0)]):
        found.append([np.asarray(s) for s in slopes(*program.near(seed, *scale))])
        if all(np.any(s) and np.all(np.isfinite(s)) for s in found[-1]):
            break
    return [np.stack(of_one) for of_one in zip(*found, strict=True)]


def _slopes(program: Traced, finder: Finder, doubtful: Sequence[int]) -> Callable[[list, list], Sequence]:
    """Derivatives of a sum of all floating-point results, or of their expectation from one replicate, at one point."""
    bridged = bool(finder.sites)

    def of_result(chosen, leaves, others):
        given = dict(zip(doubtful, chosen, strict=True))
        # Only the doubtful leaves are differentiated; the verdict of the others stands.
        leaves = [given.get(i, x) for i, x in enumerate(leaves)]
        if bridged:
            args, kwargs = program.rebuild(leaves, others)
            return expectation(program.function)(*args, **kwargs)
        return _weighted_sum(evaluate_jaxpr(program.closed.jaxpr, program.closed.consts, *leaves, *others))

    def at_one_point(leaves, others):
        chosen = [leaves[i] for i in doubtful]
        # Forward mode along a random direction misses a gradient with probability 0, and takes half the time; but a
        # custom_vjp and a surrogate have no forward rule.
        if len(doubtful) > 1 or bridged or any(below(e, _has_reverse_rule) for e in program.closed.jaxpr.eqns):
            return jax.grad(of_result)(chosen, leaves, others)
        direction = np.random.default_rng(0).normal(size=chosen[0].shape)  # one leaf: forward mode takes half the time
        return [jax.jvp(lambda x: of_result([x], leaves, others), chosen, [jnp.asarray(direction, chosen[0].dtype)])[1]]

    return at_one_point


def _weighted_sum(outs: Sequence[Any]) -> jax.Array:
    """A sum with random weights of all floating-point results: a plain one is constant for softmax."""
    # Random weights, because symmetric results cancel: the entries of a softmax sum to 1, whose gradient is 0
    # everywhere.
    random, total = np.random.default_rng(0), jnp.zeros(())
    for x in map(jnp.asarray, outs):
        for part in (jnp.real(x), jnp.imag(x)) if jnp.iscomplexobj(x) else (x,):
            if jnp.issubdtype(part.dtype, jnp.floating):
                total += jnp.sum(part.astype(float) * jnp.asarray(random.normal(size=x.shape), float))
    return total


def _is_zero(slopes: np.ndarray) -> bool:
    """At all points where it is a number, and it is at the given arguments or at two others."""
    # A NaN far away says nothing about the gradient here, so it does not count; but one zero alone may be a
    # stationary point.
    known = np.asarray(np.isfinite(slopes).reshape(len(slopes), -1).all(1))
    return bool((known[0] or known.sum() > 1) and not np.any(slopes[known]))


def _is_zero_nearby(slopes: np.ndarray) -> bool:
    """At the arguments and at all points right around them; where only the arguments are flat, they are a stationary point."""
    nearby = slopes[: 1 + NEAR]
    return len(nearby) == 1 + NEAR and bool(np.all(np.isfinite(nearby))) and not np.any(nearby)
