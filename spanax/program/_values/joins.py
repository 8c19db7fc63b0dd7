"""How the snapshots of a value on several paths, the branches of an `if` or the iterations of a loop, become one value.

`join` returns a builder: a function of the plan's leaves, the traced numbers that `cond` or `scan` returns. Where all paths
agree no leaf is needed; numbers and arrays become one leaf of the promoted dtype; containers and objects are joined part by
part; what is missing on some paths gets a traced flag (`Partial`); and what cannot be one value becomes `Unusable`, which is
an error only where it is read. (The phi functions of a program in static single assignment form: Cytron et al., 1991.)
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._session import session
from .objects import is_plain_object, make_object, walk_parts
from .snapshots import Around, Fixed, Leaf, Node, Sometimes, is_absent, is_equal, may_be_absent
from .unsettled import Partial, Undefined, Unusable, display_name
from .values import LiftedArray, Number, canonical

Builder = Callable[[Sequence], Any]


@dataclass
class JoinPlan:
    """The leaves that the paths hand on: for each, how every path gives it, and its dtype."""

    sources: list[tuple[Leaf | None, ...]] = field(default_factory=list)
    forms: list[tuple[tuple[int, ...], np.dtype]] = field(default_factory=list)
    builders: dict[tuple[int, ...], Builder] = field(
        default_factory=dict
    )  # of what can be written, by its identity on each path
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

    def outputs(self, path: int, outputs: Sequence) -> list[jax.Array]:
        """The leaves on one path, from the outputs of its block."""
        # Each path casts to the joined form by itself: `cond` wants the same shapes and dtypes of both branches.
        leaves = []
        for sources, (shape, dtype) in zip(self.sources, self.forms, strict=True):
            leaf = sources[path]
            if leaf is None:
                leaves.append(jnp.zeros(shape, dtype))
            else:
                data = leaf.known if leaf.output is None else outputs[leaf.output]
                leaves.append(jnp.broadcast_to(jnp.asarray(data, dtype), shape))
        return leaves


def join(plan: JoinPlan, shots: Sequence[Any], name: str, *, carried: bool = False) -> Builder:
    """How to make the value of `name` from the leaves of the plan, given its snapshot on each path.

    `carried`: known numbers become leaves as well, since they will change.
    """
    if not carried and len(shots) > 1 and _are_one_object(shots):
        return _constant(shots[0].value)
    if all(isinstance(shot, (Leaf, Node)) for shot in shots) and any(map(_is_mutable, shots)):
        same_things = tuple(id(shot.value) for shot in shots)  # two names of one array stay two names of one
        if same_things not in plan.builders:
            plan.builders[same_things] = _once(_join_by_kind(plan, shots, name, carried))
        return plan.builders[same_things]
    return _join_by_kind(plan, shots, name, carried)


def _are_one_object(shots: Sequence[Any]) -> bool:
    return all(shot.value is shots[0].value for shot in shots)


def _constant(value: Any) -> Builder:
    return lambda leaves: value


def _is_mutable(shot: Leaf | Node) -> bool:
    return shot.value is not None and (shot.array if isinstance(shot, Leaf) else not issubclass(shot.kind, tuple))


def _once(build: Builder) -> Builder:
    """A builder that gives the same object for the same leaves."""
    # Several names ask for it, each through its own builder, and must get one array, not equal ones.
    last: list = [None, None]

    def make(leaves: Sequence) -> Any:
        if last[0] is not leaves:
            last[:] = leaves, build(leaves)
        return last[1]

    return make


def _join_by_kind(plan: JoinPlan, shots: Sequence[Any], name: str, carried: bool) -> Builder:
    if all(isinstance(shot, Leaf) for shot in shots):
        return _join_leaves(plan, shots, name, carried)
    if _are_alike_nodes(shots):
        return _join_nodes(plan, shots, name, carried)
    if (unusable := _first_unusable(shots)) is not None:  # the first problem is the cause, what follows from it is not
        return plan.unusable(unusable)
    if any(map(may_be_absent, shots)):
        return _join_partial(plan, shots, name)
    if _are_equal_constants(shots):
        return _constant(shots[0].value)
    return plan.unusable(Unusable(_difference(shots, name)))


# -- containers and objects


def _are_nodes(shots: Sequence[Any]) -> bool:
    return all(isinstance(shot, Node) for shot in shots)


def _are_alike_nodes(shots: Sequence[Any]) -> bool:
    """Are they containers or objects of one class, with the same keys?"""
    return _are_nodes(shots) and len({(shot.kind, shot.keys) for shot in shots}) == 1


def _join_nodes(plan: JoinPlan, shots: Sequence[Node], name: str, carried: bool) -> Builder:
    kind, keys = shots[0].kind, shots[0].keys
    columns = zip(*(shot.parts for shot in shots), strict=True)
    parts = [join(plan, p, f"{name}[{k!r}]", carried=carried) for k, p in zip(keys, columns, strict=True)]
    # Tuples cannot be written, and need no link to what they stand for.
    originals = [s.value for s in shots if isinstance(s.value, (list, dict)) or is_plain_object(s.value)]
    return lambda leaves: _link(_rebuild(kind, keys, [part(leaves) for part in parts]), originals)


def _rebuild(kind: type, keys: tuple, parts: Sequence) -> Any:
    """Builds a container or an object from its parts."""
    if issubclass(kind, tuple):
        return kind(*parts) if hasattr(kind, "_fields") else kind(parts)
    if kind in (list, deque):
        return session().note_new(kind(parts))
    if kind is dict:
        return session().note_new(dict(zip(keys, parts, strict=True)))
    return session().note_new(make_object(kind, dict(zip(keys, parts, strict=True))))


def _link(new: Any, originals: list) -> Any:
    """Links a new container or object, which is one of the originals as the arguments decide, with them: writing one makes
    the others unusable."""
    # Which of the originals it is depends on the arguments, so a write through one name cannot be shown under the other.
    links = session().links
    for other in originals:
        links.setdefault(id(other), []).append(new)
        links.setdefault(id(new), []).append(other)
    return new


def objects_to_open(shots: Sequence[Any]) -> set[int]:
    """The objects, by `id`, that must be taken apart by their attributes: the paths have different ones of one class."""
    shots = [part for shot in shots if (part := _present_part(shot)) is not None]
    if not shots or _are_one_object(shots) or not _are_joinable_objects(shots):
        return set()
    if _are_nodes(shots):
        if not _are_alike_nodes(shots):
            return set()
        # Both are taken apart already: what differs lies in their parts.
        return set().union(*map(objects_to_open, zip(*(shot.parts for shot in shots), strict=True)))
    return set().union(*(_ids_within(shot.value) for shot in shots))


def _ids_within(value: Any) -> set[int]:
    """An object and all that it holds: once it is opened, what its attributes hold differs as well."""
    return {id(part) for part in walk_parts(value, objects=True)} if is_plain_object(value) else set()


def _are_joinable_objects(shots: Sequence[Any]) -> bool:
    """Are they of one class, and none a part of itself? A cycle has no end to begin with."""
    return len({type(shot.value) for shot in shots}) == 1 and not any(isinstance(shot, Around) for shot in shots)


# -- things that are not numbers


def _first_unusable(shots: Sequence[Any]) -> Unusable | None:
    return next((s.value for s in shots if isinstance(s, Fixed) and isinstance(s.value, Unusable)), None)


def _are_equal_constants(shots: Sequence[Any]) -> bool:
    return all(isinstance(shot, Fixed) and is_equal(shot.value, shots[0].value) for shot in shots)


def _difference(shots: Sequence[Any], name: str) -> str:
    """The message for a name whose values on the paths are not alike."""
    kinds = list(dict.fromkeys(type(shot.value).__name__ for shot in shots))
    is_objects = len(kinds) > 1 and all(is_plain_object(shot.value) for shot in shots)
    # Objects of two classes are told by the classes; else by what each path has, such as shapes.
    things = [f"a {kind}" for kind in kinds] if is_objects else list(map(_describe, shots))
    return f"{display_name(name)} is {' on one path and '.join(things)} on another, as the arguments decide"


def _describe(shot: Any) -> str:
    if isinstance(shot, Leaf):
        return f"an array of shape {shot.shape}" if shot.array else "a number"
    if is_plain_object(shot.value):
        with_ = f" with the attributes {', '.join(shot.keys)}" if isinstance(shot, Node) else ""
        return f"a {type(shot.value).__name__}{with_}"
    if isinstance(shot, Node):
        return f"a {shot.kind.__name__} of {len(shot.keys)}"
    if isinstance(shot, Sometimes) or isinstance(shot.value, Undefined):
        return "not assigned"
    return f"{shot.value!r}"[:60]


# -- numbers and arrays


def _join_leaves(plan: JoinPlan, shots: Sequence[Leaf], name: str, carried: bool) -> Builder:
    first = shots[0]
    # A number that is the same on all paths stays known: it may be a count or a shape afterwards. An array gets a leaf in any
    # case, as it may be written.
    if not carried and not first.array and _are_same_numbers(shots):
        return _constant(first.value)
    shapes = {shot.shape for shot in shots}
    if len(shapes) > 1:
        either = " on one path and ".join(map(str, sorted(shapes)))
        problem = f"{display_name(name)} has the shape {either} on another, as the arguments decide"
        return plan.unusable(Unusable(problem))
    python, dtype = _promote(shots)
    index = plan.leaf(tuple(shots), first.shape, dtype)
    if not any(shot.array for shot in shots):
        return lambda leaves: Number(leaves[index], python)
    aliases = [shot.value for shot in shots if isinstance(shot.value, LiftedArray)]
    return lambda leaves: _new_array(leaves[index], aliases)


def _new_array(data: jax.Array, aliases: list[LiftedArray]) -> LiftedArray:
    """An array that is one or another of the aliases, as the arguments decide; the first that is written makes the others
    stale."""
    new = LiftedArray(data)
    new.stands_for = aliases
    for other in aliases:
        other.root.stand_ins.append(new)
    return new


def _are_same_numbers(shots: Sequence[Leaf]) -> bool:
    return all(shot.output is None and _is_same_number(shot, shots[0]) for shot in shots)


def _is_same_number(x: Leaf, y: Leaf) -> bool:
    # 1, 1.0 and True are equal, and not the same: types first. NaN is the same as NaN here, which it is not by `==`.
    both_nan = isinstance(x.known, float) and isinstance(y.known, float) and math.isnan(x.known) and math.isnan(y.known)
    return type(x.known) is type(y.known) and (bool(x.known == y.known) or both_nan)


# From narrow to wide: Python's own promotion.
_ORDER = (bool, int, float, complex)


def _promote(shots: Sequence[Leaf]) -> tuple[type | None, np.dtype]:
    """The Python type, if all are Python numbers, and the dtype that holds all of them."""
    if all(shot.python for shot in shots):
        python = max((shot.python for shot in shots if shot.python), key=_ORDER.index)
        return python, np.dtype(python)
    # NumPy's promotion (NEP 50): a Python number takes the precision of the arrays beside it, by its kind alone.
    strong = [shot.dtype for shot in shots if not shot.python]
    weak = [np.zeros((), shot.dtype).item() for shot in shots if shot.python]
    return None, np.result_type(*strong, *weak)


# -- values that are missing on some paths


def _join_partial(plan: JoinPlan, shots: Sequence[Any], name: str) -> Builder:
    """Joins a value that exists on some paths only."""
    values = [_present_part(shot) for shot in shots]
    present = [v for v in values if v is not None]
    absent = _kind_of_absence(shots)
    if not present:
        return _constant(absent)
    # On the paths without a value, its form with zeros for numbers: `cond` needs the same leaves from both branches. Nobody
    # reads the zeros, as reading checks the flag; and their derivative is zero.
    filled = [_zeros(present[0]) if v is None else v for v in values]
    inner = join(plan, filled, name, carried=True)
    index = plan.leaf(tuple(map(_presence, shots)), (), np.dtype(bool))

    def make(leaves: Sequence) -> Any:
        value = inner(leaves)
        return value if isinstance(value, Unusable) else Partial(value, leaves[index], absent, name)

    return make


def _present_part(shot: Any) -> Any:
    if isinstance(shot, Sometimes):
        return shot.part
    return None if is_absent(shot) else shot


def _kind_of_absence(shots: Sequence[Any]) -> Undefined | None:
    """None, or `Undefined` if it is nowhere None: None may be tested for, an unassigned name may not."""
    kinds = [s.value.absent if isinstance(s, Sometimes) else s.value for s in shots if may_be_absent(s)]
    return None if any(kind is None for kind in kinds) else kinds[0]


def _zeros(shot: Any) -> Any:
    if isinstance(shot, Leaf):
        zeros = np.zeros(shot.shape, shot.dtype)
        return Leaf(None, None, zeros, shot.shape, shot.dtype, shot.python, shot.array)
    if isinstance(shot, Node):
        return Node(None, shot.kind, shot.keys, tuple(map(_zeros, shot.parts)))
    if isinstance(shot, Sometimes):
        return _zeros(shot.part)
    return shot


def _presence(shot: Any) -> Leaf:
    """The flag that says whether the path has a value."""
    if isinstance(shot, Sometimes):
        return shot.defined
    known = not is_absent(shot)
    return Leaf(known, None, known, (), np.dtype(bool), bool, False)
