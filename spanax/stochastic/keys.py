"""Which draws share a key: no two draws, passes of a loop or lanes of a vmap may.

A draw's key, and the bits that the draw takes from what it splits its key into, are compared with those of every other
draw by what `values` knows of them. Two draws that jax.random makes may share a key: that is the user's own affair.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.core

from .._errors import SpanaxError
from .._jaxprs import CALLS, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, P, aval, below, body, where
from ..bridges import Drawing
from .array_parts import ENDLESS, Value
from .flow import Path, within
from .sampling import Site, draw, sample_p
from .value_rules import results
from .values import Values

CONSUMERS = ("random_bits", "random_gamma")
REPLICATES: Path = (-1,)  # the replicates of an expectation, as the outermost loop


class _Use(NamedTuple):
    key: Value
    path: Path
    site: Site | None  # None: a draw by jax.random
    where: str


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
        self.choices: dict[Path, bool] = {}  # paths of conds, whose branches exclude each other -> are loops around it?
        self.site: tuple[Site, Path] | None = None  # of the draw that is being looked into
        self.line = ""  # of the innermost call that has one: library calls carry none of their own
        self.draws: dict[tuple, ClosedJaxpr] = {}
        self.constants: dict[Any, Any] = {}

    def check(self, closed: ClosedJaxpr, replicated: bool) -> None:
        loops = (REPLICATES,) if replicated else ()
        (key,) = closed.jaxpr.invars
        value = self.values.fresh(frozenset(loops), ())._replace(axes=(None,) * aval(key).ndim)
        self.constants = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
        self.walk(closed.jaxpr, [value], (), loops)
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
            use.site.where,
            "a key for each draw: key_a, key_b = jax.random.split(key)",
            *([again] if other.where == use.site.where else []),
        )

    def exclusive(self, a: Path, b: Path) -> bool | None:
        """Are the two in different branches of one cond? None: no; True: yes, but two passes of a loop may take both."""
        around = [c for c in self.choices if within(a, c) and within(b, c) and a[len(c)] != b[len(c)]]
        return self.choices[around[0]] if around else None

    def check_site(self, site: Site, key: Value, loops: tuple[Path, ...]) -> None:
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

    def lane(self, site: Site, key: Value, here: Path) -> Value:
        """The key of one lane of the vmaps around a site, outermost first."""
        for axes in reversed(site.lanes):
            if axes[0] is None or axes[0] in key.repeats:
                raise SpanaxError(
                    f"{site.label} uses one key for all lanes of a vmap, so its draws are not independent",
                    site.where,
                    "map the vmap over jax.random.split(key, n)",
                    "one draw with a batch shape instead of a vmap",
                )
            key = self.values.row(key, here, axes[0])
        return key

    # -- the walk

    def walk(self, jaxpr: Jaxpr, ins: Sequence[Value], path: Path, loops: tuple[Path, ...]) -> list[Value]:
        env = dict(zip(jaxpr.invars, ins, strict=True))

        def read(v):
            if isinstance(v, Literal):
                return self.values.literal(v)
            if v not in env:  # a constant of this program
                known = v in self.constants and not isinstance(self.constants[v], jax.core.Tracer)
                what = ("constant", id(v))
                shape = getattr(aval(v), "shape", ())
                env[v] = self.values.constant(self.constants[v], what) if known else self.values.of(what, (), shape)
            return env[v]

        for i, eqn in enumerate(jaxpr.eqns):
            outs = self.step(eqn, [read(v) for v in eqn.invars], (*path, i), loops)
            env.update(zip(eqn.outvars, outs, strict=True))
        return [read(v) for v in jaxpr.outvars]

    def step(self, eqn: JaxprEqn, ins: list[Value], here: Path, loops: tuple[Path, ...]) -> list[Value]:
        if eqn.primitive is sample_p:
            self.sample(eqn, ins, here, loops)
        elif eqn.primitive.name in CONSUMERS:
            site, path = self.site or (None, here)
            self.uses.append(_Use(ins[0], path, site, site.where if site else where(eqn) or self.line))
        elif eqn.primitive in CALLS:
            outer, self.line = self.line, where(eqn) or self.line
            outs = self.walk(body(eqn)[0], ins, here, loops)
            self.line = outer
            return outs
        elif eqn.primitive in _LOOPS_AND_BRANCHES:
            return _LOOPS_AND_BRANCHES[eqn.primitive](self, eqn, ins, here, loops)
        elif below(
            eqn, lambda e: e.primitive.name in CONSUMERS
        ):  # inside of what is not looked into, of any of its inputs
            self.uses.extend(_Use(x, here, None, where(eqn) or self.line) for x in ins)
        return results(self.values, eqn, ins)

    def sample(self, eqn: JaxprEqn, ins: list[Value], here: Path, loops: tuple[Path, ...]) -> None:
        """A site's key, and what its draw takes from the key's children."""
        site = eqn.params["site"]
        self.check_site(site, ins[0], loops)
        self.uses.append(_Use(self.lane(site, ins[0], here), here, site, site.where))
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
        outs = [self.walk(b.jaxpr, ins[1:], (*here, k), loops) for k, b in enumerate(eqn.params["branches"])]
        return [self.values.union(out, ("cond", here)) for out in zip(*outs, strict=True)]

    def scan(self, eqn, ins, here, loops):
        p, inner = eqn.params, body(eqn)[0]
        n, m, length = p["num_consts"], p["num_carry"], p["length"]
        if not length:
            return [*ins[n : n + m], *(self.values.fresh(frozenset(), aval(v).shape) for v in eqn.outvars[m:])]
        xs = [self.values.row(x, here) for x in ins[n + m :]]
        around = (*loops, here) if length > 1 else loops

        def walk(carry):
            return self.walk(inner, [*ins[:n], *carry, *xs], here, around)

        outs, last = self.passes(ins[n : n + m], inner.invars[n : n + m], here, length, walk)
        return [*last, *(self.stacked(x, v, here) for x, v in zip(outs[m:], eqn.outvars[m:], strict=True))]

    def loop(self, eqn, ins, here, loops):
        a, b = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
        test, inner = eqn.params["cond_jaxpr"].jaxpr, eqn.params["body_jaxpr"].jaxpr

        def walk(carry):
            self.walk(test, [*ins[:a], *carry], (*here, 0), (*loops, here))
            return self.walk(inner, [*ins[a : a + b], *carry], (*here, 1), (*loops, here))

        _, last = self.passes(ins[a + b :], inner.invars[b:], here, None, walk)
        return [self.values.union(both, ("while", here)) for both in zip(last, ins[a + b :], strict=True)]  # or no pass

    def stacked(self, inside: Value, variable, loop: Path) -> Value:
        """What all passes return, one after the other."""
        same = {0} if loop not in inside.varies and aval(variable).shape[0] > 1 else set()
        array = self.values.holding(self.values.fresh(inside.varies - {loop}, aval(variable).shape), inside)
        return array._replace(repeats=frozenset({k + 1 for k in inside.repeats} | same))

    def passes(
        self,
        init: Sequence[Value],
        variables,
        loop: Path,
        length: int | None,
        walk: Callable[[list[Value]], list[Value]],
    ) -> tuple[list[Value], list[Value]]:
        """The values at the end of a pass, and what the last pass hands on.

        A pass starts with the same value where each hands it on, with a count where it counts, else with the initial value or
        what the pass before handed on.
        """
        shapes = [getattr(aval(v), "shape", ()) for v in variables]
        new = [self.values.carried(c, shape, c.varies | {loop}) for c, shape in zip(init, shapes, strict=True)]
        starts = [start for start, _ in new]
        with self.trial():
            after = walk(starts)
        outs = walk([self.kept(*of_one, starts, length) for of_one in zip(init, starts, after, strict=False)])
        for (_, before), out in zip(new, outs, strict=False):
            self.values.handed_on(before, out)
        ends = zip(outs, new, shapes, strict=False)
        return outs, [self.values.last(out, *pair, shape, out.varies - {loop}) for out, pair, shape in ends]

    @contextlib.contextmanager
    def trial(self) -> Iterator[None]:
        """A walk inside it leaves no uses."""
        uses, self.uses = self.uses, []
        yield
        self.uses = uses

    def kept(self, before: Value, inside: Value, out: Value, new: Sequence[Value], length: int | None) -> Value:
        if out.number == inside.number:
            return before
        step, start = self.values.step(inside, out), self.values.known(before)
        if step is not None and start is not None and len(start) == 1:
            stop = ENDLESS if length is None else start[0] + step * length
            return self.values.integers(range(start[0], stop, step), inside.varies)
        carried = {v.number for v in new}
        handed_on = any(source.base in carried for source in out.sources)  # as it was: it may come back
        return inside._replace(varies=before.varies) if handed_on else inside


_LOOPS_AND_BRANCHES = {P.cond_p: _Keys.cond, P.scan_p: _Keys.scan, P.while_p: _Keys.loop}
