"""Where a draw decides something: dataflow of continuous randomness and of derivatives over a traced program.

Every value carries bits: a derivative may reach it (`DERIVATIVE`); noise that nobody marked does (`NOISE`); a marked draw
without a derivative of its own does (`MARKED`); and one bit for each draw through `Pathwise`. A bit follows values and not
choices: past a comparison, a `floor`, an index it is gone, and so it is past a `stop_gradient`, which says that it is meant to
be. The equations where a choice is made are what this walk finds; whether the program really jumps there, `continuity` measures.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..._jaxprs import CUSTOM_RULES, JaxprEqn, Literal, P, fixed_point, scan_parts, while_parts
from ..._primitives import zero_valued_p
from ..._steps import steers
from ...bridges import Drawing, Local, Pathwise
from ..sampling import Site, cost_p, parts, sample_p
from .flat import Block, Flat, Node, Ref

DERIVATIVE, NOISE, MARKED = 1, 2, 4
_FIRST = 8  # the bit of the first draw through Pathwise

_COMPARISONS = frozenset("eq ne lt le gt ge lt_to le_to".split())
_FLAT = frozenset("floor ceil round sign".split())  # floats without a derivative
_WRAPS = frozenset("rem atan2".split())  # floats with one, that jump
_WINDOWS = frozenset(
    "select_and_scatter_add select_and_gather_add".split()
)  # a derivative of the largest in each window
_SOURCES = frozenset("random_bits random_gamma rng_bit_generator rng_uniform threefry2x32".split())


@functools.cache
def is_inexact(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.inexact)


class Draw(NamedTuple):
    """A draw through `Pathwise`."""

    bit: int
    node: Node
    site: Site
    automatic: bool


class Decided:
    """The outcome: `draws`; `choices()`; and what reaches the costs, as a value or at all."""

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
        for v in flat.traced:
            self._mark(v, DERIVATIVE if is_inexact(flat.avals[v].dtype) else 0)
        self._forward(flat.main)
        self._backward(flat.main, [k == 0 for k in range(len(flat.main.outs))])
        self.arriving |= self.label(flat.main.outs[0])
        for node in self._arrives:
            if node.eqn.primitive in (sample_p, cost_p):
                self.arriving |= self._all(node.ins)

    def label(self, ref: Ref) -> int:
        return self.labels[ref] if isinstance(ref, int) else 0

    def arrives(self, node: Node) -> bool:
        """Does anything that this equation makes reach a cost?"""
        return node in self._arrives

    def leaves(self, block: Block) -> set[int]:
        """The outputs of a block that reach a cost."""
        return {r for r, is_open in zip(block.outs, self._open[block], strict=True) if is_open and isinstance(r, int)}

    def drawn(self, label: int) -> list[Draw]:
        """The draws through `Pathwise` whose bits are in it."""
        return [draw for bit, draw in self.draws.items() if label & bit]

    def choices(self) -> Iterator[tuple[Node, int]]:
        """The equations that choose by something continuous and random, with the bits of what they choose by.

        Only those where a derivative is lost, that reach a cost.
        """
        for node in self._nodes(self.flat.main):
            refs = decides(node)
            if refs and node in self._arrives:
                bits = self._all(refs)
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
        name, floats, integers = node.name, 0, 0
        if name in _SOURCES:
            floats = integers = NOISE
        if name in ("stop_gradient", "is_finite") or name in _COMPARISONS or name in _FLAT:
            return
        for k, r in enumerate(node.ins):
            if isinstance(r, int) and self.labels[r] and not (name != "cond" and steers(node.eqn, k)):
                if is_inexact(self.flat.avals[r].dtype):
                    floats |= self.labels[r]
                else:
                    integers |= self.labels[r]
        if not floats | integers:
            return
        for v in node.outs:
            dtype = self.flat.avals[v].dtype
            self._mark(v, floats | integers if is_inexact(dtype) else integers & NOISE)

    def _sample(self, node: Node) -> None:
        site: Site = node.eqn.params["site"]
        into = self._all(node.ins)
        via, automatic = self._bridge_at(site)
        (out,) = node.outs
        if not _is_continuous(node.eqn):
            if isinstance(via, Local):
                self._mark(out, into & DERIVATIVE)
        elif differentiates(via) and (into or not automatic):
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
            if any(outs) or node.eqn.primitive is cost_p or any(map(self._has_cost, node.blocks)):
                self._arrives.add(node)
                if rule := _BACKWARD.get(node.eqn.primitive):
                    rule(self, node, outs)
                elif node.name != "stop_gradient" and not _is_score(node):
                    self._reach(node.ins)

    def _cond_back(self, node: Node, outs: list[bool]) -> None:
        self._reach(node.ins[:1])
        for block in node.blocks:
            self._backward(block, outs)
            self._reach([r for r, v in zip(node.ins[1:], block.ins, strict=True) if v in self._reached])

    def _scan_back(self, node: Node, outs: list[bool]) -> None:
        (block,) = node.blocks
        scan = scan_parts(node.eqn)

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
        self._backward(test, [True])

        def step(outs):
            self._backward(block, outs)
            return [o or i for o, i in zip(outs, self._is_reached(carried), strict=True)], None

        compared = self._is_reached(loop.split_test(test.ins)[1])
        outs, _ = fixed_point(step, [o or i for o, i in zip(outs, compared, strict=True)])
        self._reach([r for r, v in zip(tested, test.ins, strict=False) if v in self._reached])
        self._reach([r for r, v in zip(consts, block.ins, strict=False) if v in self._reached])
        self._reach([r for r, is_open in zip(first, outs, strict=True) if is_open])


_FORWARD: Mapping[Any, Callable] = {
    sample_p: Decided._sample,
    P.cond_p: Decided._cond,
    P.scan_p: Decided._scan,
    P.while_p: Decided._while,
}
_BACKWARD: Mapping[Any, Callable] = {
    P.cond_p: Decided._cond_back,
    P.scan_p: Decided._scan_back,
    P.while_p: Decided._while_back,
}


def decides(node: Node) -> Sequence[Ref]:
    """What an equation chooses by; nothing where it makes no choice."""
    name, eqn = node.name, node.eqn
    if name in _COMPARISONS:
        return () if _asks_for_overflow(node) else node.ins
    if name in _FLAT or name in ("argmax", "argmin", "top_k", "approx_top_k"):
        return node.ins[:1]
    if name in _WRAPS or name == "is_finite":
        return node.ins
    if name == "abs":  # x / |x| jumps
        return node.ins if _is_float(eqn.invars[0]) and jnp.isrealobj(eqn.invars[0].aval) else ()
    if name in _WINDOWS:
        return node.ins[1:]
    if eqn.primitive in CUSTOM_RULES:  # it has no derivative for an output that is an integer
        return () if all(map(_is_float, eqn.outvars)) else node.ins
    if name in ("convert_element_type", "bitcast_convert_type"):
        return node.ins if _is_float(eqn.invars[0]) and not _is_float(eqn.outvars[0]) else ()
    if name == "sort" and len(node.ins) > 1:
        return node.ins[: eqn.params["num_keys"]]
    return ()


def _asks_for_overflow(node: Node) -> bool:
    """x < inf, or x != inf: no finite x changes the answer."""
    return any(isinstance(r, Literal) and is_inexact(np.asarray(r.val).dtype) and np.isinf(r.val) for r in node.ins)


def _is_score(node: Node) -> bool:
    """The score of an inner estimate: log p is the estimator's affair, and its parameters are those of the draw itself."""
    return node.eqn.primitive is zero_valued_p and node.eqn.params["owner"] is not None


def _is_float(variable: Any) -> bool:
    return is_inexact(variable.aval.dtype)


def differentiates(via: Drawing) -> bool:
    """Is it the derivative of the draw itself that this bridge uses?"""
    return isinstance(via, Pathwise) or bool(getattr(via, "pathwise", False))


def _is_continuous(eqn: JaxprEqn) -> bool:
    distribution, _ = parts(eqn.params["site"], [v.aval for v in eqn.invars[1:]])
    try:
        return not distribution.is_discrete
    except Exception:  # its support needs more than the shapes of its parameters
        return _is_float(eqn.outvars[0])


def is_random(eqn: JaxprEqn) -> bool:
    """Is it a draw of `sample`, or a source of noise?"""
    return eqn.primitive is sample_p or eqn.primitive.name in _SOURCES


def may_decide(eqn: JaxprEqn) -> bool:
    """Is it a draw that this analysis follows: a continuous one of `sample`, or a source of noise?"""
    return eqn.primitive.name in _SOURCES or (eqn.primitive is sample_p and _is_continuous(eqn))
