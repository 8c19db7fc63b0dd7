"""The primitives that hold a program of their own, run so that their draws and costs are recorded.

`RULES`: primitive -> rule(program, eqn, ins, here) -> (outputs, events). A primitive that is not among them is not looked into.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from ..._errors import SpanaxError
from ..._jaxprs import (
    Jaxpr,
    JaxprEqn,
    P,
    again,
    as_varying,
    aval,
    below,
    body,
    cond_branches,
    evaluate,
    evaluate_jaxpr,
    opened,
    scan_parts,
    varying_type,
    while_parts,
)
from ..._primitives import forward_only, zero_valued_p
from ...bridges import Drawing, ScoreFunction
from .._credit import Events
from ..flow import Path
from ..sampling import Site, cost_p, sample_p
from .custom_rules import crosses_a_draw, refuse_rule


class Runner(Protocol):
    """What the rules ask of whoever runs the program around."""

    dtype: Any
    closed_off: bool

    def inner(self, program: tuple[Jaxpr, Sequence], ins: Sequence, here: Path) -> tuple[list, Events]: ...
    def holds_event(self, eqn: JaxprEqn) -> bool: ...
    def is_event(self, eqn: JaxprEqn) -> bool: ...
    def scores(self, site: Site) -> bool: ...
    def override(self, site: Site) -> Drawing | None: ...
    def bridge_at(self, site: Site) -> Drawing: ...
    def place(self, eqn: JaxprEqn) -> str: ...


def _call(program: Runner, eqn: JaxprEqn, ins: list, here: Path):
    return program.inner(body(eqn), ins, here)


def _remat(program: Runner, eqn: JaxprEqn, ins: list, here: Path):
    # The user chose what to keep in memory; the run with events must keep as little.
    options = {name: eqn.params[name] for name in ("prevent_cse", "policy")}
    return jax.checkpoint(lambda ins: program.inner(body(eqn), ins, here), **options)(ins)


def _custom_rule(program: Runner, eqn: JaxprEqn, ins: list, here: Path):
    """The user's rule stays in force for the values; the same draws, run again, give the scores and costs."""
    crossed = _check_custom_rule(program, eqn, ins, here)
    recorded = below(eqn, lambda e: e.primitive is cost_p or e is crossed)
    plain, events = program.inner(body(eqn), ins, here) if recorded else ([], Events())
    # Run plainly as well, for the events; by the user's rule it must not be looked into a second time by an outer
    # expectation.
    stays = bool(plain) and not program.closed_off
    try:
        outs = again(lambda *ins: evaluate(eqn, ins))(*ins) if stays else evaluate(eqn, ins)
    except jax.errors.UnexpectedTracerError as error:
        raise SpanaxError(
            f"the rule of a `{eqn.primitive.name}` that holds a draw or a cost closes over an intermediate value of f",
            "pass that value as an argument of the function with the custom rule",
            where=program.place(eqn),
        ) from error
    # The values by the user's rule are those of the draws just recorded. The barrier says that they depend on them: an
    # expectation around this one must see a path from the draws to the costs.
    return (lax.optimization_barrier((*outs, *plain))[: len(outs)] if stays else outs), events


def _check_custom_rule(program: Runner, eqn: JaxprEqn, ins: list, here: Path) -> JaxprEqn | None:
    """Refuses what the user's rule cannot be right for. Returns the equation of a draw with a score inside, if there is one."""
    replaced = below(eqn, lambda e: e.primitive is sample_p and program.override(e.params["site"]) is not None)
    if replaced is not None:
        raise SpanaxError(
            f"via= replaces the bridge of {replaced.params['site'].label} inside `{eqn.primitive.name}`, "
            "whose own rule was written for another",
            "give the bridge as via= in sample()",
            where=replaced.params["site"].where,
        )
    crossed = below(eqn, lambda e: e.primitive is sample_p and program.scores(e.params["site"]))
    if crossed is not None and crosses_a_draw(eqn, ins, lambda ins: program.inner(body(eqn), ins, here)[0]):
        site = crossed.params["site"]
        raise refuse_rule(eqn, site, program.bridge_at(site))
    if below(eqn, lambda e: e.primitive is zero_valued_p and program.is_event(e)) is not None:
        raise SpanaxError(
            f"an inner expectation inside `{eqn.primitive.name}`, whose estimate is not used linearly: its draws cannot be those "
            "of the outer expectation there",
            "the inner expectation outside of the function with the custom rule",
            "Enumerate() for its draws",
            where=program.place(eqn),
        )
    return crossed


