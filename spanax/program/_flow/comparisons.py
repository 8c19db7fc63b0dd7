"""Comparisons: with None, which a value may be on some ways, of objects that may be one and the same, and `in`."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._indexing.masked import Masked
from .._session import session, unliftable
from .._values import protocols, trees
from .._values.cells import linked, read
from .._values.objects import is_plain_object
from .._values.protocols import own_method
from .._values.settling import settle, settled_parts
from .._values.unsettled import may_be_none
from .._values.values import Array, Number, Value, as_jax, is_unknown
from .conditionals import truth


def is_none(value: Any) -> Any:
    """`value is None`, of what may be None as the arguments decide."""
    if may_be_none(value):
        return Number(~as_jax(value.defined), bool)
    return read(settle(value)) is None


def equals_none(value: Any) -> Any:
    """`value == None`: of an array, one answer for each entry."""
    value = value if may_be_none(value) and not _compares_itself(value.value) else read(settle(value))
    if isinstance(value, Array):
        return Array(np.zeros(value.shape, bool))
    return compared("Eq", value, None) if _compares_itself(value) else is_none(value)


def differs_from_none(value: Any) -> Any:
    """`value != None`."""
    equal = equals_none(value)
    return ~equal if isinstance(equal, Array) else not_(equal)


def _compares_itself(value: Any) -> bool:
    return isinstance(value, (Array, np.ndarray)) or own_method(value, "__eq__") is not None


def not_(value: Any) -> Any:
    chosen = truth(value)
    return not chosen if isinstance(chosen, bool) else Number(~chosen, bool)


def same(left: Any, right: Any) -> bool:
    """`left is right`."""
    if left is not right and _may_be_same(left, right):
        raise unliftable(
            "whether two names are of one object depends on the arguments",
            "a comparison of what they hold",
            "a number that says which one it is",
        )
    return left is right


def _may_be_same(x: Any, y: Any) -> bool:
    others = [*x.root.stands_for, *x.root.stand_ins] if isinstance(x, Array) else linked(x)
    return any(other is y for other in others)


def compared(op: str, left: Any, right: Any) -> Any:
    """`left op right`, of a comparison."""
    if op == "NotEq" and own_method(left, "__eq__") is not None and type(left).__ne__ is object.__ne__:
        return not_(compared("Eq", left, right))
    if type(left).__eq__ is object.__eq__ and is_plain_object(left):
        same(left, right)  # which is what it means
    return protocols.compared(op, settled_parts(left), settled_parts(right))


def contains(container: Any, x: Any) -> Any:
    """`x in container`."""
    container = settled_parts(container)
    if is_plain_object(x):
        for one in container if isinstance(container, (list, tuple, deque, dict, set)) else ():
            same(one, x)
    if isinstance(container, (Value, Masked)):
        return (container == x).any()
    if (method := own_method(container, "__contains__")) is not None:
        return session().rules.call(method, container, x)
    if is_unknown(x) or trees.has_unknown(container if isinstance(container, (list, tuple)) else ()):
        if isinstance(container, (list, tuple, range)):
            values = [as_jax(x) == as_jax(v) for v in container]
            return Number(jnp.any(jnp.stack(values)), bool) if values else False
        raise unliftable(
            f"a value that depends on the arguments is looked for in a {type(container).__name__}", "an array"
        )
    return x in container


COMPARED: dict[str, Callable] = {
    **{name: functools.partial(compared, name) for name in ("Eq", "NotEq", "Lt", "LtE", "Gt", "GtE")},
    "Is": same,
    "IsNot": lambda x, y: not same(x, y),
    "In": lambda x, container: contains(container, x),
    "NotIn": lambda x, container: not_(contains(container, x)),
}
