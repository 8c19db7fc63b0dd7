"""What a program is to its draws: the bridges of those that nobody gave one, and refusals where no bridge sees a jump.

A pathwise derivative does not see a jump. So where the program jumps in a draw whose bridge is Spanax's to choose, it is the
score function; a `Pathwise()` that the user wrote stays, with a warning, or an error where all of it is lost. Where noise that
nobody marked, or a draw that has no derivative, decides something together with what is differentiated, whoever differentiates
through that gets an error.
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
from .._interpreter.rewriting import Changes, Diagnosis, rewritten
from ..flow import Path
from ..sampling import Site, parts
from .continuity import is_test, jumps
from .decided import DERIVATIVE, MARKED, NOISE, Decided, Draw, is_inexact, may_decide
from .flat import Flat


def with_bridges(closed: ClosedJaxpr, vias: Mapping[str, Drawing]) -> ClosedJaxpr:
    """The program of an expectation with the bridges that suit it; `vias` replaces those of named draws."""
    if not any(is_traced(x) and is_inexact(x.dtype) for x in closed.consts) or not _has_draws(closed.jaxpr, {}):
        return closed

    def bridge_at(site: Site) -> tuple[Drawing, bool]:
        given = vias.get(site.name) if site.name and site.estimate is None else None
        return given or parts(site, [0.0] * len(site.static))[1], site.automatic and given is None

    decided = Decided(Flat(closed), bridge_at)
    changes = _changes(closed, decided)
    return rewritten(closed, changes) if changes.bridges or changes.guards else closed


def _has_draws(jaxpr: Jaxpr, known: dict[int, bool]) -> bool:
    """Is there a draw that may be continuous in it, at any depth? Compiled programs are shared: each is asked once."""
    if id(jaxpr) not in known:
        known[id(jaxpr)] = any(
            may_decide(e) or any(_has_draws(p, known) for p in jaxprs_in_params(e.params)) for e in jaxpr.eqns
        )
    return known[id(jaxpr)]


def _changes(closed: ClosedJaxpr, decided: Decided) -> Changes:
    changes = Changes()
    told, guarded = 0, {}
    for node, bits in sorted(
        decided.choices(), key=lambda choice: not is_test(choice[0])
    ):  # those cost nothing to tell
        line = _line(closed, node.path)
        if not bits & ~guarded.get(line.path, 0) & ~told or not jumps(decided, node):
            continue
        guarded[line.path] = guarded.get(line.path, 0) | bits
        draws = decided.drawn(bits)
        given = [draw for draw in draws if not draw.automatic]
        dead = [draw for draw in given if not decided.arriving & draw.bit]
        for draw in draws:
            if draw.bit & told:
                continue
            told |= draw.bit
            if draw.automatic:
                changes.bridges[draw.node.path] = best_bridge(_distribution(draw), jumps=True)
                _note_choice(draw, line)
            elif draw not in dead:
                _warn_of_jump(draw, line)
        if guard := _guard(bits, draws, dead, line):
            changes.guards.setdefault(line.path, guard)
    return changes


def _distribution(draw: Draw) -> Any:
    """Its arrays are shapes."""
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
    known: tuple[JaxprEqn, Place] | None = None  # the innermost equation of the user's
    inside, name, way = False, None, list(_way(closed.jaxpr, path))
    for depth, eqn in way:
        if not inside and (at := place(eqn, is_users, False)):
            known = eqn, at
            name = draw_name(at, [eqn])
        if eqn.primitive is P.while_p or (name and programs(eqn)):
            path = path[:depth]
            break
        inside = inside or (eqn.primitive is P.jit_p and is_library_program(source_file(body(eqn)[0])))
    if known is None:
        return Line(path, where(way[-1][1]), "", name)
    return Line(path, f"{known[1].file}:{known[1].line} ({known[1].function})", known[1].source, name)


def _way(jaxpr: Jaxpr, path: Path):
    """The equations on the way down, each with the length of its own path."""
    k = 0
    while k < len(path):
        eqn = jaxpr.eqns[path[k]]
        k += 1
        yield k, eqn
        if k == len(path):
            return
        if eqn.primitive in (P.cond_p, P.while_p):
            jaxpr = programs(eqn)[path[k]]
            k += 1
        else:
            jaxpr = body(eqn)[0]


# -- what is said


def _note_choice(draw: Draw, line: Line) -> None:
    warn(
        f"{draw.site.label}: the program jumps in it, or is not seen to be continuous, at {line.full}. A pathwise derivative "
        "does not see a jump, so its bridge is the score function",
        "via=sx.ScoreFunction(), which says that you know",
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
    """What to say to whoever differentiates through a choice; None where that is right, or has been told."""
    if dead:
        return (
            f"{dead[0].site.label} via Pathwise(): every way from it to the costs is cut, here at {line.text}, so the "
            "derivative is zero, and that of the expectation is not",
            line.where,
            ("via=sx.ScoreFunction()", "no via: the score function is chosen where a program jumps"),
        )
    if bits & NOISE and (bits & DERIVATIVE or any(not draw.automatic for draw in draws)):
        return _unmarked(line)
    if bits & DERIVATIVE and (bits & MARKED or any(draw.automatic for draw in draws)):
        return (
            f"{line.text} compares a draw with something that is differentiated: no bridge of the draw sees what moving that "
            "does",
            line.where,
            (
                "what is differentiated in the draw's own distribution: "
                "z = sx.sample(key, dist.Normal(mean - threshold, scale)), and z > 0",
                "jax.lax.stop_gradient of what the draw is compared with, if no derivative is meant",
                "via=sx.Pathwise() at the draw, if the program is continuous there",
            ),
        )
    return None


def _unmarked(line: Line) -> Diagnosis:
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
