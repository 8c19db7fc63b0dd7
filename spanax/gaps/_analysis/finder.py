"""Dataflow over the traced program, with JAX's own rules for what each equation does to a derivative.

Each value carries sets of the arguments' leaves, as bits: on which it depends, from which a tangent reaches it, and for which
that tangent cannot be transposed (`states`). It is an abstract interpretation: loops are walked until the sets stop growing, and
of a `cond` all branches. Where the walk leaves an expression of the user's, `cuts` says what was lost in it; a walk backward
(`routes`) says how that matters to the result.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ..._errors import SpanaxError
from ..._jaxprs import (
    PLAIN_CALLS,
    ClosedJaxpr,
    Jaxpr,
    JaxprEqn,
    P,
    body,
    cond_branches,
    evaluate,
    fixed_point,
    is_ref,
    scan_parts,
    where,
    while_parts,
)
from ..._places import Place
from ...stochastic.sampling import cost_p, sample_p
from .cuts import Cut, Detector, Expression, Path, States
from .operations import CALLBACKS
from .routes import Routes
from .rules import Rules
from .states import NOTHING, Constant, State, either, read, union
from .user_code import UserCode


class Finder:
    """One walk forward and one backward over a traced program whose inputs are the leaves.

    The outcome: `result`, the state of all outputs and costs; `cuts`, and the `routes` of each; `sites`, the draws as (equation,
    place, active leaves); `raises`, the leaves whose derivative raises; `size`, the equations walked, those of sub-programs
    among them.
    """

    def __init__(self, closed: ClosedJaxpr, leaves: int):
        jaxpr = closed.jaxpr
        self.sites: dict[Path, tuple[JaxprEqn, Place | None, int]] = {}
        self.raises = 0
        self.size = 0
        self._costs = NOTHING
        self._rules, self._code = Rules(), UserCode(jaxpr)
        self._detector = Detector(self._code, self._rules)
        self.cuts: dict[tuple, Cut] = {}
        ins = [State(1 << i, 1 << i, 0, 1 << i) if i < leaves else NOTHING for i in range(len(jaxpr.invars))]
        consts = [State(value=Constant(lambda x=x: x)) for x in closed.consts]
        outs = self._forward(jaxpr, ins, (), None, True, consts)
        self.result = union([*outs, self._costs])
        self._routes = Routes(jaxpr)

    def routes(self, cut: Cut) -> dict[str, int]:
        """route -> the leaves that are cut on it."""
        return self._routes.of(cut)

    def _forward(
        self,
        jaxpr: Jaxpr,
        ins: Sequence[State],
        path: Path,
        site: Place | None,
        detect: bool,
        consts: Sequence[State] = (),
    ) -> list[State]:
        """The states of the outputs. `site`: where the program was called; `detect`: is it the user's own code?"""
        states: States = dict(zip([*jaxpr.invars, *jaxpr.constvars], [*ins, *consts], strict=False))
        first, current = 0, None
        for i, eqn in enumerate(jaxpr.eqns):
            place = self._code.place(eqn) or site
            if detect and i > first and _expression(place) != _expression(current):
                self._examine(Expression(jaxpr, first, i - first, path, current), states)
                first = i
            current = place
            outs = self._step(eqn, [read(states, v) for v in eqn.invars], (*path, i), place)
            states.update(zip(eqn.outvars, outs, strict=True))
        if detect and jaxpr.eqns:
            self._examine(Expression(jaxpr, first, len(jaxpr.eqns) - first, path, current), states)
        return [read(states, v) for v in jaxpr.outvars]

    def _examine(self, expression: Expression, states: States) -> None:
        findings = self._detector.examine(expression, states)
        # A loop's body is walked several times: the last walk, with the largest sets, overwrites what the earlier ones found.
        self.cuts.update(findings.cuts)
        states.update(findings.states)

    def _step(self, eqn: JaxprEqn, ins: list[State], path: Path, site: Place | None) -> list[State]:
        self.size += 1
        _refuse_references(eqn)
        if not any(s.depends for s in ins):
            return _constants(eqn, [s.value for s in ins])
        if eqn.primitive is sample_p:
            joined = union(ins)
            self.sites[path] = (eqn, site, joined.active)
            return [joined]
        if eqn.primitive is cost_p:
            self._costs |= union(ins)
            return []
        if eqn.primitive in PLAIN_CALLS:
            return self._enter(body(eqn)[0], ins, path, site)
        if eqn.primitive in _PROGRAMS:
            return _PROGRAMS[eqn.primitive](self, eqn, ins, path, site)
        # A custom rule decides the derivative, and the forward program is walked all the same: the user's lines are in there.
        if eqn.primitive is P.custom_vjp_call_p and self._code.wraps_user_code(eqn):
            self._forward(body(eqn)[0], ins, path, site, True)
        return self._primitive(eqn, ins)

    def _primitive(self, eqn: JaxprEqn, ins: list[State]) -> list[State]:
        depends = functools.reduce(int.__or__, (s.depends for s in ins), 0)
        active = [bool(s.active) for s in ins]
        if not any(active):
            return [State(depends, cut=union(ins).cut)] * len(eqn.outvars)
        rule = self._rules.of(eqn, active)
        if rule.error is not None:
            self.raises |= functools.reduce(int.__or__, (s.active for s in ins))
        # A select on something known picks the same input always; on something that depends, either: `sure` is what all have.
        chooses = eqn.primitive.name == "select_n" and bool(ins[0].depends)
        return [
            _output(ins, [row[k] for row in rule.through], chooses)._replace(depends=depends)
            for k in range(len(eqn.outvars))
        ]

    def _enter(self, jaxpr: Jaxpr, ins: Sequence[State], path: Path, site: Place | None) -> list[State]:
        return self._forward(jaxpr, ins, path, site, not self._code.is_library(jaxpr))

    def _cond(self, eqn, ins, path, site):
        detect = self._code.holds_user_code(eqn)
        branches = [self._forward(b.jaxpr, ins[1:], (*path, k), site, detect) for k, b in enumerate(cond_branches(eqn))]
        index = State(ins[0].depends, cut=ins[0].cut)
        return [either(outs) | index for outs in zip(*branches, strict=True)]

    def _scan(self, eqn, ins, path, site):
        scan = scan_parts(eqn)
        consts, first, xs = scan.split(ins)

        def step(carry):
            last, ys = scan.split_outs(self._enter(scan.body.jaxpr, [*consts, *carry, *xs], path, site))
            return [c | out for c, out in zip(carry, last, strict=True)], (last, ys)

        carry, (last, ys) = fixed_point(step, first)
        return [*(c._replace(sure=out.sure) for c, out in zip(carry, last, strict=True)), *ys]

    def _loop(self, eqn, ins, path, site):
        loop = while_parts(eqn)
        tested, consts, first = loop.split(ins)

        def step(carry):
            (going,) = self._enter(loop.test.jaxpr, [*tested, *carry], (*path, 0), site)
            outs = self._enter(loop.body.jaxpr, [*consts, *carry], (*path, 1), site)
            return [c | out for c, out in zip(carry, outs, strict=True)], going

        carry, going = fixed_point(step, first)
        return [State(s.depends | going.depends, s.active, s.active, s.sure, s.cut | going.cut) for s in carry]