def _scan(program: Runner, eqn: JaxprEqn, ins: list, here: Path):
    scan = scan_parts(eqn)
    consts, start, rows = scan.split(ins)

    def step(carry, xs):
        outs, events = program.inner(opened(scan.body), [*consts, *carry, *xs], here)
        carry, ys = scan.split_outs(outs)
        return carry, (ys, events)

    carry, (ys, events) = lax.scan(step, start, rows, **scan.options)
    # Stacked by position; credit counts iterations in the order in which they run.
    if scan.reverse:
        events = jax.tree.map(lambda x: jnp.flip(x, 0), events)
    return [*carry, *ys], events


def _cond(program: Runner, eqn: JaxprEqn, ins: list, here: Path):
    """Every branch returns the events of all branches: zeros for those that it does not take."""

    def run(k, branch, operands):
        return program.inner((branch.jaxpr, branch.consts), operands, (*here, k))

    # Each branch is traced once, to learn which events there are, before any can be padded to all of them.
    runs = [Traced(functools.partial(run, k, branch), ins[1:]) for k, branch in enumerate(cond_branches(eqn))]
    nothing = Events()
    for traced in runs:
        nothing.add(jax.tree.map(_zeros, traced.shapes[1]))

    # A score of 0 and a cost of 0 add nothing: neither to the value nor to the derivative, of whatever order.
    def pad(traced, operands):
        outs, events = traced(operands)
        full = Events(dict(nothing.scores), dict(nothing.bridges), dict(nothing.costs))
        full.add(events)
        return outs, full

    return lax.switch(ins[0], [functools.partial(pad, traced) for traced in runs], ins[1:])


def _zeros(like: jax.ShapeDtypeStruct) -> Array:
    return as_varying(jnp.zeros(like.shape, like.dtype), varying_type(like))


class Traced:
    """A function traced once, to be asked for the shapes of its results and then run."""

    # A trace of its own for the shapes would double the tracing time at each level of nested conds.

    def __init__(self, f: Callable, *args):
        self.closed, self.shapes = jax.make_jaxpr(f, return_shape=True)(*args)

    def __call__(self, *args):
        outs = evaluate_jaxpr(self.closed.jaxpr, self.closed.consts, *jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(self.shapes), outs)


def _while(program: Runner, eqn: JaxprEqn, ins: list, here: Path):
    """The scores and the costs of all iterations are summed: one site that pays for the loop and what follows."""
    # How many iterations there are is not known, so there is no axis to stack them on.
    loop = while_parts(eqn)
    tested, consts, start = loop.split(ins)
    if any(program.holds_event(e) for e in loop.test.jaxpr.eqns):
        raise SpanaxError(
            "a draw or a cost in the condition of a while_loop",
            "put it in the body, and carry its value",
            where=program.place(eqn),
        )

    if aval(loop.test.jaxpr.outvars[0]).shape:
        raise SpanaxError(
            "a while_loop that holds a draw or a cost inside a vmap of the program, where it ends at another iteration for each "
            "index",
            "jax.vmap(expectation(f)) instead",
            "jax.lax.scan or fori_loop with a fixed number of iterations, and a mask",
            where=program.place(eqn),
        )

    def goes_on(state):
        return evaluate_jaxpr(*opened(loop.test), *tested, *state[0])[0]

    def step(state):
        carry, score, cost = state
        outs, events = program.inner(opened(loop.body), [*consts, *carry], (*here, 1))
        return outs, score + sum(map(jnp.sum, events.scores.values())), cost + sum(map(jnp.sum, events.costs.values()))

    # Shapes are asked for first: on a mesh, scores may vary over devices and the zeros that they start from must as well.
    zero = jnp.zeros((), program.dtype)
    _, *sums = jax.eval_shape(step, (start, zero, zero))
    outs, score, cost = forward_only(
        lax.while_loop(goes_on, step, (start, *map(_zeros, sums))),
        f"reverse-mode derivative of a while_loop that holds a draw ({program.place(eqn)}): how many iterations it "
        "makes is not known when it is traced",
        "forward mode: jax.jvp or jax.jacfwd of expectation(f)",
        "jax.lax.scan or fori_loop with a fixed number of iterations, and a mask",
    )
    # Without a draw inside there is no site to pay.
    if below(eqn, lambda e: e.primitive is sample_p) is None:
        return outs, Events(costs={here: cost})
    return outs, Events({here: score}, {here: ScoreFunction()}, {here: cost})


# The safe default is that a primitive is not here: then a draw inside it raises.
RULES: dict[Any, Callable[..., tuple[list, Events]]] = {
    P.jit_p: _call,
    P.closed_call_p: _call,
    P.remat_p: _remat,
    P.custom_jvp_call_p: _custom_rule,
    P.custom_vjp_call_p: _custom_rule,
    P.scan_p: _scan,
    P.cond_p: _cond,
    P.while_p: _while,
}
