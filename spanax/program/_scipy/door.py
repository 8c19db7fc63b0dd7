"""The one way into SciPy: what is in its tables is right, all else is refused by name, with the user's line."""

from __future__ import annotations

import contextlib
import importlib
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..._errors import SpanaxError
from .._session import LiftError, RaisedError, in_library, session, unliftable
from .._values.trees import has_unknown, rewrap, unwrap
from . import linalg, signal, special, structured
from .integrate import integrals, ode
from .interpolators import interpolator
from .multivariate import Kde, density_of
from .roots import scalar, systems
from .stats import Frozen, family, method_of

# By the public name: rules that are given functions of the program, which may close over numbers that are not known; they
# return NotImplemented where all is known.
SOLVERS: dict[str, Callable] = {**scalar.RULES, **systems.RULES, **ode.RULES, **integrals.RULES}
RULES: dict[str, Callable] = {**special.RULES, **linalg.RULES, **structured.RULES, **signal.RULES, **integrals.SAMPLES}
LIFTED: frozenset[str] = special.LIFTED | {"integrate.simpson"}  # SciPy's own source is lifted


def apply(function: Any, args: tuple, kwargs: dict) -> Any:
    """`function(*args, **kwargs)`."""
    name = public_name(function)
    if name in SOLVERS:
        return _solve(name, function, args, kwargs)
    # Nothing here depends on the arguments, so SciPy's own result is right, whatever function it is.
    if not has_unknown((args, kwargs)):
        return _plain(function, args, kwargs)
    with as_refusal(f"scipy.{name}" if name else _describe(function)):
        # SciPy's private helper in its own lifted source.
        if getattr(function, "__name__", "") == "apply_where" and in_library():
            return _apply_where(*args, **kwargs)
        if name in RULES:
            return RULES[name](*args, **kwargs)
        # Inside SciPy's own source all of its Python is lifted; from the user's code only what was compared with
        # SciPy.
        if name in LIFTED or (isinstance(function, types.FunctionType) and in_library()):
            return session().rules.source(function)(*args, **kwargs)
        if (made := _of_class(function, args, kwargs)) is not None:
            return made
    raise no_counterpart(f"scipy.{name}" if name else _describe(function))


def _apply_where(
    cond: Any, args: Any, f1: Callable, f2: Callable | None = None, /, *, fill_value: Any = None, **_: Any
):
    """SciPy's own choice between two formulas."""
    given = args if isinstance(args, tuple) else (args,)
    call = session().rules.call
    other = fill_value if f2 is None else call(f2, *given)
    return session().rules.function(np.where, (cond, call(f1, *given), other), {})


def no_counterpart(what: str, *remedies: str) -> LiftError:
    return unliftable(
        f"{what} has no counterpart in a lifted program",
        *remedies,
        "sx.blackbox around it, with a bridge",
        "the same by a loop, which is lifted",
    )


@contextlib.contextmanager
def as_refusal(what: str) -> Iterator[None]:
    """No error of JAX or SciPy gets out: it is one of ours, at the user's line."""
    try:
        yield
    except (SpanaxError, RaisedError):
        raise
    except Exception as error:
        # The first line of a foreign error is enough: it is named, and the remedy is the same.
        text = str(error).strip().splitlines()
        raise unliftable(
            f"{what} in this form is not lifted ({type(error).__name__}: {text[0] if text else ''})",
            "its other arguments as they are by default",
            "sx.blackbox around it, with a bridge",
        ) from error


def public_name(function: Any) -> str:
    """Such as linalg.solve, of the function that has this name in SciPy; "" for anything else."""
    parts = str(getattr(function, "__module__", None) or "").split(".")
    name = getattr(function, "__name__", "")
    if len(parts) < 2 or parts[0] != "scipy" or parts[1].startswith("_") or not name:
        return ""
    # The public name counts, since private modules move from version to version.
    module = importlib.import_module(f"scipy.{parts[1]}")
    return f"{parts[1]}.{name}" if getattr(module, name, None) is function else ""


def _plain(function: Any, args: tuple, kwargs: dict) -> Any:
    """By SciPy itself; a function that it is given may still meet what is not known."""
    try:
        return rewrap(function(*unwrap(args), **unwrap(kwargs)))
    except Exception as error:
        if not _met_unknown(error):
            raise
        name = public_name(function)
        raise no_counterpart(f"scipy.{name}" if name else _describe(function)) from error


def _met_unknown(error: BaseException | None) -> bool:
    """Is it, or what it comes from, that a value is not known?"""
    return error is not None and (isinstance(error, LiftError) or _met_unknown(error.__cause__ or error.__context__))


def _solve(name: str, function: Any, args: tuple, kwargs: dict) -> Any:
    """By a rule, where the function given, or an argument, reads what is not known; by SciPy elsewhere."""
    try:
        with as_refusal(f"scipy.{name}"):
            # The rule finds out by tracing the function whether anything in it is not known.
            result = SOLVERS[name](*args, **kwargs)
    except SpanaxError:
        if has_unknown((args, kwargs)):
            raise
        try:
            return _plain(function, args, kwargs)
        except Exception:  # SciPy met a value that is not known
            pass
        raise
    return _plain(function, args, kwargs) if result is NotImplemented else result


def _of_class(function: Any, args: tuple, kwargs: dict) -> Any:
    """Distributions and interpolators, their classes and methods."""
    if (method := method_of(function)) is not None:
        return method(*args, **kwargs)
    if family(function):
        return Frozen(function, args, kwargs)
    if public_name(function) == "stats.gaussian_kde":
        return Kde(*args, **kwargs)
    if (density := density_of(function)) is not None:
        return density.method("__call__")(*args, **kwargs)
    if (rule := interpolator(function)) is not None:
        return rule(*args, **kwargs)
    return None


def _describe(function: Any) -> str:
    owner = getattr(function, "__self__", None)
    name = getattr(function, "__qualname__", None) or type(function).__name__
    module = getattr(function, "__module__", None) or type(function).__module__
    return f"{type(owner).__module__}.{name}" if isinstance(owner, object) and owner is not None else f"{module}.{name}"
