"""What a program is to its draws: the bridges of those that were given none, and refusals where no bridge sees a jump.

A pathwise derivative does not see a jump. So where the program jumps in a draw whose bridge is Spanax's to choose, it is the
score function; a `Pathwise()` that the user wrote stays, with a warning, or an error where all of it is lost. Where noise that
nobody marked, or a draw that has no derivative, decides something together with what is differentiated, an error is raised for
whoever differentiates through that. The program is traced once more with these bridges and guards in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..._errors import warn
from ..._jaxprs import (
    ClosedJaxpr,
    Jaxpr,
    JaxprEqn,
    P,
    aval,
    body,
    is_traced,
    jaxprs_in_params,
    programs,
    source_file,
    where,
)
from ..._paste import sample_call
from ..._places import Place, draw_name, is_library_program, is_users, place
from ...bridges import Drawing
from ...bridges.best import best_bridge
from .._interpreter.rewriting import Changes, Diagnosis, rewrite
from ..flow import Path
from ..sampling import Site, parts
from .continuity import is_test, jumps
from .decision_flow import DERIVATIVE, MARKED, NOISE, DecisionFlow, Draw
from .flat import Flat
from .operations import is_inexact, may_decide


def with_bridges(closed: ClosedJaxpr, vias: Mapping[str, Drawing]) -> ClosedJaxpr:
    """The program of an expectation with the bridges that suit it; `vias` replaces those of named draws."""
    # Most programs end here: where nothing is differentiated, or nothing continuous is drawn, no derivative can miss a jump.
    if not any(is_traced(x) and is_inexact(x.dtype) for x in closed.consts) or not _has_draws(closed.jaxpr, {}):
        return closed

    def bridge_at(site: Site) -> tuple[Drawing, bool]:
        # A draw of an inner estimate keeps its bridge: `vias` speaks of this program's own draws.
        override = vias.get(site.name) if site.name and site.estimate is None else None
        return override or parts(site, [0.0] * len(site.static))[1], site.automatic and override is None

    changes = _changes(closed, DecisionFlow(Flat(closed), bridge_at))
    return rewrite(closed, changes) if changes.bridges or changes.guards else closed


def _has_draws(jaxpr: Jaxpr, known: dict[int, bool]) -> bool:
    """Is there a draw that may be continuous in it, at any depth? Compiled programs are shared: each is asked once."""
    if id(jaxpr) not in known:
        # No entry is needed while the walk is inside: programs do not contain themselves.
        known[id(jaxpr)] = any(
            may_decide(e) or any(_has_draws(p, known) for p in jaxprs_in_params(e.params)) for e in jaxpr.eqns
        )
    return known[id(jaxpr)]


def _changes(closed: ClosedJaxpr, flow: DecisionFlow) -> Changes:
    changes = Changes()
    settled = 0  # the bits of draws whose bridge has been decided upon
    guarded: dict[Path, int] = {}  # and of what the guard of an equation is for
    # The tests of while loops first: they are known to jump without a measurement.
    for node, bits in sorted(flow.choices(), key=lambda choice: not is_test(choice[0])):
        line = _line(closed, node.path)
        # A measurement takes time, and is skipped for a choice that could only repeat what another has shown.
        if not bits & ~guarded.get(line.path, 0) & ~settled or not jumps(flow, node):
            continue
        guarded[line.path] = guarded.get(line.path, 0) | bits
        draws = flow.draws_in(bits)
        # A user's own Pathwise() loses part of its derivative here; only where no bit of it arrives at a cost is all of it
        # lost.
        dead = [draw for draw in draws if not draw.automatic and not flow.arriving & draw.bit]
        for draw in draws:
            if not draw.bit & settled:
                settled |= draw.bit
                _settle(draw, draw in dead, line, changes)
        if guard := _guard(bits, draws, dead, line):
            # One guard for a line: the first is as true as the others, and a user mends one line at a time.
            changes.guards.setdefault(line.path, guard)
    return changes


def _settle(draw: Draw, is_dead: bool, line: Line, changes: Changes) -> None:
    """Chooses the bridge of a draw in which the program jumps, if it is ours to choose. `is_dead`: it will be refused."""
    if draw.automatic:
        changes.bridges[draw.node.path] = best_bridge(_distribution(draw), jumps=True)
        _note_choice(draw, line)
    elif not is_dead:
        _warn_of_jump(draw, line)


def _distribution(draw: Draw) -> Any:
    """Its arrays are shapes."""
    # Which bridge is best depends on the family alone, so shapes will do for its parameters.
    return parts(draw.site, [aval(v) for v in draw.node.eqn.invars[1:]])[0]


# -- lines


class Line(NamedTuple):
    """Where a choice is made: the equation to be guarded, the user's line, and the draw that it belongs to, if it does."""

    path: Path
    where: str
    source: str
    draw: str | None

    @property
    def text(self) -> str:
        return f"`{self.source}`" if self.source else f"at {self.where}"

    @property
    def full(self) -> str:
        return f"`{self.source}` ({self.where})" if self.source else self.where


