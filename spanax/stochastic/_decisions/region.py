"""The part of a program around a choice that is measured: what the choice makes, and what that is computed from.

A region starts at the choice. Downwards it takes in the equations that depend on the choice, as far as cheap operations carry it,
so that `where(x > 0, x, 0.1 * x)` is seen as a whole and not as a comparison alone. Upwards it takes in what these are computed
from, so that values that depend on each other stay consistent when the inputs move. Where it is cut off, inputs are free.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from ..._jaxprs import Literal, P, evaluate_alone, scan_parts
from .._interpreter.batches import ELEMENTWISE
from ..sampling import cost_p
from .decision_flow import NOISE, DecisionFlow
from .flat import Flat, Node
from .operations import is_inexact, is_random

SMALL, LARGE = 12, 96  # equations of a region that depend on the choice; and as many more before them, and beside them
ELEMENTS = 1 << 14  # that a region holds, in one run
ITERATIONS = 64  # of a loop in it

_TINY = 1e-6  # a threshold on a size that guards a division
_GUARDS = frozenset("lt le gt ge".split())
_ENDS = frozenset(["stop_gradient"])
# What they make of a draw equals nothing else, so cutting them off loses no equality.
_SPREAD = frozenset(["dot_general", "conv_general_dilated", "bitcast_convert_type"])
_SHAPES = frozenset(["shape", "broadcast_dimensions", "sharding"])


class Region:
    """The equations around a choice: `nodes` in order, `inputs`, what depends on the choice (`tainted`)."""

    def __init__(self, flow: DecisionFlow, node: Node, start: Sequence[int], elementwise: bool, limit: int):
        self.flow, self.flat, self.node = flow, flow.flat, node
        self.elementwise, self._limit = elementwise, limit
        # An elementwise region is about arrays of the shape that is chosen by, and single numbers.
        self._shape = next((s for r in node.ins if (s := self.flat.aval(r).shape)), ())
        self.tainted: dict[int, Node] = dict.fromkeys(start, node)
        self.whole = True  # was nothing cut off that might equal something?
        self.whole_before = True  # and of what is chosen by?
        self.nodes = self._with_ancestors(self._descendants())
        # What no equation of the region makes is free to move on a line.
        self.inputs = list(dict.fromkeys(v for n in self.nodes for v in _reads(n) if self._maker(v) is None))

    # -- which equations

    def _descendants(self) -> dict[int, Node]:
        """By place: the choice, and the cheap equations that depend on it."""
        block, nodes, queue = self.node.block, {self.node.place: self.node}, []

        def push(v):
            for user in block.users.get(v, ()):
                heapq.heappush(queue, user.place)

        for v in list(self.tainted):
            push(v)
        # In program order: an equation comes after all that it reads, so whether it is tainted is known when it comes up.
        while queue:
            node = block.nodes[heapq.heappop(queue)]
            if node.place in nodes or not self._is_cheap(node):
                continue
            if len(nodes) >= self._limit:
                break
            nodes[node.place] = node
            for v in node.outs:
                self.tainted[v] = node
                push(v)
        return nodes

    def _with_ancestors(self, after: dict[int, Node]) -> list[Node]:
        """Adds the equations that the operands of the choice come from, and what else depends on those, or is a constant."""
        before: dict[int, Node] = {}
        self._add_ancestors(_reads(self.node), after, before)
        self.whole_before = self.whole
        others: dict[int, Node] = {}
        self._add_ancestors([v for node in after.values() for v in _reads(node)], {**after, **before}, others)
        nodes = {**before, **after, **self._consistent(before, others)}
        self._places = set(nodes)
        return [nodes[place] for place in sorted(nodes)]

    def _consistent(self, before: dict[int, Node], others: dict[int, Node]) -> dict[int, Node]:
        """Those of the other ancestors that share an input with what is chosen by, or are constants.

        If x is chosen by, a branch that computes 2 * x must see the same x. What shares nothing may as well be a free input: that
        leaves the region smaller, and more regions alike.
        """
        shared = {v for node in before.values() for v in (*node.outs, *_reads(node))} | set(_reads(self.node))
        constants = set(self.flat.constants)
        nodes = {}
        for place, node in sorted(others.items()):
            reads = _reads(node)
            if any(v in shared for v in reads):
                shared.update(node.outs)
                nodes[place] = node
            elif all(v in constants for v in reads):
                constants.update(node.outs)
                nodes[place] = node
        return nodes

    def _add_ancestors(self, queue: list[int], known: dict[int, Node], nodes: dict[int, Node]) -> None:
        for v in queue:  # grows while it is read: the nearest first
            node = self.node.block.makers.get(v)
            if node is None or node.place in known or node.place in nodes:
                continue
            if not self._is_cheap(node) or self._is_noise(node):
                self.whole = self.whole and (is_random(node.eqn) or node.name in _SPREAD)
            elif len(nodes) >= self._limit:
                self.whole = False
            else:
                nodes[node.place] = node
                queue.extend(_reads(node))

    def _maker(self, v: int) -> Node | None:
        """The equation of the region that makes this value."""
        node = self.node.block.makers.get(v)
        return node if node is not None and node.place in self._places else None

    def _is_noise(self, node: Node) -> bool:
        """Does it make a float out of random bits? That is where a line begins."""
        integers = [r for r in _reads(node) if not is_inexact(self.flat.avals[r].dtype)]
        makes_float = any(is_inexact(self.flat.avals[v].dtype) for v in node.outs)
        return makes_float and any(self.flow.label(r) & NOISE for r in integers)

    def _is_cheap(self, node: Node) -> bool:
        return node is self.node or (self._is_elementwise(node) if self.elementwise else is_cheap(self.flat, node))

    def _is_elementwise(self, node: Node) -> bool:
        if not node.outs:
            return False
        shape = self.flat.aval(node.outs[0]).shape
        # Another shape would mix elements: single numbers would not stand for them any more.
        if shape not in ((), self._shape) or node.blocks:
            return False
        if node.name == "broadcast_in_dim":
            return self.flat.aval(node.ins[0]).shape == ()
        return node.name in ELEMENTWISE and all(self.flat.aval(r).shape in ((), shape) for r in node.ins)

    # -- its size, and what it is equal to

    @property
    def is_of_numbers(self) -> bool:
        """Are there no arrays in it?"""
        return self._shape == ()

    @property
    def size(self) -> int:
        """Elements that one run holds."""
        return 1 if self.elementwise else sum(int(np.prod(a.shape)) for a in map(self.flat.aval, self._all()))

    def _all(self) -> list[int]:
        return [*self.inputs, *self.made_inside]

    @property
    def made_inside(self) -> list[int]:
        return [v for node in self.nodes for v in node.outs]

    def kind(self, v: int) -> tuple:
        """The shape and dtype with which a value is measured: of an elementwise region, one element."""
        aval = self.flat.avals[v]
        return (() if self.elementwise else aval.shape), aval.dtype

    def is_unit(self, v: int) -> bool:
        """Is it a random number between 1 and 2, as random bits make them?"""
        node = self.node.block.makers.get(v)
        return node is not None and node.name == "bitcast_convert_type" and is_inexact(self.flat.avals[v].dtype)

    def signature(self, known: Sequence[Any]) -> Hashable:
        """All that the measurement depends on; None where that cannot be hashed. `known`: the values of constant inputs."""
        number = {v: k for k, v in enumerate(self._all())}
        wiring = tuple(
            tuple(number[r] if isinstance(r, int) else (str(r.aval), str(r.val)) for r in n.ins) for n in self.nodes
        )
        kinds = tuple(str(self.kind(v)) + str(self.is_unit(v)) for v in self.inputs)
        values = tuple(None if x is None else (np.asarray(x).tobytes(), np.shape(x)) for x in known)
        exits = tuple(number[v] for v in self.exits())
        # Whether something was cut off is a part of it, since equalities are judged by that.
        key = (self.elementwise, self._operations(), wiring, kinds, values, exits, self.nodes.index(self.node))
        key = (*key, self.whole, self.whole_before)
        try:
            hash(key)
        except TypeError:
            return None
        return key

    def _operations(self) -> tuple:
        # An elementwise region is run on single numbers: one of arrays of any shape is the same.
        dropped = _SHAPES if self.elementwise else ()
        return tuple(
            (n.eqn.primitive, tuple(kv for kv in n.eqn.params.items() if kv[0] not in dropped)) for n in self.nodes
        )

    # -- as a function

    def run(self, *inputs) -> list:
        """What each equation makes, in order."""
        env: dict[int, Any] = dict(zip(self.inputs, inputs, strict=True))
        for node in self.nodes:
            ins = [r.val if isinstance(r, Literal) else env[r] for r in node.ins]
            single = self.elementwise and node.name == "broadcast_in_dim"  # there is nothing to broadcast to
            env.update(zip(node.outs, ins if single else evaluate_alone(node.eqn, ins), strict=True))
        return [env[v] for v in self.made_inside]

    @property
    def operands(self) -> list[int]:
        """The floats that are chosen by."""
        return [r for r in _reads(self.node) if is_inexact(self.flat.avals[r].dtype)]

    @property
    def decisions(self) -> list[int]:
        """The values that are not floats and depend on the choice; the choice itself, of whatever type, comes first."""
        others = [v for v in self.tainted if not is_inexact(self.flat.avals[v].dtype)]
        return list(dict.fromkeys([self.node.outs[0], *others])) if self.is_step else others

    @property
    def is_step(self) -> bool:
        """Is the choice a float that jumps, such as a `floor`?"""
        return not self.node.blocks and is_inexact(self.flat.avals[self.node.outs[0]].dtype)

    @property
    def values(self) -> list[int]:
        """The floats that depend on the choice."""
        return [v for v in self.tainted if is_inexact(self.flat.avals[v].dtype)]

    def decisions_at(self, env: Mapping[int, np.ndarray]) -> list[np.ndarray]:
        """The decisions, given all values at some points."""
        return [
            _what_is_chosen(self.node, env) if v == self.node.outs[0] and self.is_step else env[v]
            for v in self.decisions
        ]

    def guarded_size(self, v: int) -> int | None:
        """The float that this decision compares with a tiny number, if it does."""
        node = self.tainted[v]
        if node.name not in _GUARDS:
            return None
        a, b = node.ins
        # Either side may hold the threshold: 1e-8 < x and x > 1e-8.
        if isinstance(a, Literal) and not isinstance(b, Literal):
            a, b = b, a
        if isinstance(b, Literal) and isinstance(a, int) and is_inexact(self.flat.avals[a].dtype):
            return a if abs(float(b.val)) <= _TINY else None
        return None

    def exits(self) -> list[int]:
        """The values that depend on the choice and are used beyond the region, on the way to a cost."""
        block = self.node.block
        # Only on the way to a cost: a jump that is printed or returned as aux changes no derivative.
        outs = self.flow.open_outputs(block)
        exits = []
        for v in self.tainted:
            users = [user for user in block.users.get(v, ()) if user.place not in self._places]
            if v in outs or any(self.flow.arrives(user) for user in users):
                exits.append(v)
        return exits


def _reads(node: Node) -> list[int]:
    return [r for r in node.ins if isinstance(r, int)]


def is_cheap(flat: Flat, node: Node) -> bool:
    """May it be run at many points?"""
    if not _is_deterministic(node) or not _is_small(flat, node):
        return False
    return all(len(b.nodes) <= LARGE and all(is_cheap(flat, inner) for inner in b.nodes) for b in node.blocks)


def _is_deterministic(node: Node) -> bool:
    """Without effects or draws. A `stop_gradient` ends a region as well: what jumps after it does so with the user's consent."""
    eqn = node.eqn
    is_special = is_random(eqn) or eqn.primitive is cost_p or node.name in _ENDS
    return not (eqn.effects or is_special or "callback" in node.name)


def _is_small(flat: Flat, node: Node) -> bool:
    if sum(int(np.prod(flat.aval(r).shape)) for r in (*node.ins, *node.outs)) > ELEMENTS:
        return False
    # Nobody knows how often a while loop runs at a made-up point.
    is_long = node.eqn.primitive is P.scan_p and scan_parts(node.eqn).length > ITERATIONS
    return not is_long and node.eqn.primitive is not P.while_p


def _what_is_chosen(node: Node, env: Mapping[int, np.ndarray]) -> np.ndarray:
    """What changes where one of the operations that make floats jumps."""
    if node.name not in ("rem", "atan2", "abs"):
        return env[node.outs[0]]
    a, *others = (r.val if isinstance(r, Literal) else env[r] for r in node.ins)
    if node.name == "abs":
        return a < 0
    (b,) = others
    if np.ndim(a) and np.ndim(b):  # a single number at each point beside an array
        a, b = (np.reshape(x, (*x.shape, *[1] * (max(a.ndim, b.ndim) - x.ndim))) for x in (a, b))
    # The remainder jumps where the quotient passes an integer; the angle across the negative half of the first axis.
    return np.trunc(a / b) if node.name == "rem" else (a < 0) & (b < 0)
