"""Where the numbers of a traced program reach its results, as far as selections decide.

`np.where(c, a, b)` drops a where c does not hold, whatever a is there; so do `np.triu`, writes under a mask, indices that leave
something out, and products with 0 and 1. What is dropped is known by masks of the values that lie on the way, and not by
their derivatives: a derivative that happens to be 0 drops nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._jaxprs import P, below, evaluate
from .flat import Flat, Name, Step

LINEAR = frozenset(
    "neg add sub add_any convert_element_type copy copy_p real imag conj complex reduce_precision".split()
)
SMOOTH = frozenset(
    "sin cos tanh logistic erf erfc asinh atan abs max min clamp square nextafter rem sign floor".split()
)
SINGULAR = frozenset(
    "sqrt rsqrt cbrt log log1p div pow integer_pow acos asin acosh atanh atan2 tan exp exp2 expm1 sinh cosh "
    "lgamma digamma erf_inv polygamma igamma igammac regularized_incomplete_beta bessel_i0e bessel_i1e".split()
)
ELEMENTWISE = LINEAR | SMOOTH | SINGULAR | {"mul"}
KEEPS_ALL = frozenset(
    "reshape squeeze expand_dims broadcast_in_dim transpose rev concatenate reduce_sum pad stack".split()
)
LEAVES_OUT = frozenset("slice gather dynamic_slice dynamic_update_slice scatter split".split()) | {"scatter-add"}
TESTS = frozenset(
    "eq ne lt le gt ge and or not xor is_finite iota reduce_and reduce_or argmax argmin eq_to lt_to le_to".split()
)
_PLAIN = ELEMENTWISE | TESTS | {"select_n", "broadcast_in_dim", "stop_gradient", "jit", "custom_jvp_call"}
DEEPEST, WIDEST = 24, 8


class Mask:
    """Where something reaches the results: `value(primal)` is an array of booleans, or None where it cannot be known in time.

    `scalar`: one boolean for a whole array. `by_weight`: a product with 0 is part of it, which in forward mode does not stop NaN,
    as a selection does. `implied`: it holds whenever this runs, unless it runs for a batch. `primal(name)` is the value of a
    name, without its derivative, or None.
    """

    def __init__(
        self, value: Callable, parents: Sequence[Mask], scalar: bool, by_weight: bool = False, implied: bool = False
    ):
        self._value, self.scalar, self.implied = value, scalar, implied
        self.by_weight = by_weight or any(p.by_weight for p in parents)
        self.depth = 1 + max((p.depth for p in parents), default=0)

    def value(self, primal: Any) -> Any:
        if self not in primal.masks:
            primal.masks[self] = self._value(primal)
        return primal.masks[self]


EVERYWHERE = Mask(lambda primal: np.True_, (), True)


class Reached:
    """For each step the mask of its results; `steps[i]` is missing where no derivative passes it."""

    def __init__(self, flat: Flat, within: Mask, implied: set[Name]):
        """`within`: where the program's own results are used. `implied`: flags that hold, unless this runs for a batch."""
        self.implied = implied
        self._active = _active(flat)
        self._uses: dict[Name, list[Mask]] = {out: [within] for out in flat.outs if out.is_number}
        self.steps: dict[int, Mask] = {}
        for i, step in reversed(list(enumerate(flat.steps))):
            self._step(i, step)

    def is_active(self, name: Name) -> bool:
        """Does it depend on the inputs in a way that may have a derivative?"""
        return name in self._active

    def _step(self, i: int, step: Step) -> None:
        # Backward: a result reaches the program's results where any of its uses does.
        masks = [_union(self._uses[out]) if out in self._uses else None for out in step.outs]
        if all(mask is None for mask in masks):
            return
        given = [mask for mask in masks if mask is not None]
        self.steps[i] = given[0] if len(given) == 1 else _union([m if m.scalar else EVERYWHERE for m in given])
        for k, name in enumerate(step.ins):
            if name.is_number and self.is_active(name):
                self._uses.setdefault(name, []).append(_shallow(self._through(step, k, masks, self.steps[i])))

    def _through(self, step: Step, k: int, masks: list[Mask | None], whole: Mask) -> Mask:
        kind = step.kind
        if kind == "select_n":
            return _of_case(whole, step.ins[0], k - 1, k == 2 and step.ins[0] in self.implied)
        # The larger operand is what the result is made of, so the other one does not reach it.
        if kind in ("max", "min") and step.ins[0] is not step.ins[1]:
            return _fit(_extreme(whole, step, k), step.ins[k].aval.shape)
        if kind in ("reduce_max", "reduce_min"):
            return _greatest(whole, step)
        if kind == "mul" and self._is_weight(other := step.ins[1 - k]):
            whole = _by_weight(whole, other)
        if is_elementwise(step):
            return _fit(whole, step.ins[k].aval.shape)
        # One flag for the whole array fits any shape, but a slice leaves numbers out, which reach nothing.
        if whole.scalar and kind not in LEAVES_OUT:
            return whole
        if kind in KEEPS_ALL or kind in LEAVES_OUT:
            return _transpose(step, k, masks)
        return EVERYWHERE

    def _is_weight(self, other: Name) -> bool:
        """Does it depend on the arguments by the ways that they choose alone, and may it be 0?"""
        return not self.is_active(other) and not other.has_no_zero


