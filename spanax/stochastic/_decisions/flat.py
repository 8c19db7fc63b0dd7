"""A traced program written out: calls are looked into as if they were written in place, every value has a number of its own.

`program/_derivatives/flat.py` flattens as well, for another purpose: a straight list of the steps of one scalar program, for
value numbering and derivatives, where loops and branches stay closed. Here they are opened, as blocks inside a node, since a
draw inside one may decide something outside, and each equation keeps its path, by which the program is rewritten afterwards.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from ..._jaxprs import (
    PLAIN_CALLS,
    ClosedJaxpr,
    Jaxpr,
    JaxprEqn,
    Literal,
    P,
    aval,
    body,
    cond_branches,
    is_again,
    is_traced,
    opened,
    scan_parts,
    while_parts,
)
from ..flow import Path

Ref = int | Literal  # a value: its number, or a number that the program spells out


# Compared by identity: a node stands for one place in the program, and equal equations may stand at two.
@dataclasses.dataclass(eq=False)
class Node:
    """One equation; `blocks`: the programs that it runs, where it is a loop or a branch."""

    eqn: JaxprEqn
    ins: tuple[Ref, ...]
    outs: tuple[int, ...]
    path: Path
    block: Block
    place: int  # its index in the block
    blocks: tuple[Block, ...] = ()

    @property
    def name(self) -> str:
        return self.eqn.primitive.name


@dataclasses.dataclass(eq=False)
class Block:
    """The equations of one program, those of its calls among them."""

    ins: tuple[int, ...] = ()
    outs: tuple[Ref, ...] = ()
    nodes: list[Node] = dataclasses.field(default_factory=list)
    around: Node | None = None  # the loop or branch that runs it

    @functools.cached_property
    def makers(self) -> dict[int, Node]:
        return {v: node for node in self.nodes for v in node.outs}

    @functools.cached_property
    def users(self) -> Mapping[int, list[Node]]:
        users: dict[int, list[Node]] = {}
        for node in self.nodes:
            for v in dict.fromkeys(r for r in node.ins if isinstance(r, int)):
                users.setdefault(v, []).append(node)
        return users


class Flat:
    """`main`: the block of the whole program; `avals` and `constants` (what is known of them) of its values."""

    def __init__(self, closed: ClosedJaxpr):
        self.avals: list[Any] = []
        self.constants: dict[int, Any] = {}
        # Not in `constants`: nothing is known of their values while this program is traced.
        self.traced: list[int] = []  # constants of the program that are traced further out
        self.main = self._block(closed, (), None)

    def aval(self, ref: Ref) -> Any:
        return self.avals[ref] if isinstance(ref, int) else aval(ref)

    def _new(self, variable: Any) -> int:
        self.avals.append(aval(variable))
        return len(self.avals) - 1

    def _block(self, program: ClosedJaxpr | Jaxpr, path: Path, around: Node | None) -> Block:
        jaxpr, consts = opened(program)
        # Inputs are numbered first: a node inside may read them before any output is known.
        block = Block(around=around)
        block.ins = tuple(map(self._new, jaxpr.invars))
        env: dict[Any, Ref] = dict(zip(jaxpr.invars, block.ins, strict=True))
        block.outs = tuple(self._write(jaxpr, consts, env, path, block))
        return block

    def _write(self, jaxpr: Jaxpr, consts: Sequence, env: dict[Any, Ref], path: Path, block: Block) -> list[Ref]:
        """Adds the equations to the block, and returns the outputs. `env`: the values of the inputs."""
        for v, x in zip(jaxpr.constvars, consts, strict=True):
            # A compiled function that is called twice is written out twice, with numbers of its own each time.
            env[v] = number = self._new(v)
            if is_traced(x):
                self.traced.append(number)
            else:
                self.constants[number] = x

        def read(v) -> Ref:
            return v if isinstance(v, Literal) else env[v]

        for i, eqn in enumerate(jaxpr.eqns):
            here, ins = (*path, i), tuple(map(read, eqn.invars))
            # A custom rule stays closed: its derivative is the user's, and is not that of what stands inside.
            if eqn.primitive in PLAIN_CALLS and not is_again(eqn):
                inner, inner_consts = body(eqn)
                outs = self._write(inner, inner_consts, dict(zip(inner.invars, ins, strict=True)), here, block)
                env.update(zip(eqn.outvars, outs, strict=True))
                continue
            node = Node(eqn, ins, tuple(map(self._new, eqn.outvars)), here, block, len(block.nodes))
            node.blocks = tuple(self._block(p, (*here, *k), node) for k, p in _programs(eqn))
            block.nodes.append(node)
            env.update(zip(eqn.outvars, node.outs, strict=True))
        return list(map(read, jaxpr.outvars))


def _programs(eqn: JaxprEqn) -> list[tuple[tuple[int, ...], ClosedJaxpr | Jaxpr]]:
    """The programs of a loop or a branch, with what their paths add to its own."""
    if eqn.primitive is P.cond_p:
        return [((k,), b) for k, b in enumerate(cond_branches(eqn))]
    if eqn.primitive is P.while_p:
        loop = while_parts(eqn)
        return [((0,), loop.test), ((1,), loop.body)]
    return [((), scan_parts(eqn).body)] if eqn.primitive is P.scan_p else []
