"""Calls inside a lifted program: functions with source are lifted in turn, those of NumPy and Python have counterparts here."""

from __future__ import annotations

import functools
import inspect
import random
import sys
import sysconfig
import types
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import jax
import numpy as np

from ..._errors import SpanaxError
from .. import _scipy
from .._numpy.array_likes import SEQUENCES
from .._numpy.creation import asarray
from .._numpy.functions import RULES, apply
from .._numpy.namesakes import no_counterpart
from .._numpy.polynomials import Poly1d
from .._numpy.random import GENERATORS, draw, made, seed
from .._numpy.vectorized import vectorized
from .._rewrite.compile import is_lifted, with_hooks
from .._session import RaisedError, session, unliftable
from .._values.cells import set_plainly
from .._values.constants import refuse_writing
from .._values.protocols import made_dataclass, own_method
from .._values.settling import settle, settled_parts, settled_within
from .._values.text import deferred, is_log
from .._values.trees import has_unknown, has_value, rewrapped, unwrapped
from .._values.values import Value, as_jax
from .builtins import CALLS, PASSING, REFUSED
from .container_methods import container_method, text_method

_POLYNOMIAL = np.polynomial.Polynomial.__bases__[0]  # the class of NumPy's series of all kinds
_LIBRARIES = (
    "jax",
    "jaxlib",
    "equinox",
    "optax",
    "numpyro",
    "spanax",
    "numpy",
    "scipy",
    "matplotlib",
    "pandas",
    "torch",
)
_JAX = ("jax", "jaxlib", "equinox", "optax", "numpyro", "spanax")
_IMPURE = {
    "time",
    "socket",
    "subprocess",
    "urllib",
    "requests",
    "sqlite3",
    "zlib",
    "ctypes",
    "datetime",
    "secrets",
    "uuid",
}
_STANDARD = frozenset(sys.stdlib_module_names)


def call(function: Any, *args: Any, **kwargs: Any) -> Any:
    """`function(*args, **kwargs)`, which is a value."""
    return settle(called(function, *args, **kwargs))


def called(function: Any, *args: Any, **kwargs: Any) -> Any:
    """`function(*args, **kwargs)`, which may be None on some ways, as may be the arguments."""
    if (method := own_method(function, "__call__")) is not None:
        return called(method, function, *args, **kwargs)
    try:
        rule, is_numpys, looks = CALLS.get(function), function in RULES, function not in PASSING
    except TypeError:  # not hashable
        rule, is_numpys, looks = None, False, True
    if rule is not None or is_numpys:
        args, kwargs = settled_parts((args, kwargs)) if looks else (tuple(map(settle, args)), kwargs)
        if function in (str, print):  # objects have their own ways to be text, which are not lifted
            args = settled_within(args)
        return apply(function, args, kwargs) if rule is None else rule(*args, **kwargs)
    if not _hands_on(function):
        args, kwargs = settled_within((args, kwargs))
    if isinstance(function, np.vectorize):
        return vectorized(function, args, kwargs)
    if isinstance(function, (np.poly1d, Poly1d)):
        return Poly1d(function)(*args)
    return _dispatched(function, args, kwargs)


def _hands_on(function: Any) -> bool:
    """May it be given what is None on some ways: does it ask in turn, or only keep it?"""
    owner = getattr(function, "__self__", None)
    if is_log(function) or isinstance(owner, GENERATORS):
        return False
    kinds = functools.partial, types.MethodType, types.FunctionType, type
    return isinstance(function, kinds) or isinstance(owner, (list, dict, set, deque))


def start(function: Callable, args: tuple, kwargs: dict) -> Any:
    """The call of the whole program: its own function is lifted wherever it comes from."""
    while isinstance(function, functools.partial):
        args, kwargs = (*function.args, *args), {**function.keywords, **kwargs}
        function = function.func
    if isinstance(function, types.MethodType):
        return lifted(function.__func__)(function.__self__, *args, **kwargs)
    if isinstance(function, types.FunctionType) and not is_of_jax(function):
        return lifted(function)(*args, **kwargs)
    return call(function, *args, **kwargs)


