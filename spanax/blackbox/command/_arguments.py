"""How x reaches an external program: the names of its parts, the places for them in the arguments, files and JSON.

Braces are also the syntax of awk, sh and JSON. Only a word that could be a name is taken for a place, and one that is not a
part of x raises: a misspelt name would otherwise reach the program as text, and its part of x would have the derivative 0.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._pytree import PyTree
from ._failure import CommandError, MisuseError

_FIELD = r"(?P<shell>\$?)\{(?P<field>[^{}]*)\}"
_BRACES = re.compile(rf"\{{\{{|\}}\}}|{_FIELD}|[{{}}]")
_PLACE = re.compile(rf"\{{\{{(?P<literal>[^{{}}]*)\}}\}}|{_FIELD}")
_DOUBLED = ("{{", "}}")
# A word that could be meant for a name: with an index, or a format that Python would know.
_NAME = re.compile(
    r"[^\W\d]\w*(\.\w+)*(\[[\d\s,]*\])?(![rsa])?(:.?[<>=^]?[-+ ]?#?0?\d*[,_]?(\.\d+)?[a-zA-Z%])?", re.DOTALL
)
# Words in braces that are whole statements of awk.
_AWK = ("print", "next", "nextfile", "exit", "getline", "return", "break", "continue")
# Bytes of a file's name, on all usual file systems.
_NAME_MAX = 255
_ELEMENT = re.compile(r"(.+)\[\s*(\d+(?:\s*,\s*\d+)*)\s*\]", re.DOTALL)


def arrays_by_name(x: PyTree[Any], where: str) -> dict[str, Any]:
    """The arrays of x, or their shapes, by their names: `wing.span`, `legs.0`; `x` or `x.0` where x itself is an array or a list.

    Raises `SpanaxError` for anything but real numbers, and where two parts would have the same name.
    """
    arrays = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(x)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        # An array or a list has no name of its own, and {0} would be str.format's.
        if not path or isinstance(path[0], jax.tree_util.SequenceKey):
            name = f"x.{name}" if path else "x"
        # Shapes without values come here too, when the call is traced.
        dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
        if not any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)):
            complex_step = jnp.issubdtype(dtype, jnp.complexfloating)
            remedy = 'a scheme other than "complex"' if complex_step else "arrays of real numbers"
            raise MisuseError(f"{name} is {dtype}: a program takes real numbers", remedy, where=where)
        if name in arrays:
            raise MisuseError(f"two parts of x have the name {name}", "keys without a dot in them", where=where)
        arrays[name] = leaf
    return arrays


def write_files(arrays: Mapping[str, np.ndarray], directory: Path, where: str) -> dict[str, str]:
    """Writes `name.txt` for each array, one row of its last axis a line; the paths by name."""
    paths = {}
    for name, array in arrays.items():
        path = directory / file_name(name, where)
        # As `numpy.savetxt` does, and as most programs read a table.
        rows = array.reshape(-1, array.shape[-1] if array.ndim > 1 else 1) if array.size else array.reshape(0, 1)
        try:
            path.write_text("".join(" ".join(texts(row)) + "\n" for row in rows))
        except OSError as error:
            problem = f"the file {path.name} of inputs could not be written: {error.strerror or error}"
            raise CommandError(problem, "room in the directory for temporary files, $TMPDIR", where=where) from error
        paths[name] = str(path)
    return paths


def file_name(name: str, where: str) -> str:
    """Raises `SpanaxError` where a part of x cannot name a file."""
    file = f"{name}.txt"
    if os.sep in name or "\0" in name or name == "dir":
        raise MisuseError(f"{name!r} cannot be the name of a file of inputs", "another key", where=where)
    if len(os.fsencode(file)) > _NAME_MAX:
        problem = f"a key of {len(name)} characters cannot be the name of a file of inputs: {name[:40]}..."
        raise MisuseError(problem, "a shorter key", 'inputs="json"', where=where)
    return file


def as_json(x: PyTree[np.ndarray], where: str) -> bytes:
    """x as JSON: arrays as lists, dicts and dataclasses as objects. Raises `SpanaxError` for what is no JSON."""
    try:
        return json.dumps(x, default=_plain, allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise MisuseError(
            f"x cannot be written as JSON: {error}",
            'inputs="args"',
            "finite numbers, dicts with string keys",
            where=where,
        ) from error


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    array = np.asarray(value)
    # An object array would be written as its items' reprs.
    if array.dtype == object:
        raise TypeError(f"{type(value).__name__} is not an array")
    return array.tolist()


def texts(array: np.ndarray) -> list[str]:
    """The numbers of an array, so that they read back exactly: those of float32 as the same float64."""
    # `repr` of a Python float is the shortest text that reads back as the same number; `tolist` widens float32 to float64 first.
    numbers = array.astype(int) if array.dtype == bool else array
    return [repr(number) for number in numbers.ravel().tolist()]


class Fields:
    """The places `{...}` of one run's arguments, and what of x they have taken.

    `paths` are those of x's files, and `directory` theirs; without them `{name}` is the numbers themselves.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        paths: Mapping[str, str],
        directory: Path | None,
        where: str,
        write: Callable[[np.ndarray], list[str]] = texts,
    ):
        self.arrays, self.paths, self.directory, self.where, self.write = arrays, paths, directory, where, write
        self.whole: set[str] = set()
        self.elements: dict[str, set[tuple[int, ...]]] = {}

    def fill(self, argument: str) -> str:
        """The argument with its places replaced; raises `SpanaxError` for a name that x does not have, an index out of range."""
        # Two readings: as `str.format` where every brace fits it; else single braces are the program's own.
        if all(match[0] in _DOUBLED or self._is_place(match["field"]) for match in _BRACES.finditer(argument)):
            return _BRACES.sub(
                lambda match: match[0][0] if match[0] in _DOUBLED else self._replace_field(match), argument
            )
        return _PLACE.sub(self._replace_field, argument)

    def _replace_field(self, match: re.Match[str]) -> str:
        field, literal = match["field"], match.groupdict().get("literal")
        # {{word}} is {word} where a single brace would have been a place; else both braces are the program's own.
        if literal is not None:
            return f"{{{literal}}}" if self._is_place(literal) else match[0]
        if not self._is_place(field) or (match["shell"] and not self._is_known(field)):
            return match[0]
        # sh would take $3.5 for its own third argument.
        if match["shell"]:
            raise MisuseError(
                f"{match[0]} is a variable of a shell, and {field} a part of x",
                f"a number as an argument of its own: ['sh', '-c', 'echo $1', '-', '{{{field}}}']",
                f"$({{{field}}}) for a column of awk",
                "another key",
                where=self.where,
            )
        return self._value(field)

    def _is_known(self, field: str) -> bool:
        element = _ELEMENT.fullmatch(field)
        return field in self.arrays or (element is not None and element[1] in self.arrays)

    def _is_place(self, field: str | None) -> bool:
        """Is it the name of a part of x, or meant to be one?"""
        if field is None:
            return False
        return self._is_known(field) or (field not in _AWK and _NAME.fullmatch(field) is not None)

    def _value(self, field: str) -> str:
        # A directory holds all parts of x in its files.
        if field == "dir" and self.directory is not None:
            self.whole.update(self.arrays)
            return str(self.directory)
        if field in self.arrays:
            self.whole.add(field)
            return self.paths.get(field) or ",".join(self.write(self.arrays[field]))
        element = _ELEMENT.fullmatch(field)
        if element and element[1] in self.arrays and self.directory is None:
            return self._element(element[1], tuple(map(int, element[2].split(","))))
        raise self._unknown(field)

    def _unknown(self, field: str) -> MisuseError:
        names = [*self.arrays, *(["dir"] if self.directory else [])]
        return MisuseError(
            f"{{{field}}} in the arguments is not a part of x",
            *([f"one of {', '.join(f'{{{name}}}' for name in names)}"] if names else []),
            f"{{{{{field}}}}} for these braces themselves, or a space inside them",
            where=self.where,
        )

    def _element(self, name: str, index: tuple[int, ...]) -> str:
        shape = self.arrays[name].shape
        # The pattern has no minus sign: there are no negative indices.
        if len(index) != len(shape) or any(i >= n for i, n in zip(index, shape, strict=False)):
            at = ",".join(map(str, index))
            raise MisuseError(
                f"{{{name}[{at}]}}: {name} has the shape {shape}", "an index for each axis, from 0", where=self.where
            )
        self.elements.setdefault(name, set()).add(index)
        return self.write(self.arrays[name][index])[0]

    def missing(self) -> list[str]:
        """The parts of x that no place has taken, of an array the first such number."""
        parts = (self._missing_of(name, array) for name, array in self.arrays.items() if name not in self.whole)
        return [part for part in parts if part is not None]

    def _missing_of(self, name: str, array: np.ndarray) -> str | None:
        taken = self.elements.get(name, set())
        if len(taken) == array.size:
            return None
        if not taken:
            return name
        first = next(index for index in np.ndindex(array.shape) if index not in taken)
        return f"{name}[{','.join(map(str, first))}]"
