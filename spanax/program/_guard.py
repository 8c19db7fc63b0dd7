"""What a program reads beside its arguments: globals, closures, attributes. If it changes, the program is traced again."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from .._jaxprs import is_traced

_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
_DEPTH = 6


class Unknown(Exception):
    """The state cannot be told."""


def state_of(functions: Iterable[types.FunctionType]) -> list:
    """Something that is equal as long as the globals, closures and defaults of the functions are the same."""
    found: list = []
    for function in functions:
        names, scope = _names(function.__code__), function.__globals__
        found += [_state(scope[n], _DEPTH) for n in names if n in scope]
        found += [_cell(c) for c in function.__closure__ or ()]
        found += [_state(d, _DEPTH) for d in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())]
    return found


_NAMES: dict[types.CodeType, tuple[str, ...]] = {}


def _names(code: types.CodeType) -> tuple[str, ...]:
    """Of globals and attributes, in functions inside as well."""
    if code not in _NAMES:
        inside = [n for c in code.co_consts if isinstance(c, types.CodeType) for n in _names(c)]
        _NAMES[code] = tuple(dict.fromkeys([*code.co_names, *inside]))
    return _NAMES[code]


def _cell(cell: Any) -> Any:
    try:
        return _state(cell.cell_contents, _DEPTH)
    except ValueError:  # empty
        return None


def _state(x: Any, depth: int) -> Any:
    if isinstance(x, _PLAIN):
        return type(x), x if x == x else "nan"
    if isinstance(x, np.ndarray):
        return id(x), x.shape, x.dtype.str, x.tobytes() if x.dtype != object else None
    if is_traced(x):
        raise Unknown
    if isinstance(x, (types.FunctionType, types.ModuleType, types.BuiltinFunctionType, type, jax.Array)):
        return _Same(x)
    if depth == 0:
        return _Same(x)
    if isinstance(x, (list, tuple, set, frozenset)):
        return type(x), [_state(part, depth - 1) for part in x]
    if isinstance(x, dict):
        return [(_state(k, depth - 1), _state(v, depth - 1)) for k, v in x.items()]
    if isinstance(x, types.MethodType):
        return _Same(x.__func__), _state(x.__self__, depth - 1)
    if hasattr(x, "__dict__") and not type(x).__module__.startswith(("numpy", "jax", "scipy")):
        return _Same(x), [(n, _state(v, depth - 1)) for n, v in vars(x).items()]
    return _Same(x)


class _Same:
    """Equal to what holds the same object, which is kept alive."""

    def __init__(self, x: Any):
        self.x = x

    def __eq__(self, other):
        return isinstance(other, _Same) and self.x is other.x

    __hash__ = object.__hash__
