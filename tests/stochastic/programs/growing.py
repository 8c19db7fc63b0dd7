"""Growing random programs: only such as are valid, so that a refusal is a finding too.

What is known of each scalar while a program grows (a bound, whether a continuous draw reaches it) keeps the estimates'
tails light and the quadrature exact.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from .families import FAMILIES, JUMPS, WRAPPERS
from .language import (
    BOUNDS,
    JUMPY,
    OPERATIONS,
    Block,
    Cond,
    Cost,
    Custom,
    Derive,
    Draw,
    Lanes,
    Let,
    Nested,
    RandomProgram,
    Scan,
    Switch,
    Unmarked,
    Wrap,
    draws,
    walk,
)
from .writing import KEYS, LOOP_KEYS, LOOP_ROWS, WRITTEN

THETA = np.array([0.3, -0.6, 0.8])
LIVELY = ("add", "mul", "mul")  # these keep what draws do large
HALF_PRECISION = ("Bernoulli(logits)", "Bernoulli(probs)", "Categorical(logits)", "Binomial(logits)", "Normal")
SLOW = ("Binomial(logits)", "Binomial(probs)", "BetaBinomial", "Poisson", "ZeroInflatedPoisson", "Multinomial")
CONTAINERS = ("cond", "switch", "scan", "lanes", "wrap", "custom", "derive", "nested")
STRAIGHT = ("cond", "switch", "wrap")  # what a branching draw can be inside
MODES = ("forced", "sampled", "forced", "sampled", "enumerated")
BETWEEN = (0.417, -0.441, 0.5373)


@dataclasses.dataclass(frozen=True)
class Scalar:
    bound: float
    continuous: bool = False  # a continuous draw reaches it, so nothing may jump in it
    integer: bool = False  # a discrete draw itself, through a score
    differentiated: bool = False  # by a derivative that the program takes inside
    moving: bool = False  # theta moves it, or the distribution of what it is made of
    random: bool = False  # a draw reaches it


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a block stands."""

    passes: int = 1  # of all loops around
    depth: int = 2
    branching: bool = True
    costs: bool = True
    continuous: bool = True
    derived: bool = False
    looped: bool = False
    nested: bool = False
    containers: tuple[str, ...] = CONTAINERS


