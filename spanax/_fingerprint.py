"""What defines a long run (a training, an optimisation), as text: two that differ in an entry are different runs.

A checkpoint that is resumed with another environment, objective or step would go on without a word. So all that the run
depends on is walked through, object by object, by rules for the kinds of objects; code is compared by its bytecode and
constants.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import hashlib
import inspect
import os
import re
import sysconfig
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._places import SPANAX

Entries = dict[str, str]
Parts = Iterator[tuple[str, Any]]  # the way to each from the object, such as ".field" or "[0]"

# Code in these folders is named, not read: a newer version of a library is the same run.
_LIBRARIES = tuple(
    os.path.realpath(path) + os.sep for path in {*map(sysconfig.get_path, ("stdlib", "purelib", "platlib")), SPANAX}
)
_GENERATED = set(
    "__init__ __new__ __repr__ __eq__ __hash__ __lt__ __le__ __gt__ __ge__ __setattr__ __delattr__".split()
)
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))
_LOOKED_AT = (*_PLAIN, np.ndarray, np.generic, jax.Array, tuple, list, dict, types.FunctionType)


def entries(**parts: Any) -> Entries:
    """One line of text for each number, array, function and class that is found in the parts, by the way to it.

    Fields of dataclasses and modules, items of containers, what functions close over, their defaults and bytecode, and the
    constants and functions of the user's that they name are looked at; so are the methods of the user's classes. Of objects of
    other classes, the attributes that are plain values. What Spanax and other libraries do is taken by its name.
    """
    reader = _Reader()
    for name, x in parts.items():
        reader.read(name, x)
    return reader.entries


def differences(there: Mapping[str, str], here: Entries) -> list[str]:
    """A sentence for each entry that is not the same."""
    changes = []
    for name in sorted({*there, *here}):
        old, new = there.get(name), here.get(name)
        if old != new:
            changes.append(f"{name} was {old or 'not there'} and is {new or 'not there'}")
    return changes


class _Reader:
    def __init__(self):
        self.entries: Entries = {}
        # With the objects themselves, whose ids could otherwise be used again.
        self._seen: dict[int, tuple[str, Any]] = {}

    def read(self, at: str, x: Any) -> None:
        if isinstance(x, _PLAIN):
            self.entries[at] = repr(x)
        elif isinstance(x, np.ndarray | np.generic | jax.Array):
            self.entries[at] = _of_array(x)
        # Objects refer to each other in circles: a function to its module's table that holds it.
        elif id(x) in self._seen:
            self.entries[at] = f"the same as {self._seen[id(x)][0]}"
        else:
            self._seen[id(x)] = at, x
            self.entries[at], parts = _described(x)
            for name, part in parts:
                self.read(at + name, part)


def _described(x: Any) -> tuple[str, Parts]:
    """The object in a few words, and its parts: by the first rule that fits it."""
    rule = next((rule for fits, rule in _RULES if fits(x)), _object)
    return rule(x)


def _mapping(x: Mapping) -> tuple[str, Parts]:
    return _name(type(x)), ((f"[{k!r}]", x[k]) for k in sorted(x, key=repr))


def _set(x: set | frozenset) -> tuple[str, Parts]:
    # Sets of strings are in another order in each process.
    return f"{_name(type(x))} of {len(x)}", ((f"[{i}]", y) for i, y in enumerate(sorted(x, key=repr)))


def _sequence(x: list | tuple) -> tuple[str, Parts]:
    names = getattr(x, "_fields", None) or [f"[{i}]" for i in range(len(x))]
    return f"{_name(type(x))} of {len(x)}", ((_step(n), y) for n, y in zip(names, x, strict=True))


def _method(x: types.MethodType) -> tuple[str, Parts]:
    return "method", iter([(".__self__", x.__self__), (".__func__", x.__func__)])


def _partial(x: functools.partial) -> tuple[str, Parts]:
    return "partial", iter([(".func", x.func), (".args", x.args), (".keywords", x.keywords)])


def _dataclass(x: Any) -> tuple[str, Parts]:
    fields = ((f".{f.name}", getattr(x, f.name, None)) for f in dataclasses.fields(x))
    return _name(type(x)), iter([*fields, (".__class__", type(x))])


def _wrapper(x: Any) -> tuple[str, Parts]:
    """A function under `jit`, or with a custom derivative, whose rules are part of it."""
    rules = ((f".{name}", getattr(x, name, None)) for name in ("jvp", "fwd", "bwd"))
    rules = [(name, f) for name, f in rules if isinstance(f, types.FunctionType)]
    return _name(type(x)), iter([(".__wrapped__", x.__wrapped__), *rules])


def _object(x: Any) -> tuple[str, Parts]:
    return _text(x), _of_object(x)


# The order matters: a named tuple is a tuple, a class may be a dataclass, and a dataclass may say itself what it is.
_RULES: tuple[tuple[Callable[[Any], bool], Callable[[Any], tuple[str, Parts]]], ...] = (
    (lambda x: isinstance(x, type), lambda x: (_name(x), _of_class(x))),
    (lambda x: isinstance(x, Mapping), _mapping),
    (lambda x: isinstance(x, set | frozenset), _set),
    (lambda x: isinstance(x, list | tuple), _sequence),
    (lambda x: isinstance(x, types.FunctionType), lambda x: (_code(x), _of_function(x))),
    (lambda x: isinstance(x, types.MethodType), _method),
    (lambda x: isinstance(x, functools.partial), _partial),
    (lambda x: hasattr(type(x), "fingerprint"), lambda x: (_name(type(x)), iter([("", x.fingerprint())]))),
    (dataclasses.is_dataclass, _dataclass),
    (lambda x: callable(getattr(x, "__wrapped__", None)), _wrapper),
)


def _of_array(x: Any) -> str:
    kind = ""
    if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        kind, x = f"key of {jax.random.key_impl(x)} ", jax.random.key_data(x)
    array = np.asarray(x)
    # Their bytes are addresses.
    if array.dtype == object:
        return f"objects {list(array.shape)}"
    text = f"{kind}{array.dtype}{list(array.shape)}"
    if array.size == 1:
        text += f" {array.item()!r}"
    return f"{text} {hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:12]}"


def _is_library(file: str) -> bool:
    path = os.path.realpath(file)
    return file.startswith("<frozen ") or path.startswith(_LIBRARIES) or f"{os.sep}site-packages{os.sep}" in path


def _of_class(cls: type) -> Parts:
    """The user's methods and constants, its bases' among them."""
    # Methods of base classes decide as well, and so do constants of the class.
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
    # A property, a class method, Equinox's wrapper of a method.
    for inside in ("fget", "__func__", "method"):
        member = getattr(member, inside, None) or member
    member = inspect.unwrap(member) if callable(member) else member
    if not isinstance(member, types.FunctionType):
        return None
    generated = member.__code__.co_filename == "<string>" and member.__name__ in _GENERATED
    return None if generated else member


def _of_function(f: types.FunctionType) -> Parts:
    """Its defaults, what it closes over, and what it reads of its module."""
    yield from ((f" default {i}", x) for i, x in enumerate(f.__defaults__ or ()))
    yield from ((f" default {name}", x) for name, x in sorted((f.__kwdefaults__ or {}).items()))
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
        # The variable of a cell may not have been assigned yet.
        with contextlib.suppress(ValueError):
            yield f" {name}", cell.cell_contents
    if not _is_library(f.__code__.co_filename):
        yield from _of_module(f)


def _of_module(f: types.FunctionType) -> Parts:
    """Constants and functions of its module that its code names; itself, where it calls itself, says nothing more."""
    for name in sorted(_names(f.__code__)):
        x = f.__globals__.get(name, f)
        if x is not f and isinstance(x, _LOOKED_AT):
            yield f" {name}", x


def _names(code: types.CodeType) -> set[str]:
    """What it and the functions in it may read of their module."""
    # Functions inside it, lambdas and comprehensions are constants of its code.
    inner = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _code(f: types.FunctionType) -> str:
    if _is_library(f.__code__.co_filename):
        return f"{f.__module__}.{f.__qualname__}"
    return f"{f.__qualname__} {_digest(f.__code__, f.__doc__)[:12]}"


def _digest(code: types.CodeType, doc: str | None) -> str:
    """Of what it does: not of where it is written, nor of its docstring."""
    # Line numbers are not among these: a comment above a function does not make it another one.
    consts = [c for i, c in enumerate(code.co_consts) if i or c != doc]
    texts = [_digest(c, None) if isinstance(c, types.CodeType) else _constant(c) for c in consts]
    shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return hashlib.sha256(repr((code.co_code, texts, shape, names)).encode()).hexdigest()


def _constant(c: Any) -> str:
    return repr(sorted(map(repr, c))) if isinstance(c, frozenset) else repr(c)


def _of_object(x: Any) -> Parts:
    if _is_user(type(x)):
        yield ".__class__", type(x)
        for name, value in sorted(getattr(x, "__dict__", {}).items()):
            if isinstance(value, _LOOKED_AT):
                yield f".{name}", value


def _text(x: Any) -> str:
    """Its own words where its class has some that do not hold an address."""
    cls = type(x)
    if isinstance(x, types.ModuleType):
        return x.__name__
    # An address would be another one in each process.
    text = repr(x) if cls.__repr__ is not object.__repr__ or isinstance(x, enum.Enum | np.dtype) else ""
    text = re.sub(r" at 0x[0-9a-f]+", "", text)
    return text if text and len(text) < 500 else _name(cls)


def _name(cls: type) -> str:
    return cls.__qualname__


def _step(name: str) -> str:
    return name if name.startswith("[") else f".{name}"
