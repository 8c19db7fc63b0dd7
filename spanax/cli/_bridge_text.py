"""Bridges as a user types them: "z=DisARM(),LeaveOneOut(samples=4)". Read, never evaluated."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from .._errors import SpanaxError
from .bridges import concrete_bridges


def bridges_of(texts: Sequence[str]) -> dict[str, list[Any]]:
    """{"z": [DisARM(), LeaveOneOut(samples=4)]} of such texts, one for each name of a draw.

    Only names of public bridges are known, and of their arguments only literals and other bridges: anything else raises
    `SpanaxError`.
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        # At the first =, as arguments of a bridge may have one, too.
        name, _, bridges = (piece.strip() for piece in text.partition("="))
        if not name or not bridges or "(" in name:
            raise SpanaxError(
                f"--via {text!r} is not a name and bridges", '--via "z=DisARM(),LeaveOneOut(4)"', where=""
            )
        if name in found:
            raise SpanaxError(
                f"--via names {name!r} twice", f'--via "{name}=..., ..." with all of its bridges', where=""
            )
        found[name] = _parse_bridges(bridges)
    return found


def _parse_bridges(text: str) -> list[Any]:
    try:
        # Parsed as a tuple, so that commas inside arguments are Python's own business.
        tree = ast.parse(f"({text},)", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SpanaxError(f"--via {text!r} cannot be read: {error}", "DisARM(),LeaveOneOut(4)", where="") from error
    assert isinstance(tree, ast.Tuple)
    return [_bridge(node) for node in tree.elts]


def _bridge(node: ast.expr) -> Any:
    text = ast.unparse(node)
    # The most common slip gets its own answer.
    if isinstance(node, ast.Name):
        raise SpanaxError(f"--via {text} is not called", f"{text}()", where="")
    if not isinstance(node, ast.Call):
        raise SpanaxError(f"--via {text!r} is not a bridge", "DisARM()", "spanax bridges lists all", where="")
    bridge = _bridge_class(node.func)
    given = [_value(argument) for argument in node.args]
    settings = {keyword.arg: _value(keyword.value) for keyword in node.keywords if keyword.arg is not None}
    # A ** has no name, and would vanish silently.
    if len(settings) < len(node.keywords):
        raise SpanaxError(f"--via {text!r} has a ** in it", "the arguments one by one", where="")
    try:
        return bridge(*given, **settings)
    except TypeError as error:
        raise SpanaxError(f"--via {text}: {error}", where="") from error


def _bridge_class(node: ast.expr) -> type[Any]:
    """The class that `DisARM` or `sx.DisARM` names."""
    known, name = concrete_bridges(), ast.unparse(node).removeprefix("sx.")
    if name not in known:
        # A misspelt name is nearly always one of these.
        near = get_close_matches(name, known, 3, cutoff=0.5)
        raise SpanaxError(
            f"--via: {name!r} is not a bridge", *(f"{match}()" for match in near), "spanax bridges lists all", where=""
        )
    return known[name]


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        return _bridge(node)
    try:
        # Literals only: a shell argument must not run code.
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError) as error:
        raise SpanaxError(
            f"--via: the argument {ast.unparse(node)!r} is not a literal",
            "a number, True, False, None or a string",
            where="",
        ) from error