def _dispatched(function: Any, args: tuple, kwargs: dict) -> Any:
    if isinstance(function, functools.partial):
        return called(function.func, *function.args, *args, **{**function.keywords, **kwargs})
    if is_log(function):
        return deferred(function, args, kwargs)
    owner = getattr(function, "__self__", None)
    if isinstance(owner, GENERATORS):
        return draw(function, args, kwargs)
    if function is np.random.seed:
        return seed(*args, **kwargs)
    if function in (np.random.default_rng, np.random.RandomState, random.Random):
        return made(function, args, kwargs)
    if _is_refused(function):
        raise unliftable(
            f"{getattr(function, '__name__', function)}() {REFUSED[function]}: a lifted program only computes",
            "what it reads as an argument",
            "sx.blackbox around it, with a bridge",
        )
    if isinstance(function, types.MethodWrapperType) and function.__name__ == "__setattr__":
        return set_plainly(owner, *args)
    if isinstance(owner, (list, dict, set, deque)) and not isinstance(function, types.MethodType):
        return container_method(function, owner, args, kwargs)
    if isinstance(owner, str):
        return text_method(function, owner, args, kwargs)
    if isinstance(function, type):
        return _construct(function, args, kwargs)
    if isinstance(function, types.MethodType):
        if type(owner).__module__.startswith("scipy."):
            return _scipy.apply(function, *settled_parts((args, kwargs)))
        return called(function.__func__, owner, *args, **kwargs)
    if isinstance(function, types.FunctionType):
        return program_function(function, args, kwargs)
    return _other(function, args, kwargs)


# -- functions of the program


def program_function(function: types.FunctionType, args: tuple, kwargs: dict) -> Any:
    if is_lifted(function) or (function.__closure__ and function.__module__ == __name__):
        return function(*args, **kwargs)
    if (new := _of_the_program(function)) is not None:
        return new(*args, **kwargs)
    args, kwargs = settled_within((args, kwargs))
    if is_of_jax(function):
        return rewrapped(function(*_for_jax(args), **_for_jax(kwargs)))
    module = function.__module__ or ""
    top = module.partition(".")[0]
    if top in _LIBRARIES or not session().recursive:
        return _library(function, top, args, kwargs)
    if top in _STANDARD and not _is_program(function):
        return _standard(function, args, kwargs)
    if _is_wrapped(function):
        return called(function.__wrapped__, *args, **kwargs)
    return session().born(lifted(function)(*args, **kwargs))  # a generator


def _of_the_program(function: types.FunctionType) -> Callable | None:
    """The function with hooks; None where it is none of the program's, and for a generator."""
    top = (function.__module__ or "").partition(".")[0]
    if is_of_jax(function) or top in _LIBRARIES or not session().recursive or _is_wrapped(function):
        return None
    if top in _STANDARD and not _is_program(function):
        return None
    new = lifted(function)
    return new if is_lifted(new) else None


def _is_wrapped(function: types.FunctionType) -> bool:
    return hasattr(function, "__wrapped__") and function.__code__.co_filename == functools.__file__


_STDLIB = sysconfig.get_paths()["stdlib"]


def _is_program(function: types.FunctionType) -> bool:
    """`__main__` and the like, and modules that only share a name with a standard one."""
    file = function.__code__.co_filename
    return not (file.startswith(_STDLIB) or file.startswith("<frozen")) or "site-packages" in file


def lifted(function: types.FunctionType) -> Callable:
    """The function with hooks."""
    session().functions[id(function)] = function
    return with_hooks(function, session().rules.hooks)


def _standard(function: Callable, args: tuple, kwargs: dict) -> Any:
    _refuse_impure(function)
    return native(function, args, kwargs)