def is_elementwise(step: Step) -> bool:
    """Is each number of its results made of the numbers in the same place? Custom rules are, whose programs are."""
    if step.eqn.primitive is not P.custom_jvp_call_p or step.kind in ELEMENTWISE:
        return step.kind in ELEMENTWISE
    # jnp.where and others arrive as custom rules or calls whose programs do nothing but elementwise operations.
    shapes = {name.aval.shape for name in (*step.ins, *step.outs)}
    return len(shapes) == 1 and not below(step.eqn, lambda eqn: eqn.primitive.name not in _PLAIN)


def _active(flat: Flat) -> set[Name]:
    # Booleans and integers carry no derivative, so what hangs on them alone is not active.
    active = {name for name in (*flat.ins, *flat.traced) if name.is_number}
    for step in flat.steps:
        if step.kind != "stop_gradient" and any(name in active for name in step.ins):
            active.update(out for out in step.outs if out.is_number)
    return active


def _shallow(mask: Mask) -> Mask:
    # Long chains, such as a loop that is written out, would make masks as long as the program.
    return mask if mask.depth <= DEEPEST else EVERYWHERE


def _union(masks: Sequence[Mask]) -> Mask:
    different = list(dict.fromkeys(_join_slices(masks)))
    if len(different) == 1:
        return different[0]
    # A bound, because each mask is computed when the program runs: beyond it, everywhere is the safe answer.
    if len(different) > WIDEST or EVERYWHERE in different:
        return EVERYWHERE

    def value(primal: Callable) -> Any:
        values = [mask.value(primal) for mask in different]
        return None if any(v is None for v in values) else _join(values)

    implied = all(mask.implied for mask in different)
    return Mask(value, different, all(mask.scalar for mask in different), implied=implied)


def _join_slices(masks: Sequence[Mask]) -> Sequence[Mask]:
    """Masks that are known now are joined now: x[:-1] and x[1:] together are all of x."""
    known = [mask.array for mask in masks if isinstance(mask, Static)]
    if len(known) < 2:
        return masks
    joined = _join(known)
    return [m for m in masks if not isinstance(m, Static)] + [EVERYWHERE if joined.all() else Static(joined)]


def _join(values: Sequence[Any]) -> Any:
    result = values[0]
    for value in values[1:]:
        result = result | value
    return result


def _both(one: Any, other: Any) -> Any:
    """What is not known in time is taken to hold."""
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _fit(whole: Mask, shape: tuple) -> Mask:
    """For an operand that is one number, or whose axes of length 1 are repeated."""
    if whole.scalar or (shape and 1 not in shape):
        return whole

    def value(primal: Callable) -> Any:
        # The operand is one number, or has axes that are repeated: it reaches the result if any of the places does.
        outside = whole.value(primal)
        if not shape or outside is None:
            return outside if outside is None else jnp.any(outside)
        repeated = [k for k, n in enumerate(np.shape(outside)) if n != 1 and shape[k] == 1]
        return jnp.any(outside, repeated, keepdims=True) if repeated else outside

    return Mask(value, (whole,), False)


