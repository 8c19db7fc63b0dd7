"""Names without a value, or with one on some paths only: where they may live, and how they are read.

Names, attributes and containers may hold such a thing, and the program's own functions may be given it and return it. Whatever
computes asks for the value first: `require_value`, of what may hold it `settling.settle_parts`. It refuses everything
itself, so that code that does not ask (such as a generator, which is not lifted) fails.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from .._session import session, unliftable
from .values import as_jax


class Unsettled:
    """Something that is not a value (yet)."""

    __slots__ = ()

    @property
    def problem(self) -> str:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self._refusal()

    def _refusal(self) -> Exception:
        return unliftable(f"{self.problem}, and met code that is not lifted, such as a generator", *_REMEDIES)

    # A container that holds one may be copied: copying is handing on.
    def __copy__(self) -> Unsettled:
        return self

    def __deepcopy__(self, memo: dict) -> Unsettled:
        return self


_REMEDIES = "a value on all paths", "plain functions and loops instead of the generator"


def _refuse(self: Unsettled, *args: Any, **kwargs: Any) -> Any:
    raise self._refusal()


# Each special method of Python refuses: one that is missing here would be looked up in vain, and give some other error or,
# as for `bool`, a silent answer.
_METHODS = (
    "bool eq ne lt le gt ge hash str repr format bytes iter len reversed contains getitem setitem delitem call enter exit "
    "int float complex index round trunc floor ceil neg pos abs invert array array_ufunc array_function jax_array"
).split()
_OPERATORS = "add sub mul truediv floordiv mod divmod pow matmul and or xor lshift rshift".split()
for _name in (*_METHODS, *(prefix + name for name in _OPERATORS for prefix in ("", "r", "i"))):
    setattr(Unsettled, f"__{_name}__", _refuse)


class Undefined(Unsettled):
    """The value of a name that is not assigned (yet)."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    @property
    def problem(self) -> str:
        return f"{display_name(self.name)} is not assigned"


class Unusable(Unsettled):
    """The value of a name whose values on the paths have no common form; reading it is the error."""

    __slots__ = ("_problem", "remedies")

    def __init__(self, problem: str, *remedies: str):
        self._problem = problem
        self.remedies = remedies or ("the same kind of value on all paths", "np.where instead of `if`")

    @property
    def problem(self) -> str:
        return self._problem


class Partial(Unsettled):
    """A value that exists only where the traced `defined` holds; elsewhere it is `absent`: None, or not assigned."""

    __slots__ = ("absent", "defined", "name", "value")

    def __init__(self, value: Any, defined: Any, absent: Undefined | None, name: str):
        self.value, self.defined, self.absent, self.name = value, defined, absent, name

    @property
    def problem(self) -> str:
        return f"{display_name(self.name)} may be {'None' if self.absent is None else 'not assigned'}, as the arguments decide"

    def or_none(self) -> Partial:
        """The same, but None where it is not assigned: the result of a function that may end without a value."""
        return Partial(self.value, self.defined, None, self.name)

    def __deepcopy__(self, memo: dict) -> Partial:
        return Partial(copy.deepcopy(self.value, memo), self.defined, self.absent, self.name)


def may_be_none(value: Any) -> bool:
    """Is it None on some paths, and a value on others?"""
    return isinstance(value, Partial) and value.absent is None


def display_name(name: str) -> str:
    """The name as the program's author knows it."""
    return "the returned value" if name.startswith("_sx_") else name


def require_value(value: Any, where: Callable[[], str]) -> Any:
    """The value of what is read; raises, or checks when the program runs, if it is missing."""
    # A value that may be missing may hold one that may be missing, from an `if` inside another.
    while isinstance(value, Unsettled):
        value = _require_once(value, where)
    return value


def _require_once(value: Unsettled, where: Callable[[], str]) -> Any:
    if isinstance(value, Undefined):
        raise UnboundLocalError(f"{value.name} is read before it is assigned")
    if isinstance(value, Unusable):
        raise unliftable(value.problem, *value.remedies)
    # Whether it is missing is known only when the program runs: the value is used, and the flag checked then.
    assert isinstance(value, Partial)
    what = "None" if value.absent is None else "not assigned"
    named = value.name.isidentifier() and not value.name.startswith("_sx_")
    test = f"`if {value.name} is not None`" if named else "a test of it, `is not None`"
    remedies = "a value before the `if` or the loop", f"{test}, where it may be None"
    session().check(
        ~as_jax(value.defined), f"{display_name(value.name)} is used where it is {what}", where(), *remedies
    )
    return value.value