class Grower:
    """One random program of a mode: "forced" (draws are given), "sampled" (as a user would run it), "enumerated"."""

    def __init__(
        self,
        rng: np.random.Generator,
        mode: str,
        without: frozenset[str] = frozenset(),
        limit: int = 400,
        holders: int = 3,
    ):
        self.rng, self.mode, self.without, self.limit, self.holders = rng, mode, without, limit, holders
        self.dtype = (
            "float64" if mode != "sampled" else str(rng.choice(["float32", "float64", "bfloat16"], p=[0.6, 0.25, 0.15]))
        )
        self.samples = int(rng.choice([1, 1, 2, 3])) if mode == "sampled" else 1
        self.slots: list[int] = []
        self.used: set[int] = set()  # the scalars of the present block that something depends on
        self.branches, self.left = 0, holders  # `left`: how many statements may still hold blocks

    # -- chance

    def pick(self, options):
        options = list(options)
        return options[self.rng.integers(len(options))]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def allowed(self, feature: str) -> bool:
        return feature not in self.without

    # -- programs

    def program(self) -> RandomProgram:
        place = Place(containers=(*STRAIGHT, "nested") if self.mode == "enumerated" else CONTAINERS)
        while True:
            self.slots, self.branches, self.left = [], 0, self.holders
            block = self.block([Scalar(1.0, moving=True)] * 3, place, self.rng.integers(2, 5))[0]
            if len(draws(block)) > 1:
                break
        loops = [s for s in walk(block) if isinstance(s, Scan) and s.kind == "while"]
        backward = any(getattr(s, "how", "") == "custom_vjp" for s in walk(block))
        disarm = any("DisARM" in v for s in walk(block) for v in (getattr(s, "via", ""), getattr(s, "override", "")))
        # a second derivative of the score is beyond the quadrature
        scored = self.mode == "forced" and any("Score" in d.via and FAMILIES[d.family].noise for d in draws(block))
        order = 2 if not scored and self.chance(0.3) and not disarm and not backward else 1
        if loops and backward:  # forward mode only, and reverse mode only
            return self.program()
        transforms = ["forward"] if loops else ["grad", "mean", "jit", *["forward"] * (not backward)]
        legacy = self.mode == "sampled" and self.chance(0.1)
        return RandomProgram(block, tuple(self.slots), self.samples, self.dtype, order, self.pick(transforms), legacy)

    def block(self, xs, place: Place, length: int, must: int | None = None) -> tuple[Block, Scalar]:
        """A block, and what is known of its last scalar. `must`: a scalar that the last one is to depend on."""
        start, xs, out = len(xs), list(xs), []
        around, self.used = self.used, set()

        def add(made):
            self.used = {i for i in self.used if i < len(xs)}  # not what blocks inside have of their own
            if made is not None:
                statement, scalar = made
                out.append(statement)
                xs.extend([scalar] if scalar is not None else [])

        for _ in range(length):
            kinds = (
                ["draw"] * 3
                + ["let", "cost", "unmarked"]
                + ["cost"] * 2 * place.looped
                + [*place.containers] * (place.depth > 0 < self.left)
            )
            add(self.statement(self.pick(kinds), xs, place))
        add(self.let(xs, place, len(xs) - 1, must, lively=True))
        for i in range(start, len(xs) - 1):  # what nothing depends on would not be seen
            if i not in self.used:
                add(self.let(xs, place, len(xs) - 1, i, lively=True))
        self.used = around | self.used
        return Block(tuple(out), self.pick([*KEYS, *WRITTEN])), xs[-1]

    def statement(self, kind: str, xs, place: Place):
        if not self.allowed(kind):
            return None
        self.left -= kind in CONTAINERS
        rule = {"let": self.let, "draw": self.draw, "cost": self.cost, "lanes": self.lanes, "custom": self.custom}.get(
            kind
        )
        rule = rule or getattr(self, kind)
        return rule(xs, place)

    def any(self, xs, test=lambda x: True, rather=lambda x: True) -> int | None:
        found = [i for i, x in enumerate(xs) if test(x)]
        if not found:
            return None
        found = [i for i in found if rather(xs[i])] * (not self.chance(0.1)) or found
        # what came last is used more often, so that draws depend on each other
        i = found[-1] if self.chance(0.4) else self.pick(found)
        self.used.add(i)
        return i

    def let(self, xs, place, a=None, b=None, lively=False):
        a = self.any(xs) if a is None else a
        others = [i for i in range(len(xs)) if i != a]
        b = self.pick([i for i in others if xs[i].random] or others) if b is None else b
        self.used |= {a, b}
        smooth = xs[a].continuous or xs[b].continuous
        operations = [o for o in (*OPERATIONS, *LIVELY * 2) if not (smooth and o in JUMPY)]
        operation = self.pick(LIVELY if lively else operations)
        if BOUNDS[operation](xs[a].bound, xs[b].bound) > 8:
            operation = "add" if lively else "tanh"
        known = self.joined([xs[a], xs[b]])
        return Let(operation, a, b), dataclasses.replace(known, bound=BOUNDS[operation](xs[a].bound, xs[b].bound))

    def cost(self, xs, place):
        return (Cost(self.any(xs, rather=lambda x: x.random)), None) if place.costs else None

    # -- draws

    def spend(self, outcomes: int, passes: int) -> int | None:
        if np.prod([*self.slots, 1.0], dtype=float) * float(outcomes) ** passes > self.limit:
            return None
        self.slots += [outcomes] * passes
        return len(self.slots) - passes

    def draw(self, xs, place, plain=False):
        name = self.pick(self.families(place, plain))
        family, still, moving = FAMILIES[name], lambda x: not x.differentiated, lambda x: x.moving
        vias = self.vias(family, place, plain)
        of = self.any(xs, still, moving)
        if not vias or of is None:
            return None
        via = self.pick(vias)
        branching = via in family.branching
        if not branching and family.noise and via in ("", "sx.Pathwise()"):
            of = self.any(xs, rather=moving)
        size = 2 if self.chance(0.2) and name not in ("Mixture", "Normal(jump)") and not plain else 1
        if "Enumerate" in via and family.outcomes**size > 9:
            return None
        slot = self.spend(family.outcomes, place.passes * size)
        if slot is None:
            return None
        self.branches += branching
        jump = self.pick(JUMPS) if name == "Normal(jump)" else ""
        plus = self.pick([None, *range(len(THETA))])
        squash = xs[of].bound + 0.5 * (plus is not None) > 1.6
        override = self.override(family, place, via)
        draw = Draw(name, of, via, slot, size, self.pick(WRAPPERS), jump, squash, plus, override)
        bound = (family.small + (xs[of].bound if family.noise else 0)) * (1 if size == 1 else 2)
        integer = not family.continuous and size == 1 and not jump and not family.event and not branching
        parameters = [xs[of], xs[plus or 0]] if "{x}" in family.source else []
        return draw, dataclasses.replace(
            self.joined([Scalar(bound), *parameters]),
            bound=bound,
            continuous=family.continuous,
            integer=integer,
            random=True,
        )

    def families(self, place, plain):
        names = [n for n in FAMILIES if self.allowed(n) and (n != "DiscreteUniform" or self.chance(0.3))]
        if self.dtype == "bfloat16":
            names = [n for n in names if n in HALF_PRECISION]
        if self.mode == "enumerated":
            return [n for n in names if "sx.Enumerate()" in FAMILIES[n].branching]
        if not place.continuous:
            names = [n for n in names if not FAMILIES[n].continuous]
        if (
            place.derived
        ):  # its draws may sit below a derivative, where only what has its own derivative may depend on it
            names = [n for n in names if n != "Mixture"]
        if self.mode == "forced":
            names = [n for n in names if n not in ("Mixture", "Normal(jump)")]
        elif self.chance(0.8):  # the samplers of these take long to compile
            names = [n for n in names if n not in SLOW]
        few = [n for n in names if FAMILIES[n].outcomes <= 3]  # these leave room for more draws
        return names if self.chance(0.5) else few

    def vias(self, family, place, plain):
        if self.mode == "enumerated":
            return ["sx.Enumerate()"] if self.branches < 4 else []
        vias = [v for v in family.vias if not (v and "0.5" in v and self.mode == "forced")]
        if self.mode == "sampled" and place.branching and self.branches < 2 and not plain:
            vias += [v for v in family.branching if self.allowed(v)]
        jumps = family is FAMILIES["Normal(jump)"]
        return [v for v in vias if self.allowed(v or ("default where f jumps" if jumps else "default"))]

    def override(self, family, place, via) -> str:
        """Another bridge for the same draw, given to the expectation."""
        if self.mode != "sampled" or not self.chance(0.1) or place.nested or place.derived or via in family.branching:
            return ""
        return self.pick(["sx.ScoreFunction()"] if "sx.ScoreFunction()" in family.vias else ["sx.Pathwise()"])

    def unmarked(self, xs, place):
        if self.mode != "sampled" or not self.chance(0.4):
            return None
        of = self.any(xs, lambda x: x.integer and not x.differentiated) if self.chance(0.6) else None
        slot = self.spend(2, place.passes)
        return (
            None
            if slot is None
            else (Unmarked(self.pick(["bernoulli", "uniform"]), of, slot), Scalar(1.0, random=True))
        )

    # -- what holds blocks

    def inner(self, place, **changes) -> Place:
        return dataclasses.replace(place, depth=place.depth - 1, **changes)

    def joined(self, outs, **changes):
        """What is known of a scalar that may be any of these, or is made of them all."""
        flags = {f: any(getattr(o, f) for o in outs) for f in ("continuous", "differentiated", "moving", "random")}
        return Scalar(**{"bound": max(o.bound for o in outs), **flags, **changes})

    def cond(self, xs, place):
        by = self.any(xs, lambda x: not x.continuous and not x.differentiated, lambda x: x.random)
        if by is None:
            return None
        (yes, a), (no, b) = (self.block(xs, self.inner(place), 2) for _ in range(2))
        return Cond(by, self.pick(BETWEEN), yes, no), self.joined([xs[by], a, b])

    def switch(self, xs, place):
        by = self.any(xs, lambda x: x.integer and not x.differentiated)
        if by is None:
            return None
        made = [self.block(xs, self.inner(place), 1) for _ in range(self.rng.integers(2, 4))]
        return Switch(by, tuple(b for b, _ in made)), self.joined([xs[by], *(s for _, s in made)])

    def wrap(self, xs, place):
        how = self.pick(["jit"] if place.derived else ["jit", "checkpoint"])
        block, out = self.block(xs, self.inner(place), 2)
        return Wrap(how, block), dataclasses.replace(out, integer=False)

    def scan(self, xs, place):
        if self.mode == "enumerated":
            return None
        kinds = ["scan", "reverse", "fori"]
        smooth = any(x.continuous for x in xs) or (place.continuous and self.chance(0.3))
        if not smooth and not place.derived and not place.nested and self.allowed("while"):
            kinds.append("while")
        kind, length, start = self.pick(kinds), int(self.rng.integers(2, 4)), self.any(xs)
        known = self.joined(
            xs, bound=1.0, continuous=smooth, moving=True, random=True
        )  # of the carry: anything comes into it
        state = [dataclasses.replace(known, bound=max(1.0, xs[start].bound)), Scalar(1.0)]
        block, out = self.block(
            [*xs, *state],
            self.inner(place, passes=place.passes * length, branching=False, continuous=smooth, looped=True),
            2,
            must=len(xs),
        )
        counted = [k for k in LOOP_KEYS if not (kind == "while" and k == "index")]  # how far it counts is unknown there
        keys = self.pick(["carry", *counted, *(LOOP_ROWS if kind in ("scan", "reverse") else ())])
        above = float(self.pick([0.417, 0.837]))
        return Scan(kind, start, block, length, keys, above), self.joined([known, out], bound=1.0)

    def lanes(self, xs, place):
        if self.mode == "enumerated":
            return None
        kind = self.pick(["map", "vmap"] if self.mode == "sampled" else ["map"])
        kind = "map" if not self.allowed("vmap") else kind
        length = int(self.rng.integers(2, 4))
        changes = {"costs": False, "containers": VMAPPED} if kind == "vmap" else {}
        containers = changes.pop("containers", place.containers)
        place = self.inner(
            place,
            passes=place.passes * length,
            branching=False,
            looped=True,
            containers=tuple(c for c in place.containers if c in containers),
            **changes,
        )
        block, out = self.block([*xs, Scalar(1.0)], place, 2)
        return Lanes(kind, block, length, self.pick([*LOOP_ROWS, *LOOP_KEYS])), dataclasses.replace(
            out, bound=out.bound * length, integer=False
        )

    def custom(self, xs, place):
        if self.mode == "enumerated" or place.derived:
            return None
        made = self.draw(xs, dataclasses.replace(place, branching=False, nested=True, continuous=False), plain=True)
        if made is None:
            return None
        draw, z = made
        if FAMILIES[draw.family].continuous or draw.jump:
            self.slots = self.slots[: draw.slot]
            return None
        a, b = self.any(xs), self.any(xs)
        first = self.pick(["add", "mul", "sin"])
        bound = BOUNDS[first](1.0, xs[b].bound)
        draw = dataclasses.replace(draw, override="")
        how = self.pick(["custom_jvp", "custom_vjp"])
        return Custom(how, draw, first, a, b), self.joined([xs[a], xs[b], z], bound=bound)

    def derive(self, xs, place):
        if self.mode == "enumerated" or place.derived:
            return None
        of = self.any(xs)
        inside = self.inner(place, costs=False, branching=False, derived=True, containers=DERIVED)
        block, out = self.block(
            [*xs, dataclasses.replace(xs[of], integer=False, differentiated=True)], inside, 2, must=len(xs)
        )
        bound = 3 * max(1.0, out.bound)
        return Derive(self.pick(["grad", "jvp", "vjp"]), of, block), dataclasses.replace(
            out, bound=bound, differentiated=False
        )

    def nested(self, xs, place):
        if place.derived or place.nested:
            return None
        if self.chance(0.3) and self.allowed("nested exactly"):
            return self.nested_exactly(xs, place)
        if self.mode == "enumerated":
            return None
        samples = self.pick([1, 1, 2]) if self.mode == "sampled" else 1
        inner = self.inner(place, passes=place.passes * samples, branching=False, nested=True, costs=True)
        before = len(self.slots)
        block, out = self.block(xs, inner, 2)
        if len(self.slots) == before:
            return None
        costs = sum(isinstance(s, Cost) for s in walk(block))
        return Nested(block, samples), dataclasses.replace(out, bound=out.bound + 3 * costs, integer=False)

    def nested_exactly(self, xs, place):
        """With draws of its own, all enumerated."""
        own = Grower(self.rng, "enumerated", self.without, limit=12, holders=1)
        own.dtype = self.dtype
        if self.dtype == "bfloat16":
            return None
        block, out = own.block(xs, Place(depth=1, nested=True, containers=STRAIGHT), 2)
        if not own.slots:
            return None
        costs = sum(isinstance(s, Cost) for s in walk(block))
        return Nested(block, 1, tuple(own.slots)), dataclasses.replace(out, bound=out.bound + 3 * costs, integer=False)


VMAPPED = ("cond", "switch", "scan", "wrap", "lanes", "custom", "nested")
DERIVED = ("cond", "scan", "wrap")


def grow(seed: int, number: int, mode: str, without: frozenset[str] = frozenset(), holders: int = 3) -> RandomProgram:
    return Grower(np.random.default_rng([seed, number]), mode, without, holders=holders).program()
