"""The derivative of a black box: x and all points of the bridge go to the host together.

A `Probing` bridge is two pure functions: `points(x, key)`, and `combine(x, X, Y, ct)`, a pullback. Both modes need the
pushforward, which is its transpose, since `combine` is linear in the cotangent; reverse mode transposes it back, at no
evaluation.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jax.dtypes import float0
from jaxtyping import Array

from ..._errors import SpanaxError
from ..._primitives import undifferentiated
from ..._pytree import PyTree
from ...bridges import SPSA, Bounded, FiniteDifference, Learning, Manual, Probing, Smoothing, Surrogate, Tuned
from .crossing import Crossing, MaybeKey, is_float
from .keys import probing_key
from .learning import taught, tell
from .manual import manual_tangents


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def cross(crossing: Crossing, x: list[Array], key: MaybeKey, arrays: Any) -> list[Array]:
    """The leaves of f(x), with the derivative that the bridge gives. `arrays`: those of the bridge."""
    return crossing.value(x, key)


@functools.partial(cross.defjvp, symbolic_zeros=True)
def _jvp(crossing: Crossing, primals, tangents):
    x, key, arrays = primals
    active = [
        not isinstance(t, SymbolicZero) and jnp.issubdtype(t.dtype, jnp.inexact) and t.size > 0 for t in tangents[0]
    ]
    # Symbolic zeros: a leaf that no derivative is asked for costs no evaluations.
    moving = [t for t, a in zip(tangents[0], active, strict=True) if a]
    if not moving:
        y = cross(crossing, x, key, arrays)
        return y, _with_integers(y, [jnp.zeros_like(leaf) for leaf in _differentiable(y)])
    _check_real(crossing, moving)
    # The values do not say how the derivative changes: a second differentiation would find 0.
    x = undifferentiated(x, *_NO_SECOND)
    via = eqx.combine(crossing.via, undifferentiated(arrays, *_NO_SECOND))
    if isinstance(via, Manual):
        y = cross(crossing, x, key, arrays)
        tangents = manual_tangents(
            crossing, via, x, undifferentiated(y, *_NO_SECOND), crossing.seed_words(key), moving, active
        )
    else:
        y, tangents = _probe(crossing, via, x, key, moving, active)
    return y, _with_integers(y, tangents)


_NO_SECOND = (
    "a second derivative through a black box, or one with respect to its bridge: values give the first alone",
    "jax.lax.stop_gradient of what is not to be differentiated again",
    "the derivative as a black box of its own: sx.blackbox(derivative, ...)",
)


def _check_real(crossing: Crossing, moving: Sequence[Array]) -> None:
    # A complex tangent would need f's derivative in two directions, which may differ where f is not holomorphic.
    if any(jnp.issubdtype(z.dtype, jnp.complexfloating) for z in (*moving, *crossing.outs)):
        raise SpanaxError(
            f"the derivative of the black box {crossing.host.name!r}, which takes or returns complex numbers",
            "real and imaginary parts as arrays of their own",
            where=crossing.where,
        )
    if not any(map(is_float, crossing.outs)):
        raise SpanaxError(
            f"the derivative of the black box {crossing.host.name!r}, which returns no floating-point number: it would be 0",
            "out=jax.ShapeDtypeStruct(shape, float): the function's integers become floats",
            where=crossing.where,
        )


def _probe(
    crossing: Crossing, via: Any, x: list[Array], key: MaybeKey, moving: list[Array], active: list[bool]
) -> tuple[list[Array], list[Array]]:
    """Value and tangents, from the values at the bridge's points."""
    point, for_points, size = crossing.point(x, active), probing_key(key, x), sum(t.size for t in moving)
    checks, pupil = _checks(via, size), None
    if isinstance(via, Learning):
        via, pupil = taught(
            crossing.host, _completed(crossing, via, x, active), point, list(filter(is_float, crossing.outs))
        )
    inside: Any = _inside(crossing, via, active)
    pilot = inside.pilot(point, for_points) if isinstance(inside, Tuned) else None
    if pilot is None:
        X = inside.points(point, for_points)
        y, Y, kept = crossing.value_and_values(x, active, X, key, **checks)
    else:
        # A bridge that chooses its step looks at pilot points first: f(x) comes with these, and the second call has none.
        y, fitted = _tune(crossing, inside, x, active, pilot, key)
        inside = _inside(crossing, fitted, active)
        X = inside.points(point, for_points)
        at_x = undifferentiated(_differentiable(y), *_NO_SECOND)
        Y, kept = crossing.values(x, active, X, at_x, key, **checks)

    values = point, X, _differentiable(Y), _differentiable(y), kept
    if pupil is not None:
        others = [leaf for leaf, a in zip(x, active, strict=True) if not a]
        values = (*values[:2], tell(pupil, inside, values, others), *values[3:])
    return y, _push_forward(inside, values, moving, tuple(active))