def _line(closed: ClosedJaxpr, path: Path) -> Line:
    """The user's line of an equation: that of the library's compiled program around it, where there is one.

    To be guarded is the whole call of a sampler, and a while loop as one.
    """
    users: tuple[JaxprEqn, Place] | None = None  # the user's innermost equation
    inside_library, name, way_down = False, None, list(_way_down(closed.jaxpr, path))
    for depth, eqn in way_down:
        if not inside_library and (at := place(eqn, is_users, False)):
            users = eqn, at
            name = draw_name(at, [eqn])
        # A guard inside a sampler, or of a loop whose number of iterations it decides, would come too late.
        if eqn.primitive is P.while_p or (name and programs(eqn)):
            path = path[:depth]
            break
        inside_library = inside_library or _is_library_call(eqn)
    if users is None:
        return Line(path, where(way_down[-1][1]), "", name)
    return Line(path, f"{users[1].file}:{users[1].line} ({users[1].function})", users[1].source, name)


def _is_library_call(eqn: JaxprEqn) -> bool:
    return eqn.primitive is P.jit_p and is_library_program(source_file(body(eqn)[0]))


def _way_down(jaxpr: Jaxpr, path: Path):
    """The equations on the way down, each with the length of its own path."""
    k = 0
    while k < len(path):
        eqn = jaxpr.eqns[path[k]]
        k += 1
        yield k, eqn
        if k == len(path):
            return
        if eqn.primitive in (P.cond_p, P.while_p):
            # The path of what holds several programs names one of them: a branch, or the test and the body.
            jaxpr = programs(eqn)[path[k]]
            k += 1
        else:
            jaxpr = body(eqn)[0]


# -- messages


def _note_choice(draw: Draw, line: Line) -> None:
    warn(
        f"{draw.site.label}: the program jumps in it, or is not seen to be continuous, at {line.full}. A pathwise derivative "
        "does not see a jump, so its bridge is the score function",
        "via=sx.ScoreFunction(), to choose it yourself: then there is no warning",
        "via=sx.Pathwise(), if the program is continuous there: less variance (sx.find_jumps looks)",
        where=draw.site.where,
    )


def _warn_of_jump(draw: Draw, line: Line) -> None:
    warn(
        f"{draw.site.label} via Pathwise(): the program jumps in it, or is not seen to be continuous, at {line.full}. A "
        "pathwise derivative does not see a jump",
        "via=sx.ScoreFunction(), which is unbiased there",
        "sx.find_jumps(f, ..., key=key, radius=...), to look whether the value jumps",
        where=draw.site.where,
    )


def _guard(bits: int, draws: Sequence[Draw], dead: Sequence[Draw], line: Line) -> Diagnosis | None:
    """The error for whoever differentiates through a choice; None where that is right, or a warning has been given."""
    if dead:
        return (
            f"{dead[0].site.label} via Pathwise(): every path from it to the costs is cut, here at {line.text}, so the "
            "derivative is zero, and that of the expectation is not",
            line.where,
            ("via=sx.ScoreFunction()", "no via: the score function is chosen where a program jumps"),
        )
    # Noise alone may decide anything, and a draw whose bridge is now the score function answers for itself. Together with a
    # derivative, or with a draw that keeps its pathwise one, part of the effect is seen by nobody.
    if bits & NOISE and (bits & DERIVATIVE or any(not draw.automatic for draw in draws)):
        return _unmarked_noise(line)
    # z > theta: the score of z is that of its own parameters, and theta is not one of them.
    if bits & DERIVATIVE and (bits & MARKED or any(draw.automatic for draw in draws)):
        return (
            f"{line.text} compares a draw with something that is differentiated: no bridge of the draw sees the effect of "
            "moving that",
            line.where,
            (
                "what is differentiated in the draw's own distribution: "
                "z = sx.sample(key, dist.Normal(mean - threshold, scale)), and z > 0",
                "jax.lax.stop_gradient of what the draw is compared with, if no derivative is meant",
                "via=sx.Pathwise() at the draw, if the program is continuous there",
            ),
        )
    return None


def _unmarked_noise(line: Line) -> Diagnosis:
    # Known samplers get the call to paste; of other noise the usual idioms are named.
    if line.draw:
        return (
            f"a {line.draw} draw that nobody marked, with parameters that are differentiated: its derivative is not that of "
            "the expectation",
            line.where,
            (sample_call(line.draw), "jax.lax.stop_gradient of its parameters, if a zero is meant"),
        )
    return (
        f"noise that nobody marked decides {line.text} together with something that is differentiated: the program jumps there, "
        "or is not seen to be continuous, and its derivative does not see that",
        line.where,
        (
            'for jax.random.uniform(key) < p: z = sx.sample(key, dist.Bernoulli(probs=p), via=sx.ScoreFunction(), name="z")',
            "for an argmax with Gumbel noise: "
            'z = sx.sample(key, dist.Categorical(logits=logits), via=sx.ScoreFunction(), name="z")',
            "jax.lax.stop_gradient of what the noise is compared with, if no derivative is meant",
            "where the program is continuous: draw the noise by sx.sample(key, dist.Normal(0, 1), via=sx.Pathwise())",
        ),
    )
