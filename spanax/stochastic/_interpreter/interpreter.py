"""Runs a traced program so that its draws and costs are recorded.

An interpreter in continuation-passing style: a `Branching` draw needs the rest of the program as a function, so each step is
given what follows it. Programs without such draws are run straight through. Scores and costs are collected by path as they come
up; at the end `_credit` makes one surrogate of them, and of what `flow` says about who reaches whom.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from ..._errors import SpanaxError
from ..._jaxprs import (
    ClosedJaxpr,
    Jaxpr,
    JaxprEqn,
    Literal,
    as_varying,
    at,
    aval,
    below,
    collective_axes,
    evaluate,
    evaluate_jaxpr,
    varying,
    where,
)
from ..._math.precision import lowered
from ..._primitives import without_derivative, zero_valued, zero_valued_p
from ...bridges import Branching, Drawing, Enumerate, Local, Score, ScoreFunction
from .._credit import Events, Others, surrogate
from ..flow import RESULT, Flow, Labels, Path, within
from ..sampling import Site, cost_p, draw, draw_with_score, parts, sample_p, with_bridge, with_score
from .branching import Rest, branch
from .custom_rules import check_straight_through
from .estimates import estimates_to_unfold, leave, leave_p, new_estimate
from .structures import RULES


class Interpreter:
    """A traced program `key -> (scalar, *aux)`, with the bridges that `vias` puts at named sites."""

    def __init__(self, closed: ClosedJaxpr, vias: Mapping[str, Drawing], others: Others):
        self.closed, self.vias, self.others = closed, vias, others
        self.flow = Flow(closed)
        self.dtype = aval(closed.jaxpr.outvars[0]).dtype  # of the objective: scores and costs are brought to it
        # By identity: equations live as long as `closed`, and equal ones may have other draws inside.
        self._cached: dict[tuple[str, int], bool] = {}
        # All checks before the first draw is made: an error must not depend on how far a run has come.
        self._check_names()
        self.estimate = new_estimate()
        self.unfolded = estimates_to_unfold(closed)
        self._check_collectives()
        check_straight_through(closed.jaxpr, self.bridge_at)
        sites = [eqn.params["site"] for eqn in self.flow.sites.values()]
        bridges = {site: self.bridge_at(site) for site in sites if self.takes(site)}
        # The draws that an expectation around this one may have to take over. What a branching draw runs again is not visible
        # from there, so such a program shows none of its draws as sites.
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
        """Through a collective a draw reaches the costs at other indices of the axis, which are not here to answer to it."""
        # Flow gives a collective that draws reach a label of its own, so it is known whether it leads on to a cost.
        reaching = {path for labels in self.flow.reach.values() for path, _ in labels}
        for path, (eqn, labels) in self.flow.collectives.items():
            # What is collected and reaches no cost (a mean for a plot) changes no gradient.
            site = self._scored_site(labels)
            if site is not None and any(within(path, end) for end in reaching):
                _refuse_collective(eqn, site)

    def _scored_site(self, labels: Labels) -> Site | None:
        """The first draw of these labels that costs answer for."""
        sites = (e.params["site"] for p, e in self.flow.sites.items() if any(within(p, path) for path, _ in labels))
        return next(filter(self.scores, sites), None)

    def __call__(self, key: Key[Array, ""]) -> tuple[Float[Array, ""], list[Array]]:
        """The surrogate of one replicate, and the program's further outputs."""
        jaxpr, aux = self.closed.jaxpr, []

        def finish(outs, events, runs):
            aux[:] = outs[1:]
            events.costs[RESULT] = outs[0]
            return self.assemble(events)

        # Result and costs are events alike; the surrogate is made where the program ends, which is inside `rest` if it
        # branches.
        objective = self.run(jaxpr, self.closed.consts, [key], (), Events(), finish, 1)
        if self.noisy:
            objective = leave(objective, self.estimate, self.noisy[0] if self.closed_off else None)
        # With branches, they are tracers of the last run of some `rest`: run the program once more, plainly, for them.
        if aux and any(map(self.branches, jaxpr.eqns)):
            aux = evaluate_jaxpr(jaxpr, lax.stop_gradient(self.closed.consts), key)[1:]
        return objective, [self._aux(jnp.asarray(x)) for x in aux]

    def _aux(self, x: Array) -> Array:
        return without_derivative(
            x,
            [jnp.asarray(c) for c in self.closed.consts if jnp.issubdtype(jnp.result_type(c), jnp.inexact)],
            "the derivative of aux: it is a sample of f's, not an expectation",
            "return it in the scalar, or call sx.cost on it",
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

    # Asked of each equation at each depth, and again in each run of a `rest`: so both answers are remembered.

    def holds_event(self, eqn: JaxprEqn) -> bool:
        return self._remember("event", eqn, self.is_event)

    def branches(self, eqn: JaxprEqn) -> bool:
        """Does it hold a draw through a `Branching` bridge?"""
        return self._remember("branch", eqn, self.is_branch)

    def is_branch(self, eqn: JaxprEqn) -> bool:
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
        # `env` is given where a `rest` goes on in the middle of a program.
        env = env or dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

        def read(v):
            return v.val if isinstance(v, Literal) else env[v]

        for i, eqn in enumerate(jaxpr.eqns[start:], start):
            ins, here = [read(v) for v in eqn.invars], (*path, i)
            if self.branches(eqn):
                # Its own copy of the environment: it may run many times, each with another draw.
                def rest(outs, events, runs, i=i, eqn=eqn):
                    known = {**env, **dict(zip(eqn.outvars, outs, strict=True))}
                    return self.run(jaxpr, (), (), path, events, then, runs, i + 1, known)

                return branch(self, eqn, ins, here, events, rest, runs)
            env.update(zip(eqn.outvars, self.step(eqn, ins, here, events), strict=True))
        return then([read(v) for v in jaxpr.outvars], events, runs)

    def inner(self, program: tuple[Jaxpr, Sequence], ins: Sequence, here: Path) -> tuple[list, Events]:
        """Outputs and events of a sub-program without branches."""
        jaxpr, consts = program
        return self.run(jaxpr, consts, ins, here, Events(), lambda outs, events, runs: (outs, events), 1)

    def step(self, eqn: JaxprEqn, ins: list, here: Path, events: Events) -> list:
        """Outputs of one equation without branches; its draws and costs join `events`."""
        # Most equations: bound again as they are, so that their user's line and their own rules stay.
        if not self.holds_event(eqn):
            return evaluate(eqn, ins)
        if eqn.primitive is sample_p:
            return [self.draw(eqn, ins, here, events)]
        if eqn.primitive is cost_p:
            events.costs[here] = jnp.sum(jnp.asarray(ins[0], self.dtype))
            return []
        if eqn.primitive is zero_valued_p:
            return [jnp.zeros_like(ins[0])]  # the score of an inner estimate whose draws are scored here
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
        # Events of a loop or a branch come stacked or padded, so they are collected apart and then added.
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
        # The first draw stands for all: any of them would have to be a site of the outer program.
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
                # From now on it is a draw of this estimate: see `estimates`.
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
            _refuse_baseline_per_index(site)
        else:
            via = ScoreFunction()  # the baseline was for the costs of the inner expectation
        score = score.astype(self.dtype)
        # The value is 0 by construction; but NaN where log p is infinite, which the second term must not let get lost.
        events.scores[here] = zero_valued(score, self.estimate) + lax.stop_gradient(score)
        events.bridges[here] = via

    def conform(self, eqn: JaxprEqn, via: Drawing, z: Array) -> Array:
        """z, if it has the dtype and shape that the program was traced for."""
        # The equations after it are bound as they were traced: with another shape they would fail far from here, or broadcast.
        site, want = eqn.params["site"], aval(eqn.outvars[0])
        # A bridge computes in float32 where the parameters have fewer digits.
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
                f"{via!r} at {site.label} makes draws that differ from device to device along {sorted(further)}, and the "
                "program was written for a draw that does not",
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
        # In that objective all later costs are one number, so the draws before it answer to all that any of them reaches.
        return frozenset().union(*(labels for path, labels in self.flow.reach.items() if path >= cost))


def _refuse_collective(eqn: JaxprEqn, site: Site) -> NoReturn:
    axes = ", ".join(sorted(map(repr, collective_axes(eqn))))
    raise SpanaxError(
        f"`{eqn.primitive.name}` over the axis {axes}, which is bound outside of the expectation, of what {site.label} "
        f"(at {site.where}) reaches: the costs at other indices of the axis would not answer to this draw",
        f"outside of it: jax.lax.pmean of the values, or of the gradients, of sx.expectation(f), over {axes}",
        "one expectation over all indices: the vmap, with its axis_name, inside f",
        "Pathwise(), where the distribution has a reparametrised draw",
        where=where(eqn),
    )


def _own_bridge(site: Site) -> Drawing:
    """The bridge that `sample` was called with; its array fields are placeholders."""
    return parts(site, [0.0] * len(site.static))[1]


def _refuse_baseline_per_index(site: Site) -> None:
    # The score of a site is summed over its vmaps, so there is one advantage for all indices.
    for axes in site.vmapped:
        _, via = parts(site, axes[1:])
        if any(axis is not None for axis in jax.tree.leaves(via)):
            raise SpanaxError(
                f"{site.label}: a baseline for each index of a vmap, but one score for all of them",
                "jax.vmap(expectation(f)) instead of a vmap inside f",
                "a scalar baseline for the whole draw",
                where=site.where,
            )