def _construct(kind: type, args: tuple, kwargs: dict) -> Any:
    """An instance of a class: what its `__init__` does is lifted."""
    new, init = kind.__new__, kind.__init__
    if issubclass(kind, _POLYNOMIAL):
        instance = session().born(object.__new__(kind))
        lifted(cast(Any, init))(instance, *args, **kwargs)
        return instance
    if issubclass(kind, BaseException) or kind.__module__.partition(".")[0] in _LIBRARIES:
        return _other(kind, *settled_within((args, kwargs)))
    if not _only_keeps(kind):
        args, kwargs = settled_within((args, kwargs))
    if issubclass(kind, tuple) or new is not object.__new__ or type(kind) is not type:
        made_ = native(kind, args, kwargs)
        return made_ if isinstance(made_, tuple) else session().born(made_)
    if not isinstance(init, types.FunctionType) or not _has_source(init):
        if (made := made_dataclass(kind, args, kwargs)) is not None:
            return made
        made = kind(*args, **kwargs)
        return session().born(made) if hasattr(made, "__dict__") or isinstance(made, (list, dict, set)) else made
    instance = session().born(object.__new__(kind))
    call(init, instance, *args, **kwargs)
    return instance


def _only_keeps(kind: type) -> bool:
    """Is what makes an instance lifted, or does it keep what it is given: that of a dataclass, of a named tuple?"""
    if hasattr(kind, "_fields") and issubclass(kind, tuple):
        return not _has_source(cast(Any, kind.__new__))
    lifted_or_kept = kind.__new__ is object.__new__ and isinstance(kind.__init__, types.FunctionType)
    return lifted_or_kept or kind in (deque, types.SimpleNamespace)


def _has_source(function: types.FunctionType) -> bool:
    """Methods that dataclasses write have none."""
    return not function.__code__.co_filename.startswith("<")


# -- functions of others


def source(function: Any) -> Callable:
    """A library's function in Python, with hooks; `LiftError` where it is compiled."""
    inner = inspect.unwrap(function) if callable(function) else function
    if not isinstance(inner, types.FunctionType):
        raise no_counterpart(function)
    return lifted(inner)


def _library(function: Callable, top: str, args: tuple, kwargs: dict) -> Any:
    if top == "numpy":
        if any(isinstance(a, _POLYNOMIAL) for a in args):
            return lifted(function)(*args, **kwargs)
        return apply(function, args, kwargs) if _mentions_values(args, kwargs) else rewrapped(function(*args, **kwargs))
    if top == "scipy":
        return _scipy.apply(function, args, kwargs)
    return native(function, args, kwargs)


def is_of_jax(function: Any) -> bool:
    """Does it compute with JAX's values: is it JAX's, Spanax's or that of a library on them, or made by a transformation?"""
    if isinstance(function, types.FunctionType):  # `functools.wraps` gives it the module of the user's function
        # An example has the globals of the module that it explains.
        is_example = function.__code__.co_filename.startswith("<doctest")
        modules = [] if is_example else [function.__globals__.get("__name__", "")]
    else:
        modules = [getattr(function, "__module__", None) or "", type(function).__module__]
    return any(str(m).partition(".")[0] in _JAX and not str(m).startswith("spanax.program._") for m in modules)


def _for_jax(x: Any) -> Any:
    def one(part: Any) -> Any:
        if isinstance(part, Value):
            return as_jax(part)
        return _Given(part) if isinstance(part, types.FunctionType) and is_lifted(part) else part

    return jax.tree.map(one, x, is_leaf=lambda p: isinstance(p, Value))


class _Given:
    """A function of the program that JAX calls, with its own values."""

    def __init__(self, function: types.FunctionType):
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with session().block() as writes:
            result = called(self.__wrapped__, *rewrapped(args), **rewrapped(kwargs))  # type: ignore[attr-defined]
            result = _for_jax(settled_parts(result))
        if writes.before:
            raise unliftable(
                "a function that JAX or Spanax calls may fail, or writes to what was made outside of it",
                "a result that it returns",
                "plain Python instead of the transformation",
            )
        return result


