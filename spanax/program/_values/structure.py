"""What a traced block hands on: its numbers become the outputs of a traced program, the rest must be the same on all ways."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._session import session
from .constants import is_constant_array, same_constants
from .objects import attributes, held, is_plain_object, made_object
from .unsettled import Partial, Undefined, Unusable, shown
from .values import SCALARS, Array, Composite, Number, adopted, canonical, is_unknown, raw

# -- snapshots: what a value was when a block ended


@dataclass(frozen=True)
class Leaf:
    """A number or an array. `output`: its place among the outputs of the block, None where `known` holds it."""

    value: Any
    output: int | None
    known: Any
    shape: tuple[int, ...]
    dtype: np.dtype
    python: type | None
    array: bool


@dataclass(frozen=True)
class Node:
    """A tuple, a list, a dict or an object made by the block, with its parts."""

    value: Any
    kind: type
    keys: tuple
    parts: tuple


@dataclass(frozen=True)
class Sometimes:
    """A `Partial`."""

    value: Partial
    part: Any
    defined: Leaf


@dataclass(frozen=True)
class Fixed:
    """Anything else: it cannot differ."""

    value: Any


@dataclass(frozen=True)
class Around(Fixed):
    """An object that it is itself a part of, such as a node's parent."""


def snapshot(value: Any, outputs: list, since: int, opened: Collection[int] = (), path: tuple[int, ...] = ()) -> Any:
    """Of a value; its unknown numbers are added to `outputs`. What was made after `since` belongs to the block.

    `opened`: older objects, by `id`, that are taken by their attributes as well. `path`: what the value is part of.
    """
    if type(value) is np.ndarray:
        value = adopted(value)
    if isinstance(value, (Number, Array)) or (isinstance(value, SCALARS) and not isinstance(value, np.void)):
        return _leaf(value, outputs)
    if isinstance(value, (jax.Array, np.ndarray)) and np.dtype(value.dtype).kind in "biufc":
        return _leaf(value, outputs)
    if isinstance(value, Partial):
        part = snapshot(value.value, outputs, since, opened, path)
        return Sometimes(value, part, _leaf(value.defined, outputs))
    parts = _parts_of(value, since, opened)
    if parts is None:
        return Fixed(value)
    if id(value) in path:
        return Around(value)
    path = (*path, id(value))
    return Node(
        value, type(value), tuple(parts), tuple(snapshot(p, outputs, since, opened, path) for p in parts.values())
    )


def _leaf(value: Any, outputs: list) -> Leaf:
    data = raw(value)
    unknown = is_unknown(value)
    if unknown:
        outputs.append(data)
    python = (
        value.python
        if isinstance(value, Number)
        else type(value)
        if type(value) in (bool, int, float, complex)
        else None
    )
    dtype = np.dtype(data.dtype) if hasattr(data, "dtype") else np.dtype(type(data))
    is_array = isinstance(value, (Array, np.ndarray)) or (isinstance(value, jax.Array) and value.ndim > 0)
    return Leaf(
        value, len(outputs) - 1 if unknown else None, None if unknown else data, np.shape(data), dtype, python, is_array
    )


def _parts_of(value: Any, since: int, opened: Collection[int]) -> dict | None:
    """Those of a container, or of an object that the block has made or that is opened; None where it is neither."""
    if isinstance(value, (tuple, list)) or (type(value) is deque and value.maxlen is None):
        return dict(enumerate(value))
    if type(value) is dict:
        return value
    if isinstance(value, Composite):
        return vars(value)
    if is_plain_object(value) and (session().age(value) > since or id(value) in opened):
        return dict(sorted(attributes(value).items()))
    return None


def _made(kind: type, keys: tuple, parts: Sequence) -> Any:
    if issubclass(kind, tuple):
        return kind(*parts) if hasattr(kind, "_fields") else kind(parts)
    if kind in (list, deque):
        return session().born(kind(parts))
    if kind is dict:
        return session().born(dict(zip(keys, parts, strict=True)))
    return session().born(made_object(kind, dict(zip(keys, parts, strict=True))))


# -- plans: how the snapshots of several ways become one value


@dataclass
class Plan:
    """The leaves that ways hand on: for each, how every way gives it, and its dtype."""

    sources: list[tuple[Leaf | None, ...]] = field(default_factory=list)
    forms: list[tuple[tuple[int, ...], np.dtype]] = field(default_factory=list)
    builders: dict[tuple[int, ...], Builder] = field(
        default_factory=dict
    )  # of what can be written, by its identity on each way
    problems: list[str] = field(default_factory=list)  # of what cannot be used

    @property
    def shape(self) -> tuple[list, list[str]]:
        """Plans of the same shape make the same of the same leaves, but for what is known."""
        return self.forms, self.problems

    def unusable(self, problem: Unusable) -> Builder:
        self.problems.append(problem.problem)
        return lambda leaves: problem

    def leaf(self, sources: tuple[Leaf | None, ...], shape: tuple[int, ...], dtype: np.dtype) -> int:
        self.sources.append(sources)
        self.forms.append((shape, canonical(dtype)))
        return len(self.sources) - 1

    def outputs(self, way: int, given: Sequence) -> list[jax.Array]:
        """The leaves of one way, from the outputs of its block."""
        found = []
        for sources, (shape, dtype) in zip(self.sources, self.forms, strict=True):
            leaf = sources[way]
            if leaf is None:
                found.append(jnp.zeros(shape, dtype))
            else:
                data = leaf.known if leaf.output is None else given[leaf.output]
                found.append(jnp.broadcast_to(jnp.asarray(data, dtype), shape))
        return found


