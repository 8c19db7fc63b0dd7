"""Which draws reach which costs: dataflow over the traced program.

A forward may-analysis by sets of labels. A label (site, loop) of a value: a draw of this site reaches it. `loop` is None where it
is the draw of the same iteration of every loop around both, else the outermost loop whose back edge was crossed on the way: the
draw came from an earlier iteration. What a predicate decides carries its labels too (control dependence).

A site, a cost and a loop are named by their path: the index of the equation in each program on the way down, so that comparing
paths compares program order.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import jax.numpy as jnp

from .._errors import SpanaxError
from .._jaxprs import (
    ClosedJaxpr,
    Jaxpr,
    JaxprEqn,
    Literal,
    P,
    aval,
    body,
    collective_axes,
    cond_branches,
    fixed_point,
    is_call,
    is_ref,
    scan_parts,
    varying,
    where,
    while_parts,
)
from .sampling import Site, cost_p, sample_p

Path = tuple[int, ...]
Label = tuple[Path, Path | None]
Labels = frozenset[Label]

NONE: Labels = frozenset()
# Path tuples compare in program order; this one is larger than all of them.
RESULT: Path = (1 << 40,)  # the path of f's own result: after everything else


def within(inner: Path, outer: Path) -> bool:
    return inner[: len(outer)] == outer


class Flow:
    """The outcome: `reach[cost]` its labels, `loops[site or cost]` the scans around it, `sites[path]` the equations of draws.

    `collectives[path]`: the equation of a collective over an axis that is bound outside, and its labels. One that draws reach is
    a label by itself, as if it were a draw.
    """

    def __init__(self, closed: ClosedJaxpr):
        self.reach: dict[Path, Labels] = {}
        self.loops: dict[Path, tuple[Path, ...]] = {}
        self.sites: dict[Path, JaxprEqn] = {}
        self.collectives: dict[Path, tuple[JaxprEqn, Labels]] = {}
        outs = self._walk(closed.jaxpr, [NONE] * len(closed.jaxpr.invars), NONE, (), ())
        self.reach[RESULT], self.loops[RESULT] = outs[0], ()

    def site(self, path: Path) -> Site:
        """The site of that path, or the first inside it where it is a while loop's."""
        first = min(p for p in self.sites if within(p, path))
        return self.sites[first].params["site"]

    def _walk(
        self, jaxpr: Jaxpr, ins: Sequence[Labels], control: Labels, path: Path, loops: tuple[Path, ...]
    ) -> list[Labels]:
        """Labels of the outputs. `control`: labels of the predicates that decided that this program runs."""
        env = dict(zip(jaxpr.invars, ins, strict=True))

        def read(v):
            return NONE if isinstance(v, Literal) else env.get(v, NONE)

        for i, eqn in enumerate(jaxpr.eqns):
            outs = self._step(eqn, [read(v) for v in eqn.invars], control, (*path, i), loops)
            env.update(zip(eqn.outvars, outs, strict=True))
        return [read(v) for v in jaxpr.outvars]

    def _step(self, eqn, ins, control, here, loops) -> list[Labels]:
        if is_call(eqn):
            return self._walk(body(eqn)[0], ins, control, here, loops)
        if rule := _RULES.get(eqn.primitive):
            return rule(self, eqn, ins, control, here, loops)
        # A result may depend on each operand, and on whether the equation runs at all.
        into = control.union(*ins)
        if collective_axes(eqn):
            self.collectives[here] = eqn, into
            # A label of its own: through a collective a draw comes to other indices of the axis, where it is not this draw
            # any more.
            into |= {(here, None)} if into else NONE
        # Through a reference a draw comes to a later read without a variable that carries its label.
        if into and any(is_ref(v) for v in eqn.invars):
            raise SpanaxError(
                f"a draw reaches a mutable array (`{eqn.primitive.name}` of a jax.Ref), from where it cannot be followed",
                "carry the array through jax.lax.scan",
                "x = x.at[i].set(value)",
                where=where(eqn),
            )
        return [into] * len(eqn.outvars)

    def _sample(self, eqn, ins, control, here, loops):
        self.loops[here], self.sites[here] = loops, eqn
        return [control.union(*ins) | {(here, None)}]

    def _cost(self, eqn, ins, control, here, loops):
        if eqn.params["mapped"]:
            raise SpanaxError(
                "a cost inside a vmap of the program, where a cond around it would count the costs of both branches",
                "return it from the mapped function, and call sx.cost on the sum outside",
                "jax.vmap(expectation(f)) instead of a vmap inside f",
                where=eqn.params["where"],
            )
        self.loops[here], self.reach[here] = loops, control.union(*ins)
        return []

    def _cond(self, eqn, ins, control, here, loops):
        index, *operands = ins
        branches = cond_branches(eqn)
        _check_varying(eqn, varying(eqn.invars[0]), eqn.outvars)
        outs = [self._walk(b.jaxpr, operands, control | index, (*here, k), loops) for k, b in enumerate(branches)]
        # Which branch was taken shows in the result, even if both return what no draw reaches.
        return [index.union(*out) for out in zip(*outs, strict=True)]

    def _scan(self, eqn, ins, control, here, loops):
        scan = scan_parts(eqn)
        consts, first, xs = scan.split(ins)

        # Labels are only ever added, and there are finitely many: the iteration ends.
        def step(carry):
            outs = self._walk(scan.body.jaxpr, [*consts, *carry, *xs], control, here, (*loops, here))
            return [
                c | {_next_iteration(label, here) for label in out} for c, out in zip(carry, outs, strict=False)
            ], outs

        carry, outs = fixed_point(step, first)
        # A scan of no iterations hands on what it began with; of others that does no harm.
        outs = [out | c for out, c in itertools.zip_longest(outs, carry, fillvalue=NONE)]
        return [frozenset(_after_loop(label, here) for label in out) for out in outs]

    def _while(self, eqn, ins, control, here, loops):
        """The loop is one site and one cost: how many iterations it makes is unknown."""
        loop = while_parts(eqn)
        inner = loop.body.jaxpr
        _, carried = loop.split_body(inner.invars)
        # What is handed on unchanged does not depend on how many iterations there are.
        changed = [v for v, x, y in zip(eqn.outvars, carried, inner.outvars, strict=True) if x is not y]
        _check_varying(eqn, varying(loop.test.jaxpr.outvars[0]), changed)
        # What decides whether there is another iteration decides all that the iteration does.
        (test_consts, body_consts, first), test = loop.split(ins), NONE

        def step(carry):
            nonlocal test
            (decides,) = self._walk(loop.test.jaxpr, [*test_consts, *carry], control, (*here, 0), loops)
            test |= decides
            outs = self._walk(inner, [*body_consts, *carry], control | test, (*here, 1), loops)
            return [c | out for c, out in zip(carry, outs, strict=True)], None

        carry, _ = fixed_point(step, first)
        inside = [labels for path, labels in self.reach.items() if within(path, here)]
        self.loops[here] = loops
        # The loop pays for its own costs as well, so its label is among those that its cost answers to.
        self.reach[here] = _as_one_site(test.union(*carry, *inside), here) | {(here, None)}
        return [_as_one_site(c | test, here) for c in carry]


