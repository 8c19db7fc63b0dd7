"""Where a draw decides something: dataflow of continuous randomness and of derivatives over a traced program.

A forward analysis with a bit set for each value, over a flattened program. A derivative may reach a value (`DERIVATIVE`); noise
that nobody marked does (`NOISE`); a marked draw without a derivative of its own does (`MARKED`); and there is one bit for each
draw through `Pathwise`. A bit follows values and not choices: past a comparison, a `floor`, an index it is gone, and so it is
past a `stop_gradient`, which says that this is intended. A second, backward analysis finds what reaches a cost. The result is the
equations where a choice is made; whether the program really jumps there, `continuity` measures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..._jaxprs import P, fixed_point, scan_parts, while_parts
from ..._primitives import zero_valued_p
from ..._steps import steers
from ...bridges import Drawing, Local
from ..sampling import Site, cost_p, sample_p
from .flat import Block, Flat, Node, Ref
from .operations import COMPARISONS, FLAT, SOURCES, chosen_by, differentiates, is_continuous, is_inexact

# Bits of one Python integer, which has as many as there are draws: a union is one operation.
DERIVATIVE, NOISE, MARKED = 1, 2, 4
_FIRST = 8  # the bit of the first draw through Pathwise

# Through these a bit is gone.
_CUTS = COMPARISONS | FLAT | {"stop_gradient", "is_finite"}


class Draw(NamedTuple):
    """A draw through `Pathwise`."""

    bit: int
    node: Node
    site: Site
    automatic: bool


class DecisionFlow:
    """`draws` and `choices()` are the outcome; `arriving`, `arrives` and `open_outputs` say what reaches the costs."""

    def __init__(self, flat: Flat, bridge_at: Callable[[Site], tuple[Drawing, bool]]):
        self.flat = flat
        self.labels = [0] * len(flat.avals)
        self.draws: dict[int, Draw] = {}
        self.arriving = 0  # the bits of all costs and of the parameters of the draws that reach one
        self.runners: dict[Any, Callable] = {}  # what `continuity` has compiled
        self._bridge_at = bridge_at
        self._bits: dict[Node, int] = {}
        self._reached: set[int] = set()
        self._arrives: set[Node] = set()
        self._open: dict[Block, tuple[bool, ...]] = {}  # which outputs of a block reach a cost
        self._costs: dict[Block, bool] = {}
        # A constant that is traced further out is what somebody may differentiate by; all others are numbers.
        for v in flat.traced:
            self._mark(v, DERIVATIVE if is_inexact(flat.avals[v].dtype) else 0)
        self._forward(flat.main)
        # Further outputs are aux, which nobody may differentiate.
        self._backward(flat.main, [k == 0 for k in range(len(flat.main.outs))])
        self.arriving |= self.label(flat.main.outs[0])
        # Log-probabilities of draws are costs in this respect: a pathwise draw that is the parameter of a later one has a
        # derivative.
        for node in self._arrives:
            if node.eqn.primitive in (sample_p, cost_p):
                self.arriving |= self._all(node.ins)

    def label(self, ref: Ref) -> int:
        return self.labels[ref] if isinstance(ref, int) else 0

    def arrives(self, node: Node) -> bool:
        """Does anything that this equation makes reach a cost?"""
        return node in self._arrives

    def open_outputs(self, block: Block) -> set[int]:
        """The outputs of a block that reach a cost."""
        return {r for r, is_open in zip(block.outs, self._open[block], strict=True) if is_open and isinstance(r, int)}

    def draws_in(self, label: int) -> list[Draw]:
        """The draws through `Pathwise` whose bits are in it."""
        return [draw for bit, draw in self.draws.items() if label & bit]

    def choices(self) -> Iterator[tuple[Node, int]]:
        """The equations that choose by something continuous and random, with the bits of what they choose by.

        Only those where a derivative is lost, that reach a cost.
        """
        for node in self._nodes(self.flat.main):
            refs = chosen_by(node)
            if refs and node in self._arrives:
                bits = self._all(refs)
                # Alone, noise and marked draws choose as they please: a derivative is lost only if one was there.
                if bits >= _FIRST or (bits & DERIVATIVE and bits & (NOISE | MARKED)):
                    yield node, bits

    def _nodes(self, block: Block) -> Iterator[Node]:
        for node in block.nodes:
            yield node
            for inner in node.blocks:
                yield from self._nodes(inner)

    # -- forward

    def _mark(self, v: int, bits: int) -> bool:
        """Adds bits to a value; are any of them new?"""
        new = bits & ~self.labels[v]
        self.labels[v] |= bits
        return bool(new)

    def _pass_on(self, refs: Sequence[Ref], to: Sequence[int]) -> bool:
        # All of them, and not until the first new one: `any` of a generator would stop there.
        new = [self._mark(v, self.label(r)) for r, v in zip(refs, to, strict=False)]
        return any(new)

    def _all(self, refs: Sequence[Ref]) -> int:
        bits = 0
        for r in refs:
            if isinstance(r, int):
                bits |= self.labels[r]
        return bits

    def _forward(self, block: Block) -> None:
        for node in block.nodes:
            if rule := _FORWARD.get(node.eqn.primitive):
                rule(self, node)
            else:
                self._values(node)

    def _values(self, node: Node) -> None:
        floats, integers = self._bits_into(node)
        if not floats | integers:
            return
        for v in node.outs:
            # An integer has no derivative: only noise passes it, as the bits that a uniform number is made of.
            is_float = is_inexact(self.flat.avals[v].dtype)
            self._mark(v, floats | integers if is_float else integers & NOISE)

    def _bits_into(self, node: Node) -> tuple[int, int]:
        """The bits that an equation passes on, of its floats and of its integers."""
        name = node.name
        floats = integers = NOISE if name in SOURCES else 0
        if name in _CUTS:
            return 0, 0
        for k, r in enumerate(node.ins):
            if isinstance(r, int) and self.labels[r] and (name == "cond" or not steers(node.eqn, k)):
                if is_inexact(self.flat.avals[r].dtype):
                    floats |= self.labels[r]
                else:
                    integers |= self.labels[r]
        return floats, integers

    def _sample(self, node: Node) -> None:
        site: Site = node.eqn.params["site"]
        into = self._all(node.ins)
        via, automatic = self._bridge_at(site)
        (out,) = node.outs
        if not is_continuous(node.eqn):
            if isinstance(via, Local):  # a relaxation: its derivative is the bridge's own, and no bit of the draw's
                self._mark(out, into & DERIVATIVE)
        elif differentiates(via) and (into or not automatic):
            # A loop's body is walked several times: the draw keeps the bit of the first.
            if node not in self._bits:
                self._bits[node] = _FIRST << len(self.draws)
                self.draws[self._bits[node]] = Draw(self._bits[node], node, site, automatic)
            self._mark(out, self._bits[node])
        else:
            self._mark(out, MARKED)

    def _cond(self, node: Node) -> None:
        for block in node.blocks:
            self._pass_on(node.ins[1:], block.ins)
            self._forward(block)
            self._pass_on(block.outs, node.outs)

    def _scan(self, node: Node) -> None:
        (block,) = node.blocks
        scan = scan_parts(node.eqn)
        self._pass_on(node.ins, block.ins)
        # Bits are only ever added, so this ends: after as many iterations as there are bits, at the latest.
        while True:
            self._forward(block)
            if not self._pass_on(scan.split_outs(block.outs)[0], scan.split(block.ins)[1]):
                break
        self._pass_on(scan.split(node.ins)[1], node.outs)
        self._pass_on(block.outs, node.outs)

    def _while(self, node: Node) -> None:
        test, block = node.blocks
        loop = while_parts(node.eqn)
        (tested, consts, first), (_, carried) = loop.split(node.ins), loop.split_body(block.ins)
        self._pass_on(tested, test.ins)
        self._pass_on([*consts, *first], block.ins)
        while True:
            self._pass_on(carried, loop.split_test(test.ins)[1])
            self._forward(test)
            self._forward(block)
            if not self._pass_on(block.outs, carried):
                break
        self._pass_on(carried, node.outs)

    # -- backward

    # A loop whose results nobody reads may still hold a cost.
    def _has_cost(self, block: Block) -> bool:
        if block not in self._costs:
            self._costs[block] = any(
                node.eqn.primitive is cost_p or any(map(self._has_cost, node.blocks)) for node in block.nodes
            )
        return self._costs[block]

    def _reach(self, refs: Sequence[Ref]) -> None:
        self._reached.update(r for r in refs if isinstance(r, int))

    def _is_reached(self, refs: Sequence[Ref]) -> list[bool]:
        return [isinstance(r, int) and r in self._reached for r in refs]

    def _backward(self, block: Block, open_outs: Sequence[bool]) -> None:
        self._open[block] = tuple(open_outs)
        self._reach([r for r, is_open in zip(block.outs, open_outs, strict=True) if is_open])
        for node in reversed(block.nodes):
            outs = self._is_reached(node.outs)
            # An equation is on the way to a cost if a result of it is, or if it records one itself.
            if any(outs) or node.eqn.primitive is cost_p or any(map(self._has_cost, node.blocks)):
                self._arrives.add(node)  # with everything in a loop or branch that holds a cost
                if rule := _BACKWARD.get(node.eqn.primitive):
                    rule(self, node, outs)
                # Upstream of a `stop_gradient` no derivative is lost: the user has dropped it.
                elif node.name != "stop_gradient" and not _is_score(node):
                    self._reach(node.ins)

    def _cond_back(self, node: Node, outs: list[bool]) -> None:
        # The index of the branch decides all that the cond returns.
        self._reach(node.ins[:1])
        for block in node.blocks:
            self._backward(block, outs)
            self._reach([r for r, v in zip(node.ins[1:], block.ins, strict=True) if v in self._reached])

    def _scan_back(self, node: Node, outs: list[bool]) -> None:
        (block,) = node.blocks
        scan = scan_parts(node.eqn)

        # An output that is handed on is open if the next iteration's input reaches a cost.
        def step(outs):
            self._backward(block, outs)
            last, ys = scan.split_outs(outs)
            return [o or i for o, i in zip(last, self._is_reached(scan.split(block.ins)[1]), strict=True)] + ys, None

        fixed_point(step, outs)
        self._reach([r for r, v in zip(node.ins, block.ins, strict=True) if v in self._reached])

    def _while_back(self, node: Node, outs: list[bool]) -> None:
        test, block = node.blocks
        loop = while_parts(node.eqn)
        (tested, consts, first), (_, carried) = loop.split(node.ins), loop.split_body(block.ins)
        self._backward(test, [True])  # how many iterations there are decides all that the loop returns

        def step(outs):
            self._backward(block, outs)
            return [o or i for o, i in zip(outs, self._is_reached(carried), strict=True)], None

        # What the test reads decides the number of iterations, so it is open whether or not the loop returns it.
        compared = self._is_reached(loop.split_test(test.ins)[1])
        outs, _ = fixed_point(step, [o or i for o, i in zip(outs, compared, strict=True)])
        self._reach([r for r, v in zip(tested, test.ins, strict=False) if v in self._reached])
        self._reach([r for r, v in zip(consts, block.ins, strict=False) if v in self._reached])
        self._reach([r for r, is_open in zip(first, outs, strict=True) if is_open])


_FORWARD: Mapping[Any, Callable] = {
    sample_p: DecisionFlow._sample,
    P.cond_p: DecisionFlow._cond,
    P.scan_p: DecisionFlow._scan,
    P.while_p: DecisionFlow._while,
}
_BACKWARD: Mapping[Any, Callable] = {
    P.cond_p: DecisionFlow._cond_back,
    P.scan_p: DecisionFlow._scan_back,
    P.while_p: DecisionFlow._while_back,
}


def _is_score(node: Node) -> bool:
    """The score of an inner estimate: log p belongs to the estimator, and its parameters are those of the draw itself."""
    return node.eqn.primitive is zero_valued_p and node.eqn.params["owner"] is not None