Builder = Callable[[Sequence], Any]


def join(plan: Plan, ways: Sequence[Any], name: str, *, carried: bool = False) -> Builder:
    """How to make the value of `name` from the leaves of the plan, given its snapshot on each way.

    `carried`: known numbers become leaves as well, since they will change.
    """
    if not carried and len(ways) > 1 and all(w.value is ways[0].value for w in ways):
        same = ways[0].value
        return lambda leaves: same
    if all(isinstance(w, (Leaf, Node)) for w in ways) and any(_is_mutable(w) for w in ways):
        same_things = tuple(id(w.value) for w in ways)  # two names of one array stay two names of one
        if same_things not in plan.builders:
            plan.builders[same_things] = _once(_join_alike(plan, ways, name, carried))
        return plan.builders[same_things]
    return _join_alike(plan, ways, name, carried)


def _is_mutable(way: Leaf | Node) -> bool:
    return way.value is not None and (way.array if isinstance(way, Leaf) else not issubclass(way.kind, tuple))


def _once(build: Builder) -> Builder:
    """The same object for the same leaves."""
    last: list = [None, None]

    def make(leaves: Sequence) -> Any:
        if last[0] is not leaves:
            last[:] = leaves, build(leaves)
        return last[1]

    return make


def _join_alike(plan: Plan, ways: Sequence[Any], name: str, carried: bool) -> Builder:
    if all(isinstance(w, Leaf) for w in ways):
        return _join_leaves(plan, ways, name, carried)
    if all(isinstance(w, Node) for w in ways) and len({(w.kind, w.keys) for w in ways}) == 1:
        parts = [
            join(plan, p, f"{name}[{k!r}]", carried=carried)
            for k, p in zip(ways[0].keys, zip(*(w.parts for w in ways), strict=True), strict=True)
        ]
        kind, keys = ways[0].kind, ways[0].keys
        originals = [w.value for w in ways if isinstance(w.value, (list, dict)) or is_plain_object(w.value)]
        return lambda leaves: _linked(_made(kind, keys, [part(leaves) for part in parts]), originals)
    if broken := [w.value for w in ways if isinstance(w, Fixed) and isinstance(w.value, Unusable)]:
        return plan.unusable(broken[0])
    if any(map(_may_be_absent, ways)):
        return _join_partial(plan, ways, name, carried)
    if all(isinstance(w, Fixed) for w in ways) and all(equal(w.value, ways[0].value) for w in ways):
        same = ways[0].value
        return lambda leaves: same
    kinds = list(dict.fromkeys(type(w.value).__name__ for w in ways))
    is_objects = all(is_plain_object(w.value) for w in ways) and len(kinds) > 1
    described = [f"a {kind}" for kind in kinds] if is_objects else list(map(_describe, ways))
    return plan.unusable(
        Unusable(f"{shown(name)} is {' on one way and '.join(described)} on another, as the arguments decide")
    )


def unopened(ways: Sequence[Any]) -> set[int]:
    """The objects, by `id`, that have to be taken by their attributes: the ways have different ones of one class."""
    ways = [w.part if isinstance(w, Sometimes) else w for w in ways if not _is_absent(w)]
    if not ways or all(w.value is ways[0].value for w in ways) or len({type(w.value) for w in ways}) > 1:
        return set()
    if any(isinstance(w, Around) for w in ways):
        return set()
    if all(isinstance(w, Node) for w in ways):
        same = len({w.keys for w in ways}) == 1
        return set().union(*map(unopened, zip(*(w.parts for w in ways), strict=True))) if same else set()
    return {id(x) for w in ways if is_plain_object(w.value) for x in held(w.value, objects=True)}


def _is_absent(way: Any) -> bool:
    return isinstance(way, Fixed) and (way.value is None or isinstance(way.value, Undefined))


def _may_be_absent(way: Any) -> bool:
    return isinstance(way, Sometimes) or _is_absent(way)


def equal(x: Any, y: Any) -> bool:
    """Are two known things of the same type and value?"""
    if isinstance(x, Undefined):
        return isinstance(y, Undefined) and x.name == y.name
    if is_constant_array(x):
        return is_constant_array(y) and same_constants(x, y)
    try:
        return x is y or (type(x) is type(y) and bool(x == y))
    except Exception:
        return False


