"""A traced program, traced once more with other draws in it, or with guards around some of its equations."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jax import lax

from ..._jaxprs import (
    PLAIN_CALLS,
    ClosedJaxpr,
    Jaxpr,
    JaxprEqn,
    Literal,
    P,
    at,
    body,
    cond_branches,
    evaluate,
    opened,
    scan_parts,
    while_parts,
)
from ..._primitives import undifferentiated
from ...bridges import Drawing
from ..flow import Path, within
from ..sampling import sample_p, with_bridge

Diagnosis = tuple[str, str, tuple[str, ...]]  # problem, place, remedies


# By path, since equations that JAX shares (a function that is called twice) are one object at several places.
@dataclasses.dataclass
class Changes:
    """By path: the bridges of draws, and the equations whose inputs nobody may differentiate through."""

    bridges: dict[Path, Drawing] = dataclasses.field(default_factory=dict)
    guards: dict[Path, Diagnosis] = dataclasses.field(default_factory=dict)

    def below(self, path: Path) -> bool:
        return any(within(p, path) for p in (*self.bridges, *self.guards))


def rewrite(closed: ClosedJaxpr, changes: Changes) -> ClosedJaxpr:
    """The same program with the changes."""

    def run(*args):
        return _replay(closed.jaxpr, closed.consts, args, (), changes)

    return jax.make_jaxpr(run)(*(v.aval for v in closed.jaxpr.invars))  # which differ from device to device as they did


def _replay(jaxpr: Jaxpr, consts: Sequence, args: Sequence, path: Path, changes: Changes) -> list:
    env = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

    def read(v):
        return v.val if isinstance(v, Literal) else env[v]

    for i, eqn in enumerate(jaxpr.eqns):
        outs = _step(eqn, list(map(read, eqn.invars)), (*path, i), changes)
        env.update(zip(eqn.outvars, outs, strict=True))
    return list(map(read, jaxpr.outvars))


def _step(eqn: JaxprEqn, ins: list, here: Path, changes: Changes) -> list:
    if not changes.below(here):  # bound as it is: what does not change is not traced again
        return evaluate(eqn, ins)
    if here in changes.bridges:
        return [_draw_through(eqn, ins, changes.bridges[here])]
    if here in changes.guards:
        # The guard is on the inputs: an output may be an integer, which nobody differentiates.
        problem, where, remedies = changes.guards[here]
        with at(eqn):
            ins = undifferentiated(list(map(jax.numpy.asarray, ins)), problem, *remedies, where=where)
    if eqn.primitive in PLAIN_CALLS:
        return _call(eqn, ins, here, changes)
    if eqn.primitive in _PROGRAMS:
        return _PROGRAMS[eqn.primitive](eqn, ins, here, changes)
    return evaluate(eqn, ins)


def _draw_through(eqn: JaxprEqn, ins: list, via: Drawing) -> Any:
    """The draw through another bridge: from here on it is this program's own, also where it was that of an inner estimate."""
    # The inner estimate took no score of a pathwise draw. Left to it, a draw that is now scored would be scored by nobody.
    key, *leaves = ins
    with at(eqn):
        site, arrays = with_bridge(eqn.params["site"], via, leaves)
        return sample_p.bind(key, *arrays, site=site._replace(estimate=None))[0]


def _call(eqn: JaxprEqn, ins: list, here: Path, changes: Changes) -> list:
    jaxpr, consts = body(eqn)
    if eqn.primitive is not P.remat_p:
        return _replay(jaxpr, consts, ins, here, changes)
    # A checkpoint stays one: the user asked for its memory.
    options = {name: eqn.params[name] for name in ("prevent_cse", "policy")}
    return jax.checkpoint(lambda ins: _replay(jaxpr, consts, ins, here, changes), **options)(ins)


def _scan(eqn: JaxprEqn, ins: list, here: Path, changes: Changes) -> list:
    scan = scan_parts(eqn)
    consts, start, rows = scan.split(ins)

    def step(carry, xs):
        return scan.split_outs(_replay(*opened(scan.body), [*consts, *carry, *xs], here, changes))

    # Traced again and not copied: the new draw may have other leaves, and JAX sets up the loop for them.
    carry, ys = lax.scan(step, start, rows, **scan.options)
    return [*carry, *ys]


def _cond(eqn: JaxprEqn, ins: list, here: Path, changes: Changes) -> list:
    def run(k, branch, *operands):
        return _replay(*opened(branch), operands, (*here, k), changes)

    branches = [functools.partial(run, k, branch) for k, branch in enumerate(cond_branches(eqn))]
    return lax.switch(ins[0], branches, *ins[1:])


def _while(eqn: JaxprEqn, ins: list, here: Path, changes: Changes) -> list:
    loop = while_parts(eqn)
    tested, consts, start = loop.split(ins)
    return lax.while_loop(
        lambda carry: _replay(*opened(loop.test), [*tested, *carry], (*here, 0), changes)[0],
        lambda carry: _replay(*opened(loop.body), [*consts, *carry], (*here, 1), changes),
        start,
    )


# Not among them: custom rules, which `Flat` leaves closed, so no path leads into one.
_PROGRAMS: Mapping[Any, Any] = {P.scan_p: _scan, P.cond_p: _cond, P.while_p: _while}
