"""A Python function with hooks in it: compiled under its own file name and lines, with its own globals, closure and defaults.

The hooks come in through the closure, as one more free variable, and not through the globals: these stay the module's own,
so that the function sees later changes of it, and nothing is added to a module of the user's.
"""

from __future__ import annotations

import ast
import inspect
import threading
import types
from typing import Any

from .._session import HOOKED
from .rewriter import HOOKS, rewrite
from .source import function_tree, is_generator

_COMPILED: dict[types.CodeType, types.CodeType | None] = {}
_LOCK = threading.RLock()


def is_lifted(function: types.FunctionType) -> bool:
    return function.__code__ in HOOKED


def with_hooks(function: types.FunctionType, hooks: Any) -> types.FunctionType:
    """The function itself where it is a generator, which is left as it is."""
    with _LOCK:
        # By the code, not the function: closures and methods made anew from one definition are compiled once.
        if function.__code__ not in _COMPILED:
            _COMPILED[function.__code__] = _compile(function)
        code = _COMPILED[function.__code__]
    if code is None:
        return function
    # The cells themselves, not their contents: a variable of a function around that changes later is seen, and written, as
    # before.
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    cells[HOOKS] = types.CellType(hooks)
    closure = tuple(cells[name] for name in code.co_freevars)
    new = types.FunctionType(code, function.__globals__, function.__name__, function.__defaults__, closure)
    new.__kwdefaults__ = function.__kwdefaults__
    new.__qualname__ = function.__qualname__
    return new


def _compile(function: types.FunctionType) -> types.CodeType | None:
    tree = function_tree(function)
    if is_generator(tree):
        return None
    code = function.__code__
    new = rewrite(tree, code.co_filename, _class_name(code))
    if isinstance(new, ast.FunctionDef):
        # Defined under its own name in the factory, it would see itself, and not what the program has bound to the name.
        new.name = f"{HOOKS}function"  # its own name, inside it, is the global one or that of its closure
    statement = new if isinstance(new, ast.FunctionDef) else ast.copy_location(ast.Expr(new), new)
    # The function is compiled inside another one whose parameters are its free variables: so Python makes them free in it, too.
    factory = ast.FunctionDef(
        "_sx_factory",
        ast.arguments([], [ast.arg(n) for n in (HOOKS, *code.co_freevars)], None, [], [], None, []),
        [statement],
        [],
        None,
        None,
    )
    module = ast.Module([ast.copy_location(factory, new)], [])
    ast.fix_missing_locations(module)
    outer = compile(module, code.co_filename, "exec", dont_inherit=True)
    inner = _constants(_constants(outer)[0])[0]  # of the module, the factory; of that, the function
    return _rename_blocks(inner, code.co_name, code.co_qualname)


def _class_name(code: types.CodeType) -> str | None:
    parts = code.co_qualname.split(".")
    return parts[-2] if len(parts) > 1 and parts[-2] != "<locals>" else None


def _constants(code: types.CodeType) -> list[types.CodeType]:
    return [c for c in code.co_consts if isinstance(c, types.CodeType)]


def _has_hooks(code: types.CodeType) -> bool:
    """Generators and the bodies of classes are left as they are."""
    is_generator = bool(code.co_flags & inspect.CO_GENERATOR) and code.co_name != "<genexpr>"
    return bool(code.co_flags & inspect.CO_OPTIMIZED) and not is_generator


def _rename_blocks(code: types.CodeType, name: str, qualified: str) -> types.CodeType:
    """Blocks bear the name of the function that they are part of: in tracebacks, and in the lines of our messages."""
    inside = {}
    for constant in filter(_has_hooks, _constants(code)):
        if constant.co_name.startswith(HOOKS) or constant.co_name == "<lambda>":
            inside[constant] = _rename_blocks(constant, name, qualified)
        else:
            inside[constant] = _rename_blocks(constant, constant.co_name, f"{qualified}.<locals>.{constant.co_name}")
    consts = tuple(inside.get(c, c) if isinstance(c, types.CodeType) else c for c in code.co_consts)
    new = code.replace(co_name=name, co_qualname=qualified, co_consts=consts)
    HOOKED.add(new)
    return new