def _describe(way: Any) -> str:
    if isinstance(way, Leaf):
        return f"an array of shape {way.shape}" if way.array else "a number"
    if is_plain_object(way.value):
        with_ = f" with the attributes {', '.join(way.keys)}" if isinstance(way, Node) else ""
        return f"a {type(way.value).__name__}{with_}"
    if isinstance(way, Node):
        return f"a {way.kind.__name__} of {len(way.keys)}"
    if isinstance(way, Sometimes) or isinstance(way.value, Undefined):
        return "not assigned"
    return f"{way.value!r}"[:60]


def _join_leaves(plan: Plan, ways: Sequence[Leaf], name: str, carried: bool) -> Builder:
    first = ways[0]
    if not carried and not first.array and all(w.output is None and _same_number(w, first) for w in ways):
        known = first.value
        return lambda leaves: known
    shapes = {w.shape for w in ways}
    if len(shapes) > 1:
        either = " on one way and ".join(map(str, sorted(shapes)))
        return plan.unusable(Unusable(f"{shown(name)} has the shape {either} on another, as the arguments decide"))
    python, dtype = _promoted(ways)
    index = plan.leaf(tuple(ways), first.shape, dtype)
    if not any(w.array for w in ways):
        return lambda leaves: Number(leaves[index], python)
    aliases = [w.value for w in ways if isinstance(w.value, Array)]
    return lambda leaves: _new_array(leaves[index], aliases)


def _new_array(data: jax.Array, aliases: list[Array]) -> Array:
    new = Array(data)
    new.stands_for = aliases
    for other in aliases:
        other.root.stand_ins.append(new)
    return new


def _linked(made: Any, originals: list) -> Any:
    """A list, a dict or an object that is one or another, and those: writing one makes the others unusable."""
    links = session().links
    for other in originals:
        links.setdefault(id(other), []).append(made)
        links.setdefault(id(made), []).append(other)
    return made


def _same_number(x: Leaf, y: Leaf) -> bool:
    both_nan = isinstance(x.known, float) and isinstance(y.known, float) and math.isnan(x.known) and math.isnan(y.known)
    return type(x.known) is type(y.known) and (bool(x.known == y.known) or both_nan)


_ORDER = (bool, int, float, complex)


def _promoted(ways: Sequence[Leaf]) -> tuple[type | None, np.dtype]:
    """The Python type, where all are Python's numbers, and the dtype that holds all of them."""
    if all(w.python for w in ways):
        python = max((w.python for w in ways if w.python), key=_ORDER.index)
        return python, np.dtype(python)
    strong = [w.dtype for w in ways if not w.python]
    weak = [np.zeros((), w.dtype).item() for w in ways if w.python]
    return None, np.result_type(*strong, *weak)


def _join_partial(plan: Plan, ways: Sequence[Any], name: str, carried: bool) -> Builder:
    """A value on some ways only."""
    values = [w.part if isinstance(w, Sometimes) else None if _is_absent(w) else w for w in ways]
    there = [v for v in values if v is not None]
    kinds = [w.value.absent if isinstance(w, Sometimes) else w.value for w in ways if _may_be_absent(w)]
    absent = None if any(kind is None for kind in kinds) else kinds[0]
    if not there:
        return lambda leaves: absent
    filled = [there[0] if v is None else v for v in values]
    inner = join(plan, _without_known(filled, values), name, carried=True)
    flags = tuple(_defined(w) for w in ways)
    index = plan.leaf(flags, (), np.dtype(bool))

    def make(leaves: Sequence) -> Any:
        value = inner(leaves)
        return value if isinstance(value, Unusable) else Partial(value, leaves[index], absent, name)

    return make


def _without_known(filled: list, values: list) -> list:
    """On the ways that have no value, its form with zeros for numbers."""
    return [_zeros(f) if v is None else f for f, v in zip(filled, values, strict=True)]


def _zeros(way: Any) -> Any:
    if isinstance(way, Leaf):
        return Leaf(None, None, np.zeros(way.shape, way.dtype), way.shape, way.dtype, way.python, way.array)
    if isinstance(way, Node):
        return Node(None, way.kind, way.keys, tuple(map(_zeros, way.parts)))
    if isinstance(way, Sometimes):
        return _zeros(way.part)
    return way


def _defined(way: Any) -> Leaf:
    if isinstance(way, Sometimes):
        return way.defined
    known = not _is_absent(way)
    return Leaf(known, None, known, (), np.dtype(bool), bool, False)


# -- what has changed


def varies(shot: Any) -> bool:
    """Does it hold a number that is not known?"""
    if isinstance(shot, Leaf):
        return shot.output is not None
    if isinstance(shot, Node):
        return any(map(varies, shot.parts))
    return not isinstance(shot, Fixed)


def unchanged(before: Any, after: Any, value: Any) -> bool:
    """Is what a block leaves what it was given, the `value`?"""
    if after.value is value:
        return True
    if isinstance(before, Leaf) and isinstance(after, Leaf) and not after.array and not before.array:
        same = before.output is None and after.output is None and type(before.known) is type(after.known)
        return same and bool(before.known == after.known)
    if isinstance(before, Fixed) and isinstance(after, Fixed):
        return equal(before.value, after.value)
    return False
