"""Does a black box change as its derivative says? Measured in fresh random directions.

For directions v with s v ~ N(0, s^2), the changes c = (f(x + s v) - f(x - s v)) / 2 are set against those that the bridge's
gradient g predicts, p = s g . v. The slope of c on p, sum(c p) / sum(p^2), is 1 for a right gradient; sum(p^2) is estimated
without the bridge's own noise, from products of different draws of it. Its standard error is the delete-one jackknife's
(Efron 1981).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._checks import check_whole
from .._errors import SpanaxError
from .._foreign_arrays import refuse_foreign
from .._jaxprs import is_traced
from .._math.directions import gaussian, widest
from .._pytree import PyTree
from ..bridges import FiniteDifference, Manual
from ._bounds import bounds_of


@dataclasses.dataclass(frozen=True)
class Check:
    """A bridge's derivative compared with changes measured in random directions that it has not seen. Made by `BlackBox.check`.

    - `cosine`: between the changes that the bridge's mean derivative predicts and those measured, over all directions: 1 where it
      predicts them all, about 0 where it knows nothing, 0 where no change is predicted or measured. Noise in either, and
      curvature, lower it;
    - `slope`: of the changes measured on those predicted, corrected for the noise of the bridge: 1 for an unbiased
      derivative, 1/2 for one that is twice too large, -1 for a wrong sign, infinite for a derivative of 0 where f changes;
      1 where there is neither;
    - `standard_error`: of the slope, by leaving out each direction and each draw of the bridge (delete-one jackknife);
    - `evaluations`: of the function, that the check took.

    >>> import jax, jax.numpy as jnp, numpy as np, spanax as sx
    >>> f = sx.blackbox(np.sum, jax.ShapeDtypeStruct((), float), via=sx.FiniteDifference(step=0.5))
    >>> print(f.check(jnp.ones(2), key=jax.random.key(0), directions=8))
    The derivative agrees with the changes measured: cosine 1.000, slope 1.000 +- 0.000 (1 where it is right), 21 evaluations.
    """

    cosine: float
    slope: float
    standard_error: float
    evaluations: int

    @property
    def decided(self) -> bool:
        """Is the slope known well enough, to a standard error of at most 1/5?"""
        return self.standard_error <= 1 / 5

    @property
    def agrees(self) -> bool:
        """It is decided, and the slope is 1 within 4 standard errors and 5%."""
        return self.decided and abs(self.slope - 1) <= 4 * self.standard_error + 0.05

    def __str__(self):
        verdict = "agrees with" if self.agrees else "DIFFERS from" if self.decided else "is too noisy to compare with"
        return (
            f"The derivative {verdict} the changes measured: cosine {self.cosine:.3f}, "
            f"slope {self.slope:.3f} +- {self.standard_error:.3f} (1 where it is right), {self.evaluations} evaluations."
        )


def compare_with_changes(f: Any, x: PyTree[Array], key: Key[Array, ""], directions: int, draws: int) -> Check:
    """Differences f(x + s v) - f(x - s v) against the bridge's derivative, v standard normal, s as far as the bridge looks.

    `f` is a `BlackBox`. Of several results, a random combination (standard normal weights) is looked at.
    """
    x = _check_arguments(x, directions, draws)
    before = f.stats().evaluations
    # One draw of a bridge without noise says it all; others need several, for the noise-free estimate of |gradient|^2.
    for_weights, for_bridge, for_steps, for_directions, for_noise = jax.random.split(key, 5)
    once = isinstance(f.via, Manual | FiniteDifference) and not f.host.noisy
    keys = jax.random.split(for_bridge, 1 if once else draws)
    slopes = jax.vmap(lambda k: jax.grad(lambda x: _combine_results(f, x, k, for_weights), allow_int=True)(x))(keys)
    v = _directions(f, x, for_steps, for_directions, directions)
    # Both sides of a direction have one key: of a noisy function, the difference is that of one function of x.
    keys = jax.random.split(for_noise, directions)
    ends = [_move(f, x, v, sign) for sign in (1, -1)]
    # Clipped to the bounds, the two ends no longer mirror each other about x: half their difference is the direction measured.
    if f.host.bounds is not None:
        v = [None if d is None else (p - m) / 2 for p, m, d in zip(*map(jax.tree.leaves, ends), v, strict=True)]
    plus, minus = (jax.vmap(lambda x, k: _combine_results(f, x, k, for_weights))(end, keys) for end in ends)
    predicted = np.sum([_along(g, d) for g, d in zip(jax.tree.leaves(slopes), v, strict=True) if d is not None], axis=0)
    # On the host in double precision: a sum over thousands of leaves in float32 would add noise of its own.
    changes = (np.asarray(plus, np.float64) - np.asarray(minus, np.float64)) / 2
    return _summarise(changes, predicted, f.stats().evaluations - before)


def _check_arguments(x: PyTree[Any], directions: int, draws: int) -> PyTree[Array]:
    refuse_foreign(x)
    x = jax.tree.map(jnp.asarray, x)
    if any(map(is_traced, jax.tree.leaves(x))):
        raise SpanaxError("f.check inside a traced program", "outside of jit, grad and vmap")
    check_whole("check(directions", directions, 3)
    check_whole("check(draws", draws, 2)
    if not any(map(_moves, jax.tree.leaves(x))):
        raise SpanaxError("x holds no floating-point number", "x as floats")
    return x


def _moves(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.size > 0


def _combine_results(f: Any, x: PyTree[Array], key: Key[Array, ""], for_weights: Key[Array, ""]) -> Float[Array, ""]:
    """The result as one number."""
    leaves = [y for y in jax.tree.leaves(f(x, key=key)) if jnp.issubdtype(y.dtype, jnp.floating)]
    if not leaves or (len(leaves) == 1 and leaves[0].ndim == 0):
        # One number is taken as it is. Of integers alone there is nothing to weigh: their derivative raises, as it
        # should.
        return leaves[0] if leaves else f(x, key=key)
    # A random combination of all results is wrong where any of them is, with probability 1.
    dtype, weights = widest(leaves), gaussian(for_weights, leaves)
    return sum((jnp.sum((y * w).astype(dtype)) for y, w in zip(leaves, weights, strict=True)), jnp.zeros((), dtype))


def _directions(f: Any, x: PyTree[Array], for_steps: Any, key: Any, count: int) -> list[Array | None]:
    """s v for each leaf that moves, None for the others."""
    leaves = jax.tree.leaves(x)
    keys = jax.random.split(key, len(leaves))
    steps = _steps(f, x, for_steps)
    return [
        step.astype(leaf.dtype) * jax.random.normal(k, (count, *leaf.shape), leaf.dtype) if _moves(leaf) else None
        for leaf, step, k in zip(leaves, steps, keys, strict=True)
    ]


def _steps(f: Any, x: PyTree[Array], key: Key[Array, ""]) -> list[Array]:
    """How far the bridge looks along each leaf: the root mean square of its moves."""
    leaves, tree = jax.tree.flatten(x)
    # As the bridge sees x: leaves that do not move have no numbers.
    floats = jax.tree.unflatten(tree, [leaf if _moves(leaf) else jnp.zeros((0,)) for leaf in leaves])
    via = f.fitted(x, key=key).via
    # These bridges have no points at a distance; the step that central differences would choose suits f here.
    if isinstance(via, Manual) or (isinstance(via, FiniteDifference) and via.scheme == "complex"):
        via = dataclasses.replace(f, via=FiniteDifference()).fitted(x, key=key).via
    moves = jax.tree.map(lambda X, x: X - x[None], via.points(floats, key), floats)
    return [jnp.sqrt(jnp.sum(m**2) / jnp.maximum(jnp.sum(m != 0), 1).astype(m.dtype)) for m in jax.tree.leaves(moves)]


def _move(f: Any, x: PyTree[Array], v: list[Array | None], sign: int) -> PyTree[Array]:
    """x + v or x - v in rows, as far as the bounds of f permit."""
    leaves, tree = jax.tree.flatten(x)
    count = next(len(d) for d in v if d is not None)
    rows = [
        jnp.broadcast_to(x, (count, *x.shape)) if d is None else x[None] + sign * d
        for x, d in zip(leaves, v, strict=True)
    ]
    if f.host.bounds is not None:
        bounds = bounds_of(f.host.bounds, leaves, tree)
        rows = [
            at if d is None else jnp.clip(at, b.low[None], b.high[None])
            for at, b, d in zip(rows, bounds, v, strict=True)
        ]
    return jax.tree.unflatten(tree, rows)


def _along(slopes: Array, v: Array) -> np.ndarray:
    """(draws, directions)"""
    return np.asarray(slopes, np.float64).reshape(len(slopes), -1) @ np.asarray(v, np.float64).reshape(len(v), -1).T


def _summarise(changes: np.ndarray, predicted: np.ndarray, evaluations: int) -> Check:
    draws, directions = predicted.shape
    # Where one side is all zeros a quotient would be 0/0: the slope is then its limit.
    if not (np.any(changes) and np.any(predicted)):
        slope = 1.0 if not np.any(changes) and not np.any(predicted) else np.inf if np.any(changes) else 0.0
        return Check(0.0, slope, 0.0, evaluations)
    mean = predicted.mean(axis=0)
    cosine = changes @ mean / np.sqrt((changes @ changes) * (mean @ mean))
    without_direction = [_slope(np.delete(changes, j), np.delete(predicted, j, axis=1)) for j in range(directions)]
    variance = _jackknife(without_direction)
    # With two draws, one left out leaves a single one, whose product with itself is not free of noise.
    if draws > 2:
        variance += _jackknife([_slope(changes, np.delete(predicted, r, axis=0)) for r in range(draws)])
    return Check(float(cosine), _slope(changes, predicted), float(np.sqrt(variance)), evaluations)


def _slope(changes: np.ndarray, predicted: np.ndarray) -> float:
    """Both means are unbiased for |gradient|^2: products of two draws of the bridge have no noise in common."""
    draws = len(predicted)
    total = predicted.sum(axis=0)
    # |mean|^2 = |gradient|^2 + noise; the products of different draws leave the noise out, which would make the slope
    # too small.
    products = (total @ total - np.sum(predicted**2)) / (draws * (draws - 1)) if draws > 1 else total @ total
    return float(changes @ total / draws / products)


def _jackknife(left_out: list[float]) -> float:
    """The variance of an estimate, from its values without each of the observations (Efron 1981, Biometrika 68, 589)."""
    return (len(left_out) - 1) / len(left_out) * float(np.sum((np.asarray(left_out) - np.mean(left_out)) ** 2))
