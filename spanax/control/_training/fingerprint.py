"""What defines a training, as text: two that differ in an entry are different trainings."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import inspect
import os
import re
import sysconfig
import types
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Entries = dict[str, str]

# Code in these folders is named, not read: a newer version of a library is the same training.
_LIBRARIES = tuple(
    os.path.realpath(path) + os.sep
    for path in {*map(sysconfig.get_path, ("stdlib", "purelib", "platlib")), os.path.dirname(os.path.dirname(__file__))}
)
_MADE = set("__init__ __new__ __repr__ __eq__ __hash__ __lt__ __le__ __gt__ __ge__ __setattr__ __delattr__".split())
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))


def entries(**parts: Any) -> Entries:
    """One line of text for each number, array, function and class that is found in the parts, by the way to it.

    Fields of dataclasses and modules, items of containers, what functions close over, their defaults and bytecode, and the
    constants and functions of the user's that they name are looked at; so are the methods of the user's classes. Of objects of
    other classes, the attributes that are plain values. What Spanax and other libraries do is taken by its name.
    """
    reader = _Reader()
    for name, x in parts.items():
        reader.read(name, x)
    return reader.found


def differences(there: Mapping[str, str], here: Entries) -> list[str]:
    """What to say of the entries that are not the same."""
    said = []
    for name in sorted({*there, *here}):
        old, new = there.get(name), here.get(name)
        if old != new:
            said.append(f"{name} was {old or 'not there'} and is {new or 'not there'}")
    return said


class _Reader:
    def __init__(self):
        self.found: Entries = {}
        self._seen: dict[int, tuple[str, Any]] = {}  # with the objects themselves, whose ids are then not used again

    def read(self, at: str, x: Any) -> None:
        if isinstance(x, _PLAIN):
            self.found[at] = repr(x)
        elif isinstance(x, np.ndarray | np.generic | jax.Array):
            self.found[at] = _of_array(x)
        elif id(x) in self._seen:
            self.found[at] = f"the same as {self._seen[id(x)][0]}"
        else:
            self._seen[id(x)] = at, x
            self._read(at, x)

    def _all(self, at: str, text: str, parts: Iterator[tuple[str, Any]]) -> None:
        self.found[at] = text
        for name, part in parts:
            self.read(at + name, part)

    def _read(self, at: str, x: Any) -> None:
        if isinstance(x, type):
            self._all(at, _name(x), _of_class(x))
        elif isinstance(x, Mapping):
            self._all(at, _name(type(x)), ((f"[{k!r}]", x[k]) for k in sorted(x, key=repr)))
        elif isinstance(x, set | frozenset):
            self._all(at, f"{_name(type(x))} of {len(x)}", ((f"[{i}]", y) for i, y in enumerate(sorted(x, key=repr))))
        elif isinstance(x, list | tuple):
            names = getattr(x, "_fields", None) or [f"[{i}]" for i in range(len(x))]
            self._all(at, f"{_name(type(x))} of {len(x)}", ((_step(n), y) for n, y in zip(names, x, strict=True)))
        elif isinstance(x, types.FunctionType):
            self._all(at, _code(x), _of_function(x))
        elif isinstance(x, types.MethodType):
            self._all(at, "method", iter([(".__self__", x.__self__), (".__func__", x.__func__)]))
        elif isinstance(x, functools.partial):
            self._all(at, "partial", iter([(".func", x.func), (".args", x.args), (".keywords", x.keywords)]))
        elif hasattr(type(x), "fingerprint"):
            self._all(at, _name(type(x)), iter([("", x.fingerprint())]))
        elif dataclasses.is_dataclass(x):
            fields = ((f".{f.name}", getattr(x, f.name, None)) for f in dataclasses.fields(x))
            self._all(at, _name(type(x)), iter([*fields, (".__class__", type(x))]))
        elif callable(getattr(x, "__wrapped__", None)):
            rules = ((f".{name}", getattr(x, name, None)) for name in ("jvp", "fwd", "bwd"))  # of a custom derivative
            rules = [(name, f) for name, f in rules if isinstance(f, types.FunctionType)]
            self._all(at, _name(type(x)), iter([(".__wrapped__", x.__wrapped__), *rules]))
        else:
            self._all(at, _text(x), _of_object(x))


def _of_array(x: Any) -> str:
    kind = ""
    if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        kind, x = f"key of {jax.random.key_impl(x)} ", jax.random.key_data(x)
    array = np.asarray(x)
    if array.dtype == object:
        return f"objects {list(array.shape)}"
    text = f"{kind}{array.dtype}{list(array.shape)}"
    if array.size == 1:
        text += f" {array.item()!r}"
    return f"{text} {hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:12]}"


def _is_library(file: str) -> bool:
    path = os.path.realpath(file)
    return file.startswith("<frozen ") or path.startswith(_LIBRARIES) or f"{os.sep}site-packages{os.sep}" in path


def _of_class(cls: type) -> Iterator[tuple[str, Any]]:
    """The user's methods and constants, its bases' among them."""
    for base in cls.__mro__:
        for name, member in sorted(vars(base).items()):
            function = _function(member)
            if function is not None:
                if not _is_library(function.__code__.co_filename):
                    yield f".{base.__name__}.{name}", function
            elif _is_user(base) and not name.startswith("_") and isinstance(member, (*_PLAIN, tuple, np.ndarray)):
                yield f".{base.__name__}.{name}", member


def _is_user(cls: type) -> bool:
    methods = (m for m in map(_function, vars(cls).values()) if m is not None)
    return any(not _is_library(m.__code__.co_filename) for m in methods)


def _function(member: Any) -> types.FunctionType | None:
    """Behind a property, a class method, a wrapper; none where it was made for the class by `dataclasses`."""
    for inside in ("fget", "__func__", "method"):  # the last is Equinox's
        member = getattr(member, inside, None) or member
    member = inspect.unwrap(member) if callable(member) else member
    if not isinstance(member, types.FunctionType):
        return None
    made = member.__code__.co_filename == "<string>" and member.__name__ in _MADE
    return None if made else member


def _of_function(f: types.FunctionType) -> Iterator[tuple[str, Any]]:
    code = f.__code__
    yield from ((f" default {i}", x) for i, x in enumerate(f.__defaults__ or ()))
    yield from ((f" default {name}", x) for name, x in sorted((f.__kwdefaults__ or {}).items()))
    for name, cell in zip(code.co_freevars, f.__closure__ or (), strict=True):
        try:
            yield f" {name}", cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    if not _is_library(code.co_filename):
        for name in sorted(_names(code)):
            x = f.__globals__.get(name, f)
            if x is not f and isinstance(
                x, (*_PLAIN, np.ndarray, np.generic, jax.Array, tuple, list, dict, types.FunctionType)
            ):
                yield f" {name}", x


def _names(code: types.CodeType) -> set[str]:
    """What it and the functions in it may read of their module."""
    inner = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _code(f: types.FunctionType) -> str:
    if _is_library(f.__code__.co_filename):
        return f"{f.__module__}.{f.__qualname__}"
    return f"{f.__qualname__} {_digest(f.__code__, f.__doc__)[:12]}"


def _digest(code: types.CodeType, doc: str | None) -> str:
    """Of what it does: not of where it is written, nor of its docstring."""
    consts = [c for i, c in enumerate(code.co_consts) if i or c != doc]
    told = [_digest(c, None) if isinstance(c, types.CodeType) else _constant(c) for c in consts]
    shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return hashlib.sha256(repr((code.co_code, told, shape, names)).encode()).hexdigest()


def _constant(c: Any) -> str:
    return repr(sorted(map(repr, c))) if isinstance(c, frozenset) else repr(c)


def _of_object(x: Any) -> Iterator[tuple[str, Any]]:
    if _is_user(type(x)):
        yield ".__class__", type(x)
        for name, value in sorted(getattr(x, "__dict__", {}).items()):
            if isinstance(value, (*_PLAIN, np.ndarray, np.generic, jax.Array, tuple, list, dict, types.FunctionType)):
                yield f".{name}", value


def _text(x: Any) -> str:
    """Its own words where its class has some that do not hold an address."""
    cls = type(x)
    if isinstance(x, types.ModuleType):
        return x.__name__
    told = repr(x) if cls.__repr__ is not object.__repr__ or isinstance(x, enum.Enum | np.dtype) else ""
    told = re.sub(r" at 0x[0-9a-f]+", "", told)
    return told if told and len(told) < 500 else _name(cls)


def _name(cls: type) -> str:
    return cls.__qualname__


def _step(name: str) -> str:
    return name if name.startswith("[") else f".{name}"
