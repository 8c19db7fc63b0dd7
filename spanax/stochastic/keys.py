"""Which draws share a key: value numbering over the traced program.

Two values have the same number only where they are the same function of the same inputs, so that `split(key)[0]`
computed twice is one key, across inner jits too. A value also carries the loops from whose passes it differs: the
key of a draw must differ from pass to pass of every loop around it. Copies through an array (a row of `split`
written out and read back) are not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from .._errors import SpanaxError
from .._jaxprs import CALLS, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, P, below, body, where
from .flow import Path, within
from .sampling import Site, sample_p

CONSUMERS = ("random_bits", "random_gamma")
RENAMES = ("random_wrap", "random_unwrap")
REPLICATES: Path = (-1,)  # the replicates of an expectation, as the outermost loop


class Value(NamedTuple):
    number: int
    varies: frozenset[Path]


class _Use(NamedTuple):
    path: Path
    site: Site | None  # None: a draw by jax.random
    where: str


def check_keys(closed: ClosedJaxpr, replicated: bool) -> None:
    """Raises `SpanaxError` where two draws, two passes of a loop, or the lanes of an inner vmap share a key.

    `replicated`: the program runs for several keys, so every draw must get its key from the program's own.
    """
    _Keys().check(closed, replicated)


class _Keys:
    def __init__(self):
        self.numbers: dict[Hashable, int] = {}
        self.made: dict[int, Hashable] = {}  # the other way round
        self.uses: dict[int, list[_Use]] = {}
        self.choices: set[Path] = set()  # paths of conds: their branches exclude each other
        self.line = ""  # of the innermost call that has one: library calls carry none of their own

    def check(self, closed: ClosedJaxpr, replicated: bool) -> None:
        loops = (REPLICATES,) if replicated else ()
        ins = [self.fresh(frozenset(loops)) for _ in closed.jaxpr.invars]
        self.walk(closed.jaxpr, ins, (), loops)
        for uses in self.uses.values():
            self.check_shared(uses)

    def check_shared(self, uses: Sequence[_Use]) -> None:
        for k, use in enumerate(uses):
            for other in uses[:k]:
                if (site := use.site or other.site) and not self.exclusive(use.path, other.path):
                    second = other if use.site else use
                    raise SpanaxError(
                        f"{site.label} and another draw (at {second.where}) use the same key, so they are not independent",
                        site.where,
                        "a key for each draw: key_a, key_b = jax.random.split(key)",
                    )

    def exclusive(self, a: Path, b: Path) -> bool:
        """Are the two in different branches of one cond?"""
        return any(within(a, c) and within(b, c) and a[len(c)] != b[len(c)] for c in self.choices)

    def fresh(self, varies: frozenset[Path]) -> Value:
        return self.number(("fresh", len(self.numbers)), varies)

    def number(self, what: Hashable, varies: frozenset[Path]) -> Value:
        number = self.numbers.setdefault(what, len(self.numbers))
        self.made[number] = what
        return Value(number, varies)

    def walk(self, jaxpr: Jaxpr, ins: Sequence[Value], path: Path, loops: tuple[Path, ...]) -> list[Value]:
        env = dict(zip(jaxpr.invars, ins, strict=True))

        def read(v):
            if isinstance(v, Literal):
                return self.number(("literal", str(v.aval), str(v.val)), frozenset())
            if v not in env:  # a constant of this program
                env[v] = self.number(("constant", id(v)), frozenset())
            return env[v]

        for i, eqn in enumerate(jaxpr.eqns):
            outs = self.step(eqn, [read(v) for v in eqn.invars], (*path, i), loops)
            env.update(zip(eqn.outvars, outs, strict=True))
        return [read(v) for v in jaxpr.outvars]

    def step(self, eqn: JaxprEqn, ins: list[Value], here: Path, loops: tuple[Path, ...]) -> list[Value]:
        name = eqn.primitive.name
        if eqn.primitive is sample_p:
            site = eqn.params["site"]
            self.check_site(site, ins[0], loops)
            key = ins[0]
            for _ in site.lanes:
                key = self.row(key, here)
            self.use(key, _Use(here, site, site.where))
        if name in CONSUMERS:
            self.use(ins[0], _Use(here, None, where(eqn) or self.line))
        if name in RENAMES:
            return ins
        if eqn.primitive in CALLS:
            outer, self.line = self.line, where(eqn) or self.line
            outs = self.walk(body(eqn)[0], ins, here, loops)
            self.line = outer
            return outs
        if eqn.primitive in _LOOPS_AND_BRANCHES and below(eqn, lambda e: e.primitive is sample_p):
            return _LOOPS_AND_BRANCHES[eqn.primitive](self, eqn, ins, here, loops)
        return self.results(eqn, ins)

    def use(self, key: Value, use: _Use) -> None:
        uses = self.uses.setdefault(key.number, [])
        if all(use.path != other.path for other in uses):
            uses.append(use)

    def check_site(self, site: Site, key: Value, loops: tuple[Path, ...]) -> None:
        if any(axes[0] is None for axes in site.lanes):
            raise SpanaxError(
                f"{site.label} uses one key for all lanes of a vmap, so its draws are not independent",
                site.where,
                "map the vmap over jax.random.split(key, n)",
                "one draw with a batch shape instead of a vmap",
            )
        if REPLICATES in loops and REPLICATES not in key.varies:
            raise SpanaxError(
                f"{site.label} does not get its key from the key of expectation, so all replicates would draw the same",
                site.where,
                "jax.random.split or fold_in of the `key` that f is called with",
            )
        if any(loop not in key.varies for loop in loops):
            raise SpanaxError(
                f"{site.label} uses the same key in every pass of its loop, so its draws are not independent",
                site.where,
                "scan over jax.random.split(key, n)",
                "jax.random.fold_in(key, i), or carry the key and split it in each pass",
            )

    def results(self, eqn: JaxprEqn, ins: Sequence[Value]) -> list[Value]:
        varies = frozenset().union(*(v.varies for v in ins))
        outs = range(len(eqn.outvars))
        if eqn.effects:
            return [self.fresh(varies) for _ in outs]
        try:
            params = (
                () if eqn.primitive is P.random_split_p else tuple(eqn.params.items())
            )  # a longer split begins the same
            what = (eqn.primitive.name, tuple(v.number for v in ins), params)
            return [self.number((what, k), varies) for k in outs]
        except TypeError:  # a parameter without a hash
            return [self.fresh(varies) for _ in outs]

    def cond(self, eqn, ins, here, loops):
        self.choices.add(here)
        outs = [self.walk(b.jaxpr, ins[1:], (*here, k), loops) for k, b in enumerate(eqn.params["branches"])]
        return [self.fresh(ins[0].varies.union(*(v.varies for v in out))) for out in zip(*outs, strict=True)]

    def scan(self, eqn, ins, here, loops):
        inner, n, m = body(eqn)[0], eqn.params["num_consts"], eqn.params["num_carry"]
        xs = [self.row(x, here) for x in ins[n + m :]]

        def walk(carry):
            return self.walk(inner, [*ins[:n], *carry, *xs], here, (*loops, here))

        outs = walk(self.carried(ins[n : n + m], here, walk))
        return [self.fresh(v.varies - {here}) for v in outs]

    def loop(self, eqn, ins, here, loops):
        a, b = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]

        def walk(carry):
            return self.walk(eqn.params["body_jaxpr"].jaxpr, [*ins[a : a + b], *carry], here, (*loops, here))

        outs = walk(self.carried(ins[a + b :], here, walk))
        return [self.fresh(v.varies - {here}) for v in outs]

    def row(self, array: Value, loop: Path) -> Value:
        """The part of an array that one pass gets: another loop over the same array gets the same."""
        return self.number(("row", array.number), array.varies | {loop})

    def carried(self, init: Sequence[Value], loop: Path, walk: Callable[[list[Value]], list[Value]]) -> list[Value]:
        """What a loop carries: the same value where each pass hands it on, the same count where it counts, else a new one."""
        new = [self.fresh(c.varies | {loop}) for c in init]
        uses, self.uses = self.uses, {}  # a trial, to see what becomes of the new values
        after = walk(new)
        self.uses = uses
        return [self.kept(before, inside, out) for before, inside, out in zip(init, new, after, strict=False)]

    def kept(self, before: Value, inside: Value, out: Value) -> Value:
        if out.number == inside.number:
            return before
        match self.made.get(out.number):
            case (("add", (first, step), _), 0) if first == inside.number:
                return self.number(("count", before.number, step), inside.varies)
        return inside


_LOOPS_AND_BRANCHES = {P.cond_p: _Keys.cond, P.scan_p: _Keys.scan, P.while_p: _Keys.loop}
