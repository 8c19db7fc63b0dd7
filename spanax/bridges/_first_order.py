"""A value with a stated first derivative, and a loud refusal of a second one."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array

from .._primitives import undifferentiated


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def first_order(slope: Callable[[Any, Array], Array], name: str, value: Array, at: Any, x: Array) -> Array:
    """`value`, whose tangent gains `slope(at, dx)`.

    `slope` is a module-level function, linear in `dx`. Differentiating through `at` (a second derivative) raises
    `SpanaxError`: the estimators built on this are not right there.
    """
    return value


@first_order.defjvp
def _jvp(slope, name, primals, tangents):
    value, at, _ = primals
    dvalue, _, dx = tangents
    at = undifferentiated(
        at,
        f"a second derivative through {name}, which has only a first one",
        "ScoreFunction(), LeaveOneOut() or Enumerate(): they are right at every order",
        "Pathwise() or GumbelSoftmax(), where they apply",
    )
    return value, dvalue + slope(at, dx)
