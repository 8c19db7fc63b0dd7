"""Masks of a support: choices between a number and infinity, such as `where(mask, log_prob, -inf)` in every log-density.

Where such a choice is added to the costs, it cannot be a jump that a derivative misses: either the draws never fall outside of
the support, or the expectation is infinite, and so is its estimate. That holds as long as the infinity is not made finite again
(by an exp, a maximum): then it is measured like any other choice.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..._jaxprs import Literal, P, scan_parts
from ..sampling import cost_p
from .decided import is_inexact
from .flat import Block, Flat, Node, Ref

_LOGICAL = frozenset("and or not reduce_and reduce_or".split())
_SHAPES = frozenset(
    "broadcast_in_dim concatenate convert_element_type copy expand_dims reshape rev slice squeeze transpose unstack".split()
)
_SUMS = frozenset("add add_any neg reduce_sum sub".split())


def is_mask_of_support(flat: Flat, node: Node) -> bool:
    """Does all that this comparison decides become a choice between numbers and infinities that are added to the costs?"""
    queue, seen = list(node.outs), set(node.outs)
    if any(flat.avals[v].dtype != bool for v in queue):
        return False
    while queue:
        v = queue.pop()
        if v in node.block.outs:
            return False
        for user in node.block.users.get(v, ()):
            if user.name == "select_n" and user.ins[0] == v and v not in user.ins[1:]:
                infinite = [_is_infinite(flat, node.block, r) for r in user.ins[1:]]
                if not any(infinite) or not is_added(node.block, user.outs[0]):
                    return False
            elif user.name in _LOGICAL or (user.name in _SHAPES and not is_inexact(flat.avals[user.outs[0]].dtype)):
                queue.extend(w for w in user.outs if w not in seen)
                seen.update(user.outs)
            else:
                return False
    return True


def _is_infinite(flat: Flat, block: Block, ref: Ref) -> bool:
    while isinstance(ref, int) and ref in block.made and block.made[ref].name in _SHAPES - {"concatenate"}:
        ref = block.made[ref].ins[0]
    value = ref.val if isinstance(ref, Literal) else flat.constants.get(ref)
    return value is not None and is_inexact(np.asarray(value).dtype) and not np.any(np.isfinite(value))


def is_added(block: Block, start: int) -> bool:
    """Does it reach the costs by sums alone?"""
    queue, seen = [(block, start)], {start}
    while queue:
        found = _next(*queue.pop())
        if found is None:
            return False
        queue.extend(pair for pair in found if pair[1] not in seen)
        seen.update(v for _, v in found)
    return True


def _next(block: Block, v: int) -> list[tuple[Block, int]] | None:
    """What the value is passed on to; None where it is more than added."""
    found: list[tuple[Block, int]] = []
    for user in block.users.get(v, ()):
        places = [k for k, r in enumerate(user.ins) if r == v]
        is_case = user.name == "select_n" and 0 not in places
        if is_case or user.name in _SUMS or user.name in _SHAPES or _is_scaled(user, v):
            found += [(block, w) for w in user.outs]
        elif user.eqn.primitive is P.scan_p:
            found += [(user.blocks[0], user.blocks[0].ins[k]) for k in places]
        elif user.eqn.primitive is P.cond_p and 0 not in places:
            found += [(inner, inner.ins[k - 1]) for inner in user.blocks for k in places]
        elif user.eqn.primitive is not cost_p:
            return None
    outs = list(_outputs(block, v))
    return None if None in outs else [*found, *(pair for pair in outs if pair)]


def _is_scaled(node: Node, v: int) -> bool:
    """By a number that the program spells out?"""
    return (node.name == "mul" and any(isinstance(r, Literal) for r in node.ins)) or (
        node.name == "div" and node.ins[0] == v and isinstance(node.ins[1], Literal)
    )


def _outputs(block: Block, v: int) -> Iterator[tuple[Block, int] | None]:
    """Where it goes beyond its block."""
    around = block.around
    for k, r in enumerate(block.outs):
        if r != v or around is None:
            continue
        if around.eqn.primitive is P.while_p:
            yield None
            continue
        yield around.block, around.outs[k]
        if around.eqn.primitive is P.scan_p:
            scan = scan_parts(around.eqn)
            if k < scan.num_carry:
                yield block, scan.split(block.ins)[1][k]
