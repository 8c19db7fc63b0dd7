"""What a command is to look at, as a user names it: `package.module:name`, and the arguments to call it with."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import typer

from .._errors import SpanaxError
from ._messages import explain_failure

FORMS = "a tuple of arguments, a dict of keyword arguments, or a function without arguments that returns either"


def positions(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise typer.BadParameter(f"{text!r} is not a list of positions, such as 0 or 0,2")
    return tuple(map(int, text.split(",")))


def check_positions(argnums: tuple[int, ...], args: tuple, args_name: str) -> None:
    for number in argnums:
        if number >= len(args):
            raise SpanaxError(
                f"--argnums has {number}, and {args_name} gives {len(args)} positional arguments, from 0", where=""
            )
    # JAX would differentiate twice and say nothing.
    if len(set(argnums)) < len(argnums):
        raise SpanaxError(f"--argnums names a position twice: {','.join(map(str, argnums))}", where="")


def load_function(name: str) -> Callable[..., Any]:
    function = _load(name)
    if not callable(function):
        raise SpanaxError(f"{name} is not a function: it is {_a(function)}", where="")
    return function


def load_value(name: str) -> Any:
    """What `package.module:name` names, or what it returns if it is a function."""
    value = _load(name)
    if callable(value):
        with explain_failure(f"calling {name}() failed"):
            # Arguments may be large or need jax: a function makes them when they are needed, and not on import.
            value = value()
    return value


def _load(name: str) -> Any:
    """The object that `package.module:dotted.name` names."""
    # A colon, as in entry points: a dot would leave open where the module ends.
    module, colon, path = name.partition(":")
    if not (module and colon and path):
        raise SpanaxError(
            f"{name!r} has no module and name", "write package.module:name, with a colon between them", where=""
        )
    # As `python -m` does it: a user's module lies where the command is run.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    with explain_failure(f"importing {module} failed"):
        found = importlib.import_module(module)
    walked = module
    for piece in path.split("."):
        if not hasattr(found, piece):
            # Named in full, to be pasted.
            near = [f"{walked}{colon}{match}" for match in get_close_matches(piece, dir(found), 3)]
            raise SpanaxError(f"{walked} has no {piece!r}", *near, where="")
        found, walked, colon = getattr(found, piece), f"{walked}{colon}{piece}", "."
    return found


def bind_arguments(name: str, function: Callable, args_name: str, example: Any) -> tuple[tuple, dict[str, Any]]:
    """Positional and keyword arguments; what can be given by position is, so that `argnums` can name it."""
    if not isinstance(example, (tuple, dict)):
        raise SpanaxError(f"{args_name} gives {_a(example)}", f"make it {FORMS}", where="")
    # Both forms are common; a list is refused, as it is easily an argument itself.
    args, kwargs = ((), example) if isinstance(example, dict) else (example, {})
    signature = signature_of(function)
    if signature is None:
        return args, kwargs
    # First as it is; then with the key that the command will add.
    bound = _try_to_bind(signature, args, kwargs) or _try_to_bind(signature_of(key_later(function)), args, kwargs)
    try:
        bound = bound or signature.bind(*args, **kwargs)
    except TypeError as error:
        raise SpanaxError(f"{args_name} does not fit {name}{signature}: {error}", where="") from error
    return bound.args, bound.kwargs


def _try_to_bind(signature: inspect.Signature | None, args: tuple, kwargs: dict) -> inspect.BoundArguments | None:
    try:
        return signature.bind(*args, **kwargs) if signature else None
    except TypeError:
        return None


def key_later(function: Callable) -> Callable:
    """The function, for `bind_arguments`: a `key` that is not among the arguments is given to it later."""
    signature = signature_of(function)
    return functools.partial(function, key=None) if signature and "key" in signature.parameters else function


def signature_of(function: Callable) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # some functions written in C do not tell
        return None


def _a(value: Any) -> str:
    return f"a value of type {type(value).__name__}"
