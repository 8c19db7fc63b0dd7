"""Does a program jump where it chooses? Measured, since `where(x > 0, x, 0.1 * x)` does not and `where(x > 0, 1, 0)` does.

Around the choice a region is taken out of the program: what the choice makes, as far as cheap operations carry it, and what
that is computed from. It is run on random lines through its inputs, of all scales. Each thing that is decided in it must be seen
to change; there the line is bisected down to neighbouring numbers, and what leaves the region must agree on both sides. What
cannot be settled (a decision that is never seen to change, a region that is too large) counts as a jump.

First a small region of elementwise operations is tried, on single numbers in place of arrays; then one of all cheap operations.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._jaxprs import Literal, P, computed_now, evaluate_alone, scan_parts
from .._interpreter.batches import ELEMENTWISE
from ..sampling import cost_p
from .decided import NOISE, Decided, is_inexact, is_random
from .flat import Flat, Node
from .masks import is_added, is_mask_of_support

SMALL, LARGE = 12, 96  # equations of a region that hang on the choice; and as many more before them, and beside them
BATCHES = 4  # of changes that are looked into, as many in each as there are points
REGIONS = 200  # that are compiled for one program
ELEMENTS = 1 << 14  # that a region holds, in one run
PASSES = 64  # of a loop in it
LINES, BISECTED = 24, 24  # lines; changes of each decision that are looked into
_SCALES = np.logspace(-3, 6, 19)
_STEPS = np.concatenate([-_SCALES[::-1], [0.0], _SCALES])
_HALVINGS = 64
_TINY = 1e-6  # a threshold on a size that guards a division
_USUAL = 30.0  # what overflows from larger numbers is a guard's business

_EQUALITIES = frozenset(["eq", "ne"])
_GUARDS = frozenset("lt le gt ge".split())


class Region:
    """The equations around a choice: `nodes` in order, `inputs`, what hangs on the choice (`tainted`)."""

    def __init__(self, decided: Decided, node: Node, start: Sequence[int], elementwise: bool, limit: int):
        self.decided, self.flat, self.node = decided, decided.flat, node
        self.elementwise, self._limit = elementwise, limit
        self._shape = next((s for r in node.ins if (s := self.flat.aval(r).shape)), ())
        self.tainted: dict[int, Node] = dict.fromkeys(start, node)
        self.whole = True  # was nothing cut off that might equal something?
        self.whole_before = True  # and of what is chosen by?
        self.nodes = self._with_ancestors(self._descendants())
        self.inputs = list(dict.fromkeys(v for n in self.nodes for v in self._read(n) if self._made_by(v) is None))

    def _descendants(self) -> dict[int, Node]:
        """By place: the choice, and the cheap equations that hang on it."""
        block, found, queue = self.node.block, {self.node.place: self.node}, []

        def push(v):
            for user in block.users.get(v, ()):
                heapq.heappush(queue, user.place)

        for v in list(self.tainted):
            push(v)
        while queue:
            node = block.nodes[heapq.heappop(queue)]
            if node.place in found or not self._is_cheap(node):
                continue
            if len(found) >= self._limit:
                break
            found[node.place] = node
            for v in node.outs:
                self.tainted[v] = node
                push(v)
        return found

    def _with_ancestors(self, after: dict[int, Node]) -> list[Node]:
        """And what is chosen by is computed from, and whatever else hangs on that, or is a constant."""
        before: dict[int, Node] = {}
        self._add_ancestors(self._read(self.node), after, before)
        self.whole_before = self.whole
        shared = {v for node in before.values() for v in (*node.outs, *self._read(node))} | set(self._read(self.node))
        others: dict[int, Node] = {}
        self._add_ancestors([v for node in after.values() for v in self._read(node)], {**after, **before}, others)
        constants = set(self.flat.constants)
        for place, node in sorted(others.items()):
            reads = self._read(node)
            if any(v in shared for v in reads):
                shared.update(node.outs)
                before[place] = node
            elif all(v in constants for v in reads):
                constants.update(node.outs)
                before[place] = node
        found = {**before, **after}
        self._places = set(found)
        return [found[place] for place in sorted(found)]

    def _add_ancestors(self, queue: list[int], known: dict[int, Node], found: dict[int, Node]) -> None:
        for v in queue:  # grows while it is read: the nearest first
            node = self.node.block.made.get(v)
            if node is None or node.place in known or node.place in found:
                continue
            if not self._is_cheap(node) or self._is_noise(node):
                self.whole = self.whole and (is_random(node.eqn) or node.name in _SPREAD)
                continue
            if len(found) >= self._limit:
                self.whole = False
                continue
            found[node.place] = node
            queue.extend(self._read(node))

    def _made_by(self, v: int) -> Node | None:
        node = self.node.block.made.get(v)
        return node if node is not None and node.place in self._places else None

    def _read(self, node: Node) -> list[int]:
        return [r for r in node.ins if isinstance(r, int)]

    def _is_noise(self, node: Node) -> bool:
        """Does it make a float out of random bits? That is where a line begins."""
        integers = [r for r in self._read(node) if not is_inexact(self.flat.avals[r].dtype)]
        makes_float = any(is_inexact(self.flat.avals[v].dtype) for v in node.outs)
        return makes_float and any(self.decided.label(r) & NOISE for r in integers)

    def _is_cheap(self, node: Node) -> bool:
        return node is self.node or (self._is_elementwise(node) if self.elementwise else _is_cheap(self.flat, node))

    def _is_elementwise(self, node: Node) -> bool:
        if not node.outs:
            return False
        shape = self.flat.aval(node.outs[0]).shape
        if shape not in ((), self._shape) or node.blocks:
            return False
        if node.name == "broadcast_in_dim":
            return self.flat.aval(node.ins[0]).shape == ()
        return node.name in ELEMENTWISE and all(self.flat.aval(r).shape in ((), shape) for r in node.ins)

    @property
    def is_of_numbers(self) -> bool:
        """Are there no arrays in it?"""
        return self._shape == ()

    @property
    def size(self) -> int:
        """Elements that one run holds."""
        return 1 if self.elementwise else sum(int(np.prod(a.shape)) for a in map(self.flat.aval, self._all()))

    def _all(self) -> list[int]:
        return [*self.inputs, *(v for node in self.nodes for v in node.outs)]

    # -- as a function

    @property
    def decisions(self) -> list[int]:
        """The values that are no floats and hang on the choice; the choice itself, of whatever type, comes first."""
        others = [v for v in self.tainted if not is_inexact(self.flat.avals[v].dtype)]
        return list(dict.fromkeys([self.node.outs[0], *others])) if self.is_step else others

    @property
    def is_step(self) -> bool:
        return not self.node.blocks and is_inexact(self.flat.avals[self.node.outs[0]].dtype)

    @property
    def values(self) -> list[int]:
        return [v for v in self.tainted if is_inexact(self.flat.avals[v].dtype)]

    def run(self, *inputs) -> list:
        """What each equation makes, in order."""
        env: dict[int, Any] = dict(zip(self.inputs, inputs, strict=True))
        for node in self.nodes:
            ins = [r.val if isinstance(r, Literal) else env[r] for r in node.ins]
            single = self.elementwise and node.name == "broadcast_in_dim"
            env.update(zip(node.outs, ins if single else evaluate_alone(node.eqn, ins), strict=True))
        return [env[v] for node in self.nodes for v in node.outs]

    @property
    def operands(self) -> list[int]:
        """The floats that are chosen by."""
        return [r for r in self._read(self.node) if is_inexact(self.flat.avals[r].dtype)]

    def decided_at(self, env: Mapping[int, np.ndarray]) -> list[np.ndarray]:
        """The decisions, given all values at some points."""
        return [
            _what_is_chosen(self.node, env) if v == self.node.outs[0] and self.is_step else env[v]
            for v in self.decisions
        ]

    def guarded(self, v: int) -> int | None:
        """The float that this decision compares with a tiny number, if it does."""
        node = self.tainted[v]
        if node.name not in _GUARDS:
            return None
        a, b = node.ins
        if isinstance(a, Literal) and not isinstance(b, Literal):
            a, b = b, a
        if isinstance(b, Literal) and isinstance(a, int) and is_inexact(self.flat.avals[a].dtype):
            return a if abs(float(b.val)) <= _TINY else None
        return None

    def signature(self, known: Sequence[Any]) -> Hashable:
        """All that the measurement depends on; None where it cannot be told."""
        number = {v: k for k, v in enumerate(self._all())}
        wiring = tuple(
            tuple(number[r] if isinstance(r, int) else (str(r.aval), str(r.val)) for r in n.ins) for n in self.nodes
        )
        kinds = tuple(str(self._kind(v)) + str(self.is_unit(v)) for v in self.inputs)
        operations = tuple((n.eqn.primitive, tuple(n.eqn.params.items())) for n in self.nodes)
        if self.elementwise:
            operations = tuple((p, tuple(kv for kv in params if kv[0] not in _SHAPES)) for p, params in operations)
        values = tuple(None if x is None else (np.asarray(x).tobytes(), np.shape(x)) for x in known)
        leaving = tuple(number[v] for v in self.leaving())
        key = (self.elementwise, operations, wiring, kinds, values, leaving, self.nodes.index(self.node))
        key = (*key, self.whole, self.whole_before)
        try:
            hash(key)
        except TypeError:
            return None
        return key

    def _kind(self, v: int) -> tuple:
        aval = self.flat.avals[v]
        return (() if self.elementwise else aval.shape), aval.dtype

    def is_unit(self, v: int) -> bool:
        """Is it a random number between 1 and 2, as random bits make them?"""
        node = self.node.block.made.get(v)
        return node is not None and node.name == "bitcast_convert_type" and is_inexact(self.flat.avals[v].dtype)

    def leaving(self) -> list[int]:
        """The values that hang on the choice and are used beyond the region, on the way to a cost."""
        block = self.node.block
        outs = self.decided.leaves(block)
        found = []
        for v in self.tainted:
            users = [user for user in block.users.get(v, ()) if user.place not in self._places]
            if v in outs or any(self.decided.arrives(user) for user in users):
                found.append(v)
        return found


def _is_cheap(flat: Flat, node: Node) -> bool:
    """May it be run at many points?"""
    eqn = node.eqn
    if eqn.effects or is_random(eqn) or eqn.primitive is cost_p or node.name in _ENDS or "callback" in node.name:
        return False
    if sum(int(np.prod(flat.aval(r).shape)) for r in (*node.ins, *node.outs)) > ELEMENTS:
        return False
    if eqn.primitive is P.while_p or (eqn.primitive is P.scan_p and scan_parts(eqn).length > PASSES):
        return False
    return all(len(b.nodes) <= LARGE and all(_is_cheap(flat, inner) for inner in b.nodes) for b in node.blocks)


_ENDS = frozenset(["stop_gradient"])
_SPREAD = frozenset(
    ["dot_general", "conv_general_dilated", "bitcast_convert_type"]
)  # what they make of a draw equals nothing
_SHAPES = frozenset(["shape", "broadcast_dimensions", "sharding"])


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
    return np.trunc(a / b) if node.name == "rem" else (a < 0) & (b < 0)


def asks_for_nan(node: Node) -> bool:
    return node.name == "is_finite" or (node.name == "ne" and node.ins[0] == node.ins[1])


class Measured(NamedTuple):
    """`unseen`: decisions that never changed; `jumps`: floats that jump where one does; `infinite`: that become infinite."""

    unseen: frozenset[int]  # positions among the decisions
    jumps: frozenset[int]  # positions among the values
    infinite: frozenset[int]  # positions among the values


_known: dict[Hashable, Measured | None] = {}
_MEMORY = 4096  # measurements that are kept


def jumps(decided: Decided, node: Node) -> bool:
    """Does what this equation chooses reach a cost in such a way that the cost jumps?"""
    start = list(node.outs)
    if is_test(node):
        return True  # it decides how many passes there are
    if is_mask_of_support(decided.flat, node):
        return False
    while True:
        regions = _regions(decided, node, start)
        for region in regions:
            left = _jumping(region)
            if not left:
                return False
        around = node.block.around
        escaped = [v for v in left if v in decided.leaves(node.block)]
        if around is None or around.eqn.primitive is P.while_p or len(escaped) < len(left):
            return True
        # all of it leaves through the results of a loop or a branch, which may as a whole be one cheap operation
        start = [out for out, r in zip(around.outs, node.block.outs, strict=True) if r in escaped]
        if any(is_inexact(decided.flat.avals[v].dtype) for v in start) or not _is_cheap(decided.flat, around):
            return True
        node = around


def is_test(node: Node) -> bool:
    loop = node.block.around
    return loop is not None and loop.eqn.primitive is P.while_p and node.block is loop.blocks[0]


def _regions(decided: Decided, node: Node, start: Sequence[int]) -> Iterator[Region]:
    small = None
    if not node.blocks:
        small = Region(decided, node, start, True, SMALL)
        yield small
    large = Region(decided, node, start, False, LARGE)
    if small is None or large.nodes != small.nodes or not small.is_of_numbers:
        yield large


def _jumping(region: Region) -> list[int]:
    """The values that jump and leave the region."""
    measured = _measure(region)
    leaving = region.leaving()
    if measured is None:
        return leaving
    values = region.values
    jumping = {values[k] for k in measured.jumps}
    if measured.unseen:  # nothing is known where it does not change
        jumping |= set(values)
    # what the choice makes, and what jumps with it
    carried = {v for v in region.tainted if region.tainted[v] is region.node}
    is_abs = region.node.name == "abs"  # continuous itself
    infinite = {values[k] for k in measured.infinite} - jumping
    jumping |= infinite | {v for v in region.decisions if not (is_abs and v in carried)}
    through = {v for v in carried if v in jumping or is_abs}
    for node in region.nodes:
        if node is not region.node and any(r in through for r in node.ins if isinstance(r, int)):
            through |= {v for v in node.outs if v in jumping}
    costly = {v for v in infinite if is_added(region.node.block, v)}  # infinite, and so is the estimate
    return [v for v in leaving if v in through - costly and v in jumping]


def _measure(region: Region) -> Measured | None:
    """None where nothing could be measured."""
    if region.size > ELEMENTS or len(region.decided.runners) >= REGIONS:
        return None
    known = [region.flat.constants.get(v) for v in region.inputs]
    if any(np.size(x) > ELEMENTS for x in known if x is not None):
        return None
    if region.elementwise:
        known = [None if x is None or np.shape(x) else x for x in known]
    signature = region.signature(known)
    if signature is None:
        return _measured(region, known)
    if signature not in _known:
        if len(_known) >= _MEMORY:
            _known.clear()
        _known[signature] = _measured(region, known)
    return _known[signature]


def _measured(region: Region, known: Sequence[Any]) -> Measured | None:
    try:
        with (
            computed_now(),
            jax.numpy_dtype_promotion("standard"),
            jax.numpy_rank_promotion("allow"),
            jax.debug_nans(False),
            jax.debug_infs(False),
        ):
            return _look(region, known)
    except Exception:  # it cannot be run by itself: nothing is known of it
        return None


Run = Callable[[Sequence[np.ndarray]], dict[int, np.ndarray]]  # values of the inputs at some points -> all values there


def _runner(region: Region) -> Run:
    """The region as a function of many points, always as many; compiled once for all choices in it."""
    key = (region.node.block, region.elementwise, tuple(node.place for node in region.nodes))
    runners = region.decided.runners
    if key not in runners:
        runners[key] = jax.jit(jax.vmap(region.run))
    many, outs = runners[key], [v for node in region.nodes for v in node.outs]

    def run(points):
        return dict(zip([*region.inputs, *outs], [*points, *map(np.asarray, many(*points))], strict=True))

    return run


def _look(region: Region, known: Sequence[Any]) -> Measured:
    lines = int(np.clip((1 << 21) // (len(_STEPS) * region.size), 4, LINES))
    random = np.random.default_rng(0)
    points = [_points(region, v, x, lines, random) for v, x in zip(region.inputs, known, strict=True)]
    run = _runner(region)
    points = [p.reshape(-1, *p.shape[2:]) for p in points]
    env = run(points)
    decided = region.decided_at(env)
    usual = _are_usual(region, points, known).reshape(lines, -1)
    unseen, stay, jobs = set(), set(), []
    each = max(4, min(BISECTED, len(points[0]) // max(1, len(decided))))
    for k, (v, d) in enumerate(zip(region.decisions, decided, strict=True)):
        d = d.reshape(lines, len(_STEPS), -1)
        changed = d[:, 1:] != d[:, :-1]
        if asks_for_nan(region.tainted[v]):
            changed &= usual[:, 1:, None] & usual[:, :-1, None]
        changes = random.permutation(np.argwhere(changed))  # (line, step, element)
        if not len(changes):
            if _may_stay(region, v, env, stay):
                stay.add(v)
            else:
                unseen.add(k)
        chosen = changes[:each]
        if v in region.node.outs:  # each element of it, as they need not be alike
            _, first = np.unique(changes[:, 2], return_index=True)
            chosen = np.concatenate([chosen, changes[first]])
        jobs += [(k, line * len(_STEPS) + step, element) for line, step, element in chosen]
    if not jobs:
        return Measured(frozenset(unseen), frozenset(), frozenset())
    batch = len(points[0])
    if len(jobs) > BATCHES * batch:
        return Measured(frozenset(range(len(decided))), frozenset(), frozenset())
    jobs = np.resize(np.asarray(jobs), (-(-len(jobs) // batch) * batch, 3))
    which = jobs[:, 0]
    parts = [
        _close_in(region, run, part, [p[part[:, 1]] for p in points], [p[part[:, 1] + 1] for p in points])
        for part in np.split(jobs, len(jobs) // batch)
    ]
    sides = [
        {v: np.concatenate([part[i][v] for part in parts]) for v in (*region.operands, *region.values)}
        for i in range(8)
    ]
    # where what is chosen by jumps itself, for another reason, nothing is seen of the choice
    clean = ~np.any([_differs([side[v] for side in sides]) for v in region.operands] or [which < 0], 0)
    unseen |= set(which) - set(which[clean])

    def where(differs):
        return frozenset(k for k, v in enumerate(region.values) if np.any(differs([side[v] for side in sides]) & clean))

    return Measured(frozenset(unseen), where(_differs), where(_becomes_infinite))


def _are_usual(region: Region, points: Sequence[np.ndarray], known: Sequence[Any]) -> np.ndarray:
    """Which points have no number in them whose exponential is too large for its type?"""
    found = np.ones(len(points[0]), bool)
    for v, p, x in zip(region.inputs, points, known, strict=True):
        if x is None and is_inexact(region.flat.avals[v].dtype):
            found &= np.max(np.abs(p.reshape(len(p), -1).astype(float)), -1, initial=0.0) < _USUAL
    return found


def _may_stay(region: Region, v: int, env: Mapping[int, np.ndarray], stay: set[int]) -> bool:
    """Is it no decision, if it never changed: an equality, a negative index, or a guard against NaN or numbers near 0?"""
    node = region.tainted[v]
    if asks_for_nan(node) or node.name == "abs":
        return True
    if node.name in _EQUALITIES:
        return region.whole_before if node is region.node else region.whole
    if node.name == "lt" and not is_inexact(region.flat.aval(node.ins[0]).dtype):
        return isinstance(node.ins[1], Literal) and bool(np.all(node.ins[1].val == 0))  # an index counted from the end
    if any(r in stay for r in node.ins if isinstance(r, int)):
        return True
    size = region.guarded(v)
    return size is not None and bool(np.all(env[size] >= 0))


def _points(region: Region, v: int, known: Any, lines: int, random: np.random.Generator) -> np.ndarray:
    """(lines, steps, *shape): where an input lies on each line."""
    shape, dtype = region._kind(v)
    whole = (lines, len(_STEPS), *shape)
    if known is not None:
        return np.broadcast_to(np.asarray(known), whole)
    constant = region.flat.constants.get(v)
    if constant is not None:  # one number of a constant array
        entries = random.choice(np.ravel(np.asarray(constant)), lines)
        return np.broadcast_to(entries[:, None], whole)
    if region.is_unit(v):
        return (1 + random.uniform(1e-6, 1 - 1e-6, whole)).astype(dtype)
    if not is_inexact(dtype):
        numbers = random.integers(2 if jnp.issubdtype(dtype, bool) else 4, size=(lines, 1, *shape))
        return np.broadcast_to(numbers.astype(dtype), whole)
    scale = np.asarray([0.1, 1.0, 10.0])[np.arange(lines) % 3].reshape(-1, *[1] * (len(whole) - 1))
    base, slope = random.normal(size=(2, lines, 1, *shape))
    same = (np.arange(lines) % 4 == 0).reshape(scale.shape)
    slope = np.where(same, np.abs(slope), slope)  # some lines go from all negative to all positive
    return (scale * base + slope * _STEPS.reshape(1, -1, *[1] * len(shape))).astype(dtype)


def _close_in(region: Region, run: Run, jobs: np.ndarray, low: list, high: list) -> list[dict[int, np.ndarray]]:
    """All values at both ends of each interval, at both sides of the change in it, and one and two steps beyond those.

    `jobs`: (decision, _, element of it) for each interval.
    """
    floats = [is_inexact(region.flat.avals[v].dtype) for v in region.inputs]
    ends = run(low), run(high)
    at_low = region.decided_at(ends[0])

    def changed(decided):
        found = np.zeros(len(jobs), bool)
        for k, (d, a) in enumerate(zip(decided, at_low, strict=True)):
            rows = np.flatnonzero(jobs[:, 0] == k)
            elements = jobs[rows, 2]
            found[rows] = d.reshape(len(d), -1)[rows, elements] != a.reshape(len(a), -1)[rows, elements]
        return found

    def chosen(flags, xs, ys):
        return [np.where(flags.reshape(-1, *[1] * (x.ndim - 1)), x, y) for x, y in zip(xs, ys, strict=True)]

    a, b = low, high
    with np.errstate(all="ignore"):
        for _ in range(_HALVINGS):
            middle = [(x + (y - x) / 2).astype(x.dtype) if f else x for x, y, f in zip(a, b, floats, strict=True)]
            if all(np.all((m == x) | (m == y)) for m, x, y in zip(middle, a, b, strict=True)):
                break
            first = changed(region.decided_at(run(middle)))
            a, b = chosen(first, a, middle), chosen(first, middle, b)
        steps = [_step(x, y) if f else 0 for x, y, f in zip(a, b, floats, strict=True)]

        def moved(xs, by):
            return [(x + by * s).astype(x.dtype) if f else x for x, s, f in zip(xs, steps, floats, strict=True)]

        points = (moved(a, -2), moved(a, -1), a, b, moved(b, 1), moved(b, 2))
    return [ends[0], *map(run, points), ends[1]]


def _step(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """As far as from a to b, and a few neighbouring numbers at least."""
    return np.sign(b - a) * np.maximum(np.abs(b - a), 8 * np.abs(a) * float(jnp.finfo(a.dtype).eps)).astype(a.dtype)


def _differs(sides: Sequence[np.ndarray]) -> np.ndarray:
    """At which points is there a jump between the fourth and the fifth? What is not finite is not compared.

    Or between the third and the sixth: where two numbers are equal, the value may lie half way, as the derivative of a max does.
    """
    low, *inner, high = (np.asarray(x).astype(np.float64) for x in sides)
    eps = float(jnp.finfo(sides[0].dtype).eps)
    with np.errstate(invalid="ignore", over="ignore"):
        ends = np.maximum(np.abs(low), np.abs(high))
        usual = np.max(np.where(np.isfinite(ends), ends, 0.0), 0)
        found = np.zeros(ends.shape, bool)
        found |= _stands_out(inner[1], inner[2], inner[3], inner[4], ends, usual, eps)
        a, b = inner[1], inner[4]
        half_way = np.minimum(*(np.abs(x - (a + b) / 2) for x in inner[2:4])) < np.abs(b - a) / 4
        found |= half_way & _stands_out(inner[0], a, b, inner[5], ends, usual, eps)
        return np.any(found.reshape(len(found), -1), -1)


def _stands_out(before, a, b, after, ends, usual, eps) -> np.ndarray:
    """Is the change from a to b out of proportion to those beside it, and to rounding?"""
    jump, beside = np.abs(b - a), np.abs(a - before) + np.abs(after - b)
    scale = np.maximum(ends, np.maximum(np.abs(a), np.abs(b)))
    is_pole = jump > 20 * usual + np.finfo(float).tiny  # the change beside it is as large
    return ((jump > 16 * beside + 256 * eps * scale) | is_pole) & np.isfinite(jump) & np.isfinite(beside)


def _becomes_infinite(sides: Sequence[np.ndarray]) -> np.ndarray:
    """At which points is one of the two in the middle a number, and the other infinite?"""
    a, b = (np.asarray(x).astype(np.float64) for x in sides[3:5])
    found = (np.isinf(a) & np.isfinite(b)) | (np.isfinite(a) & np.isinf(b))
    return np.any(found.reshape(len(found), -1), -1)
