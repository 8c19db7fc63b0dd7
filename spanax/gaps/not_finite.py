"""The line that makes NaN or infinity, described."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from .._errors import SpanaxError
from .._jaxprs import ClosedJaxpr, JaxprEqn
from .._places import Place
from ._analysis.blame import Culprit, culprit
from ._analysis.operations import operation
from ._analysis.traced import Traced
from ._analysis.user_code import UserCode
from .report import NotFinite


def in_program(program: Traced) -> NotFinite | None:
    """In a traced program at its own arguments; None where all is finite."""
    if not program.is_concrete:
        raise SpanaxError("nan=True runs the program, and an argument is given by shape only", "arrays")
    return _describe(program.closed, program.leaves, program.others, program.place)


def in_function(f: Callable[..., Any], *leaves: Any) -> NotFinite | None:
    """The same, of a function of arrays in JAX."""
    return _describe(jax.make_jaxpr(f)(*leaves), leaves, (), ("", 0))


def _describe(closed: ClosedJaxpr, leaves: Sequence, others: Sequence, default: tuple[str, int]) -> NotFinite | None:
    found = culprit(closed, leaves, others)
    if found is None:
        return None
    of, who = found
    if who is None:
        return NotFinite(of, "nan", "an argument", *default, "", (), ("finite arguments",))
    name, place = _name(closed, who)
    where = (place.file, place.line, place.source) if place else (*default, "")
    return NotFinite(of, who.makes, name, *where, who.rounds, _remedies(of, name), place.function if place else "")


def _name(closed: ClosedJaxpr, who: Culprit) -> tuple[str, Place | None]:
    """By the innermost equation that has a line of the user's."""
    code = UserCode(closed.jaxpr)
    # From the inside out: the innermost equation may be a library's.
    for eqn in reversed(who.eqns):
        if (place := code.place(eqn)) is not None:
            return _operation(who.eqns[-1], place), place
    return _operation(who.eqns[-1], None), None


_WORDS = {
    "div": "division",
    "pow": "power",
    "integer_pow": "power",
    "mul": "product",
    "add": "sum",
    "sub": "difference",
    "sqrt": "sqrt",
    "acos": "arccos",
    "asin": "arcsin",
    "acosh": "arccosh",
    "atanh": "arctanh",
    "atan2": "arctan2",
}


def _operation(eqn: JaxprEqn, place: Place | None) -> str:
    return _WORDS.get(eqn.primitive.name) or operation([eqn], place, eqn, "zero")


# Each remedy is one that keeps the value where it is finite; a small number inside the root changes it by its own
# square root at most.
_ROOTS = frozenset("sqrt rsqrt cbrt power norm".split())
_ARCS = frozenset("arccos arcsin arccosh arctanh".split())


def _remedies(of: str, name: str) -> tuple[str, ...]:
    guard = "np.where(x > 0, f(np.where(x > 0, x, 1.0)), 0.0): a harmless argument where it is not chosen"
    # A value that is not finite is a fault of the program, not of its derivative: no rewriting of the derivative
    # helps.
    if of == "value":
        return ("a test before it, or np.where on its argument", "other arguments")
    if name in _ROOTS:
        return ("the square in its place, where that will do", "sqrt(x + 1e-12): rounded off at 0", guard)
    if name in _ARCS:
        return ("np.arctan2(opposite, adjacent), which is smooth there", "arguments inside the domain, by np.clip")
    if name in ("log", "division"):
        return (guard, "a small number added to its argument")
    return ("np.where around its argument as well, so that what is not chosen is harmless", "other arguments")
