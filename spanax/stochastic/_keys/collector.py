"""Walks through a traced program, numbers its values, and collects the keys of its draws.

A loop's body is walked twice: from an unknown start, to learn what it does to each variable that it carries (`loop_values`), and
again from what is then known. No fixed point is needed: what is learned in the first walk holds in every iteration.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

import jax
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
from ..flow import Path
from ..sampling import Site, draw, sample_p
from .array_parts import REPLICATES, Value
from .counts import Dependency
from .loop_values import Carried
from .value_rules import results
from .values import Values, is_key

_CONSUMERS = ("random_bits", "random_gamma")

# What one iteration hands on, given what it starts with; and the values of its test, if it has one.
Iteration = Callable[[list[Value]], tuple[list[Value], list[Value]]]


class Use(NamedTuple):
    """That random bits are taken from a key."""

    key: Value
    path: Path
    site: Site | None  # None: a draw by jax.random
    where: str


class Claim(NamedTuple):
    """That the key of a draw determines the iteration of each loop around it, and the index of each vmap."""

    site: Site
    key: Value
    loops: tuple[Path, ...]
    vmaps: tuple[Path, ...]


class Collector:
    """`uses` and `claims` are the outcome; `values`, `chained` and `choices` what is needed to judge them."""

    def __init__(self, override: Callable[[Site], Drawing | None]):
        self.override = override
        self.values = Values()
        self.uses: list[Use] = []
        self.claims: list[Claim] = []
        self.chained: set[tuple[int, Path]] = (
            set()
        )  # (key, loop): it determines the iteration, by what the loop carries
        self.choices: dict[Path, bool] = {}  # paths of conds, whose branches exclude each other -> are loops around it?
        self._exact: set[Path] = set()  # while loops of which the number of iterations is known
        self._starts: list[list[Value]] = []  # what iterations of the loops around here start with, outermost first
        self._site: tuple[Site, Path] | None = None  # of the draw whose own program is walked through
        self._line = ""  # of the innermost call that has one: library calls carry none of their own
        # The draw's own program, by site and shapes: in a loop it is walked through twice, and traced once.
        self._draws: dict[tuple, ClosedJaxpr] = {}
        self._constants: dict[Any, Any] = {}

    def collect(self, closed: ClosedJaxpr, replicated: bool) -> None:
        loops = (REPLICATES,) if replicated else ()
        (key,) = closed.jaxpr.invars
        # The key of one replicate: it determines which replicate it is, as `expectation` splits its key for them.
        value = self.values.root("the key", (), [(loop, frozenset()) for loop in loops])
        value = value._replace(axes=(None,) * aval(key).ndim, varies_with=frozenset(loops))
        # Only the outermost program has constants that are known; those of inner ones are equations or arguments.
        self._constants = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
        self._walk(closed.jaxpr, [value], (), loops)

    def _walk(self, jaxpr: Jaxpr, ins: Sequence[Value], path: Path, loops: tuple[Path, ...]) -> list[Value]:
        env = dict(zip(jaxpr.invars, ins, strict=True))

        def read(v):
            if isinstance(v, Literal):
                return self.values.literal(v)
            if v not in env:  # a constant of this program
                env[v] = self._constant(v)
            return env[v]

        for i, eqn in enumerate(jaxpr.eqns):
            outs = self._step(eqn, [read(v) for v in eqn.invars], (*path, i), loops)
            env.update(zip(eqn.outvars, outs, strict=True))
        return [read(v) for v in jaxpr.outvars]

    def _constant(self, v) -> Value:
        """What f closes over. An array of keys from outside is taken to be of different ones."""
        if v in self._constants and not is_traced(self._constants[v]) and hasattr(self._constants[v], "dtype"):
            return self.values.constant(self._constants[v], id(v))
        shape = getattr(aval(v), "shape", ())
        if is_key(aval(v)):
            return self.values.root(id(v), shape, [(k, frozenset()) for k in range(len(shape))])
        if getattr(aval(v), "dtype", None) == np.uint32 and shape and shape[-1] in (2, 4):  # raw keys
            return self.values.root(id(v), shape, [(k, frozenset()) for k in range(len(shape) - 1)])
        return self.values.of(("from outside", id(v)), (), shape)

    def _step(self, eqn: JaxprEqn, ins: list[Value], here: Path, loops: tuple[Path, ...]) -> list[Value]:
        if is_call(eqn):
            outer, self._line = self._line, where(eqn) or self._line
            outs = self._walk(body(eqn)[0], ins, here, loops)
            self._line = outer
            return outs
        if rule := _LOOPS_AND_BRANCHES.get(eqn.primitive):
            return rule(self, eqn, ins, here, loops)
        if eqn.primitive is sample_p:
            self._sample(eqn, ins, here, loops)
        elif _consumes(eqn):
            self._take_bits(eqn, ins[0], here)
        elif below(eqn, _consumes):
            self._hide_draws(eqn, ins, here)
        return results(self.values, eqn, ins)

    def _take_bits(self, eqn: JaxprEqn, key: Value, here: Path) -> None:
        # Bits of a `sample` belong to its site, not to the line of the library that takes them.
        site, path = self._site or (None, here)
        self.uses.append(Use(key, path, site, site.where if site else where(eqn) or self._line))

    def _hide_draws(self, eqn: JaxprEqn, ins: Sequence[Value], here: Path) -> None:
        """Of an equation that is not looked into, and that holds draws of any of its inputs."""
        keys = [x for v, x in zip(eqn.invars, ins, strict=True) if is_key(aval(v)) or _may_be_raw(aval(v))]
        self.uses.extend(Use(x, here, None, where(eqn) or self._line) for x in keys)

    # -- draws

    def _sample(self, eqn: JaxprEqn, ins: list[Value], here: Path, loops: tuple[Path, ...]) -> None:
        """A site's key, and what its draw takes from the key's children."""
        site = eqn.params["site"]
        key, vmaps = self._key_of_one_index(site, ins[0], aval(eqn.invars[0]).shape, here)
        self.claims.append(Claim(site, key, loops, vmaps))
        self.uses.append(Use(key, here, site, site.where))
        self._site = site, here
        self._walk(self._traced_draw(eqn).jaxpr, ins, here, loops)
        self._site = None

    def _key_of_one_index(
        self, site: Site, key: Value, shape: Sequence[int], here: Path
    ) -> tuple[Value, tuple[Path, ...]]:
        """The key at one index of the vmaps around a site, and the names of the vmaps, outermost first."""
        shape, names = list(shape), []
        # An index of a vmap is a coordinate like the iteration of a loop: with a path of its own, below the site's.
        for k, axes in enumerate(reversed(site.vmapped)):
            if (axis := axes[0]) is None:
                refuse_one_key_of_a_vmap(site)
            name, length = (*here, -1 - k), shape.pop(axis)
            self.values.lengths[name] = length
            key = self.values.row(key, name, axis)
            names += [name] if length > 1 else []
        return key, tuple(names)

    def _traced_draw(self, eqn: JaxprEqn) -> ClosedJaxpr:
        site = eqn.params["site"]
        avals = tuple(jax.ShapeDtypeStruct(aval(v).shape, aval(v).dtype) for v in eqn.invars)
        if (site, avals) not in self._draws:
            via = self.override(site)
            self._draws[site, avals] = jax.make_jaxpr(lambda *args: draw(site, via, *args))(*avals)
        return self._draws[site, avals]

    # -- branches and loops

    def _cond(self, eqn, ins, here, loops):
        self.choices[here] = bool(set(loops) - {REPLICATES})
        outs = [self._walk(b.jaxpr, ins[1:], (*here, k), loops) for k, b in enumerate(cond_branches(eqn))]
        return [self.values.union(out, ("cond", here)) for out in zip(*outs, strict=True)]

    def _scan(self, eqn, ins, here, loops):
        parts = scan_parts(eqn)
        inner, (consts, first, xs), (_, ys) = parts.body.jaxpr, parts.split(ins), parts.split_outs(eqn.outvars)
        if not parts.length:
            return [*first, *(self.values.fresh(aval(v).shape) for v in ys)]
        self.values.lengths[here] = parts.length
        # A reversed scan reads from the end; turned around, row i is iteration i.
        xs = [self.values.reverse(x) if parts.reverse else x for x in xs]
        xs = [self.values.row(x, here) for x in xs]
        # A single iteration can repeat nothing.
        around = (*loops, here) if parts.length > 1 else loops

        def iteration(carry):
            return self._walk(inner, [*consts, *carry, *xs], here, around), []

        outs, last = self._iterate(first, parts.split(inner.invars)[1], here, iteration)
        stacked = [
            self.values.stack(x, aval(v).shape, here, self._determined_by_chain(x, here))
            for x, v in zip(parts.split_outs(outs)[1], ys, strict=True)
        ]
        if parts.reverse:
            stacked = [self.values.reverse(x) for x in stacked]
        return [*last, *stacked]

    def _while(self, eqn, ins, here, loops):
        parts = while_parts(eqn)
        test, inner, (tested, consts, first) = parts.test.jaxpr, parts.body.jaxpr, parts.split(ins)
        self.values.lengths[here] = None

        def iteration(carry):
            tests = self._walk(test, [*tested, *carry], (*here, 0), (*loops, here))
            return self._walk(inner, [*consts, *carry], (*here, 1), (*loops, here)), tests

        _, last = self._iterate(first, parts.split_body(inner.invars)[1], here, iteration)
        # The counter is known from its start to its end: the loop does run.
        if here in self._exact:
            return last
        # Or no iteration at all.
        return [self.values.union(both, ("while", here)) for both in zip(last, first, strict=True)]

    def _iterate(
        self, init: Sequence[Value], variables: Sequence, loop: Path, iteration: Iteration
    ) -> tuple[list[Value], list[Value]]:
        """The values at the end of an iteration, and what the last one hands on.

        An iteration starts with the same value where each hands it on, with a count where it counts, else with the initial value
        or what the iteration before handed on.
        """
        carried = [Carried.of(self.values, x, v, loop) for x, v in zip(init, variables, strict=True)]
        # The start is unknown in this walk, so keys seem to be shared that are not.
        with self._trial():
            after, tests = iteration([c.start for c in carried])
            self._hand_on(carried, after)
        for test in tests:
            self._note_length(loop, test, carried, after)
        starts = [c.at_start(self.values, out, loop) for c, out in zip(carried, after, strict=False)]
        self._starts.append([s for s, c in zip(starts, carried, strict=True) if s.number == c.start.number])
        claims = len(self.claims)
        outs, _ = iteration(starts)
        self._hand_on(carried, outs)
        # The keys of draws, and those that the loop returns, to be drawn from after it.
        keys = [claim.key for claim in self.claims[claims:]] + outs[len(init) :]
        self._follow_chains(keys, list(zip(starts, outs, strict=False)), loop)
        self._starts.pop()
        exact = not tests or loop in self._exact
        ends = zip(carried, starts, outs, strict=False)
        return outs, [self.values.last(out, s, (c.start, c.before), c.shape, loop, exact) for c, s, out in ends]

    def _hand_on(self, carried: Sequence[Carried], outs: Sequence[Value]) -> None:
        for c, out in zip(carried, outs, strict=False):
            self.values.hand_on(c.before, out)

    def _note_length(self, loop: Path, test: Value, carried: Sequence[Carried], outs: Sequence[Value]) -> None:
        """Notes how many iterations a while loop makes, by the counter that says the least."""
        bounds = [b for c, out in zip(carried, outs, strict=False) if (b := c.length_bound(self.values, test, out))]
        length, exact = min(bounds, default=(None, False))
        self.values.lengths[loop] = length
        self._exact = self._exact | {loop} if exact else self._exact - {loop}

    def _follow_chains(self, keys: Sequence[Value], carried: Sequence[tuple[Value, Value]], loop: Path) -> None:
        """Which keys determine the iteration because no later one comes to them or to what they descend from.

        What later iterations have descends from what this one hands on; so a key that does not is of no later iteration.
        """
        chains = [out for start, out in carried if loop in start.chains]
        around = [start for starts in self._starts for start in starts]
        with self.values.equality.in_one_iteration(around):
            for key in keys:
                if loop in key.chains and not any(self.values.equality.may_descend(key, out) for out in chains):
                    self.chained.add((key.number, loop))

    def _determined_by_chain(self, value: Value, loop: Path) -> frozenset[Dependency]:
        """What a key determines that the loop carries on: the other loops that carry one must be in the same iteration."""
        if loop in value.closure() or (value.number, loop) not in self.chained:
            return frozenset()
        return frozenset([(loop, value.chains - {loop})])

    @contextlib.contextmanager
    def _trial(self) -> Iterator[None]:
        """A walk inside it leaves no uses and no claims."""
        uses, claims = self.uses, self.claims
        self.uses, self.claims = [], []
        yield
        self.uses, self.claims = uses, claims


def refuse_one_key_of_a_vmap(site: Site) -> NoReturn:
    raise SpanaxError(
        f"{site.label} uses one key for several indices of a vmap, so its draws are not independent",
        "map the vmap over jax.random.split(key, n)",
        "one draw with a batch shape instead of a vmap",
        where=site.where,
    )


def _consumes(eqn: JaxprEqn) -> bool:
    return eqn.primitive.name in _CONSUMERS


def _may_be_raw(shaped: Any) -> bool:
    return getattr(shaped, "dtype", None) == np.uint32 and len(shaped.shape) > 0


_LOOPS_AND_BRANCHES = {P.cond_p: Collector._cond, P.scan_p: Collector._scan, P.while_p: Collector._while}
