"""The softened program itself as a control variate: opt-in, its coefficient from an independent pilot."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ..._errors import SpanaxError
from ..._functions import at_many_points
from ..._jaxprs import defined
from ..._pytree import PyTree
from ...bridges.smoothing import Smoothing
from .._objective import Objective, paired_keys
from ..soften import softened
from .softened_guide import typical_sigma

_SOFTNESS = 0.5  # of sigma
_PILOT = 32  # pairs
_LARGEST = 2.0  # coefficient
_GATE = 10.0  # the most that max |H|^2 may be, in units of max |F|^2


def softened_gradient(
    program: Objective,
    via: Smoothing,
    x: PyTree[Array],
    X: PyTree[Array],
    Y: Float[Array, " points"],
    keys: Key[Array, " points"],
    key: Key[Array, ""],
) -> PyTree[Array]:
    """(1/K) sum_k F_k - c H_k, H_k = D^s_k u_k - (grad f_s(x + sigma u_k) + grad f_s(x - sigma u_k))/2.

    f_s is f softened at half of sigma. H_k has mean zero where f_s is continuous (Stein's lemma), so anything that softening
    kept hard is refused. c does not depend on these pairs.
    """
    soft = softened(program.source, typical_sigma(via) * _SOFTNESS)
    # Stein's lemma needs a continuous f_s. One hard step, and H has a mean that is not 0: the estimate would be
    # biased.
    if kept := soft.kept_hard(x, key):
        listed = "; ".join(f"{operation} at {where}" for operation, where in kept)
        raise SpanaxError(
            f'control_variate="softened" would be biased: softening keeps hard {listed}',
            'control_variate="auto", which is unbiased whatever is kept hard',
            where=defined(program.f),
        )
    c = _pilot_coefficient(program, soft, via, x, key)
    H = _residual(soft, via, x, X, keys)
    return jax.tree.map(lambda f, h: f - c.astype(f.dtype) * h, via.combine(x, X, Y), H)


def _residual(soft, via, x, X, keys) -> PyTree[Array]:
    """The mean of H_k."""
    Y, slopes = at_many_points(jax.value_and_grad(soft), X, keys)
    return jax.tree.map(lambda g, slope: g - jnp.mean(slope, axis=0), via.combine(x, X, Y), slopes)


def _pilot_coefficient(program, soft, via, x, key) -> Float[Array, ""]:
    """The slope of F on H, from pairs of its own, between 0 and 2; 0 where H is wilder than F."""
    # One pair at a time, so that each gives one F and one H.
    single = Smoothing(via.sigma, pairs=1, directions="gaussian")

    def pair(key):
        for_points, for_run = jax.random.split(key)
        X, keys = single.points(x, for_points), paired_keys(for_run, 1)
        F = single.combine(x, X, at_many_points(program, X, keys))
        return single.standardised(F, x), single.standardised(_residual(soft, single, x, X, keys), x)

    F, H = jax.vmap(pair)(jax.random.split(key, _PILOT))
    centred = H - jnp.mean(H, axis=0, keepdims=True)
    # Least squares of F on H over the pilot's pairs, all coordinates together.
    square = jnp.sum(centred**2)
    # A negative coefficient, or one above 2, is noise: no softened program is that bad a copy.
    fitted = jnp.clip(jnp.sum(F * centred) / jnp.where(square > 0, square, 1), 0, _LARGEST)
    tame = jnp.max(jnp.sum(H**2, -1)) <= _GATE * jnp.max(jnp.sum(F**2, -1))  # False for a NaN: a gate, not a value
    return jnp.where(tame & (square > 0), fitted, 0)
