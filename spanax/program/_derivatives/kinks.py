"""Roots of sums of squares at 0, where a norm has its kink, and squares of roots.

A norm has no derivative at 0: it has the slope 0 there, in the middle of those around it, and no second derivative:
that is NaN. `np.sqrt(x)` at 0 keeps its infinite slope. A root that is squared is what it is the root of, derivatives and all.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..._jaxprs import is_traced
from .flat import Flat, Name, Step

# Steps back from a root, at the most.
FURTHEST = 40
_PASSED = frozenset(
    "reshape squeeze expand_dims broadcast_in_dim transpose rev slice convert_element_type copy copy_p".split()
)
_OF_WEIGHTS = _PASSED | frozenset("select_n reduce_sum max add mul div".split())
_ADDED = frozenset("reduce_sum reduce_max cumsum dynamic_slice gather".split())


class Orders:
    """How fast values that are sums of powers vanish, where they are 0: as the n-th power of what they are made of.

    0 for a value of which that is not known.
    """

    def __init__(self, flat: Flat, is_active: Callable[[Name], bool]):
        self._flat, self._is_active = flat, is_active
        self._found: dict[Name, float] = {}

    def of(self, name: Name, further: int = FURTHEST) -> float:
        name = self._constant(name)
        if name.known is not None:
            return np.inf if _holds(name, lambda x: x >= 0) else 0.0
        # Each name is looked at once, and not farther back than FURTHEST steps, so the cost is bounded.
        if name not in self._found:
            step = self._flat.makers.get(name)
            self._found[name] = self._of_step(step, further) if step is not None and further else 0.0
        return self._found[name]

    def _base(self, name: Name, further: int) -> float:
        """1 for a number of either sign, which is as smooth as it may be."""
        return self.of(name, further) or 1.0

    def _of_step(self, step: Step, further: int) -> float:
        """By the operation that made it: powers multiply, a sum vanishes as slowly as its slowest term."""
        if (found := root_of_square(step, self._flat)) is not None:
            return self.of(found[0], further - 1) * found[1] / 2
        rule = _ORDERS.get(step.kind)
        return rule(self, step, further - 1) if rule is not None else 0.0

    def _of_power(self, step: Step, further: int) -> float:
        (base,) = step.ins[:1]
        power = {"square": 2, "abs": 1}.get(step.kind) or step.inner.params["y"]
        if not base.is_number or power <= 0:
            return 0.0
        # An even power of a real number is a sum of squares by itself; of an odd one, only if its base is.
        even = step.kind == "abs" or (power % 2 == 0 and not _is_complex(base))
        return power * (self._base(base, further) if even else self.of(base, further))

    def _of_product(self, step: Step, further: int) -> float:
        first, second = step.ins
        if step.kind == "mul" and self._flat.are_same(first, second) and not _is_complex(first):
            return 2 * self._base(first, further)
        # A weight that is nowhere negative, and does not depend on the arguments, changes no order.
        if self._is_weight(second):
            return self.of(first, further)
        return self.of(second, further) if step.kind == "mul" and self._is_weight(first) else 0.0

    def _of_dot(self, step: Step, further: int) -> float:
        squares = self._flat.are_same(*step.ins) and _is_of_squares(step)
        return 2 * self._base(step.ins[0], further) if squares else 0.0

    def _of_sum(self, step: Step, further: int) -> float:
        return min(self.of(name, further) for name in step.ins)

    def _of_first(self, step: Step, further: int) -> float:
        return self.of(step.ins[0], further)

    def _of_selection(self, step: Step, further: int) -> float:
        # NaN marks what is outside of a domain, and is never the case where the value is 0.
        cases = (case for case in step.ins[1:] if not _holds(self._constant(case), np.isnan))
        return min((self.of(case, further) for case in cases), default=0.0)

    def _of_root(self, step: Step, further: int) -> float:
        return self.of(step.ins[0], further) * root_power(step)

    def _of_real_part(self, step: Step, further: int) -> float:
        return self._of_modulus(step.ins[0], further)

    def _is_weight(self, name: Name, further: int = 6) -> bool:
        """Is it nowhere negative and no function of the arguments: known numbers, what was true or false, counts?"""
        name = self._constant(name)
        if (known := self._number(name)) is not None:
            return not np.any(known < 0)
        step = self._flat.makers.get(name)
        # What depends on the arguments in a differentiable way is not a weight, whatever its sign.
        if self._is_active(name) or step is None or not further:
            return False
        if name.aval.dtype == bool:
            return True
        if step.kind == "sub":  # the freedom of a variance
            return bool(np.all(self._number(step.ins[1]) == 0)) and self._is_weight(step.ins[0], further - 1)
        cases = step.ins[1:] if step.kind == "select_n" else step.ins
        return step.kind in _OF_WEIGHTS and all(self._is_weight(case, further - 1) for case in cases)

    def _number(self, name: Name) -> np.ndarray | None:
        """A known real number, or the difference of two."""
        name = self._constant(name)
        if name.known is not None:
            return _as_real(name.known)
        step = self._flat.makers.get(name)
        if step is None or step.kind != "sub" or any(n.known is None for n in map(self._constant, step.ins)):
            return None
        one, other = map(self._number, step.ins)
        return None if one is None or other is None else one - other

    def _constant(self, name: Name) -> Name:
        """What a constant is that is only brought into form."""
        # Weights arrive broadcast and cast, as constants of a program do.
        while (step := self._flat.makers.get(name)) is not None and step.kind in (
            "convert_element_type",
            "broadcast_in_dim",
        ):
            name = step.ins[0]
        return name

    def _of_modulus(self, product: Name, further: int) -> float:
        """Of the real part of z times its conjugate."""
        step = self._flat.makers.get(product)
        if step is None or step.kind != "mul":
            return 0.0
        for z, other in (step.ins, step.ins[::-1]):
            maker = self._flat.makers.get(other)
            if maker is not None and maker.kind == "conj" and self._flat.are_same(maker.ins[0], z):
                return 2 * self._base(z, further)
        return 0.0


_ORDERS: dict[str, Callable[[Orders, Step, int], float]] = {
    **dict.fromkeys(("square", "integer_pow", "abs"), Orders._of_power),
    **dict.fromkeys(("mul", "div"), Orders._of_product),
    **dict.fromkeys(("add", "concatenate", "stack"), Orders._of_sum),
    **dict.fromkeys(_PASSED | _ADDED, Orders._of_first),
    **dict.fromkeys(("sqrt", "pow"), Orders._of_root),
    "dot_general": Orders._of_dot,
    "real": Orders._of_real_part,
    "select_n": Orders._of_selection,
}


def _as_real(known: Any) -> np.ndarray | None:
    array = None if is_traced(known) else np.asarray(known)
    return array if array is not None and array.dtype.kind in "biuf" else None


def _is_complex(name: Name) -> bool:
    return jnp.issubdtype(name.aval.dtype, jnp.complexfloating)


def _holds(name: Name, test: Callable[[np.ndarray], Any]) -> bool:
    """Is it a constant of which that is so throughout?"""
    if name.known is None or is_traced(name.known) or not name.is_number or _is_complex(name):
        return False
    return bool(np.all(test(np.asarray(name.known))))


def _is_of_squares(step: Step) -> bool:
    """Of a product of an array with itself: is each number multiplied with itself alone?"""
    (one, other), (batch, batch_other) = step.eqn.params["dimension_numbers"]
    # Contracted or batched: then each number meets itself, and no other one.
    all_axes = len(one) + len(batch) == step.ins[0].aval.ndim
    return (
        all_axes and tuple(one) == tuple(other) and tuple(batch) == tuple(batch_other) and not _is_complex(step.ins[0])
    )


def root_power(step: Step) -> float:
    """The exponent of a root or a power; 0 where it is not known, or negative."""
    if step.kind == "sqrt":
        return 0.5
    known = step.ins[1].known if step.kind == "pow" else None
    if known is None or np.ndim(known) or not isinstance(known, (float, int, np.ndarray, np.generic)):
        return 0.0
    return max(float(known), 0.0)


@functools.cache
def root(power: float) -> Callable[[jax.Array], Any]:
    """s**power of a sum of squares s, for 0 < power < 1: with the slope 0 at 0, and outside of its domain."""

    def raised(s: jax.Array, by: float) -> jax.Array:
        return lax.pow(s, jnp.asarray(by, s.dtype))

    @jax.custom_jvp
    def slope(s: jax.Array) -> jax.Array:
        # The true slope away from 0, infinite at 0 before the selection replaces it.
        found = 0.5 / lax.sqrt(s) if power == 0.5 else power * raised(s, power - 1)
        return lax.select(s > 0, found, jnp.zeros_like(s))

    @slope.defjvp
    def slope_derivative(primals: tuple, tangents: tuple) -> tuple:
        (s,), (t,) = primals, tangents
        # A harmless argument where the result is not used: a selection alone would not keep NaN out of the
        # derivative.
        safe = lax.select(s > 0, s, jnp.ones_like(s))
        second = lax.select(s > 0, power * (power - 1) * raised(safe, power - 2), jnp.zeros_like(s))
        return slope(s), lax.select(s == 0, jnp.full_like(s, np.nan), second) * t

    @jax.custom_jvp
    def run(s: jax.Array) -> jax.Array:
        return lax.sqrt(s) if power == 0.5 else raised(s, power)

    @run.defjvp
    def derivative(primals: tuple, tangents: tuple) -> tuple:
        return run(*primals), slope(*primals) * tangents[0]

    return run


def squared_root(s: jax.Array, power: int) -> jax.Array:
    """sqrt(s)**power, for an even power."""
    return lax.select(s < 0, jnp.full_like(s, np.nan), lax.integer_pow(s, power // 2))


def _whole_power(step: Step, flat: Flat) -> int:
    """n of x**n, however it is written; 0 for anything else."""
    if step.kind == "integer_pow":
        return step.inner.params["y"]
    return 2 if step.kind == "square" or (step.kind == "mul" and flat.are_same(*step.ins)) else 0


def root_of_square(step: Step, flat: Flat) -> tuple[Name, int] | None:
    """(s, n) where the step is sqrt(s)**n with an even n."""
    power = _whole_power(step, flat)
    maker = flat.makers.get(step.ins[0]) if step.ins else None
    if maker is None or maker.kind != "sqrt" or power <= 0 or power % 2 or _is_complex(step.ins[0]):
        return None
    return maker.ins[0], power
