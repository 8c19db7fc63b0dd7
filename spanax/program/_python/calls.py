"""Calls inside a lifted program: functions with source are lifted in turn, those of NumPy and Python have counterparts here.

Which it is, is asked in this order: a rule of our own; a call with a meaning of its own (a partial, a log, a draw); a method of a
container or a text; a class; a function of the program; and last one of others (`libraries`).
"""

from __future__ import annotations

import functools
import types
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from .. import _scipy
from .._numpy.functions import RULES, apply
from .._numpy.polynomials import Poly1d
from .._numpy.random import GENERATORS, random_rule
from .._numpy.vectorized import call_vectorized
from .._rewrite.compile import is_lifted
from .._session import session, unliftable
from .._values.cells import set_plainly
from .._values.protocols import make_dataclass, own_method
from .._values.settling import settle, settle_parts, settle_within
from .._values.text import call_at_run_time, is_log
from . import libraries
from .builtins import CALLS, PASSING, REFUSED
from .container_methods import container_method, text_method
from .libraries import LIBRARIES, NUMPY_SERIES, is_of_jax, is_of_library, is_standard, lift_function, top_module


def call(function: Any, *args: Any, **kwargs: Any) -> Any:
    """`function(*args, **kwargs)`, which is a value."""
    return settle(call_unread(function, *args, **kwargs))


def call_unread(function: Any, *args: Any, **kwargs: Any) -> Any:
    """`function(*args, **kwargs)`, which may be None on some branches, as may be the arguments."""
    if (method := own_method(function, "__call__")) is not None:
        return call_unread(method, function, *args, **kwargs)
    try:
        rule, is_numpys, computes = CALLS.get(function), function in RULES, function not in PASSING
    except TypeError:  # not hashable
        rule, is_numpys, computes = None, False, True
    if rule is not None or is_numpys:
        args, kwargs = settle_parts((args, kwargs)) if computes else (tuple(map(settle, args)), kwargs)
        # Objects have their own ways to be text, which are not lifted: what they may read has a value.
        if function in (str, print):
            args = settle_within(args)
        return apply(function, args, kwargs) if rule is None else rule(*args, **kwargs)
    return _dispatch(function, args, kwargs)


def start(function: Callable, args: tuple, kwargs: dict) -> Any:
    """The call of the whole program: its own function is lifted wherever it comes from."""
    # Called by the user, not by the program: no hook of a lifted function is around, and so no rule is asked.
    while isinstance(function, functools.partial):
        args, kwargs = (*function.args, *args), {**function.keywords, **kwargs}
        function = function.func
    if isinstance(function, types.MethodType):
        return lift_function(function.__func__)(function.__self__, *args, **kwargs)
    if isinstance(function, types.FunctionType) and not is_of_jax(function):
        return lift_function(function)(*args, **kwargs)
    return call(function, *args, **kwargs)


def _dispatch(function: Any, args: tuple, kwargs: dict) -> Any:
    if not _hands_on(function):
        args, kwargs = settle_within((args, kwargs))
    if isinstance(function, np.vectorize):
        return call_vectorized(function, args, kwargs)
    # NumPy's own poly1d, made outside, evaluates itself; ours does so by operations that have rules.
    if isinstance(function, (np.poly1d, Poly1d)):
        return Poly1d(function)(*args)
    if isinstance(function, functools.partial):
        return call_unread(function.func, *function.args, *args, **{**function.keywords, **kwargs})
    if is_log(function):
        return call_at_run_time(function, args, kwargs)
    if (rule := random_rule(function)) is not None:
        return rule(function, args, kwargs)
    _refuse_effects(function)
    return _call_by_kind(function, args, kwargs)


def _hands_on(function: Any) -> bool:
    """May its arguments be None on some branches: does it ask in turn, or only keep them?"""
    owner = getattr(function, "__self__", None)
    if is_log(function) or isinstance(owner, GENERATORS):
        return False
    kinds = functools.partial, types.MethodType, types.FunctionType, type
    return isinstance(function, kinds) or isinstance(owner, (list, dict, set, deque))


def _refuse_effects(function: Any) -> None:
    try:
        effect = REFUSED.get(function)
    except TypeError:  # not hashable
        return
    if effect is not None:
        raise unliftable(
            f"{getattr(function, '__name__', function)}() {effect}: a lifted program only computes",
            "what it reads as an argument",
            "sx.blackbox around it, with a bridge",
        )


def _call_by_kind(function: Any, args: tuple, kwargs: dict) -> Any:
    owner = getattr(function, "__self__", None)
    # object.__setattr__(self, ...), as frozen dataclasses and Equinox's modules use it in __init__.
    if isinstance(function, types.MethodWrapperType) and function.__name__ == "__setattr__":
        return set_plainly(owner, *args)
    # A method that a subclass of the program adds to list or dict is a function of the program.
    if isinstance(owner, (list, dict, set, deque)) and not isinstance(function, types.MethodType):
        return container_method(function, owner, args, kwargs)
    if isinstance(owner, str):
        return text_method(function, owner, args, kwargs)
    if isinstance(function, type):
        return _construct(function, args, kwargs)
    if isinstance(function, types.MethodType):
        return _call_method(function, args, kwargs)
    if isinstance(function, types.FunctionType):
        return program_function(function, args, kwargs)
    return _call_other(function, args, kwargs)


def _call_method(method: types.MethodType, args: tuple, kwargs: dict) -> Any:
    owner = method.__self__
    if type(owner).__module__.startswith("scipy."):
        return _scipy.apply(method, *settle_parts((args, kwargs)))
    return call_unread(method.__func__, owner, *args, **kwargs)


# -- functions of the program


