"""Masks of a support: choices between a number and infinity, such as `where(mask, log_prob, -inf)` in every log-density.

Where such a choice is added to the costs, it cannot be a jump that a derivative misses: either the draws never fall outside of
the support, or the expectation is infinite, and so is its estimate. That holds as long as the infinity is not made finite again
(by an exp, a maximum): then it is measured like any other choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..._jaxprs import Literal, P, scan_parts
from ..sampling import cost_p
from .flat import Block, Flat, Node, Ref
from .operations import is_inexact

_LOGICAL = frozenset("and or not reduce_and reduce_or".split())
_SHAPES = frozenset(
    "broadcast_in_dim concatenate convert_element_type copy expand_dims reshape rev slice squeeze transpose unstack".split()
)
_SUMS = frozenset("add add_any neg reduce_sum sub".split())

Place = tuple[Block, int]  # a value, and the block that it is used in


def is_mask_of_support(flat: Flat, node: Node) -> bool:
    """Does all that this comparison decides become a choice between numbers and infinities that are added to the costs?"""
    queue, seen = list(node.outs), set(node.outs)
    if any(flat.avals[v].dtype != bool for v in queue):
        return False
    while queue:
        v = queue.pop()
        if v in node.block.outs:  # what is done with it outside is not followed
            return False
        for user in node.block.users.get(v, ()):
            if _is_logical(flat, user):
                queue.extend(w for w in user.outs if w not in seen)
                seen.update(user.outs)
            elif not _adds_infinity(flat, user, v):
                return False
    return True


def _is_logical(flat: Flat, node: Node) -> bool:
    """Is the result still a mask?"""
    return node.name in _LOGICAL or (node.name in _SHAPES and not is_inexact(flat.avals[node.outs[0]].dtype))


def _adds_infinity(flat: Flat, node: Node, mask: int) -> bool:
    """Is it a choice by the mask between numbers and infinities, which is added to the costs?"""
    if node.name != "select_n" or node.ins[0] != mask or mask in node.ins[1:]:
        return False
    return any(_is_infinite(flat, node.block, r) for r in node.ins[1:]) and is_added(node.block, node.outs[0])


def _is_infinite(flat: Flat, block: Block, ref: Ref) -> bool:
    # `-inf` comes broadcast to the shape of the other cases, and often converted.
    while isinstance(ref, int) and ref in block.makers and block.makers[ref].name in _SHAPES - {"concatenate"}:
        ref = block.makers[ref].ins[0]
    value = ref.val if isinstance(ref, Literal) else flat.constants.get(ref)
    return value is not None and is_inexact(np.asarray(value).dtype) and not np.any(np.isfinite(value))


def is_added(block: Block, start: int) -> bool:
    """Does it reach the costs by sums alone?"""
    queue, seen = [(block, start)], {start}
    while queue:
        places = _next_places(*queue.pop())
        if places is None:
            return False
        queue.extend(place for place in places if place[1] not in seen)
        seen.update(v for _, v in places)
    return True


def _next_places(block: Block, v: int) -> list[Place] | None:
    """What the value is passed on to; None where it is more than added."""
    places: list[Place] = []
    for user in block.users.get(v, ()):
        further = _passed_on(block, user, v)
        if further is None:
            return None
        places += further
    # A result of the whole program is a cost.
    outs = list(_beyond(block, v))
    return None if None in outs else [*places, *(place for place in outs if place)]


def _passed_on(block: Block, user: Node, v: int) -> list[Place] | None:
    # As the predicate of a choice it is not added, but decides; and a product with a float may be a product with 0.
    operands = [k for k, r in enumerate(user.ins) if r == v]
    if _adds(user, v, operands):
        return [(block, w) for w in user.outs]
    if user.eqn.primitive is P.scan_p:
        return _into_blocks(user, operands)
    if user.eqn.primitive is P.cond_p and 0 not in operands:
        # The index of the branch comes before what the branches are given.
        return _into_blocks(user, [k - 1 for k in operands])
    return [] if user.eqn.primitive is cost_p else None


def _into_blocks(node: Node, operands: Sequence[int]) -> list[Place]:
    return [(block, block.ins[k]) for block in node.blocks for k in operands]


def _adds(node: Node, v: int, operands: Sequence[int]) -> bool:
    """Is the result the value itself, a multiple of it, or a sum with it? Then it is infinite where the value is."""
    is_case = node.name == "select_n" and 0 not in operands
    return is_case or node.name in _SUMS or node.name in _SHAPES or _is_scaled(node, v)


def _is_scaled(node: Node, v: int) -> bool:
    """By a number that the program spells out?"""
    return (node.name == "mul" and any(isinstance(r, Literal) for r in node.ins)) or (
        node.name == "div" and node.ins[0] == v and isinstance(node.ins[1], Literal)
    )


def _beyond(block: Block, v: int) -> Iterator[Place | None]:
    """Where it goes as a result of its block; None where that cannot be followed."""
    around = block.around
    for k, r in enumerate(block.outs):
        if r != v or around is None:
            continue
        if around.eqn.primitive is P.while_p:  # it may decide how many iterations there are
            yield None
            continue
        yield around.block, around.outs[k]
        if around.eqn.primitive is P.scan_p:
            scan = scan_parts(around.eqn)
            if k < scan.num_carry:
                yield block, scan.split(block.ins)[1][k]  # and the next iteration starts with it
