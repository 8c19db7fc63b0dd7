"""What the user would call the operation at a gap."""

from __future__ import annotations

import functools
import importlib
import os
import re
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from ..._jaxprs import JaxprEqn, below
from ..._places import JAX, SPANAX, Place, consumes_randomness, draw_name
from ..._steps import is_step
from ..report import Kind

_HARD = os.path.join(SPANAX, "hard") + os.sep

COMPARISONS = frozenset("eq ne lt le gt ge lt_to le_to".split())
CALLBACKS = frozenset("pure_callback io_callback python_callback".split())
_PLAIN = {
    "while": "while loop",
    "custom_jvp_call": "custom_jvp rule",
    "custom_vjp_call": "custom_vjp rule",
    "custom_vjp_call_jaxpr": "custom_vjp rule",
}
_OPERATORS = {
    "floordiv": "floor division",
    "mod": "remainder",
    "and": "logical and",
    "or": "logical or",
    "xor": "logical xor",
    "invert": "logical not",
}


_BY_KIND = {"forward-only": "while loop", "intended": "stop_gradient"}


def operation(eqns: Sequence[JaxprEqn], place: Place | None, culprit: JaxprEqn, kind: Kind) -> str:
    """What the user would call the operation that these equations make up; `culprit` is the one that cuts."""
    if kind in _BY_KIND:
        return _BY_KIND[kind]
    if place and consumes_randomness(eqns) and (name := draw_name(place, eqns)):
        return f"{name} draw"
    if culprit.primitive.name in CALLBACKS:
        return "host callback"
    # The outermost library function is what the user called; sx.hard's own functions call each other.
    if place and place.through and place.through[0][0].startswith(_HARD):
        return f"hard.{place.through[0][1]}"
    if name := _library_name(place, eqns):
        return name
    return primitive_name(below(culprit, is_step) or culprit)


def _library_name(place: Place | None, eqns: Sequence[JaxprEqn]) -> str | None:
    """The public function of JAX that the user called, or the operator."""
    names = [function for file, function in place.through if file.startswith(JAX)] if place else []
    names += [str(e.params["name"]) for e in eqns if e.primitive.name == "jit"]
    # From the outside inwards: the first name that a user could have written is what they wrote.
    for function in map(_plain_name, names):
        if (operator := _operator(function)) is not None:
            return operator
        if function == "astype" or function in _comparison_names():
            return None
        if function in _public_names():
            return function
    return None


def _operator(function: str) -> str | None:
    """Of the methods behind +, //, % and the like."""
    match = re.search(r"_operator_r?(\w+)$", function)
    return _OPERATORS.get(match[1]) if match else None


def _plain_name(function: str) -> str:
    return function if "_operator_" in function else function.strip("_")


@functools.cache
def _comparison_names() -> frozenset[str]:
    return frozenset("equal not_equal less less_equal greater greater_equal eq ne lt le gt ge".split())


_SCIPY = "special linalg signal stats ndimage interpolate integrate fft".split()


def _scipy(name: str) -> object:
    return importlib.import_module(f"jax.scipy.{name}")


_NOT_STEPS = frozenset("asarray cond switch scan while_loop fori_loop map".split())


@functools.cache
def _public_names() -> frozenset[str]:
    places = (jnp, jax.nn, jnp.linalg, jnp.fft, jax.lax, *map(_scipy, _SCIPY))
    return (
        frozenset(n for p in places for n in dir(p) if not n.startswith("_") and callable(getattr(p, n))) - _NOT_STEPS
    )


def primitive_name(eqn: JaxprEqn) -> str:
    name = eqn.primitive.name
    if name in COMPARISONS:
        return "comparison"
    if name == "convert_element_type":
        return f"cast to {eqn.params['new_dtype']}"
    if name == "jit":
        return str(eqn.params["name"]).strip("_")
    return _PLAIN.get(name, name)
