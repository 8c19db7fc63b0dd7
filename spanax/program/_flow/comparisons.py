"""Comparisons: with None, which a value may be on some paths, of objects that may be one and the same, and `in`."""

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
from .._values.cells import possible_aliases, read
from .._values.objects import is_plain_object
from .._values.protocols import own_method
from .._values.settling import settle, settle_parts
from .._values.unsettled import may_be_none
from .._values.values import LiftedArray, Number, Value, as_jax, is_unknown
from .conditionals import truth


def is_none(value: Any) -> Any:
    """`value is None`; a traced answer if the arguments decide."""
    if may_be_none(value):
        return Number(~as_jax(value.defined), bool)
    return read(settle(value)) is None


def equals_none(value: Any) -> Any:
    """`value == None`; for an array, one answer for each entry."""
    # An array compares each entry with None, also where it may be missing: only then must it be there.
    value = value if may_be_none(value) and not _compares_itself(value.value) else read(settle(value))
    if isinstance(value, LiftedArray):
        return LiftedArray(np.zeros(value.shape, bool))
    return compare_pair("Eq", value, None) if _compares_itself(value) else is_none(value)


def differs_from_none(value: Any) -> Any:
    """`value != None`."""
    equal = equals_none(value)
    return ~equal if isinstance(equal, LiftedArray) else not_(equal)


def _compares_itself(value: Any) -> bool:
    return isinstance(value, (LiftedArray, np.ndarray)) or own_method(value, "__eq__") is not None


def not_(value: Any) -> Any:
    chosen = truth(value)
    return not chosen if isinstance(chosen, bool) else Number(~chosen, bool)


def same(left: Any, right: Any) -> bool:
    """`left is right`."""
    # After a branch or a loop, one object stands for several: whether it is this one depends on the arguments, and Python's
    # `is` would say no.
    if left is not right and _may_be_same(left, right):
        raise unliftable(
            "whether two names are of one object depends on the arguments",
            "a comparison of what they hold",
            "a number that says which one it is",
        )
    return left is right


def _may_be_same(x: Any, y: Any) -> bool:
    others = [*x.root.stands_for, *x.root.stand_ins] if isinstance(x, LiftedArray) else possible_aliases(x)
    return any(other is y for other in others)


def compare_pair(op: str, left: Any, right: Any) -> Any:
    """`left op right`, for a comparison operator."""
    # As in Python, a class that says what is equal says what is not.
    if op == "NotEq" and own_method(left, "__eq__") is not None and type(left).__ne__ is object.__ne__:
        return not_(compare_pair("Eq", left, right))
    if type(left).__eq__ is object.__eq__ and is_plain_object(left):
        same(left, right)  # which is what it means
    return protocols.compare_operands(op, settle_parts(left), settle_parts(right))


def contains(container: Any, x: Any) -> Any:
    """`x in container`."""
    container = settle_parts(container)
    if is_plain_object(x) and isinstance(container, (list, tuple, deque, dict, set)):
        for one in container:
            same(one, x)  # an error where it may be the same object, as the arguments decide
    if isinstance(container, (Value, Masked)):
        return (container == x).any()
    if (method := own_method(container, "__contains__")) is not None:
        return session().rules.call(method, container, x)
    return _contains_number(container, x) if _is_compared_with_unknown(container, x) else x in container


def _is_compared_with_unknown(container: Any, x: Any) -> bool:
    return is_unknown(x) or (isinstance(container, (list, tuple)) and trees.has_unknown(container))


def _contains_number(container: Any, x: Any) -> Any:
    """Compares x with each element: in a set or a dictionary, Python would look for its hash, which is not known."""
    if not isinstance(container, (list, tuple, range)):
        problem = f"a value that depends on the arguments is looked for in a {type(container).__name__}"
        raise unliftable(problem, "an array")
    values = [as_jax(x) == as_jax(v) for v in container]
    return Number(jnp.any(jnp.stack(values)), bool) if values else False


COMPARISONS: dict[str, Callable] = {
    **{name: functools.partial(compare_pair, name) for name in ("Eq", "NotEq", "Lt", "LtE", "Gt", "GtE")},
    "Is": same,
    "IsNot": lambda x, y: not same(x, y),
    "In": lambda x, container: contains(container, x),
    "NotIn": lambda x, container: not_(contains(container, x)),
}
