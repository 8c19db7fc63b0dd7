"""Pieces of syntax trees: names, functions, and calls of hooks."""

from __future__ import annotations

import ast
from typing import Any, TypeGuard

# The one name that a rewritten function sees beside its own: the object whose methods are the hooks. All names that the
# rewriting makes up begin with it, so that they are never taken for the program's.
HOOKS = "_sx_"


def hook(name: str, *args: ast.expr, keywords: list[ast.keyword] | None = None) -> ast.Call:
    return ast.Call(ast.Attribute(load(HOOKS), name, ast.Load()), list(args), keywords or [])


def load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def store(name: str) -> ast.Name:
    return ast.Name(name, ast.Store())


def thunk(expression: ast.expr) -> ast.Lambda:
    """`lambda: expression`, for what may not be evaluated."""
    return ast.Lambda(ast.arguments([], [], None, [], [], None, []), expression)


def at(place: ast.AST, node: Any) -> Any:
    """New nodes, at the line of an old one; those that have a line keep it."""
    # So tracebacks, the lines in our messages and debuggers show the user's source.
    nodes = node if isinstance(node, list) else [node]
    for new in nodes:
        for part in ast.walk(new):
            if "lineno" in part._attributes and not hasattr(part, "lineno"):
                ast.copy_location(part, place)
                if is_hook(part):  # Python gives the call of an attribute the last line of the attribute
                    part.end_lineno, part.end_col_offset = part.lineno, part.col_offset
    return node


def is_hook(node: ast.AST | None) -> TypeGuard[ast.Attribute]:
    """Is it `_sx_.name`?"""
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == HOOKS


def define(name: str, body: list[ast.stmt], args: tuple[str, ...] = ()) -> ast.FunctionDef:
    arguments = ast.arguments([], [ast.arg(a) for a in args], None, [], [], None, [])
    return ast.FunctionDef(name, arguments, body or [ast.Pass()], [], None, None)


# A block becomes a function of its own, so what it assigns must be declared as its parent's.
def nonlocals(names: list[str], outer: set[str]) -> list[ast.stmt]:
    return [ast.Nonlocal([n for n in names if n in outer])] if any(n in outer for n in names) else []


def flatten_target(target: ast.expr) -> list[ast.expr]:
    """What a tuple assigns to, at any depth."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return [part for element in target.elts for part in flatten_target(element)]
    return flatten_target(target.value) if isinstance(target, ast.Starred) else [target]


def not_flag(flag: str) -> ast.expr:
    return ast.UnaryOp(ast.Not(), load(flag))


def strings(names: list[str]) -> ast.expr:
    return ast.Tuple([ast.Constant(n) for n in names], ast.Load())


def parameters(args: ast.arguments) -> list[str]:
    extra = [a.arg for a in (args.vararg, args.kwarg) if a]
    return [a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs)] + extra


def split_docstring(body: list[ast.stmt]) -> tuple[list[ast.stmt], list[ast.stmt]]:
    """The docstring, which must stay the first statement to be one, and the rest."""
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return body[:1], body[1:]
    return [], body