def _of_case(whole: Mask, which: Name, case: int, holds: bool) -> Mask:
    def value(primal: Callable) -> Any:
        outside, chosen = whole.value(primal), primal(which)
        return _both(outside, None if chosen is None else chosen == np.asarray(case, which.aval.dtype))

    implied = holds and (whole is EVERYWHERE or whole.implied)
    return Mask(value, (whole,), whole.scalar and which.aval.ndim == 0, implied=implied)


def _extreme(whole: Mask, step: Step, k: int) -> Mask:
    """The greater or the smaller one; both where they are equal, or NaN."""
    this, other = step.ins[k], step.ins[1 - k]

    def value(primal: Callable) -> Any:
        outside, one, two = whole.value(primal), primal(this), primal(other)
        if one is None or two is None:
            return outside
        return _both(outside, ~(one < two if step.kind == "max" else one > two))

    return Mask(value, (whole,), whole.scalar and step.outs[0].aval.ndim == 0)


def _greatest(whole: Mask, step: Step) -> Mask:
    """The greatest or the smallest ones of an axis, or NaN."""
    (name,), (out,), axes = step.ins, step.outs, step.eqn.params["axes"]

    def value(primal: Callable) -> Any:
        outside, x, extreme = whole.value(primal), primal(name), primal(out)
        if x is None or extreme is None:
            return outside if whole.scalar else None
        chosen = ~(
            x < jnp.expand_dims(extreme, axes) if step.kind == "reduce_max" else x > jnp.expand_dims(extreme, axes)
        )
        return chosen if outside is None else chosen & (outside if whole.scalar else jnp.expand_dims(outside, axes))

    return Mask(value, (whole,), False)


def _by_weight(whole: Mask, weight: Name) -> Mask:
    def value(primal: Callable) -> Any:
        outside, factor = whole.value(primal), primal(weight)
        return _both(outside, None if factor is None else factor != np.zeros((), weight.aval.dtype))

    return Mask(value, (whole,), whole.scalar and weight.aval.ndim == 0, True)


def _transpose(step: Step, k: int, masks: list[Mask | None]) -> Mask:
    """Through a step that moves numbers, and adds some of them up."""
    used = [mask for mask in masks if mask is not None]
    everywhere = all(mask is EVERYWHERE for mask in masks)
    if everywhere and (step.kind in KEEPS_ALL or step.kind == "scatter-add"):
        return EVERYWHERE

    def value(primal: Callable) -> Any:
        values = [np.False_ if mask is None else mask.value(primal) for mask in masks]
        others = [None if name.is_number else primal(name) for name in step.ins]
        if any(v is None for v in values) or any(
            x is None and not n.is_number for x, n in zip(others, step.ins, strict=True)
        ):
            return None
        return _pulled_back(step, k, values, others)

    if step.kind == "slice" and everywhere and (static := _slice(step)) is not None:
        return static
    return Mask(value, used, False)


def _pulled_back(step: Step, k: int, values: list, others: list) -> Any:
    given = [
        jnp.zeros(name.aval.shape, name.aval.dtype) if x is None else x
        for name, x in zip(step.ins, others, strict=True)
    ]

    def moved(x: Any) -> list:
        return evaluate(step.eqn, [x if i == k else y for i, y in enumerate(given)])

    outs, pull = jax.vjp(moved, given[k])
    (found,) = pull([jnp.broadcast_to(v, out.shape).astype(out.dtype) for v, out in zip(values, outs, strict=True)])
    return found != jnp.zeros((), found.dtype)


def _slice(step: Step) -> Mask | None:
    """A slice that is known now: most often other slices take what it leaves out, which is seen at once."""
    (name,) = step.ins
    if name.aval.size > 4096:
        return None
    p = step.eqn.params
    found = np.zeros(name.aval.shape, bool)
    strides = p["strides"] or (1,) * found.ndim
    found[tuple(map(slice, p["start_indices"], p["limit_indices"], strides))] = True
    return EVERYWHERE if found.all() else Static(found)


class Static(Mask):
    """A mask that is known now."""

    def __init__(self, array: np.ndarray):
        super().__init__(lambda primal: array, (), False)
        self.array = array