def program_function(function: types.FunctionType, args: tuple, kwargs: dict) -> Any:
    """A function in Python. What a lifted one returns may be None on some branches, which it asks this frame for (`hooks`)."""
    if is_lifted(function):
        return function(*args, **kwargs)
    if (new := _lifted_own(function)) is not None:
        return new(*args, **kwargs)
    return _call_foreign(function, *settle_within((args, kwargs)))


def _lifted_own(function: types.FunctionType) -> Callable | None:
    """The function with hooks; None where it is not one of the program's, and for a generator."""
    if is_of_jax(function) or is_of_library(function) or _is_made_by_functools(function) or is_standard(function):
        return None
    new = lift_function(function)
    return new if is_lifted(new) else None


def _call_foreign(function: Any, args: tuple, kwargs: dict) -> Any:
    """A function in Python that is not lifted as it is."""
    if is_of_jax(function):
        return libraries.call_jax(function, args, kwargs)
    if is_of_library(function):
        return libraries.call_library(function, args, kwargs)
    if is_standard(function):
        return libraries.call_standard(function, args, kwargs)
    if _is_made_by_functools(function):
        return call_unread(function.__wrapped__, *args, **kwargs)
    return session().note_new(lift_function(function)(*args, **kwargs))  # a generator


def _is_made_by_functools(function: types.FunctionType) -> bool:
    """Is it a wrapper of functools, around a function of the program?"""
    return hasattr(function, "__wrapped__") and function.__code__.co_filename == functools.__file__


# -- classes


def _construct(kind: type, args: tuple, kwargs: dict) -> Any:
    """An instance of a class: what its `__init__` does is lifted."""
    init = kind.__init__
    # np.polynomial.Polynomial and the like are plain Python, although they are NumPy's.
    if issubclass(kind, NUMPY_SERIES):
        instance = session().note_new(object.__new__(kind))
        lift_function(cast(Any, init))(instance, *args, **kwargs)
        return instance
    if issubclass(kind, BaseException) or top_module(kind) in LIBRARIES:
        return _call_other(kind, *settle_within((args, kwargs)))
    if not _only_keeps(kind):
        args, kwargs = settle_within((args, kwargs))
    if _makes_itself(kind):
        instance = libraries.native(kind, args, kwargs)
        return instance if isinstance(instance, tuple) else session().note_new(instance)
    # No function in Python: a class without __init__, or one that a dataclass has written.
    if not isinstance(init, types.FunctionType) or not _has_source(init):
        return _construct_plainly(kind, args, kwargs)
    instance = session().note_new(object.__new__(kind))
    call(init, instance, *args, **kwargs)
    return instance


def _makes_itself(kind: type) -> bool:
    """Does a `__new__` or a metaclass of its own decide on what an instance is? Then `object.__new__` would go around it."""
    return issubclass(kind, tuple) or kind.__new__ is not object.__new__ or type(kind) is not type


def _construct_plainly(kind: type, args: tuple, kwargs: dict) -> Any:
    """By an `__init__` without source: that of a dataclass, a container or an object without one."""
    if (instance := make_dataclass(kind, args, kwargs)) is not None:
        return instance
    instance = kind(*args, **kwargs)
    # What cannot be written need not be undone. It may be shared as well, as Python's small ints are.
    is_writable = hasattr(instance, "__dict__") or isinstance(instance, (list, dict, set))
    return session().note_new(instance) if is_writable else instance


def _only_keeps(kind: type) -> bool:
    """Is what makes an instance lifted, or does it keep what it is given: that of a dataclass, of a named tuple?"""
    if hasattr(kind, "_fields") and issubclass(kind, tuple):
        return not _has_source(cast(Any, kind.__new__))
    lifted_or_kept = kind.__new__ is object.__new__ and isinstance(kind.__init__, types.FunctionType)
    return lifted_or_kept or kind in (deque, types.SimpleNamespace)


def _has_source(function: types.FunctionType) -> bool:
    """Methods that dataclasses write have none."""
    return not function.__code__.co_filename.startswith("<")


# -- what is not a function in Python


def _call_other(function: Any, args: tuple, kwargs: dict) -> Any:
    """Built-in functions, instances with `__call__`, and compiled code."""
    libraries.refuse_constants_written(function, kwargs)
    if isinstance(getattr(function, "__self__", function), np.ufunc):
        return libraries.call_ufunc(function, args, kwargs)
    kind = type(function)
    top = (getattr(function, "__module__", None) or kind.__module__ or "").partition(".")[0]
    # An instance has the module of its class, unless it bears one of its own, as scipy.stats.norm does.
    if "scipy" in (top, kind.__module__.partition(".")[0]):
        return _scipy.apply(function, args, kwargs)
    if is_of_jax(function):
        return libraries.call_jax(function, args, kwargs)
    if isinstance(function, NUMPY_SERIES):
        return lift_function(cast(Any, kind.__call__))(function, *args, **kwargs)
    if top == "numpy":
        return libraries.call_compiled_numpy(function, args, kwargs)
    libraries.refuse_impure(function)
    return _call_instance(function, args, kwargs)


def _call_instance(instance: Any, args: tuple, kwargs: dict) -> Any:
    kinds = type(instance).__mro__
    function = next((vars(kind)["__call__"] for kind in kinds if "__call__" in vars(kind)), None)
    if isinstance(function, types.FunctionType):
        return call_unread(function, instance, *args, **kwargs)
    # functools.lru_cache and the like: a cache of traced values would give them to another program.
    if isinstance(getattr(instance, "__wrapped__", None), types.FunctionType):
        return call_unread(instance.__wrapped__, *args, **kwargs)
    return libraries.native(instance, args, kwargs)
