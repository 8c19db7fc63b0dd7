"""Calls inside a lifted program: functions with source are lifted in turn, those of NumPy and Python have rules.

In this order: functions with a rule (`CALLS`, NumPy's `RULES`); calls that are treated specially (a partial, a log, a draw);
methods of containers and strings; classes; functions of the program; functions of libraries (`libraries`).
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
from .builtins import CALLS, PASSING, REFUSED, type_of
from .container_methods import container_method, text_method
from .libraries import LIBRARIES, NUMPY_SERIES, is_of_jax, is_of_library, is_standard, lift_function, top_module


def call(function: Any, *args: Any, **kwargs: Any) -> Any:
    """`function(*args, **kwargs)`, whose result has a value on all branches."""
    return settle(call_unread(function, *args, **kwargs))


def call_unread(function: Any, *args: Any, **kwargs: Any) -> Any:
    """`function(*args, **kwargs)`, whose arguments and result may be None on some branches."""
    if (method := own_method(function, "__call__")) is not None:
        return call_unread(method, function, *args, **kwargs)
    try:
        rule, is_numpys, computes = CALLS.get(function), function in RULES, function not in PASSING
    except TypeError:  # not hashable
        rule, is_numpys, computes = None, False, True
    if rule is not None or is_numpys:
        args, kwargs = settle_parts((args, kwargs)) if computes else (tuple(map(settle, args)), kwargs)
        # An object's `__str__` is not lifted, so all that it may read must have a value.
        if function in (str, print):
            args = settle_within(args)
        return apply(function, args, kwargs) if rule is None else rule(*args, **kwargs)
    return _dispatch(function, args, kwargs)


def start(function: Callable, args: tuple, kwargs: dict) -> Any:
    """The call of the whole program, whose own function is lifted even if a library or a rule has it."""
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
    # NumPy's poly1d would evaluate itself in plain Python; ours uses operations that have rules.
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
    """May its arguments be None on some branches, because it settles them itself or only stores them?"""
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
    # object.__setattr__(self, ...), which the __init__ of frozen dataclasses uses.
    if isinstance(function, types.MethodWrapperType) and function.__name__ == "__setattr__":
        return set_plainly(owner, *args)
    # A method that the program adds in a subclass of list or dict is one of its own functions.
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
    """A function in Python. A lifted one recognizes this frame as its caller, and may return None on some branches (`hooks`)."""
    if is_lifted(function):
        return function(*args, **kwargs)
    if (new := _lifted_own(function)) is not None:
        return new(*args, **kwargs)
    return _call_foreign(function, *settle_within((args, kwargs)))


def _lifted_own(function: types.FunctionType) -> Callable | None:
    """The function with hooks; None if it is not one of the program's, or is a generator."""
    if is_of_jax(function) or is_of_library(function) or _is_made_by_functools(function) or is_standard(function):
        return None
    new = lift_function(function)
    return new if is_lifted(new) else None


def _call_foreign(function: Any, args: tuple, kwargs: dict) -> Any:
    """A function in Python that is not lifted, or a generator."""
    if is_of_jax(function):
        return libraries.call_jax(function, args, kwargs)
    if is_of_library(function):
        return libraries.call_library(function, args, kwargs)
    if is_standard(function):
        return libraries.call_standard(function, args, kwargs)
    if _is_made_by_functools(function):
        return call_unread(_dispatched(function, args), *args, **kwargs)
    return session().note_new(lift_function(function)(*args, **kwargs))  # a generator


def _is_made_by_functools(function: types.FunctionType) -> bool:
    """Is it a wrapper made by functools?"""
    return hasattr(function, "__wrapped__") and function.__code__.co_filename == functools.__file__


def _dispatched(function: types.FunctionType, args: tuple) -> Callable:
    """What `functools.singledispatch` calls: the function registered for the class that the first argument has in Python."""
    dispatch = getattr(function, "dispatch", None)
    # Such as singledispatchmethod: calling what it wraps would leave out what is registered, and give another value.
    if dispatch is None:
        raise unliftable(f"{function.__name__}(), which functools wraps, is not lifted", "isinstance() and `if`")
    return dispatch(type_of(args[0])) if args else function.__wrapped__


# -- classes


def _construct(kind: type, args: tuple, kwargs: dict) -> Any:
    """An instance of a class, whose `__init__` is lifted."""
    init = kind.__init__
    # np.polynomial.Polynomial and the like are plain Python, and are lifted although they are NumPy's.
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
    # There is no `__init__`, or a dataclass has generated it.
    if not isinstance(init, types.FunctionType) or not _has_source(init):
        return _construct_plainly(kind, args, kwargs)
    instance = session().note_new(object.__new__(kind))
    call(init, instance, *args, **kwargs)
    return instance


def _makes_itself(kind: type) -> bool:
    """Does it have its own `__new__` or metaclass, which `object.__new__` would bypass?"""
    return issubclass(kind, tuple) or kind.__new__ is not object.__new__ or type(kind) is not type


def _construct_plainly(kind: type, args: tuple, kwargs: dict) -> Any:
    """An instance whose `__init__` has no source: of a dataclass, a container, or a class without one."""
    if (instance := make_dataclass(kind, args, kwargs)) is not None:
        return instance
    instance = kind(*args, **kwargs)
    # Immutable objects need not be undone, and may be shared, as Python's small ints are.
    is_writable = hasattr(instance, "__dict__") or isinstance(instance, (list, dict, set))
    return session().note_new(instance) if is_writable else instance


def _only_keeps(kind: type) -> bool:
    """Does its constructor only store its arguments (a dataclass, a named tuple), or is it lifted?"""
    if hasattr(kind, "_fields") and issubclass(kind, tuple):
        return not _has_source(cast(Any, kind.__new__))
    lifted_or_kept = kind.__new__ is object.__new__ and isinstance(kind.__init__, types.FunctionType)
    return lifted_or_kept or kind in (deque, types.SimpleNamespace)


def _has_source(function: types.FunctionType) -> bool:
    """Methods that dataclasses generate have none."""
    return not function.__code__.co_filename.startswith("<")


# -- what is not a function in Python


def _call_other(function: Any, args: tuple, kwargs: dict) -> Any:
    """Built-in functions, instances with `__call__`, and compiled code."""
    libraries.refuse_constants_written(function, kwargs)
    if isinstance(getattr(function, "__self__", function), np.ufunc):
        return libraries.call_ufunc(function, args, kwargs)
    kind = type(function)
    top = (getattr(function, "__module__", None) or kind.__module__ or "").partition(".")[0]
    # SciPy's objects may have a `__module__` of their own, so that of their class is looked at, too.
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
    # functools.lru_cache and the like: bypassed, as a cached traced value would leak into the next tracing.
    if isinstance(getattr(instance, "__wrapped__", None), types.FunctionType):
        return call_unread(instance.__wrapped__, *args, **kwargs)
    return libraries.native(instance, args, kwargs)
