"""The language of random programs: statements over a growing list of scalars.

A draw owns slots, one for each of its elements in each pass of the loops around it: what is enumerated is the product
of all slots. `of` and the like are indices into the list of scalars.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator

import numpy as np

OPERATIONS = {
    "add": "{a} + {b}",
    "mul": "{a} * {b}",
    "sin": "jnp.sin({a} + 0.3 * {b})",
    "tanh": "jnp.tanh({a} - {b})",
    "ratio": "{a} / (1.5 + {b} * {b})",
    "square": "{a} * {a} - {b}",
    "log": "jnp.log(2.0 + {a} * {a}) * {b}",
    "where": "jnp.where({a} > 0.417, {b}, 0.3 - {b})",
    "max": "jnp.maximum({a}, {b} + 0.0713)",  # no ties: its derivative there is a convention
}
JUMPY = ("where", "max")  # not of what depends on a continuous draw
BOUNDS = {
    "add": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "sin": lambda a, b: 1.0,
    "tanh": lambda a, b: 1.0,
    "ratio": lambda a, b: a / 1.5,
    "square": lambda a, b: a * a + b,
    "log": lambda a, b: math.log(2 + a * a) * b,
    "where": lambda a, b: 0.3 + b,
    "max": lambda a, b: max(a, b) + 0.1,
}


@dataclasses.dataclass(frozen=True)
class Block:
    statements: tuple
    keys: str  # how the keys of its statements are made


@dataclasses.dataclass(frozen=True)
class Draw:
    family: str
    of: int
    via: str  # source of the bridge; "": none is given
    slot: int = -1
    size: int = 1
    wrapper: str = "batch"  # of a draw of two elements
    jump: str = ""  # how it is read, where the program jumps in it
    squash: bool = False
    plus: int | None = None  # half of this scalar is added to the parameter
    override: str = ""  # the bridge that expectation(via=...) puts there


@dataclasses.dataclass(frozen=True)
class Unmarked:
    """A draw by jax.random whose parameters depend on marked draws alone, and not on what is differentiated."""

    kind: str
    of: int | None
    slot: int


@dataclasses.dataclass(frozen=True)
class Let:
    operation: str
    a: int
    b: int


@dataclasses.dataclass(frozen=True)
class Cost:
    of: int


@dataclasses.dataclass(frozen=True)
class Cond:
    by: int
    above: float
    yes: Block
    no: Block


@dataclasses.dataclass(frozen=True)
class Switch:
    """On a scalar that is cut to 0, 1, 2 (it need not be an integer)."""

    by: int
    branches: tuple[Block, ...]


@dataclasses.dataclass(frozen=True)
class Scan:
    """A loop with a carry: "scan", "reverse", "fori"; "while" ends before `length` where its carry exceeds `above`."""

    kind: str
    start: int
    block: Block
    length: int
    keys: str
    above: float = 0.0


@dataclasses.dataclass(frozen=True)
class Lanes:
    """The sum over lanes: of "map" (lax.map, a loop) or "vmap"."""

    kind: str
    block: Block
    length: int
    keys: str


@dataclasses.dataclass(frozen=True)
class Wrap:
    how: str  # "jit", "checkpoint"
    block: Block


@dataclasses.dataclass(frozen=True)
class Custom:
    """A draw inside a function with a custom rule that holds the draw fixed."""

    how: str  # "custom_jvp", "custom_vjp"
    draw: Draw
    first: str
    a: int
    b: int


@dataclasses.dataclass(frozen=True)
class Derive:
    """The derivative of a block with respect to one scalar, by "grad", "jvp" or "vjp"."""

    how: str
    of: int
    block: Block


@dataclasses.dataclass(frozen=True)
class Nested:
    """An expectation inside f. `exact`: all its draws are enumerated, and their slots are its own."""

    block: Block
    samples: int
    exact: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True)
class RandomProgram:
    block: Block
    slots: tuple[int, ...]  # how many outcomes each has
    samples: int
    dtype: str
    order: int
    transform: str
    legacy_key: bool = False

    def outcomes(self) -> np.ndarray:
        return outcomes(self.slots)


def outcomes(slots) -> np.ndarray:
    """All combinations: (their number, slots)."""
    return np.array(list(itertools.product(*(range(n) for n in slots))), int).reshape(math.prod(slots), len(slots))


def inside(statement) -> tuple[Block, ...]:
    """The blocks of a statement."""
    if isinstance(statement, Cond):
        return statement.yes, statement.no
    if isinstance(statement, Switch):
        return statement.branches
    block = getattr(statement, "block", None)
    return () if block is None else (block,)


def walk(block: Block) -> Iterator:
    """All statements, those inside others too."""
    for statement in block.statements:
        yield statement
        for inner in inside(statement):
            yield from walk(inner)


def draws(block: Block) -> list[Draw]:
    found = [s.draw if isinstance(s, Custom) else s for s in walk(block)]
    return [s for s in found if isinstance(s, Draw)]
