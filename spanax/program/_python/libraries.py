"""Calls of functions that are not the program's: of JAX, NumPy and SciPy, of Python's standard library, and of compiled code.

JAX's functions take traced arrays as they are. NumPy's and SciPy's have rules (`_numpy.functions`, `_scipy`), or are lifted from
their own source. Anything else runs as it is; if it fails on a value that depends on the arguments, the error says so.
"""

from __future__ import annotations

import functools
import inspect
import sys
import sysconfig
import types
from collections.abc import Callable
from typing import Any, cast

import jax
import numpy as np

from ..._errors import SpanaxError
from .. import _scipy
from .._numpy.array_likes import SEQUENCES
from .._numpy.creation import asarray
from .._numpy.functions import apply
from .._numpy.namesakes import no_counterpart
from .._numpy.random import GENERATORS
from .._rewrite.compile import is_lifted, with_hooks
from .._session import RaisedError, session, unliftable
from .._values.constants import refuse_writing
from .._values.settling import settle_parts
from .._values.trees import has_unknown, has_value, rewrap, unwrap
from .._values.values import Value, as_jax

NUMPY_SERIES = np.polynomial.Polynomial.__bases__[0]  # the class of NumPy's series of all kinds, in Python
_JAX = ("jax", "jaxlib", "equinox", "optax", "numpyro", "spanax")
LIBRARIES = (*_JAX, "numpy", "scipy", "matplotlib", "pandas", "torch")
_STANDARD = frozenset(sys.stdlib_module_names)
_STDLIB = sysconfig.get_paths()["stdlib"]
# Modules whose functions depend on the outside world, or are compiled: called while the program is traced, they would return one
# result for all runs.
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


def top_module(x: Any) -> str:
    """The top-level package or module that defines x."""
    return (x.__module__ or "").partition(".")[0]


def lift_function(function: types.FunctionType) -> Callable:
    """The function with hooks."""
    # Recorded, because a compiled program may be reused only while these functions and what they refer to are unchanged.
    session().functions[id(function)] = function
    return with_hooks(function, session().rules.hooks)


def source(function: Any) -> Callable:
    """A library's function in Python, with hooks; `LiftError` if it is compiled."""
    # NumPy wraps its functions in a dispatcher for `__array_function__`, which would call the rules again.
    inner = inspect.unwrap(function) if callable(function) else function
    if not isinstance(inner, types.FunctionType):
        raise no_counterpart(function)
    return lift_function(inner)


# -- whose function is it?


def is_of_jax(function: Any) -> bool:
    """Does it take JAX's arrays: is it from JAX, Spanax or a library on top of them, or made by a transformation?"""
    if isinstance(function, types.FunctionType):  # `functools.wraps` gives it the module of the user's function
        # A doctest has the globals of the module that it documents.
        is_example = function.__code__.co_filename.startswith("<doctest")
        modules = [] if is_example else [function.__globals__.get("__name__", "")]
    else:
        modules = [getattr(function, "__module__", None) or "", type(function).__module__]
    # Functions of this part take the program's values.
    return any(str(m).partition(".")[0] in _JAX and not str(m).startswith("spanax.program._") for m in modules)


def is_of_library(function: types.FunctionType) -> bool:
    """Is it from a library? So is every function where only the program's own one is to be lifted."""
    return top_module(function) in LIBRARIES or not session().recursive


def is_standard(function: types.FunctionType) -> bool:
    """Is it from the standard library? `__main__` is not, nor is a module that shares a name with a standard one."""
    if top_module(function) not in _STANDARD:
        return False
    file = function.__code__.co_filename
    return (file.startswith(_STDLIB) or file.startswith("<frozen")) and "site-packages" not in file


# -- calls


def call_jax(function: Callable, args: tuple, kwargs: dict) -> Any:
    """A function that takes JAX's arrays. One with the attribute `calls_the_program` takes the program's functions, too."""
    takes_functions = getattr(function, "calls_the_program", False)
    return rewrap(function(*_for_jax(args, takes_functions), **_for_jax(kwargs, takes_functions)))


def _for_jax(x: Any, takes_functions: bool = False) -> Any:
    def one(part: Any) -> Any:
        if isinstance(part, Value):
            return as_jax(part)
        if not isinstance(part, types.FunctionType):
            return part
        # Those that are defined inside the program are lifted already, with all of it.
        if takes_functions and not (is_lifted(part) or is_of_jax(part) or is_of_library(part) or is_standard(part)):
            part = lift_function(part)
        return _ProgramFunction(part) if is_lifted(part) else part

    return jax.tree.map(one, x, is_leaf=lambda p: isinstance(p, Value))