_RULES = {
    sample_p: Flow._sample,
    cost_p: Flow._cost,
    P.cond_p: Flow._cond,
    P.scan_p: Flow._scan,
    P.while_p: Flow._while,
}


def _check_varying(eqn: JaxprEqn, decides: frozenset, outs: Sequence) -> None:
    """JAX does not say that what each device of a mesh decides by itself differs, and its derivative would not be summed.

    `decides`: the mesh axes along which the predicate differs; `outs`: the results that it decides.
    """
    # An integer has no derivative, so nothing could be summed wrongly.
    floats = [v for v in outs if jnp.issubdtype(aval(v).dtype, jnp.floating)]
    if same := sorted(frozenset().union(*(decides - varying(v) for v in floats))):
        raise SpanaxError(
            f"a `{eqn.primitive.name}` that each device along the mesh axes {same} decides by itself, and a result that JAX "
            "takes to be the same on all of them: its derivative would be wrong",
            f"jax.lax.pcast(x, {tuple(same)}, to='varying') of what the branches return, or the loop begins with",
            "jnp.where",
            where=where(eqn),
        )


def _next_iteration(label: Label, loop: Path) -> Label:
    """The label on the other side of the loop's back edge."""
    # The outermost loop is kept: a later iteration of it is later, whatever the loops inside it do.
    site, crossed = label
    inner = crossed is None or within(crossed, loop)
    return (site, loop) if within(site, loop) and inner else label


def _after_loop(label: Label, loop: Path) -> Label:
    """After the loop all its iterations are over: a crossing of it no longer orders anything."""
    site, crossed = label
    return (site, None) if crossed is not None and within(crossed, loop) else label


def _as_one_site(labels: Labels, loop: Path) -> Labels:
    """The labels of a while loop's own draws become that of one site; a crossing of a loop around it stays."""

    def outside(crossed: Path | None) -> Path | None:
        return None if crossed is None or within(crossed, loop) else crossed

    return frozenset((loop, outside(crossed)) if within(site, loop) else (site, crossed) for site, crossed in labels)
