"""Text with values that are not known yet: it may be printed, logged or raised, and is made when the program runs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .._session import session, unliftable
from .trees import has_unknown, unwrapped
from .values import Value, is_unknown, raw

_CONVERSIONS = {-1: lambda x: x, 115: str, 114: repr, 97: ascii}


class Text:
    """Parts of a text: strings, and `(value, how to write it)`."""

    def __init__(self, parts: tuple):
        self.parts = parts

    def made(self, values: list) -> str:
        """With the values of its unknown parts, in order."""
        given = iter(values)
        return "".join(p if isinstance(p, str) else p[1](_known(p[0], given)) for p in self.parts)

    @property
    def values(self) -> list:
        return [value for p in self.parts if not isinstance(p, str) for value in _unknown(p[0])]

    def __str__(self) -> str:
        return "".join(p if isinstance(p, str) else "<traced>" for p in self.parts)

    def __add__(self, other: Any) -> Text:
        return Text((*self.parts, *(other.parts if isinstance(other, Text) else (other,))))

    def __radd__(self, other: str) -> Text:
        return Text((other, *self.parts))


def _unknown(x: Any) -> list:
    return [part for part in jax.tree.leaves(x, is_leaf=lambda p: isinstance(p, Value)) if is_unknown(part)]


def _known(x: Any, given: Any) -> Any:
    return jax.tree.map(lambda p: next(given) if is_unknown(p) else raw(p), x, is_leaf=lambda p: isinstance(p, Value))


def _python(x: Any) -> Any:
    return x.item() if isinstance(x, np.ndarray) and not x.ndim else x


def joined(*parts: Any) -> str | Text:
    """An f-string."""
    pieces: list = []
    for part in parts:
        if isinstance(part, str):
            pieces.append(part)
        else:
            value, conversion, spec = part
            pieces.append((value, lambda v, c=conversion, s=spec: format(_CONVERSIONS[c](_python(v)), s)))
    return _settled(Text(tuple(pieces)))


def percent(left: Any, right: Any) -> Any:
    """`left % right`, which may be a text."""
    if isinstance(left, str) and has_unknown(right):
        return Text(((right, lambda v: left % _plain(v)),))
    return left % unwrapped(right) if isinstance(left, str) else left % right


def formatted(template: str, args: tuple, kwargs: dict) -> str | Text:
    """`template.format(...)`."""
    return _settled(
        Text(
            (
                (
                    (args, kwargs),
                    lambda v: template.format(*map(_python, v[0]), **{k: _python(x) for k, x in v[1].items()}),
                ),
            )
        )
    )


def _plain(v: Any) -> Any:
    return (
        tuple(map(_python, v))
        if isinstance(v, tuple)
        else {k: _python(x) for k, x in v.items()}
        if isinstance(v, dict)
        else _python(v)
    )


def _settled(text: Text) -> str | Text:
    return text if text.values else text.made([])


def text_of(x: Any) -> str | Text:
    """`str(x)`."""
    return Text(((x, lambda v: str(_python(v))),)) if has_unknown(x) else str(unwrapped(x))


def deferred(function: Callable, args: tuple, kwargs: dict) -> None:
    """`function(*args, **kwargs)` when the program runs: a print or a log."""
    flat = [a if isinstance(a, Text) else Text(((a, lambda v: v),)) for a in args]
    values = [t.values for t in flat]

    def run(found):
        done = [_written(t, list(map(np.asarray, v))) for t, v in zip(flat, found, strict=True)]
        function(*done, **kwargs)

    if session().probing:
        return
    jax.debug.callback(run, [[raw(v) for v in part] for part in values])


def _written(text: Text, values: list) -> Any:
    if len(text.parts) == 1 and not isinstance(text.parts[0], str):
        value, write = text.parts[0]
        return write(jax.tree.map(_python, _known(value, iter(values))))
    return text.made(values)


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
    """Of an error: what is not known is left open."""
    return str(x)


def refuse_number(x: Any) -> None:
    if isinstance(x, Text):
        raise unliftable(
            "text made of a value that depends on the arguments is used for more than printing",
            "the number itself",
            "sx.blackbox around it, with a bridge",
        )
