"""Fields of an environment, by their names, as one vector of numbers."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..._checks import is_number
from ..._errors import SpanaxError
from ..env import Env
from .floats import is_float


class Parameters:
    """Named fields of an environment. `vector`: their values, one after the other; `labels`: a name for each number of it."""

    def __init__(self, env: Env, names: Any):
        _check_names(env, names)
        self.env, self.names = env, tuple(names)
        self.values = [_value(env, name) for name in names]
        self.shapes = tuple(np.shape(value) for value in self.values)
        # Empty if there are no names: then only a residual is learned.
        self.vector = np.concatenate([np.zeros(0)] + [np.ravel(np.asarray(value, np.float64)) for value in self.values])
        if not np.all(np.isfinite(self.vector)):
            raise SpanaxError(
                f"the environment starts from {self.by_name(self.vector)}", "finite numbers to start from"
            )
        self.labels = [label for name, shape in zip(names, self.shapes, strict=True) for label in _labels(name, shape)]

    def put_alike(self, vector: Float[np.ndarray, " p"]) -> Env:
        """The environment with these numbers, each field of the kind that it had: a float stays a float."""
        # A space of the environment may need plain numbers, as those of `Pendulum` do.
        parts = zip(self.values, _split(vector, self.shapes), strict=True)
        return _replace(self.env, self.names, [_like(old, new) for old, new in parts])

    def by_name(self, vector: Float[np.ndarray, " p"]) -> dict[str, Any]:
        parts = [
            float(part) if part.shape == () else part for part in _split(np.asarray(vector, np.float64), self.shapes)
        ]
        return dict(zip(self.names, parts, strict=True))

    def bounds(self, bounds: Any) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
        """Lower and upper bounds of the vector, from a dictionary of (low, high) by name."""
        given = {} if bounds is None else bounds
        if not isinstance(given, Mapping) or not set(given) <= set(self.names):
            raise SpanaxError(
                f"identify(bounds={bounds!r})", 'a pair for some of `parameters`: bounds={"m": (0.1, 10.0)}'
            )
        pairs = [
            _bounds_of(name, given.get(name, (-np.inf, np.inf)), value)
            for name, value in zip(self.names, self.values, strict=True)
        ]
        low, high = (np.concatenate([np.zeros(0)] + [pair[side] for pair in pairs]) for side in (0, 1))
        return low, high


def _check_names(env: Env, names: Any) -> None:
    if isinstance(names, str) or not isinstance(names, Sequence):
        _refuse(env, f"identify(parameters={names!r})", 'a list of names of fields: parameters=["m", "l"]')
    if len(set(names)) != len(names):
        raise SpanaxError(f"identify(parameters={names!r}) names a field twice", "each name once")


def put(env: Env, names: tuple[str, ...], shapes: tuple[tuple[int, ...], ...], vector: Float[Array, " p"]) -> Env:
    """The environment with these numbers in its fields, as arrays: for use inside a traced program."""
    return _replace(env, names, _split(vector, shapes))


def _split(vector: Any, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    # As integers: the product of no sizes at all, of a single number, is a float in NumPy.
    ends = [int(end) for end in np.cumsum([int(np.prod(shape)) for shape in shapes])]
    return [vector[end - int(np.prod(shape)) : end].reshape(shape) for end, shape in zip(ends, shapes, strict=True)]


def _replace(env: Env, names: Sequence[str], values: list[Any]) -> Env:
    return eqx.tree_at(lambda env: [_at(env, name) for name in names], env, values)


def _at(env: Any, name: str) -> Any:
    return functools.reduce(getattr, name.split("."), env)


def _value(env: Env, name: Any) -> Any:
    """The value of the field, a number or an array of floats."""
    owner: Any = env
    *path, last = name.split(".") if isinstance(name, str) else _refuse(env, f"{name!r} is not a name of a field")
    for part in path:
        owner = getattr(owner, part, None)
    fields = {field.name: field for field in dataclasses.fields(owner)} if dataclasses.is_dataclass(owner) else {}
    if last not in fields or fields[last].metadata.get("static", False):
        _refuse(env, f"{type(env).__name__} has no field {name!r} that could be identified")
    value = getattr(owner, last)
    # A field that was given as `m=1` holds an integer, and is a number all the same.
    if not (is_number(value) or is_float(value)):
        _refuse(env, f"{type(env).__name__}.{name} is {value!r}, which is not a number or an array of floats")
    return value


def _refuse(env: Env, problem: str, *remedies: str) -> NoReturn:
    raise SpanaxError(problem, *remedies, f"one of {', '.join(_names_of(env)) or 'its fields: it has none of numbers'}")


def _names_of(owner: Any, prefix: str = "") -> list[str]:
    """The fields of numbers of a module and of those inside it."""
    names = []
    for field in dataclasses.fields(owner):
        value = getattr(owner, field.name, None)
        # A static field is compiled into the program: there is no derivative by it.
        if field.metadata.get("static", False):
            continue
        if isinstance(value, eqx.Module):
            names += _names_of(value, f"{prefix}{field.name}.")
        elif is_number(value) or is_float(value):
            names.append(prefix + field.name)
    return names


def _labels(name: str, shape: tuple[int, ...]) -> list[str]:
    return [name + (str(list(index)) if index else "") for index in np.ndindex(shape)]


def _like(old: Any, new: Any) -> Any:
    if is_number(old):
        return float(new)
    return np.asarray(new, old.dtype) if isinstance(old, np.ndarray | np.generic) else jnp.asarray(new, old.dtype)


def _bounds_of(name: str, pair: Any, value: Any) -> tuple[np.ndarray, np.ndarray]:
    try:
        low, high = (np.ravel(np.broadcast_to(np.asarray(side, np.float64), np.shape(value))) for side in pair)
    except (TypeError, ValueError):
        raise SpanaxError(
            f"identify(bounds={{{name!r}: {pair!r}}})", "a pair (low, high), numbers or arrays of the field's shape"
        ) from None
    start = np.ravel(np.asarray(value, np.float64))
    # The fit starts from the field's value, and stays between the bounds from there on.
    if not (np.all(low < high) and np.all(low <= start) and np.all(start <= high)):
        raise SpanaxError(
            f"identify(bounds={{{name!r}: {pair!r}}}) with {name} = {value!r}",
            "low < high, and the environment's value between them",
        )
    return low, high
