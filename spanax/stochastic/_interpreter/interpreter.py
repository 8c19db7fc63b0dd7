"""Running a traced program so that its draws and costs are heard.

An interpreter in continuation style: a `Branching` draw needs the rest of the program as a function, so each step is given
what follows it. Programs without such draws are run straight through.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from ..._errors import SpanaxError
from ..._jaxprs import (
    PLAIN_CALLS,
    ClosedJaxpr,
    Jaxpr,
    JaxprEqn,
    Literal,
    P,
    as_varying,
    at,
    aval,
    below,
    body,
    collective_axes,
    cond_branches,
    evaluate,
    evaluate_jaxpr,
    mesh_axes,
    varying,
    varying_type,
    where,
)
from ..._math.distributions import family
from ..._math.precision import lowered
from ..._primitives import without_derivative, zero_valued, zero_valued_p
from ...bridges import Branching, Drawing, Enumerate, Local, Score, ScoreFunction
from .._credit import Events, Others, surrogate
from ..flow import RESULT, Flow, Path, within
from ..sampling import Site, cost_p, draw, draw_with_score, naming, parts, sample_p, with_bridge, with_score
from .custom_rules import check_straight_through
from .estimates import leave, leave_p, new_estimate, unfolded
from .structures import RULES, Traced

LIMIT = 10_000  # runs of the rest of the program, over all branching sites

Rest = Callable[[list, Events, int], Any]  # (outputs, events so far, runs so far) -> objective


class Program:
    """A traced program `key -> (scalar, *aux)`, with the bridges that `vias` puts at named sites."""

    def __init__(self, closed: ClosedJaxpr, vias: Mapping[str, Drawing], others: Others):
        self.closed, self.vias, self.others = closed, vias, others
        self.flow = Flow(closed)
        self.dtype = aval(closed.jaxpr.outvars[0]).dtype  # of the objective: scores and costs are brought to it
        self._cached: dict[tuple[str, int], bool] = {}
        self._check_names()
        self.estimate = new_estimate()
        self.unfolded = unfolded(closed)
        self._check_collectives()
        check_straight_through(closed.jaxpr, self.bridge_at)
        sites = [eqn.params["site"] for eqn in self.flow.sites.values()]
        bridges = {site: self.bridge_at(site) for site in sites if self.takes(site)}
        # The draws that an expectation around this one may have to take. What a branching draw runs again is not seen from there.
        self.closed_off = any(isinstance(via, Branching) for via in bridges.values())
        self.noisy = [site.where for site, via in bridges.items() if not isinstance(via, Local | Enumerate)]

    def takes(self, site: Site) -> bool:
        """Is the draw one of this program's, and not of an estimate that it uses as it is?"""
        return site.estimate is None or site.estimate in self.unfolded or isinstance(_own_bridge(site), Local)

    def _check_names(self) -> None:
        sites = [eqn.params["site"] for eqn in self.flow.sites.values()]
        names = {site.name for site in sites if site.estimate is None} - {None}
        if unknown := sorted(set(self.vias) - names):
            raise SpanaxError(
                f"via= names {unknown}, and no draw is called that; the names are {sorted(names)}",
                "sample(..., name=...)",
            )

    def _check_collectives(self) -> None:
        """Through a collective a draw reaches the costs of other lanes, which are not there to answer to it."""
        reaching = {path for labels in self.flow.reach.values() for path, _ in labels}
        for path, (eqn, labels) in self.flow.collectives.items():
            draws = [e for p, e in self.flow.sites.items() if any(within(p, site) for site, _ in labels)]
            scored = next((e for e in draws if self.scores(e.params["site"])), None)
            if scored is not None and any(within(path, end) for end in reaching):
                site, axes = scored.params["site"], ", ".join(sorted(map(repr, collective_axes(eqn))))
                raise SpanaxError(
                    f"`{eqn.primitive.name}` over the axis {axes}, which is bound outside of the expectation, of what "
                    f"{site.label} (at {site.where}) reaches: the costs of other lanes would not answer to this draw",
                    f"outside of it: jax.lax.pmean of the values, or of the gradients, of sx.expectation(f), over {axes}",
                    "one expectation of all lanes: the vmap, with its axis_name, inside of f",
                    "Pathwise(), where the distribution has a reparametrised draw",
                    where=where(eqn),
                )

    def __call__(self, key: Key[Array, ""]) -> tuple[Float[Array, ""], list[Array]]:
        """The surrogate of one replicate, and the program's further outputs."""
        jaxpr, aux = self.closed.jaxpr, []

        def finish(outs, events, runs):
            aux[:] = outs[1:]
            events.costs[RESULT] = outs[0]
            return self.assemble(events)

        objective = self.run(jaxpr, self.closed.consts, [key], (), Events(), finish, 1)
        if self.noisy:
            objective = leave(objective, self.estimate, self.noisy[0] if self.closed_off else None)
        if aux and any(map(self.branches, jaxpr.eqns)):  # they came from inside a `rest`: draw once more, plainly
            aux = evaluate_jaxpr(jaxpr, lax.stop_gradient(self.closed.consts), key)[1:]
        return objective, [self._aux(jnp.asarray(x)) for x in aux]

    def _aux(self, x: Array) -> Array:
        return without_derivative(
            x,
            [jnp.asarray(c) for c in self.closed.consts if jnp.issubdtype(jnp.result_type(c), jnp.inexact)],
            "the derivative of aux: it is what was seen, not an expectation",
            "return it in the scalar, or say sx.cost of it",
            "jax.lax.stop_gradient(aux), if a zero is meant",
        )

    def scores(self, site: Site) -> bool:
        """Is the draw one that costs answer for, beyond its own derivative?"""
        return self.takes(site) and not isinstance(self.bridge_at(site), Local)

    # -- what an equation holds

    def is_event(self, eqn: JaxprEqn) -> bool:
        if eqn.primitive is sample_p:
            return self.closed_off or self.takes(eqn.params["site"])
        if eqn.primitive is zero_valued_p:
            return eqn.params["owner"] in self.unfolded
        return eqn.primitive is cost_p or (self.closed_off and eqn.primitive is leave_p)

    def holds_event(self, eqn: JaxprEqn) -> bool:
        return self._remember("event", eqn, self.is_event)

    def branches(self, eqn: JaxprEqn) -> bool:
        """Does it hold a draw through a `Branching` bridge?"""
        return self._remember("branch", eqn, self._is_branch)

    def _is_branch(self, eqn: JaxprEqn) -> bool:
        return eqn.primitive is sample_p and isinstance(self.bridge_at(eqn.params["site"]), Branching)

    def bridge_at(self, site: Site) -> Drawing:
        """The bridge of a site; its array fields are placeholders."""
        return self.override(site) or _own_bridge(site)

    def override(self, site: Site) -> Drawing | None:
        """The bridge that `vias` puts at this site."""
        return self.vias.get(site.name) if site.name and site.estimate is None else None

    def _remember(self, what: str, eqn: JaxprEqn, test: Callable[[JaxprEqn], bool]) -> bool:
        if (what, id(eqn)) not in self._cached:
            self._cached[what, id(eqn)] = below(eqn, test) is not None
        return self._cached[what, id(eqn)]

    # -- running

    def run(
        self,
        jaxpr: Jaxpr,
        consts: Sequence,
        args: Sequence,
        path: Path,
        events: Events,
        then: Rest,
        runs: int,
        start: int = 0,
        env: dict | None = None,
    ) -> Any:
        """Interprets the equations from `start`; `then` is what follows, and its result is returned."""
        env = env or dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

        def read(v):
            return v.val if isinstance(v, Literal) else env[v]

        for i, eqn in enumerate(jaxpr.eqns[start:], start):
            ins, here = [read(v) for v in eqn.invars], (*path, i)
            if self.branches(eqn):

                def rest(outs, events, runs, i=i, eqn=eqn):
                    known = {**env, **dict(zip(eqn.outvars, outs, strict=True))}
                    return self.run(jaxpr, (), (), path, events, then, runs, i + 1, known)

                return self.branch(eqn, ins, here, events, rest, runs)
            env.update(zip(eqn.outvars, self.step(eqn, ins, here, events), strict=True))
        return then([read(v) for v in jaxpr.outvars], events, runs)

    def inner(self, program: tuple[Jaxpr, Sequence], ins: Sequence, here: Path) -> tuple[list, Events]:
        """Outputs and events of a sub-program without branches."""
        jaxpr, consts = program
        return self.run(jaxpr, consts, ins, here, Events(), lambda outs, events, runs: (outs, events), 1)

    def step(self, eqn: JaxprEqn, ins: list, here: Path, events: Events) -> list:
        """Outputs of one equation without branches; its draws and costs join `events`."""
        if not self.holds_event(eqn):
            return evaluate(eqn, ins)
        if eqn.primitive is sample_p:
            return [self.draw(eqn, ins, here, events)]
        if eqn.primitive is cost_p:
            events.costs[here] = jnp.sum(jnp.asarray(ins[0], self.dtype))
            return []
        if eqn.primitive is zero_valued_p:
            return [jnp.zeros_like(ins[0])]
        if eqn.primitive is leave_p:
            return [
                leave(ins[0], eqn.params["estimate"], eqn.params["frozen"] or self._place_of(eqn.params["estimate"]))
            ]
        if eqn.primitive not in RULES:
            raise SpanaxError(
                f"a draw or a cost inside `{eqn.primitive.name}`, which Spanax cannot look into",
                "move the draw or the cost out of it",
                "write the loop as jax.lax.scan",
                where=self.place(eqn),
            )
        outs, new = RULES[eqn.primitive](self, eqn, ins, here)
        events.add(new)
        return outs

    def place(self, eqn: JaxprEqn) -> str:
        """file:line of a draw or cost inside this equation."""
        event = below(eqn, lambda e: e.primitive in (sample_p, cost_p))
        if event is None:
            return where(eqn)
        return event.params["site"].where if event.primitive is sample_p else event.params["where"]

    def _place_of(self, estimate: int) -> str:
        sites = (eqn.params["site"] for eqn in self.flow.sites.values())
        return next((site.where for site in sites if site.estimate == estimate), "")

    # -- draws

    def draw(self, eqn: JaxprEqn, ins: list, here: Path, events: Events) -> Array:
        """A `Local` or `Score` draw; the score of one that this program takes joins `events`."""
        site = eqn.params["site"]
        key, *leaves = ins
        override = self.override(site)
        via = override or parts(site, leaves)[1]
        scored, score = isinstance(via, Score) and self.takes(site), None
        with at(eqn):
            if not self.closed_off:  # it stays a site, for an expectation around this one
                own, arrays = with_bridge(site, override, leaves) if override else (site, leaves)
                own = own._replace(estimate=self.estimate)
                z = sample_p.bind(key, *arrays, site=own)[0]
                z, score = with_score(own, key, z, *arrays) if scored else (z, None)
            elif scored:
                z, score = draw_with_score(site, override, key, *leaves)
            else:
                z = draw(site, override, key, *leaves)
            if score is not None and isinstance(via, Score):
                self.note(site, via, score, here, events)
            return self.conform(eqn, via, z)

    def note(self, site: Site, via: Score, score: Array, here: Path, events: Events) -> None:
        if site.estimate is None:
            _refuse_baseline_per_lane(site)
        else:
            via = ScoreFunction()  # the baseline was for the costs of the inner expectation
        score = score.astype(self.dtype)
        events.scores[here] = zero_valued(score, self.estimate) + lax.stop_gradient(score)  # which is 0, or NaN
        events.bridges[here] = via

    def conform(self, eqn: JaxprEqn, via: Drawing, z: Array) -> Array:
        """z, if it has the dtype and shape that the program was traced for."""
        site, want = eqn.params["site"], aval(eqn.outvars[0])
        z = lowered(z, want.dtype)
        if (z.shape, z.dtype) != (want.shape, want.dtype):
            raise SpanaxError(
                f"{via!r} at {site.label} draws {z.dtype}{list(z.shape)}, and the program was written for "
                f"{want.dtype}{list(want.shape)}",
                "give this bridge as via= in sample(), and write the program for its draws",
                "a bridge with the same kind of draw",
                where=site.where,
            )
        if further := varying(z) - varying(eqn.outvars[0]):
            raise SpanaxError(
                f"{via!r} at {site.label} draws what differs from device to device along {sorted(further)}, and the program "
                "was written for a draw that does not",
                "give this bridge as via= in sample(), and write the program for its draws",
                where=site.where,
            )
        return as_varying(z, varying(eqn.outvars[0]))

    def assemble(self, events: Events) -> Float[Array, ""]:
        return surrogate(self.flow, events, self.reach, self.others)

    def reach(self, cost: Path) -> frozenset:
        """Labels of the draws that a cost answers to; the objective of a branch stands for every cost that follows it."""
        if cost in self.flow.reach and cost not in self.flow.sites:
            return self.flow.reach[cost]
        return frozenset().union(*(labels for path, labels in self.flow.reach.items() if path >= cost))

    def branch(self, eqn: JaxprEqn, ins: list, here: Path, events: Events, rest: Rest, runs: int) -> Float[Array, ""]:
        """What follows becomes a function of the draw, and its objective one cost for the draws before."""
        if eqn.primitive in PLAIN_CALLS:
            jaxpr, consts = body(eqn)
            return self.run(jaxpr, consts, ins, here, events, rest, runs)
        if eqn.primitive is P.cond_p:
            events.costs[here] = self.branch_of_cond(eqn, ins, here, rest, runs)
        elif eqn.primitive is sample_p:
            events.costs[here] = self.branch_of_draw(eqn, ins, rest, runs)
        else:
            draws = below(eqn, self._is_branch)
            assert draws is not None
            site = draws.params["site"]
            raise SpanaxError(
                f"{self.bridge_at(site)!r} at {site.label} inside `{eqn.primitive.name}`: the rest of the program cannot be "
                "run again from inside it",
                "ScoreFunction() there, with expectation(samples=2) or more",
                "unroll the loop in Python",
                where=site.where,
            )
        return self.assemble(events)

    def branch_of_cond(self, eqn, ins, here, rest, runs):
        self._check_behind_branches(eqn, here)

        def fn(k, branch, operands):
            return self.run(branch.jaxpr, branch.consts, operands, (*here, k), Events(), rest, runs)

        branches = [Traced(functools.partial(fn, k, b), ins[1:]) for k, b in enumerate(cond_branches(eqn))]
        axes = frozenset().union(*(varying_type(branch.shapes) for branch in branches))
        return lax.switch(ins[0], [lambda *x, b=b: as_varying(b(*x), axes) for b in branches], ins[1:])

    def _check_behind_branches(self, eqn: JaxprEqn, here: Path) -> None:
        """What comes after the cond will run in its branches, where a collective would wait for devices that take another one."""
        behind = (e for path, (e, _) in self.flow.collectives.items() if path > here and not within(path, here))
        collective = next((e for e in behind if mesh_axes() & collective_axes(e)), None)
        draws = below(eqn, self._is_branch)
        if collective is None or draws is None:
            return
        site = draws.params["site"]
        raise SpanaxError(
            f"{self.bridge_at(site)!r} at {site.label} in a branch of a cond, and a `{collective.primitive.name}` (at "
            f"{where(collective)}) after it, which only the devices that take the same branch would run together",
            "the collective before the cond",
            "ScoreFunction() there, with expectation(samples=2) or more",
            where=site.where,
        )

    def branch_of_draw(self, eqn, ins, rest, runs):
        site = eqn.params["site"]
        key, *leaves = ins
        distribution, own = parts(site, leaves)
        via = self.override(site) or own
        assert isinstance(via, Branching)
        if site.lanes:
            raise SpanaxError(
                f"{via!r} at {site.label} inside a vmap of the program: its lanes would need the rest of the program each",
                "jax.vmap(expectation(f)) instead",
                "one draw with a batch shape instead of the inner vmap",
                "ScoreFunction()",
                where=site.where,
            )
        with at(eqn), naming(site):
            runs *= via.branches(distribution)
        if runs > LIMIT:
            raise SpanaxError(
                f"{via!r} at {site.label} ({family(distribution)}, {list(distribution.shape())}): {runs:,} runs of the rest "
                f"of the program, more than {LIMIT:,}",
                "ScoreFunction() with expectation(samples=2) or more",
                "LeaveOneOut() or DisARM()",
                where=site.where,
            )
        with at(eqn), naming(site):
            objective = via.objective(key, distribution, lambda z: rest([self.conform(eqn, via, z)], Events(), runs))
            if jnp.shape(objective) or not jnp.issubdtype(jnp.result_type(objective), jnp.floating):
                raise SpanaxError(
                    f"{via!r}.objective gave {jnp.result_type(objective)}{list(jnp.shape(objective))}",
                    "an objective that is one floating-point scalar: a mean over its evaluations of `rest`",
                )
        return jnp.asarray(objective, self.dtype)


def _own_bridge(site: Site) -> Drawing:
    """The bridge that `sample` was called with; its array fields are placeholders."""
    return parts(site, [0.0] * len(site.static))[1]


def _refuse_baseline_per_lane(site: Site) -> None:
    for axes in site.lanes:
        _, via = parts(site, axes[1:])
        if any(axis is not None for axis in jax.tree.leaves(via)):
            raise SpanaxError(
                f"{site.label}: a baseline for each lane of a vmap, but one score for all lanes",
                "jax.vmap(expectation(f)) instead of a vmap inside f",
                "a scalar baseline for the whole draw",
                where=site.where,
            )