class _ProgramFunction:
    """A function of the program as JAX calls it: from and to JAX's arrays."""

    def __init__(self, function: types.FunctionType):
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with session().block() as writes:
            result = session().rules.call_unread(self.__wrapped__, *rewrap(args), **rewrap(kwargs))  # type: ignore[attr-defined]
            result = _for_jax(settle_parts(result))
        # JAX may call it any number of times, under a trace of its own, and a write would leak that trace.
        if writes.before:
            raise unliftable(
                "a function that JAX or Spanax calls may fail, or writes to what was made outside of it",
                "a result that it returns",
                "plain Python instead of the transformation",
            )
        return result


def call_library(function: Callable, args: tuple, kwargs: dict) -> Any:
    """A function of a library, written in Python."""
    top = top_module(function)
    if top == "scipy":
        return _scipy.apply(function, args, kwargs)
    if top != "numpy":
        return native(function, args, kwargs)
    if any(isinstance(a, NUMPY_SERIES) for a in args):
        return lift_function(cast(Any, function))(*args, **kwargs)
    # If no argument is a value of the program, NumPy computes, whether there is a rule or not.
    return apply(function, args, kwargs) if has_value((args, kwargs)) else rewrap(function(*args, **kwargs))


def call_standard(function: Callable, args: tuple, kwargs: dict) -> Any:
    """A function of the standard library."""
    refuse_impure(function)
    return native(function, args, kwargs)


def call_ufunc(function: Any, args: tuple, kwargs: dict) -> Any:
    """A universal function or a method of one, such as `np.add.reduce`: NumPy's protocol calls the rules."""
    # A list does not take part in the protocol, even if it holds values; an array of them does.
    args = tuple(asarray(a) if isinstance(a, SEQUENCES) and has_value(a) else a for a in args)
    return function(*args, **kwargs) if has_value((args, kwargs)) else rewrap(function(*args, **kwargs))


def call_compiled_numpy(function: Callable, args: tuple, kwargs: dict) -> Any:
    """A compiled function of NumPy."""
    if has_unknown((args, kwargs)):
        return apply(function, args, kwargs)
    result = function(*unwrap(args), **unwrap(kwargs))
    return session().note_new(result) if isinstance(result, GENERATORS) else rewrap(result)


def native(function: Callable, args: tuple, kwargs: dict) -> Any:
    """The plain call, of compiled code or of a library that is not lifted."""
    try:
        return rewrap(function(*args, **kwargs))
    except RaisedError:
        raise
    except Exception as error:
        ours = str(getattr(function, "__module__", "")).startswith("spanax.")
        # An error of ours already says what is wrong, and with known values only, the error is the function's own.
        if ours if isinstance(error, SpanaxError) else not has_unknown((args, kwargs)):
            raise
        raise unliftable(
            f"{_name(function)} is compiled or from a library, so it is not lifted, and it failed on a value that depends on"
            f" the arguments ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})",
            "sx.blackbox around it, with a bridge",
            "the same in NumPy, which is lifted",
        ) from error


# -- calls that are refused


def refuse_constants_written(function: Any, kwargs: dict) -> None:
    """Raises if a method or `out=` writes into an array of strings or objects, which a branch could not undo."""
    refuse_writing(getattr(function, "__self__", None), getattr(function, "__name__", ""))
    for written in kwargs["out"] if isinstance(kwargs.get("out"), tuple) else (kwargs.get("out"),):
        refuse_writing(written)


def refuse_impure(function: Any) -> None:
    """Raises for a function that depends on the outside world, such as `time.time`, or is compiled."""
    owner = getattr(function, "__self__", None)
    module = getattr(function, "__module__", None) or getattr(owner, "__name__", "") or ""
    if isinstance(module, str) and module.partition(".")[0] in _IMPURE:
        raise unliftable(
            f"{_name(function)}() depends on the outside world or is compiled code, and would be called only once, at tracing",
            "its result as an argument",
            "sx.blackbox around it, with a bridge",
        )


def _name(function: Any) -> str:
    module = getattr(function, "__module__", None)
    prefix = f"{module}." if module and module != "builtins" else ""
    return prefix + getattr(function, "__qualname__", type(function).__name__)
