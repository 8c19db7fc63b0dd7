"""The value-numbering rules of integers that count: sums, multiples, comparisons and changes of their type."""

from __future__ import annotations

import numpy as np

from ..._jaxprs import JaxprEqn, aval
from .array_parts import Value
from .counts import Linear, Term
from .values import Values


def _as_count(values: Values, linear: Linear, eqn: JaxprEqn) -> Value | None:
    """The sum as a value; None where its type would wrap around, and it would not be that sum."""
    fits = linear.fits(np.dtype(aval(eqn.outvars[0]).dtype))
    return values.count(linear, aval(eqn.outvars[0]).shape) if fits else None


def convert(values, eqn, ins):
    old, new = (np.dtype(aval(v).dtype) for v in (eqn.invars[0], eqn.outvars[0]))
    if old == new:
        return ins[0]
    if old.kind in "biu" and new.kind in "iu":
        linear = values.integers.as_linear(ins[0], old)
        if linear is not None and linear.fits(new):
            return _as_count(values, linear, eqn)
        if new.itemsize >= old.itemsize:  # a wider type keeps different numbers different
            return values.of(("convert", str(new)), ins, aval(eqn.outvars[0]).shape, ins[0].determines)
    return None


def bitcast(values, eqn, ins):
    """There and back it is the same."""
    old, new = (aval(v).dtype for v in (eqn.invars[0], eqn.outvars[0]))
    # A key's words as floats and back: raw keys take that way through some loops.
    if (before := values.bitcast_of(ins[0])) is not None and before[0] == str(new):
        return before[1]
    if old.itemsize != new.itemsize:
        return None
    return values.of(("bitcast", str(old), str(new)), ins, aval(eqn.outvars[0]).shape, ins[0].determines)


def iota(values, eqn, ins):
    shape, axis = aval(eqn.outvars[0]).shape, eqn.params["dimension"]
    if aval(eqn.outvars[0]).dtype.kind not in "iu":
        return None
    return _as_count(values, Linear(0, frozenset([Term(axis, 1, shape[axis])] if shape[axis] > 1 else [])), eqn)


def arithmetic(values, eqn, ins):
    """Sums of what is counted, and multiples of it."""
    dtype, name = np.dtype(aval(eqn.outvars[0]).dtype), eqn.primitive.name
    if dtype.kind not in "iu":
        return None
    # Of `neg` both are its one argument.
    a, b = (values.integers.as_linear(x, dtype) for x in (ins[0], ins[-1]))
    if a is None or b is None:
        return None
    result = _multiple(a, b) if name == "mul" else _SUMS[name](a, b)
    return None if result is None else _as_count(values, result, eqn)


def _multiple(a: Linear, b: Linear) -> Linear | None:
    if a.terms and b.terms:  # not linear
        return None
    return a.times(b.offset) if not b.terms else b.times(a.offset)


_SUMS = {
    "add": lambda a, b: a.plus(b),
    "sub": lambda a, b: a.plus(b, -1),
    "neg": lambda a, _: a.times(-1),
}


def compare(values, eqn, ins):
    """Known where one side is below the other."""
    # Only from what is known already: `lt` also guards every negative index, and computing tables for it would cost more.
    a, b = (values.integers.values(x, computed=False) for x in ins)
    if not a or not b:
        return None
    # Values are sorted, so their ends are the least and the greatest.
    less = a[-1] < b[0]
    if less or a[0] >= b[-1]:
        return values.count(Linear(int(less)), aval(eqn.outvars[0]).shape)
    return None


RULES = {
    "convert_element_type": convert,
    "bitcast_convert_type": bitcast,
    "iota": iota,
    "add": arithmetic,
    "sub": arithmetic,
    "mul": arithmetic,
    "neg": arithmetic,
    "lt": compare,
}