_PROGRAMS: dict[Any, Callable] = {P.cond_p: Finder._cond, P.scan_p: Finder._scan, P.while_p: Finder._loop}


def _output(ins: Sequence[State], passes: Sequence[bool], chooses: bool) -> State:
    """One output, given which inputs' tangents pass on to it: what does not pass is cut."""
    through = [s if p else NOTHING for s, p in zip(ins, passes, strict=True)]
    cuts = (s.cut | (0 if p else s.active) for s, p in zip(ins, passes, strict=True))
    return (either(through[1:]) if chooses else union(through))._replace(cut=functools.reduce(int.__or__, cuts))


def _refuse_references(eqn: JaxprEqn) -> None:
    if any(is_ref(v) for v in [*eqn.invars, *eqn.outvars]):
        raise SpanaxError(
            f"a mutable array (`{eqn.primitive.name}` of a jax.Ref), through which the gradient cannot be followed",
            "carry the array through jax.lax.scan",
            "x = x.at[i].set(value)",
            where=where(eqn),
        )


def _constants(eqn: JaxprEqn, ins: Sequence[Constant | None]) -> list[State]:
    if eqn.effects or eqn.primitive.name in CALLBACKS or any(c is None for c in ins):
        return [NOTHING] * len(eqn.outvars)
    outs = functools.cache(lambda: evaluate(eqn, [c() for c in ins if c]))
    return [State(value=Constant(functools.partial(lambda k: outs()[k], k))) for k in range(len(eqn.outvars))]


def _expression(place: Place | None) -> tuple | None:
    return place.expression if place else None
