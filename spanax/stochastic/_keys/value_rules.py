"""What each primitive makes of numbered values: the rules of value numbering.

An operation without a rule gives a new value, the same one for the same arguments where that can be told, of which nothing else
is known: its entries may repeat themselves, and be any key. `_INJECTIVE` names those that keep apart what was apart.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from ..._jaxprs import JaxprEqn, aval, jaxprs_in_params
from . import array_rules, index_rules, integer_rules, key_rules
from .array_parts import Value, condition_on
from .array_rules import has_axis
from .values import Values, is_key


def results(values: Values, eqn: JaxprEqn, ins: Sequence[Value]) -> list[Value]:
    """The results of an equation that holds no program."""
    if eqn.primitive.name in _COPIES:
        return list(ins[: len(eqn.outvars)])
    # A rule answers None where it knows nothing of these arguments.
    rule = RULES.get(eqn.primitive.name)
    out = rule(values, eqn, ins) if rule else None
    outs: list[Value] = _new_values(values, eqn, ins) if out is None else out if type(out) is list else [out]
    for k, (value, v) in enumerate(zip(outs, eqn.outvars, strict=True)):
        # Keys are compared by descent, not by their words; and an argument that is passed on has a recipe already.
        if not is_key(aval(v)) and all(value.number != x.number for x in ins):
            values.integers.folds(value, eqn, k, ins)
    return outs


def _new_values(values: Values, eqn: JaxprEqn, ins: Sequence[Value]) -> list[Value]:
    """The same ones for the same operation of the same arguments, where that can be told."""
    name, params = eqn.primitive.name, _hashable_params(eqn)
    # With an effect (a print, a write to a reference) the same operation need not give the same result twice.
    unique = bool(eqn.effects) or params is None
    shapes = [getattr(aval(v), "shape", ()) for v in eqn.outvars]
    determines = _determined_by_injection(values, ins) if name in _INJECTIVE else ()
    if unique:
        return [values.fresh(shape, ins, determines) for shape in shapes]
    outs = [values.of((name, params, k), ins, shape, determines) for k, shape in enumerate(shapes)]
    moved = _moved_arguments(eqn, ins)
    return [
        values.hold(x, *moved) if moved and _is_moved(eqn, v) else x for x, v in zip(outs, eqn.outvars, strict=True)
    ]


def _moved_arguments(eqn: JaxprEqn, ins: Sequence[Value]) -> list[Value]:
    """The arguments whose entries the results may have."""
    return [x for v, x in zip(eqn.invars, ins, strict=True) if eqn.primitive.name in _MOVES or is_key(aval(v))]


def _is_moved(eqn: JaxprEqn, out: Any) -> bool:
    """Are its entries some of the arguments'?"""
    if eqn.primitive.name in _MOVES:
        return True
    # A key that comes out of keys is one of them; but a program inside might have made a new one.
    return is_key(aval(out)) and not any(True for _ in jaxprs_in_params(eqn.params))


def _hashable_params(eqn: JaxprEqn) -> Hashable | None:
    params = tuple(eqn.params.items())
    try:
        hash(params)
    except TypeError:
        return None
    return params


def _determined_by_injection(values: Values, ins: Sequence[Value]):
    """What the result of an elementwise operation determines that is injective in each argument, the others given."""
    determines = frozenset()
    ins = [values.integers.with_table(x) for x in ins]
    for k, x in enumerate(ins):
        moving = frozenset().union(*(y.varies_with for j, y in enumerate(ins) if j != k))
        determines |= condition_on(x.determines, moving)
    return determines


def _sort(values, eqn, ins):
    """Along its one axis, each result has the entries of its argument."""
    moved = []
    for out, x in zip(_new_values(values, eqn, ins), map(values.integers.with_table, ins), strict=True):
        # Positions are lost. Of a single axis without repetitions, the result has none either.
        determines = frozenset(d for d in x.determines if not has_axis(d))
        if 0 in x.closure() and aval(eqn.invars[0]).ndim == 1:
            determines |= {(0, frozenset())}
        moved.append(values.hold(out, x)._replace(determines=determines))
    return moved


_COPIES = frozenset("copy copy_p optimization_barrier device_put sharding_constraint random_clone pvary".split())
_MOVES = frozenset("scatter dynamic_update_slice pad".split())  # their results are entries of their arguments
# Elementwise, and different results for different values of one argument, the others given. Not `add` of floats: it rounds.
_INJECTIVE = frozenset("xor not".split())
RULES = {**key_rules.RULES, **integer_rules.RULES, **array_rules.RULES, **index_rules.RULES, "sort": _sort}