def _mentions_values(args: tuple, kwargs: dict) -> bool:
    return has_value((args, kwargs))


def _other(function: Any, args: tuple, kwargs: dict) -> Any:
    """Built-in functions, instances with `__call__`, and compiled code."""
    refuse_writing(getattr(function, "__self__", None), getattr(function, "__name__", ""))
    for written in kwargs["out"] if isinstance(kwargs.get("out"), tuple) else (kwargs.get("out"),):
        refuse_writing(written)
    if isinstance(getattr(function, "__self__", function), np.ufunc):
        args = tuple(asarray(a) if isinstance(a, SEQUENCES) and has_value(a) else a for a in args)
        return function(*args, **kwargs) if has_value((args, kwargs)) else rewrapped(function(*args, **kwargs))
    top = (getattr(function, "__module__", None) or type(function).__module__ or "").partition(".")[0]
    kind_top = type(function).__module__.partition(".")[0]
    if "scipy" in (top, kind_top):
        return _scipy.apply(function, args, kwargs)
    if is_of_jax(function):
        return rewrapped(function(*_for_jax(args), **_for_jax(kwargs)))
    if isinstance(function, _POLYNOMIAL):
        return lifted(cast(Any, type(function).__call__))(function, *args, **kwargs)
    if top == "numpy":
        return _numpy_builtin(function, args, kwargs)
    _refuse_impure(function)
    inner = _called_on(function)
    if isinstance(inner, types.FunctionType):
        return called(inner, function, *args, **kwargs)
    if isinstance(getattr(function, "__wrapped__", None), types.FunctionType):  # such as functools.lru_cache
        return called(function.__wrapped__, *args, **kwargs)
    return native(function, args, kwargs)


def _called_on(instance: Any) -> Any:
    """The function that calling an instance runs."""
    return next((vars(kind)["__call__"] for kind in type(instance).__mro__ if "__call__" in vars(kind)), None)


def native(function: Callable, args: tuple, kwargs: dict) -> Any:
    """The call as it is: of compiled code, or of a library that is not lifted."""
    try:
        return rewrapped(function(*args, **kwargs))
    except RaisedError:
        raise
    except Exception as error:
        ours = str(getattr(function, "__module__", "")).startswith("spanax.")
        if ours if isinstance(error, SpanaxError) else not has_unknown((args, kwargs)):
            raise
        raise unliftable(
            f"{_name(function)} is compiled or a library's, is not lifted, and met a value that depends on the arguments"
            f" ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})",
            "sx.blackbox around it, with a bridge",
            "the same in NumPy, which is lifted",
        ) from error


def _is_refused(function: Any) -> bool:
    try:
        return function in REFUSED
    except TypeError:  # not hashable
        return False


def _numpy_builtin(function: Callable, args: tuple, kwargs: dict) -> Any:
    if has_unknown((args, kwargs)):
        return apply(function, args, kwargs)
    result = function(*unwrapped(args), **unwrapped(kwargs))
    return session().born(result) if isinstance(result, GENERATORS) else rewrapped(result)


def _name(function: Any) -> str:
    module = getattr(function, "__module__", None)
    prefix = f"{module}." if module and module != "builtins" else ""
    return prefix + getattr(function, "__qualname__", type(function).__name__)


def _refuse_impure(function: Any) -> None:
    owner = getattr(function, "__self__", None)
    module = getattr(function, "__module__", None) or getattr(owner, "__name__", "") or ""
    if isinstance(module, str) and module.partition(".")[0] in _IMPURE:
        raise unliftable(
            f"{_name(function)}() looks at the world or is compiled code: a lifted program only computes",
            "what it returns as an argument",
            "sx.blackbox around it, with a bridge",
        )
