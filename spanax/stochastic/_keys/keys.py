"""Which draws share a key: no two draws, passes of a loop or lanes of a vmap may.

A draw's key, and the bits that the draw takes from what it splits its key into, are compared with those of every other
draw by what `values` knows of them. In a loop or a vmap, a key must tell the pass and the lane that it is of: two equal ones
are of the same. Either has to be proved; what cannot be is refused. Two draws that jax.random makes may share a key: that
is the user's own affair. Out of sight: what the caller of an expectation does with its key, or with keys in f's arguments.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

import jax
import jax.core
import numpy as np

from ..._errors import SpanaxError
from ..._jaxprs import (
    ClosedJaxpr,
    Jaxpr,
    JaxprEqn,
    Literal,
    P,
    aval,
    below,
    body,
    cond_branches,
    is_call,
    is_traced,
    scan_parts,
    where,
    while_parts,
)
from ...bridges import Drawing
from ..flow import Path, within
from ..sampling import Site, draw, sample_p
from .array_parts import REPLICATES, Value, in_chains
from .counts import Linear, Term
from .value_rules import results
from .values import Values, is_key

CONSUMERS = ("random_bits", "random_gamma")


class _Use(NamedTuple):
    key: Value
    path: Path
    site: Site | None  # None: a draw by jax.random
    where: str


class _Claim(NamedTuple):
    """That the key of a draw tells the pass of each loop around it, and the lane of each vmap."""

    site: Site
    key: Value
    loops: tuple[Path, ...]
    lanes: tuple[Path, ...]


def check_keys(closed: ClosedJaxpr, replicated: bool, override: Callable[[Site], Drawing | None]) -> None:
    """Raises `SpanaxError` where two draws, two passes of a loop, or the lanes of an inner vmap share a key.

    `replicated`: the program runs for several keys, so every draw must get its key from the program's own.
    `override`: the bridge that is put in the place of a site's own.
    """
    _Keys(override).check(closed, replicated)


class _Keys:
    def __init__(self, override: Callable[[Site], Drawing | None]):
        self.override = override
        self.values = Values()
        self.uses: list[_Use] = []
        self.claims: list[_Claim] = []
        self.chained: set[tuple[int, Path]] = set()  # (key, loop): it tells the pass, by what the loop carries
        self.exact: set[Path] = set()  # while loops of which the number of passes is known
        self.starts: list[list[Value]] = []  # what the passes of the loops around here start with, outermost first
        self.choices: dict[Path, bool] = {}  # paths of conds, whose branches exclude each other -> are loops around it?
        self.site: tuple[Site, Path] | None = None  # of the draw that is being looked into
        self.line = ""  # of the innermost call that has one: library calls carry none of their own
        self.draws: dict[tuple, ClosedJaxpr] = {}
        self.constants: dict[Any, Any] = {}

    def check(self, closed: ClosedJaxpr, replicated: bool) -> None:
        loops = (REPLICATES,) if replicated else ()
        (key,) = closed.jaxpr.invars
        value = self.values.root("the key", (), [(loop, frozenset()) for loop in loops])
        value = value._replace(axes=(None,) * aval(key).ndim, depends=frozenset(loops))
        self.constants = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
        self.walk(closed.jaxpr, [value], (), loops)
        for claim in self.claims:
            self.check_claim(claim)
        self.check_uses()

    # -- the verdict

    def check_uses(self) -> None:
        for k, use in enumerate(self.uses):
            for other in itertools.islice(self.uses, k):
                if self.clash(use, other):
                    self.refuse(*((use, other) if use.site else (other, use)))

    def clash(self, a: _Use, b: _Use) -> bool:
        if not (a.site or b.site) or a.path == b.path:
            return False
        if (apart := self.exclusive(a.path, b.path)) is not None and (not apart or a.key.number == b.key.number):
            return False
        return self.values.may_equal(a.key, b.key)

    def refuse(self, use: _Use, other: _Use) -> None:
        assert use.site
        again = "draw outside of the jax.checkpoint: a derivative inside f runs it twice"
        raise SpanaxError(
            f"{use.site.label} and another draw (at {other.where}) use the same key, so they are not independent",
            "a key for each draw: key_a, key_b = jax.random.split(key)",
            *([again] if other.where == use.site.where else []),
            where=use.site.where,
        )

    def exclusive(self, a: Path, b: Path) -> bool | None:
        """Are the two in different branches of one cond? None: no; True: yes, but two passes of a loop may take both."""
        around = [c for c in self.choices if within(a, c) and within(b, c) and a[len(c)] != b[len(c)]]
        return self.choices[around[0]] if around else None

    def check_claim(self, claim: _Claim) -> None:
        site, key, loops, lanes = claim
        once = {loop for loop, length in self.values.lengths.items() if length == 1}
        told = key.told(once.union(loop for loop in loops if (key.number, loop) in self.chained))
        if REPLICATES in loops and REPLICATES not in told:
            raise SpanaxError(
                f"{site.label} does not get its key from the key of expectation, so all replicates would draw the same",
                "jax.random.split or fold_in of the `key` that f is called with",
                where=site.where,
            )
        if missing := [loop for loop in loops if loop not in told]:
            uses = "uses" if not any(loop in key.depends for loop in missing) else "may use"
            raise SpanaxError(
                f"{site.label} {uses} the same key in {'every pass' if uses == 'uses' else 'two passes'} of its loop, "
                "so its draws are not independent",
                "scan over jax.random.split(key, n)",
                "jax.random.fold_in(key, i) of the loop's counter, or carry the key and split it in each pass",
                where=site.where,
            )
        if not told >= set(lanes):
            self.refuse_lanes(site)

    def refuse_lanes(self, site: Site) -> NoReturn:
        raise SpanaxError(
            f"{site.label} uses one key for several lanes of a vmap, so its draws are not independent",
            "map the vmap over jax.random.split(key, n)",
            "one draw with a batch shape instead of a vmap",
            where=site.where,
        )

    def lane(self, site: Site, key: Value, shape: Sequence[int], here: Path) -> tuple[Value, tuple[Path, ...]]:
        """The key of one lane of the vmaps around a site, and the names of its lanes, outermost first."""
        shape, names = list(shape), []
        for k, axes in enumerate(reversed(site.lanes)):
            if (axis := axes[0]) is None:
                self.refuse_lanes(site)
            name, length = (*here, -1 - k), shape.pop(axis)
            self.values.lengths[name] = length
            key = self.values.row(key, name, axis)
            names += [name] if length > 1 else []
        return key, tuple(names)

    # -- the walk

    def walk(self, jaxpr: Jaxpr, ins: Sequence[Value], path: Path, loops: tuple[Path, ...]) -> list[Value]:
        env = dict(zip(jaxpr.invars, ins, strict=True))

        def read(v):
            if isinstance(v, Literal):
                return self.values.literal(v)
            if v not in env:  # a constant of this program
                env[v] = self.constant(v)
            return env[v]

        for i, eqn in enumerate(jaxpr.eqns):
            outs = self.step(eqn, [read(v) for v in eqn.invars], (*path, i), loops)
            env.update(zip(eqn.outvars, outs, strict=True))
        return [read(v) for v in jaxpr.outvars]

    def constant(self, v) -> Value:
        """What f closes over. An array of keys from outside is taken to be of different ones."""
        if v in self.constants and not is_traced(self.constants[v]) and hasattr(self.constants[v], "dtype"):
            return self.values.constant(self.constants[v], id(v))
        shape = getattr(aval(v), "shape", ())
        if is_key(aval(v)):
            return self.values.root(id(v), shape, [(k, frozenset()) for k in range(len(shape))])
        if getattr(aval(v), "dtype", None) == np.uint32 and shape and shape[-1] in (2, 4):
            return self.values.root(id(v), shape, [(k, frozenset()) for k in range(len(shape) - 1)])
        return self.values.of(("from outside", id(v)), (), shape)

    def step(self, eqn: JaxprEqn, ins: list[Value], here: Path, loops: tuple[Path, ...]) -> list[Value]:
        if eqn.primitive is sample_p:
            self.sample(eqn, ins, here, loops)
        elif eqn.primitive.name in CONSUMERS:
            site, path = self.site or (None, here)
            self.uses.append(_Use(ins[0], path, site, site.where if site else where(eqn) or self.line))
        elif is_call(eqn):
            outer, self.line = self.line, where(eqn) or self.line
            outs = self.walk(body(eqn)[0], ins, here, loops)
            self.line = outer
            return outs
        elif eqn.primitive in _LOOPS_AND_BRANCHES:
            return _LOOPS_AND_BRANCHES[eqn.primitive](self, eqn, ins, here, loops)
        elif below(
            eqn, lambda e: e.primitive.name in CONSUMERS
        ):  # inside of what is not looked into, of any of its inputs
            keys = [x for v, x in zip(eqn.invars, ins, strict=True) if is_key(aval(v)) or _may_be_raw(aval(v))]
            self.uses.extend(_Use(x, here, None, where(eqn) or self.line) for x in keys)
        return results(self.values, eqn, ins)

    def sample(self, eqn: JaxprEqn, ins: list[Value], here: Path, loops: tuple[Path, ...]) -> None:
        """A site's key, and what its draw takes from the key's children."""
        site = eqn.params["site"]
        key, lanes = self.lane(site, ins[0], aval(eqn.invars[0]).shape, here)
        self.claims.append(_Claim(site, key, loops, lanes))
        self.uses.append(_Use(key, here, site, site.where))
        self.site = site, here
        self.walk(self.traced_draw(eqn).jaxpr, ins, here, loops)
        self.site = None

    def traced_draw(self, eqn: JaxprEqn) -> ClosedJaxpr:
        site = eqn.params["site"]
        avals = tuple(jax.ShapeDtypeStruct(aval(v).shape, aval(v).dtype) for v in eqn.invars)
        if (site, avals) not in self.draws:
            via = self.override(site)
            self.draws[site, avals] = jax.make_jaxpr(lambda *args: draw(site, via, *args))(*avals)
        return self.draws[site, avals]

    def cond(self, eqn, ins, here, loops):
        self.choices[here] = bool(set(loops) - {REPLICATES})
        outs = [self.walk(b.jaxpr, ins[1:], (*here, k), loops) for k, b in enumerate(cond_branches(eqn))]
        return [self.values.union(out, ("cond", here)) for out in zip(*outs, strict=True)]

    def scan(self, eqn, ins, here, loops):
        parts = scan_parts(eqn)
        inner, (consts, first, xs), (_, ys) = parts.body.jaxpr, parts.split(ins), parts.split_outs(eqn.outvars)
        if not parts.length:
            return [*first, *(self.values.fresh(aval(v).shape) for v in ys)]
        self.values.lengths[here] = parts.length
        xs = [self.values.reversed(x) if parts.reverse else x for x in xs]
        xs = [self.values.row(x, here) for x in xs]
        around = (*loops, here) if parts.length > 1 else loops

        def walk(carry):
            return self.walk(inner, [*consts, *carry, *xs], here, around)

        outs, last = self.passes(first, parts.split(inner.invars)[1], here, walk)
        stacked = [self.stacked(x, v, here) for x, v in zip(parts.split_outs(outs)[1], ys, strict=True)]
        if parts.reverse:
            stacked = [self.values.reversed(x) for x in stacked]
        return [*last, *stacked]

    def loop(self, eqn, ins, here, loops):
        parts = while_parts(eqn)
        test, inner, (tested, consts, first) = parts.test.jaxpr, parts.body.jaxpr, parts.split(ins)
        self.values.lengths[here] = None

        tests = []

        def walk(carry):
            tests[:] = self.walk(test, [*tested, *carry], (*here, 0), (*loops, here))
            return self.walk(inner, [*consts, *carry], (*here, 1), (*loops, here))

        _, last = self.passes(first, parts.split_body(inner.invars)[1], here, walk, tests)
        if here in self.exact:
            return last
        return [self.values.union(both, ("while", here)) for both in zip(last, first, strict=True)]  # or no pass

    def stacked(self, inside: Value, variable, loop: Path) -> Value:
        """What all passes return, one after the other."""
        shape = aval(variable).shape
        if (linear := self.values.linear(inside)) is not None:
            return self.values.counted(linear.renamed(lambda c: _stacked(c, loop)), shape)
        tells = inside.tells | self.by_chain(inside, loop)
        out = inside._replace(tells=tells).renamed(lambda c: _stacked(c, loop))
        array = self.values.holding(self.values.fresh(shape, [inside]), inside)
        array = array._replace(tells=out.tells, depends=out.depends | {0}, chains=inside.chains)
        self.values.stacked(array, inside, loop)
        return self.values.noted(array)

    def by_chain(self, value: Value, loop: Path):
        """What is told by a key that the loop carries on: the other loops that carry one must be in the same pass."""
        if loop in value.told() or (value.number, loop) not in self.chained:
            return frozenset()
        return frozenset([(loop, value.chains - {loop})])

    def passes(
        self,
        init: Sequence[Value],
        variables,
        loop: Path,
        walk: Callable[[list[Value]], list[Value]],
        tests: Sequence[Value] = (),
    ) -> tuple[list[Value], list[Value]]:
        """The values at the end of a pass, and what the last pass hands on.

        A pass starts with the same value where each hands it on, with a count where it counts, else with the initial value or
        what the pass before handed on.
        """
        shapes = [getattr(aval(v), "shape", ()) for v in variables]
        new = [self.values.carried(c, shape, loop) for c, shape in zip(init, shapes, strict=True)]
        starts = [start._replace(tells=c.tells) for (start, _), c in zip(new, init, strict=True)]
        with self.trial():
            after = walk(starts)
            for (_, before), out in zip(new, after, strict=False):
                self.values.handed_on(before, out)
        for test in tests:
            counters = zip(init, variables, starts, after, strict=False)
            length, exact = min((n for of_one in counters if (n := self.bound(test, *of_one))), default=(None, False))
            self.values.lengths[loop] = length
            self.exact = self.exact | {loop} if exact else self.exact - {loop}
        kept = [self.kept(*of_one, loop) for of_one in zip(init, variables, starts, after, strict=False)]
        self.starts.append([k for k, s in zip(kept, starts, strict=True) if k.number == s.number])
        claims = len(self.claims)
        outs = walk(kept)
        for (_, before), out in zip(new, outs, strict=False):
            self.values.handed_on(before, out)
        found = [claim.key for claim in self.claims[claims:]] + outs[len(init) :]
        self.follow_chains(found, list(zip(kept, outs, strict=False)), loop)
        self.starts.pop()
        ends = zip(outs, kept, new, shapes, strict=False)
        return outs, [
            self.values.last(out, start, pair, shape, loop, not tests or loop in self.exact)
            for out, start, pair, shape in ends
        ]

    def follow_chains(self, keys: Sequence[Value], carried: Sequence[tuple[Value, Value]], loop: Path) -> None:
        """Which keys tell the pass because no later pass comes to them or to what they descend from.

        What later passes have descends from what this one hands on; so a key that does not is of no later pass.
        """
        chains = [(start, out) for start, out in carried if loop in start.chains]
        around = [start for starts in self.starts for start in starts]
        with self.values.in_one_pass(around):
            for key in keys:
                if loop in key.chains and not any(self.values.may_descend(key, out) for _, out in chains):
                    self.chained.add((key.number, loop))

    @contextlib.contextmanager
    def trial(self) -> Iterator[None]:
        """A walk inside it leaves no uses and no claims."""
        uses, claims = self.uses, self.claims
        self.uses, self.claims = [], []
        yield
        self.uses, self.claims = uses, claims

    def kept(self, before: Value, variable, inside: Value, out: Value, loop: Path) -> Value:
        """What a pass starts with, by what it makes of it."""
        if out.number == inside.number:
            return before
        if (count := self.count(before, variable, inside, out, loop)) is not None:
            return count
        descends = self.values.descends(out, inside)
        needed = before.chains if descends and len(before.sources) == 1 else before.chains | {loop}
        both = dict(before.tells)
        tells = in_chains(((c, g | both[c]) for c, g in out.tells if c in both), needed)
        chains = before.chains | ({loop} if descends else set())
        return self.values.noted(inside._replace(tells=tells, chains=chains))

    def bound(self, test: Value, before: Value, variable, inside: Value, out: Value) -> tuple[int, bool] | None:
        """The passes of a while loop, at most, and whether it makes just as many, where this is its counter."""
        start, step = self.step_of(before, variable, inside, out)
        found = self.values.passes(test, inside, start, step) if start is not None else None
        if start is None or found is None or not start.plus(Linear(step * found[0])).fits(aval(variable).dtype):
            return None
        return found

    def step_of(self, before: Value, variable, inside: Value, out: Value) -> tuple[Linear | None, int]:
        """What it counts from, and the integer that each pass adds."""
        dtype, after = getattr(aval(variable), "dtype", None), self.values.linear(out)
        if dtype is None or after is None or is_key(aval(variable)):
            return None, 0
        old, start = self.values.as_linear(inside, dtype), self.values.as_linear(before, dtype)
        if old is None or start is None or (step := after.plus(old, -1)).terms or not step.offset:
            return None, 0
        return start, step.offset

    def count(self, before: Value, variable, inside: Value, out: Value, loop: Path) -> Value | None:
        """The number of a pass, where each adds the same integer."""
        start, step = self.step_of(before, variable, inside, out)
        if start is None:
            return None
        length, dtype = self.values.lengths[loop], aval(variable).dtype
        total = start.plus(Linear(0, frozenset([Term(loop, step, length)] if length != 1 else [])))
        ends = total if length is None else total.plus(Linear(step))
        return self.values.counted(total, aval(variable).shape) if ends.fits(dtype) and total.fits(dtype) else None


def _stacked(coordinate, loop: Path):
    return 0 if coordinate == loop else coordinate + 1 if isinstance(coordinate, int) else coordinate


def _may_be_raw(shaped: Any) -> bool:
    return getattr(shaped, "dtype", None) == np.uint32 and len(shaped.shape) > 0


_LOOPS_AND_BRANCHES = {P.cond_p: _Keys.cond, P.scan_p: _Keys.scan, P.while_p: _Keys.loop}
