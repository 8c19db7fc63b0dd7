"""Branching draws: what follows one becomes a function `rest(z) -> objective`, which its bridge evaluates as often as it needs.

The value of that is an estimate of the objective given all draws before, so for them it is one cost. Draws nest: each runs those
after it again, and the runs multiply. A cond with such a draw inside takes what follows it into its branches.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ..._errors import SpanaxError
from ..._jaxprs import (
    PLAIN_CALLS,
    Jaxpr,
    JaxprEqn,
    P,
    as_varying,
    at,
    below,
    body,
    collective_axes,
    cond_branches,
    mesh_axes,
    varying_type,
    where,
)
from ..._math.distributions import family
from ...bridges import Branching, Drawing
from .._credit import Events
from ..flow import Flow, Path, within
from ..sampling import attribute_errors, parts, sample_p
from .structures import Runner, Traced

LIMIT = 10_000  # runs of the rest of the program, over all branching sites

Rest = Callable[[list, Events, int], Any]  # (outputs, events so far, runs so far) -> objective


class BranchingRunner(Runner, Protocol):
    """What a branching draw asks of whoever runs the program around, beside what other rules do."""

    flow: Flow

    def run(
        self, jaxpr: Jaxpr, consts: Sequence, args: Sequence, path: Path, events: Events, then: Rest, runs: int
    ) -> Any: ...
    def assemble(self, events: Events) -> Float[Array, ""]: ...
    def conform(self, eqn: JaxprEqn, via: Drawing, z: Array) -> Array: ...
    def is_branch(self, eqn: JaxprEqn) -> bool: ...


def branch(
    program: BranchingRunner, eqn: JaxprEqn, ins: list, here: Path, events: Events, rest: Rest, runs: int
) -> Float[Array, ""]:
    """The objective of an equation with a branching draw inside and of all that follows it."""
    if eqn.primitive in PLAIN_CALLS:
        jaxpr, consts = body(eqn)
        return program.run(jaxpr, consts, ins, here, events, rest, runs)
    if eqn.primitive not in (P.cond_p, sample_p):
        raise _inside_a_structure(program, eqn)
    branch_at = _branch_of_cond if eqn.primitive is P.cond_p else _branch_of_draw
    events.costs[here] = branch_at(program, eqn, ins, here, rest, runs)
    return program.assemble(events)


def _inside_a_structure(program: BranchingRunner, eqn: JaxprEqn) -> SpanaxError:
    draws = below(eqn, program.is_branch)
    assert draws is not None
    site = draws.params["site"]
    return SpanaxError(
        f"{program.bridge_at(site)!r} at {site.label} inside `{eqn.primitive.name}`: the rest of the program cannot be "
        "run again from inside it",
        "ScoreFunction() there, with expectation(samples=2) or more",
        "unroll the loop in Python",
        where=site.where,
    )


def _branch_of_cond(program: BranchingRunner, eqn: JaxprEqn, ins: list, here: Path, rest: Rest, runs: int):
    _check_collectives_behind(program, eqn, here)

    def run(k, branch, operands):
        return program.run(branch.jaxpr, branch.consts, operands, (*here, k), Events(), rest, runs)

    branches = [Traced(functools.partial(run, k, b), ins[1:]) for k, b in enumerate(cond_branches(eqn))]
    # An objective may differ along a mesh axis in one branch alone, and a switch wants one type.
    axes = frozenset().union(*(varying_type(branch.shapes) for branch in branches))
    return lax.switch(ins[0], [lambda *x, b=b: as_varying(b(*x), axes) for b in branches], ins[1:])


def _check_collectives_behind(program: BranchingRunner, eqn: JaxprEqn, here: Path) -> None:
    """What comes after the cond will run in its branches, where a collective would wait for devices in another one."""
    behind = (e for path, (e, _) in program.flow.collectives.items() if path > here and not within(path, here))
    collective = next((e for e in behind if mesh_axes() & collective_axes(e)), None)
    draws = below(eqn, program.is_branch)
    if collective is None or draws is None:
        return
    site = draws.params["site"]
    raise SpanaxError(
        f"{program.bridge_at(site)!r} at {site.label} in a branch of a cond, and a `{collective.primitive.name}` (at "
        f"{where(collective)}) after it, which only the devices that take the same branch would run together",
        "the collective before the cond",
        "ScoreFunction() there, with expectation(samples=2) or more",
        where=site.where,
    )


def _branch_of_draw(program: BranchingRunner, eqn: JaxprEqn, ins: list, here: Path, rest: Rest, runs: int):
    site = eqn.params["site"]
    key, *leaves = ins
    distribution, own = parts(site, leaves)
    via = program.override(site) or own
    assert isinstance(via, Branching)
    if site.vmapped:
        raise SpanaxError(
            f"{via!r} at {site.label} inside a vmap of the program: each index would need the rest of the program",
            "jax.vmap(expectation(f)) instead",
            "one draw with a batch shape instead of the inner vmap",
            "ScoreFunction()",
            where=site.where,
        )
    with at(eqn), attribute_errors(site):
        runs *= via.branches(distribution)
    # Before the first of them: a program that is too large is refused, and does not hang in tracing.
    if runs > LIMIT:
        raise SpanaxError(
            f"{via!r} at {site.label} ({family(distribution)}, {list(distribution.shape())}): {runs:,} runs of the rest "
            f"of the program, more than {LIMIT:,}",
            "ScoreFunction() with expectation(samples=2) or more",
            "LeaveOneOut() or DisARM()",
            where=site.where,
        )
    with at(eqn), attribute_errors(site):
        # Events of its own in each run: the scores before this draw multiply its one cost, and not what is inside it.
        objective = via.objective(key, distribution, lambda z: rest([program.conform(eqn, via, z)], Events(), runs))
        if jnp.shape(objective) or not jnp.issubdtype(jnp.result_type(objective), jnp.floating):
            raise SpanaxError(
                f"{via!r}.objective gave {jnp.result_type(objective)}{list(jnp.shape(objective))}",
                "an objective that is one floating-point scalar: a mean over its evaluations of `rest`",
            )
    return jnp.asarray(objective, program.dtype)
