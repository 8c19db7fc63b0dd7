"""Python's built-in functions on values of a lifted program: of containers, classes and attributes. CALLS has the rules for all.

Functions that make a container register it with the session (`born`), so that enclosing branches and loops know that it is the
program's own and younger than they are. Functions that go through an iterable use `list_items`, which knows stacked items.
"""

from __future__ import annotations

import builtins
import copy
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .._flow.conditionals import truth
from .._flow.consuming import CHANGING
from .._flow.iterables import backwards, enumerate_items, items_of, range_of, zip_items
from .._indexing.masked import Masked
from .._session import session, unliftable
from .._values.cells import set_attribute, set_plainly
from .._values.protocols import deep_copy, own_method, replace_fields
from .._values.text import Text, call_at_run_time, text_of
from .._values.values import Composite, LiftedArray, Number, Value
from .bisecting import BISECTING
from .mathematics import MATHEMATICS
from .numbers import NUMBERS, list_items


def type_of(x: Any) -> type:
    """The class that a value stands for. The program's `type(x)` must not return one of ours."""
    if isinstance(x, (LiftedArray, Composite)):
        return getattr(x, "kind", np.ndarray)
    if isinstance(x, Number):
        return x.declared or x.python or x.dtype.type
    return str if isinstance(x, Text) else type(x)


def _isinstance(x: Any, kinds: Any) -> bool:
    return issubclass(type_of(x), kinds) if isinstance(x, (Value, Composite, Text)) else isinstance(x, kinds)


def _type(*args: Any) -> Any:
    return type_of(*args) if len(args) == 1 else type(*args)


def _print(*args: Any, **kwargs: Any) -> None:
    # Deferred until the program runs, to print the numbers of that run.
    call_at_run_time(print, args, kwargs)


def _list(iterable: Any = ()) -> list:
    return session().note_new(list_items(iterable))


def _tuple(iterable: Any = ()) -> tuple:
    return tuple(list_items(iterable))


def _set(iterable: Any = ()) -> set:
    return session().note_new(set(list_items(iterable)))


def _dict(*args: Any, **kwargs: Any) -> dict:
    return session().note_new(dict(*args, **kwargs))


def _map(function: Callable, *iterables: Any) -> list:
    # Now, not lazily as in Python: an iterator would call the function later, perhaps inside another branch.
    call = session().rules.call
    return session().note_new([call(function, *items) for items in zip(*map(list_items, iterables), strict=False)])


def _filter(function: Callable | None, iterable: Any) -> list:
    call = session().rules.call
    kept = []
    for value in list_items(iterable):
        chosen = truth(value if function is None else call(function, value))
        # The length of the result would depend on the arguments.
        if not isinstance(chosen, bool):
            raise unliftable("filter() by a condition that depends on the arguments", "sums by weights, or np.where")
        if chosen:
            kept.append(value)
    return session().note_new(kept)


def _reduce(function: Callable, iterable: Any, *initial: Any) -> Any:
    call = session().rules.call
    return functools.reduce(lambda x, y: call(function, x, y), list_items(iterable), *initial)


def _len(x: Any) -> Any:
    if (method := own_method(x, "__len__")) is not None:
        return session().rules.call(method, x)
    return x.length if isinstance(x, Masked) else len(x)


def _getattr(owner: Any, name: str, *default: Any) -> Any:
    return session().rules.attribute(owner, name, *default)


def _iter(x: Any, *sentinel: Any) -> Any:
    return session().note_new(iter(list_items(x)) if not sentinel and items_of(x) is not None else iter(x, *sentinel))


def _str(x: Any = "") -> Any:
    return text_of(x)


def _hasattr(owner: Any, name: str) -> bool:
    # NumPy's class is asked, not the stand-in, whose `__getattr__` raises another error for methods that are not lifted.
    if not isinstance(owner, Value):
        return hasattr(owner, name)
    return hasattr(np.ndarray if isinstance(owner, LiftedArray) else type_of(owner), name)


CALLS: dict[Any, Callable] = {
    **NUMBERS,
    **MATHEMATICS,
    **CHANGING,
    **BISECTING,  # after CHANGING, whose rules for insort take known numbers only
    str: _str,
    print: _print,
    isinstance: _isinstance,
    type: _type,
    list: _list,
    tuple: _tuple,
    set: _set,
    dict: _dict,
    map: _map,
    filter: _filter,
    functools.reduce: _reduce,
    len: _len,
    range: range_of,
    enumerate: enumerate_items,
    zip: zip_items,
    reversed: backwards,
    iter: _iter,
    getattr: _getattr,
    setattr: set_attribute,
    hasattr: _hasattr,
    object.__setattr__: set_plainly,
    copy.deepcopy: deep_copy,
    dataclasses.replace: replace_fields,
}
# These pass items on, or settle them one by one, so an item may be None on some branches. All others compute with their
# arguments, which therefore must have values.
PASSING = {
    *(list, tuple, dict, zip, enumerate, reversed, iter, len, map, filter, any, all, type, isinstance, callable),
    *(getattr, setattr, hasattr, object.__setattr__, functools.reduce, copy.deepcopy, dataclasses.replace, *CHANGING),
}
# Side effects would happen once, while the program is traced, and not when it runs.
REFUSED: dict[Any, str] = {
    **dict.fromkeys((np.loadtxt, np.genfromtxt, np.load, np.fromfile), "reads a file"),
    **dict.fromkeys((np.save, np.savez, np.savetxt), "writes a file"),
    open: "opens a file",
    input: "reads from the terminal",
    builtins.compile: "compiles code",
}
