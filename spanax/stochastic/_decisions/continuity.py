"""Does a program jump where it chooses? Measured, since `where(x > 0, x, 0.1 * x)` does not and `where(x > 0, 1, 0)` does.

Around the choice a region is taken out of the program (`region`) and run on random lines through its inputs, of all scales. Each
thing that is decided in it must be seen to change; there the line is bisected down to neighbouring numbers, and what leaves the
region must agree on both sides (`measurement`, `lines`, `sides`). What cannot be settled (a decision that is never seen to
change, a region that is too large) counts as a jump: a wrong "it jumps" costs variance, a wrong "it does not" the gradient.

First a small region of elementwise operations is tried, on single numbers in place of arrays; then one of all cheap operations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..._jaxprs import P
from .decision_flow import DecisionFlow
from .flat import Node
from .masks import is_added, is_mask_of_support
from .measurement import Measured, measure
from .operations import is_inexact
from .region import LARGE, SMALL, Region, is_cheap


def jumps(flow: DecisionFlow, node: Node) -> bool:
    """Does what this equation chooses reach a cost in such a way that the cost jumps?"""
    start = list(node.outs)
    if is_test(node):
        return True  # it decides how many iterations there are
    # Before any measurement: a mask does become infinite, and would be seen to.
    if is_mask_of_support(flow.flat, node):
        return False
    while left := _exits_that_jump(flow, node, start):
        outside = _results_of(flow, node, left)
        if outside is None:
            return True
        node, start = outside
    return False


def is_test(node: Node) -> bool:
    """Does it stand in the condition of a while loop?"""
    loop = node.block.around
    return loop is not None and loop.eqn.primitive is P.while_p and node.block is loop.blocks[0]


def _exits_that_jump(flow: DecisionFlow, node: Node, start: Sequence[int]) -> list[int]:
    """The values that jump and leave the region; none if any region around the choice shows that there are none."""
    left = []
    for region in _regions(flow, node, start):
        left = _jumping_exits(region)
        if not left:
            break
    return left


def _results_of(flow: DecisionFlow, node: Node, left: Sequence[int]) -> tuple[Node, list[int]] | None:
    """The loop or branch around, and which of its results hold these values; None where that does not help.

    A jump inside a branch may be undone where the branch ends: all of it must leave through the results, and the loop or branch
    as a whole be one cheap operation, to be measured in its turn.
    """
    block = node.block
    around = block.around
    avals = flow.flat.avals
    if around is None or around.eqn.primitive is P.while_p or not flow.open_outputs(block).issuperset(left):
        return None
    start = [out for out, r in zip(around.outs, block.outs, strict=True) if r in left]
    # Floats jump already. Only of a decision, a boolean or an index, is it still open what is made of it.
    if any(is_inexact(avals[v].dtype) for v in start) or not is_cheap(flow.flat, around):
        return None
    return around, start


def _regions(flow: DecisionFlow, node: Node, start: Sequence[int]) -> Iterator[Region]:
    # A choice that is a whole loop or branch has no elementwise region.
    small = None
    if not node.blocks:
        small = Region(flow, node, start, True, SMALL)
        yield small
    large = Region(flow, node, start, False, LARGE)
    if small is None or large.nodes != small.nodes or not small.is_of_numbers:
        yield large


def _jumping_exits(region: Region) -> list[int]:
    """The values that jump and leave the region."""
    measured, exits = measure(region), region.exits()
    if measured is None:
        return exits
    jumping, infinite = _jumping_values(region, measured)
    through = _reached_by_jumps(region, jumping)
    costly = {v for v in infinite if is_added(region.node.block, v)}  # infinite, and so is the estimate
    return [v for v in exits if v in through - costly and v in jumping]


def _jumping_values(region: Region, measured: Measured) -> tuple[set[int], set[int]]:
    """All values that jump, and those of them that become infinite and jump in no other way."""
    # Positions in a measurement, which may be another equal region's, stand for values of this one.
    values = region.values
    jumping = {values[k] for k in measured.jumps}
    if measured.unseen:  # nothing is known where it does not change
        jumping |= set(values)
    infinite = {values[k] for k in measured.infinite} - jumping
    # Decisions jump by what they are; but an `abs`, which is continuous, is a decision only for what is divided by it.
    own = set(region.node.outs) if region.node.name == "abs" else set()
    return jumping | infinite | (set(region.decisions) - own), infinite


def _reached_by_jumps(region: Region, jumping: set[int]) -> set[int]:
    """What the choice makes, and what jumps with it: a value that jumps next to it, for another reason, is another choice's."""
    through = {v for v, maker in region.tainted.items() if maker is region.node}
    if region.node.name != "abs":
        through &= jumping
    for node in region.nodes:  # in program order: one pass finds all
        if node is not region.node and any(r in through for r in node.ins if isinstance(r, int)):
            through |= jumping.intersection(node.outs)
    return through
