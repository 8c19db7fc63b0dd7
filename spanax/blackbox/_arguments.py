"""How x reaches an external program: the names of its parts, the places for them in the arguments, files and JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._errors import SpanaxError

_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_ELEMENT = re.compile(r"(.+)\[\s*(\d+(?:\s*,\s*\d+)*)\s*\]", re.DOTALL)


def named(x: PyTree[np.ndarray], where: str) -> dict[str, np.ndarray]:
    """The arrays of x by their names: `wing.span`, `legs.0`; `x` or `x.0` where x itself is an array or a list.

    Raises `SpanaxError` for what is no real number, and where two parts would have the same name.
    """
    arrays = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(x)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if not path or isinstance(path[0], jax.tree_util.SequenceKey):
            name = f"x.{name}" if path else "x"
        array = np.asarray(leaf)
        if not any(jnp.issubdtype(array.dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)):
            complex_step = jnp.issubdtype(array.dtype, jnp.complexfloating)
            remedy = 'a scheme other than "complex"' if complex_step else "arrays of real numbers"
            raise SpanaxError(f"{name} is {array.dtype}: a program is given real numbers", where, remedy)
        if name in arrays:
            raise SpanaxError(f"two parts of x have the name {name}", where, "keys without a dot in them")
        arrays[name] = array
    return arrays


def write_files(arrays: Mapping[str, np.ndarray], directory: Path, where: str) -> dict[str, str]:
    """Writes `name.txt` for each array, one row of its last axis a line; the paths by name."""
    paths = {}
    for name, array in arrays.items():
        if os.sep in name or "\0" in name or name == "dir":
            raise SpanaxError(f"{name!r} cannot be the name of a file of inputs", where, "another key")
        path = directory / f"{name}.txt"
        rows = array.reshape(-1, array.shape[-1] if array.ndim > 1 else 1) if array.size else array.reshape(0, 1)
        path.write_text("".join(" ".join(texts(row)) + "\n" for row in rows))
        paths[name] = str(path)
    return paths


def as_json(x: PyTree[np.ndarray], where: str) -> bytes:
    """x as JSON: arrays as lists, dicts and dataclasses as objects. Raises `SpanaxError` for what is no JSON."""
    try:
        return json.dumps(x, default=_plain, allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise SpanaxError(
            f"x cannot be written as JSON: {error}", where, 'inputs="args"', "finite numbers, dicts with string keys"
        ) from error


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    array = np.asarray(value)
    if array.dtype == object:
        raise TypeError(f"{type(value).__name__} is no array")
    return array.tolist()


def texts(array: np.ndarray) -> list[str]:
    """The numbers of an array, so that they read back exactly: those of float32 as the same float64."""
    numbers = array.astype(int) if array.dtype == bool else array
    return [repr(number) for number in numbers.ravel().tolist()]


def check_braces(argument: str, where: str) -> None:
    """Raises `SpanaxError` for a brace without its other half."""
    if any(found[0] in ("{", "}") for found in _FIELD.finditer(argument)):
        raise SpanaxError(f"{argument!r} has a brace without its other half", where, "{{ and }} are literal braces")


class Fields:
    """The places `{...}` of one run's arguments, and what of x they have taken.

    `paths` are those of x's files, and `directory` theirs; without them `{name}` is the numbers themselves.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], paths: Mapping[str, str], directory: Path | None, where: str):
        self.arrays, self.paths, self.directory, self.where = arrays, paths, directory, where
        self.whole: set[str] = set()
        self.elements: dict[str, set[tuple[int, ...]]] = {}

    def filled(self, argument: str) -> str:
        """Raises `SpanaxError` for a name that x has not, and for an index outside of its array."""
        return _FIELD.sub(lambda found: found[0][0] if found[1] is None else self._value(found[1]), argument)

    def _value(self, field: str) -> str:
        if field == "dir" and self.directory is not None:
            self.whole.update(self.arrays)
            return str(self.directory)
        if field in self.arrays:
            self.whole.add(field)
            return self.paths.get(field) or ",".join(texts(self.arrays[field]))
        element = _ELEMENT.fullmatch(field)
        if element and element[1] in self.arrays and self.directory is None:
            return self._element(element[1], tuple(map(int, element[2].split(","))))
        known = ", ".join(f"{{{name}}}" for name in [*self.arrays, *(["dir"] if self.directory else [])])
        raise SpanaxError(
            f"{{{field}}} in the arguments is no part of x",
            self.where,
            f"one of {known or '(x is empty)'}",
            "{{ and }} are literal braces",
        )

    def _element(self, name: str, index: tuple[int, ...]) -> str:
        shape = self.arrays[name].shape
        if len(index) != len(shape) or any(i >= n for i, n in zip(index, shape, strict=False)):
            at = ",".join(map(str, index))
            raise SpanaxError(
                f"{{{name}[{at}]}}: {name} has the shape {shape}", self.where, "an index for each axis, from 0"
            )
        self.elements.setdefault(name, set()).add(index)
        return texts(self.arrays[name][index])[0]

    def missing(self) -> list[str]:
        """What of x no place has taken."""
        return list(self._missing())

    def _missing(self) -> Iterator[str]:
        for name, array in self.arrays.items():
            if name not in self.whole and array.size:
                taken = self.elements.get(name, set())
                if not taken:
                    yield name
                elif len(taken) < array.size:
                    first = next(index for index in np.ndindex(array.shape) if index not in taken)
                    yield f"{name}[{','.join(map(str, first))}]"
