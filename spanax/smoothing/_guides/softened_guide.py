"""The gradient of the softened program at the point, as a linear guide."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..._jaxprs import Jaxpr, JaxprEqn, P, aval, evaluate_jaxpr, jaxprs_in_params, scan_parts
from ..._pytree import PyTree
from ...bridges.smoothing import Smoothing
from .._objective import Objective
from ..soften import softened

_DISPATCH = 10  # elements that are computed in the time that it takes to begin with an equation, roughly
_CHEAP = 2.0  # times the work of the values; rough as the count is, up to 5 times their seconds where it was measured
_NOTHING = 1e5  # elements: some 20 microseconds, whatever the values take


def softened_slope(program: Objective, via: Smoothing, x: PyTree[Array], key: Key[Array, ""]) -> PyTree[Array] | None:
    """The gradient at x of the softened program, softness = sigma; zero where it is not finite.

    None where the program cannot be softened or the softened one not be differentiated, and where that gradient is more than
    twice the work of the values of f at all the points.
    """
    soft = softened(program.source, typical_sigma(via))
    try:
        closed, form = jax.make_jaxpr(jax.grad(soft), return_shape=True)(x, key)
    except Exception:  # a guide is only an advantage: whatever kind of error says that there is none, none is used
        return None
    # Counted in elements of all results, loops multiplied by their length: rough, and known before anything is
    # compiled.
    if _work(closed.jaxpr, 1) > max(_CHEAP * _work(program.closed.jaxpr, 2 * via.pairs), _NOTHING):
        return None
    leaves = evaluate_jaxpr(closed.jaxpr, closed.consts, *jax.tree.leaves((x, key)))
    # A guide of 0 is none. NaN in it would spoil an estimate that is right without it.
    finite = jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]).all()
    return jax.tree.unflatten(jax.tree.structure(form), [jnp.where(finite, leaf, 0) for leaf in leaves])


def typical_sigma(via: Smoothing) -> Float[Array, ""]:
    """One softness for a program whose inputs differ in sigma: their geometric mean."""
    sigmas = [jnp.asarray(sigma, float) for sigma in jax.tree.leaves(via.sigma)]
    return jnp.exp(sum(map(jnp.log, sigmas), jnp.zeros(())) / len(sigmas)) if len(sigmas) > 1 else sigmas[0]


def _work(jaxpr: Jaxpr, lanes: int) -> float:
    """Elements computed, for `lanes` points at once; the body of a loop as often as it runs, of a `while` once."""
    total = 0.0
    for eqn in jaxpr.eqns:
        inner = [_work(sub, lanes) for sub in jaxprs_in_params(eqn.params)]
        elements = sum(int(np.prod(getattr(aval(v), "shape", ()))) for v in eqn.outvars)
        total += sum(inner) * _trips(eqn) if inner else lanes * elements + _DISPATCH
    return total


def _trips(eqn: JaxprEqn) -> int:
    """How often a scan runs its body; 1 for everything else."""
    return scan_parts(eqn).length if eqn.primitive is P.scan_p else 1