def _inside(crossing: Crossing, via: Any, active: list[bool]) -> Any:
    """The bridge with its points between the bounds, where there are any."""
    return via.within(crossing.box(active)) if crossing.bounds and isinstance(via, Bounded) else via


class _Completed(eqx.Module):
    """A user's model of the whole of x, as the bridge sees it: a function of the leaves that are differentiated.

    `leaves`: of x; those that are `active` come with the point.
    """

    model: Any
    leaves: list[Array]
    tree: Any = eqx.field(static=True)
    active: tuple[bool, ...] = eqx.field(static=True)

    def __call__(self, point: PyTree[Array]) -> list[Array]:
        moved = zip(self.leaves, jax.tree.leaves(point), self.active, strict=True)
        result = self.model(jax.tree.unflatten(self.tree, [new if a else leaf for leaf, new, a in moved]))
        return _differentiable([jnp.asarray(leaf) for leaf in jax.tree.leaves(result)])


def _completed(crossing: Crossing, via: Any, x: list[Array], active: list[bool]) -> Any:
    if not isinstance(via, Surrogate) or via.model is None:
        return via
    model = _Completed(via.model, x, crossing.tree, tuple(active))
    return eqx.tree_at(lambda v: v.model, via, model)


def _checks(via: Probing, size: int) -> dict[str, Any]:
    """What the host is to make sure of, for values of which this bridge makes a derivative in `size` numbers; see `Request`."""
    if isinstance(via, FiniteDifference):
        chosen = via.step is None and via.scheme != "complex"
        return {"usable": via.usable, "lever": "`largest`" if chosen else "`step`"}
    # How likely is it that f changes and no random point shows it? A Gaussian direction misses a linear f with probability 0;
    # sampled coordinates may not include the one that matters, at any number of calls.
    lever, misses = "`step`", 0.0
    if isinstance(via, Surrogate):
        lever = "`sigma`"
    elif isinstance(via, Smoothing):
        lever = "`sigma`"
        misses = 1.0 if via.directions == "coordinate" and via.pairs < size else 0.0
    elif size > 1 and isinstance(via, SPSA):
        # Random signs cancel for two equal slopes with probability 1/2; for more coordinates less often (Littlewood and Offord;
        # Erdos 1945, Bull. AMS 51, 898).
        misses = 0.5**via.samples
    return {"usable": via.usable, "lever": lever, "misses": misses, "random": True}


@eqx.filter_jit
def _push_forward(via: Probing, values: tuple, moving: list[Array], active: tuple[bool, ...]) -> list[Array]:
    """The tangents of the results along `moving`: the transpose of what `combine` does to cotangents."""
    point, X, Y, y, kept = values

    def pullback(ct: list[Array]) -> list[Array]:
        slope = jax.tree.leaves(via.combine(point, X, Y, ct, y=y, kept=kept))
        return [leaf for leaf, a in zip(slope, active, strict=True) if a]

    # Compiled once for each shape: `combine` is many small operations, which outside of jit would cost more than a
    # cheap f.
    return jax.linear_transpose(pullback, y)(moving)[0]


def tune(crossing: Crossing, via: Tuned, x: list[Array], key: MaybeKey) -> Probing:
    """The bridge with what it chooses at x, from its pilot's points."""
    # What will be differentiated is not known here: a step is chosen for all that can be.
    active = [is_float(leaf) and leaf.size > 0 for leaf in x]
    inside: Any = _inside(crossing, via, active)
    pilot = inside.pilot(crossing.point(x, active), probing_key(key, x)) if isinstance(inside, Tuned) else None
    return via if pilot is None else _tune(crossing, inside, x, active, pilot, key)[1]


def _tune(
    crossing: Crossing, via: Any, x: list[Array], active: list[bool], pilot: PyTree[Array], key: MaybeKey
) -> tuple[list[Array], Probing]:
    """The value at x besides."""
    y, values, _ = crossing.value_and_values(x, active, pilot, key, may_fail=True)
    return y, _fit_to_pilot(via, crossing.point(x, active), pilot, _differentiable(values), _differentiable(y))


@eqx.filter_jit
def _fit_to_pilot(via: Tuned, *args: PyTree[Array]) -> Probing:
    return via.fitted(*args)


def _differentiable(leaves: Sequence[Array]) -> list[Array]:
    return [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact)]


def _with_integers(y: Sequence[Array], tangents: Sequence[Array]) -> list[Any]:
    """A tangent for each result: integers have none."""
    rest = iter(tangents)
    return [next(rest) if jnp.issubdtype(leaf.dtype, jnp.inexact) else np.zeros(leaf.shape, float0) for leaf in y]
