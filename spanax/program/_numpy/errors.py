"""Errors of the JAX functions that stand for NumPy's: NumPy's own error where NumPy fails as well, ours where it does not.

An error from JAX mentions tracers and functions that the user has not called. So when one is raised, NumPy's function is called
with example arrays of the same shapes and dtypes. If that fails, the mistake is the user's, and NumPy's error explains it. If
not, JAX has no counterpart of this call, and a `LiftError` says so.
"""

from __future__ import annotations

import functools
import pathlib
import types
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ..._errors import SpanaxError
from .._session import RaisedError, line, unliftable
from .._values.trees import has_composite
from .._values.values import Value, is_unknown, raw

_DONE = "_is_in_our_terms"  # the mark of an error that needs no other words
_PASSED = (SpanaxError, RaisedError)
_JAX = str(pathlib.Path(jax.__file__).parent)
_OURS = str(pathlib.Path(__file__).parent.parent)  # where JAX hides its own frames


def with_numpys_errors(run: Callable[[], Any], function: Callable, args: tuple, kwargs: dict) -> Any:
    """`run()`, which does what NumPy's `function(*args, **kwargs)` does, with errors in NumPy's terms."""
    # `*` of an np.matrix is a matrix product, and it keeps two axes: converted to an array, it would compute something else.
    if any(isinstance(x, np.matrix) for x in args):
        raise unliftable("an np.matrix together with values that depend on the arguments", "np.asarray(M), and M @ N")
    try:
        return run()
    except _PASSED:
        raise
    except Exception as error:
        # It was translated in an inner call already, or the program's own function has raised it.
        if hasattr(error, _DONE) or (_calls_back((args, kwargs)) and not _is_of_jax(error)):
            raise
        raise _in_our_terms(error, function, args, kwargs) from error


def _in_our_terms(error: Exception, function: Callable, args: tuple, kwargs: dict) -> Exception:
    name = _name(function)
    if isinstance(error, jax.errors.ConcretizationTypeError):
        return unliftable(
            f"{name} needs to know, while the program is traced, a number that depends on the arguments",
            "the number as a static argument: a closure, or functools.partial",
            "sx.blackbox around the function that needs it, with a bridge",
        )
    numpys = numpys_error(function, args, kwargs)
    if numpys is not None:
        numpys.add_note(f"in the lifted program: {line()}")
        setattr(numpys, _DONE, True)
        return numpys
    return unliftable(
        f"{name} of these arguments has no counterpart in JAX ({_first_line(error)})",
        "np.linalg.eigvals, or np.linalg.eigh of a symmetric matrix"
        if "eig" in name
        else "the same by other functions of NumPy",
        "sx.blackbox around it, with a bridge",
    )


def _name(function: Callable) -> str:
    """The function's name as the program's author writes it."""
    name = getattr(function, "__name__", None) or type(function).__name__
    if getattr(function, "__module__", None) == "_operator":
        return "reading elements" if name == "getitem" else "writing elements"
    if isinstance(ufunc := getattr(function, "__self__", None), np.ufunc):
        return f"np.{ufunc.__name__}.{name}"
    module = (getattr(function, "__module__", None) or "numpy").replace("numpy", "np", 1)
    return f"{module if module.startswith('np') else 'np'}.{name}"


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def numpys_error(function: Callable, args: tuple, kwargs: dict) -> Exception | None:
    """The error that NumPy's function raises on arrays of the same shapes and dtypes, if any."""
    # Functions of the program must not run again, and a selection has no known shape.
    if _calls_back((args, kwargs)) or has_composite((args, kwargs)):
        return None
    try:
        # The example's numbers mean nothing, and neither do warnings about them.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            function(*map(_example, args), **{name: _example(x) for name, x in kwargs.items()})
    except _PASSED:
        return None
    except Exception as error:
        return error.with_traceback(None)
    return None


def _example(x: Any) -> Any:
    """A value of the same shape and dtype, at which functions fail only because of these."""
    if isinstance(x, (list, tuple)):
        parts = list(map(_example, x))
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    if isinstance(x, slice):
        return slice(*map(_example, (x.start, x.stop, x.step)))
    if not isinstance(x, (Value, jax.Array)) or not is_unknown(x):
        return np.array(raw(x)) if isinstance(raw(x), np.ndarray) else raw(x)
    return _example_array(x) if x.ndim else _example_number(x)


def _example_number(x: Any) -> Any:
    python = getattr(x, "python", None)
    return python(1) if python else np.dtype(x.dtype).type(1)


def _example_array(x: Any) -> np.ndarray:
    # 0 is a valid index of every axis that is not empty, and a valid count.
    if np.dtype(x.dtype).kind not in "fc":
        return np.zeros(x.shape, x.dtype)
    # Different numbers between 0.3 and 0.7: in the domains of arcsin, log and the like, and increasing, for functions that need
    # sorted ones.
    size = max(int(np.prod(x.shape, dtype=int)), 1)
    values = 0.3 + 0.4 * np.arange(size)[: x.size].reshape(x.shape) / size
    # A square matrix may have to be symmetric, positive definite or invertible: this one is all three.
    if x.ndim > 1 and x.shape[-1] == x.shape[-2]:
        values = values + np.swapaxes(values, -1, -2) + 9 * x.shape[-1] * np.eye(x.shape[-1])
    return values.astype(x.dtype)


def _calls_back(arguments: Any) -> bool:
    """Is a function of the program among the arguments?"""
    if isinstance(arguments, (list, tuple)):
        return any(map(_calls_back, arguments))
    if isinstance(arguments, dict):
        return any(map(_calls_back, arguments.values()))
    return isinstance(arguments, (types.FunctionType, types.MethodType, functools.partial))


def _is_of_jax(error: Exception) -> bool:
    """Was it raised inside JAX?"""
    # The innermost frame tells. JAX removes its own frames from the traceback, which then ends in ours.
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place is not None and place.tb_frame.f_code.co_filename.startswith((_JAX, _OURS))
