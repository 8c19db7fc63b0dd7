"""Text with values that are not known yet: it may be printed, logged or raised, and is made when the program runs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .._session import session, unliftable
from .trees import has_unknown, unwrap
from .values import Value, is_unknown, raw

# By the number in a syntax tree: none, !s, !r, !a.
_CONVERSIONS = {-1: lambda x: x, 115: str, 114: repr, 97: ascii}


class Text:
    """Parts of a text: strings, and `(value, how to write it)`."""

    def __init__(self, parts: tuple):
        self.parts = parts

    def make(self, values: list) -> str:
        """The text, with these values for its unknown parts, in order."""
        numbers = iter(values)
        return "".join(p if isinstance(p, str) else p[1](_fill(p[0], numbers)) for p in self.parts)

    @property
    def values(self) -> list:
        return [value for p in self.parts if not isinstance(p, str) for value in _unknown_parts(p[0])]

    # For the message of an error that is raised while the program is traced, where the numbers are not known.
    def __str__(self) -> str:
        return "".join(p if isinstance(p, str) else "<traced>" for p in self.parts)

    def __add__(self, other: Any) -> Text:
        return Text((*self.parts, *(other.parts if isinstance(other, Text) else (other,))))

    def __radd__(self, other: str) -> Text:
        return Text((other, *self.parts))


def _unknown_parts(x: Any) -> list:
    return [part for part in jax.tree.leaves(x, is_leaf=lambda p: isinstance(p, Value)) if is_unknown(part)]


def _fill(x: Any, numbers: Any) -> Any:
    """x with these numbers in the places of those that are not known."""
    return jax.tree.map(lambda p: next(numbers) if is_unknown(p) else raw(p), x, is_leaf=lambda p: isinstance(p, Value))


def _python(x: Any) -> Any:
    return x.item() if isinstance(x, np.ndarray) and not x.ndim else x


def format_fstring(*parts: Any) -> str | Text:
    """The text of an f-string."""
    pieces: list = []
    for part in parts:
        if isinstance(part, str):
            pieces.append(part)
        else:
            value, conversion, spec = part
            pieces.append((value, lambda v, c=conversion, s=spec: format(_CONVERSIONS[c](_python(v)), s)))
    return _as_known(Text(tuple(pieces)))


def percent(left: Any, right: Any) -> Any:
    """`left % right`, where left may be text."""
    if isinstance(left, str) and has_unknown(right):
        return Text(((right, lambda v: left % _plain(v)),))
    return left % unwrap(right) if isinstance(left, str) else left % right


def apply_format(template: str, args: tuple, kwargs: dict) -> str | Text:
    """`template.format(...)`."""

    def write(values: tuple) -> str:
        positional, named = values
        return template.format(*map(_python, positional), **{k: _python(x) for k, x in named.items()})

    return _as_known(Text((((args, kwargs), write),)))


def _plain(v: Any) -> Any:
    if isinstance(v, tuple):
        return tuple(map(_python, v))
    return {k: _python(x) for k, x in v.items()} if isinstance(v, dict) else _python(v)


def _as_known(text: Text) -> str | Text:
    return text if text.values else text.make([])


def text_of(x: Any) -> str | Text:
    """`str(x)`."""
    return Text(((x, lambda v: str(_python(v))),)) if has_unknown(x) else str(unwrap(x))


def call_at_run_time(function: Callable, args: tuple, kwargs: dict) -> None:
    """Calls `function(*args, **kwargs)`, a print or a log, when the program runs."""
    flat = [a if isinstance(a, Text) else Text(((a, lambda v: v),)) for a in args]
    # Only the unknown numbers travel; all else is in the closure of the callback.
    values = [t.values for t in flat]

    def run(numbers):
        written = [_write_argument(t, list(map(np.asarray, v))) for t, v in zip(flat, numbers, strict=True)]
        function(*written, **kwargs)

    if session().probing:  # a trial that is thrown away
        return
    # Not ordered: a callback that must keep its place would forbid vmap, and loops that XLA may compile as it likes.
    jax.debug.callback(run, [[raw(v) for v in part] for part in values])


def _write_argument(text: Text, values: list) -> Any:
    if len(text.parts) == 1 and not isinstance(text.parts[0], str):
        value, write = text.parts[0]
        return write(jax.tree.map(_python, _fill(value, iter(values))))
    return text.make(values)


# Logging is recognised by its object: from a callback, it writes the numbers and not what stands for them.
def is_log(function: Any) -> bool:
    owner = getattr(function, "__self__", None)
    return isinstance(owner, (logging.Logger, logging.LoggerAdapter)) or any(function is log for log in _LOGS)


_LOGS = {
    warnings.warn,
    logging.debug,
    logging.info,
    logging.warning,
    logging.error,
    logging.critical,
    logging.exception,
    logging.log,
}


def message(x: Any) -> str:
    """The text of an error's argument; what is not known is left open."""
    return str(x)


def refuse_number(x: Any) -> None:
    if isinstance(x, Text):
        raise unliftable(
            "text made of a value that depends on the arguments is used for more than printing",
            "the number itself",
            "sx.blackbox around it, with a bridge",
        )
