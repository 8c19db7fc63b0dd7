"""The syntax tree of a Python function, at its own lines.

From the text of its file (`linecache`, which knows the cells of notebooks as well): a code object names the file and the
first line. That is not enough where several lambdas share a line, so those are told apart by the columns of their bytecode
(PEP 657).
"""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import types

from .._session import LiftError

Function = ast.FunctionDef | ast.Lambda


def function_tree(function: types.FunctionType) -> Function:
    """Its definition or lambda expression; `LiftError` where there is no source, or not that of the running code."""
    code = function.__code__
    where = f"{code.co_filename}:{code.co_firstlineno} ({code.co_name})"
    # A file that has changed since its import has other lines than the running code: better no gradient than that of other
    # code.
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
    matches = [n for n in nodes if _is_of(n, code)]
    if matches:
        return matches[-1]  # of lambdas inside each other, in one line, the innermost
    is_async = code.co_flags & inspect.CO_COROUTINE
    kind = (
        "an async function" if is_async else "not in the text of its file, which may have changed since it was imported"
    )
    raise LiftError(f"{code.co_name} is {kind}", "a plain function", "the program started anew", where=where)


@functools.lru_cache(maxsize=64)
def _functions(source: str, file: str) -> dict[int, list[Function]]:
    """All of a file, by their first lines. The first line of a decorated function is that of its first decorator."""
    by_line: dict[int, list[Function]] = {}
    for node in ast.walk(ast.parse(source, file)):
        if isinstance(node, (ast.FunctionDef, ast.Lambda)):
            decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
            by_line.setdefault(min([node.lineno, *(d.lineno for d in decorators)]), []).append(node)
    return by_line


def _is_of(node: Function, code: types.CodeType) -> bool:
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and _spans(node, code)
    return node.name == code.co_name


def _spans(node: ast.Lambda, code: types.CodeType) -> bool:
    """Does the code's body lie where the lambda's body does? Several may stand in one line."""
    body = node.body
    # Instructions of the prologue have no width, and lie at the start of the line.
    places = [p for p in code.co_positions() if p[0] is not None and p[2] is not None and p[3]]
    names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    if names != list(code.co_varnames[: len(names)]):
        return False
    # Of a lambda inside another, the outer one's body holds the inner one's: `function_tree` takes the innermost.
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
