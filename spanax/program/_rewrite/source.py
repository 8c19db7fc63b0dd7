"""The syntax tree of a Python function, at its own lines."""

from __future__ import annotations

import ast
import functools
import linecache
import types

from .._session import LiftError

Function = ast.FunctionDef | ast.Lambda


def function_tree(function: types.FunctionType) -> Function:
    """Its definition or lambda expression; `LiftError` where there is no source, or not that of the running code."""
    code = function.__code__
    where = f"{code.co_filename}:{code.co_firstlineno} ({code.co_name})"
    linecache.checkcache(code.co_filename)
    source = "".join(linecache.getlines(code.co_filename, function.__globals__))
    if not source:
        raise LiftError(
            f"{code.co_name} has no source text",
            "the function in a file, or in a notebook's cell",
            "sx.blackbox around it, with a bridge",
            where=where,
        )
    nodes = _functions(source, code.co_filename).get(code.co_firstlineno, ())
    found = [n for n in nodes if _is_of(n, code)]
    if found:
        return found[-1]  # of lambdas inside each other, in one line, the innermost
    kind = (
        "an async function"
        if code.co_flags & 0x80
        else "not in the text of its file, which may have changed since it was imported"
    )
    raise LiftError(f"{code.co_name} is {kind}", "a plain function", "the program started anew", where=where)


@functools.lru_cache(maxsize=64)
def _functions(source: str, file: str) -> dict[int, list[Function]]:
    """All of a file, by their first lines."""
    found: dict[int, list[Function]] = {}
    for node in ast.walk(ast.parse(source, file)):
        if isinstance(node, (ast.FunctionDef, ast.Lambda)):
            decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
            found.setdefault(min([node.lineno, *(d.lineno for d in decorators)]), []).append(node)
    return found


def _is_of(node: Function, code: types.CodeType) -> bool:
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and _spans(node, code)
    return node.name == code.co_name


def _spans(node: ast.Lambda, code: types.CodeType) -> bool:
    """Does the code's body lie where the lambda's body does? Several may stand in one line."""
    body = node.body
    places = [
        p for p in code.co_positions() if p[0] is not None and p[2] is not None and p[3]
    ]  # a prologue has no width
    names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    if names != list(code.co_varnames[: len(names)]):
        return False
    start, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
    return all(start <= (p[0], p[2]) and (p[1], p[3]) <= end for p in places)  # type: ignore[operator]


def is_generator(node: Function) -> bool:
    return any(isinstance(n, (ast.Yield, ast.YieldFrom, ast.Await)) for n in own_nodes(node))


def own_nodes(node: ast.AST):
    """All nodes of a function or a statement, without those of functions and classes inside."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, (ast.FunctionDef, ast.Lambda, ast.ClassDef, ast.AsyncFunctionDef)):
            yield from own_nodes(child)
