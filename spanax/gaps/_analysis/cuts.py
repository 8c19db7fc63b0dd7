"""Where the gradient is cut: a tangent enters an expression of the user's and does not come out.

The walk over the traced program (`finder`) hands over one expression at a time, with the states of its variables. What comes back
are findings: the cuts, and the states that the walk goes on with. Nothing here changes the walk's own states.

Equations that belong to one expression are taken together, so that what a library function does inside is its own affair: softmax
stops the gradient of its maximum, and is whole all the same.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
from collections.abc import Iterable, MutableMapping, Sequence
from typing import Any, NamedTuple

from ..._jaxprs import Jaxpr, JaxprEqn, Literal, P, below, programs
from ..._places import Place, is_called
from ..._steps import floats, is_step
from ...stochastic.sampling import cost_p, sample_p
from ..report import Kind
from .rules import Rules
from .states import State, read, union
from .user_code import UserCode

Path = tuple[int, ...]
States = MutableMapping[Any, State]  # of the variables of a program


@dataclasses.dataclass
class Cut:
    """A gap before it is described: what is lost in which variables of the program at `path`."""

    path: Path
    place: Place | None
    eqns: Sequence[JaxprEqn]
    culprit: JaxprEqn
    kind: Kind
    lost: dict[Any, int]  # variable -> leaves
    note: str = ""
    first: int = 0  # the index of its first equation

    def places(self) -> set[tuple[Path, int]]:
        """The equations that make what is lost, by (program, index)."""
        return {(self.path, self.first + i) for i, e in enumerate(self.eqns) if any(v in self.lost for v in e.outvars)}


class Expression(NamedTuple):
    """Consecutive equations of a program that belong to one expression of the user's, at `place`."""

    jaxpr: Jaxpr
    first: int
    count: int
    path: Path
    place: Place | None

    @property
    def eqns(self) -> Sequence[JaxprEqn]:
        return self.jaxpr.eqns[self.first : self.first + self.count]

    @property
    def last(self) -> int:
        return self.first + self.count - 1

    @property
    def key(self) -> tuple[Path, int]:
        return self.path, self.first

    def one(self, k: int) -> Expression:
        return self._replace(first=self.first + k, count=1)

    def inputs(self) -> list:
        """The variables that it reads and does not make."""
        made = {v for e in self.eqns for v in e.outvars}
        read_here = (v for e in self.eqns for v in e.invars if not isinstance(v, Literal) and v not in made)
        return list(dict.fromkeys(read_here))


class Findings(NamedTuple):
    """What an expression turned out to do. `states`: those of its variables that the walk has to go on with."""

    states: dict[Any, State]
    cuts: dict[tuple, Cut]


class Detector:
    """Looks for the cuts of one program, expression by expression."""

    def __init__(self, code: UserCode, rules: Rules):
        self._code, self._rules = code, rules
        self._uses: dict[int, dict[Any, int]] = {}

    def examine(self, expression: Expression, states: States) -> Findings:
        """What enters the expression and does not come out of it, given the states of the program's variables."""
        findings = Findings({}, {})
        view: States = collections.ChainMap(findings.states, states)  # writes go into the findings
        if not any(map(self._code.holds_user_code, expression.eqns)):
            self._examine(expression, view, findings.cuts)
            return findings
        # A library function around code of the user's, such as a scan of their body: the cuts inside the body have been found at
        # their own lines, so only the library's own equations are looked at here, one by one.
        for k, eqn in enumerate(expression.eqns):
            own = expression.one(k)
            if not self._code.holds_user_code(eqn) and eqn.primitive.name != "stop_gradient":
                self._examine(own, view, findings.cuts)
            elif eqn.primitive is P.while_p:
                findings.cuts.update(_forward_only([eqn], eqn.outvars, view, own.key, expression.place))
            _forget(eqn.outvars, view)
        return findings

    def _examine(self, at: Expression, view: States, cuts: dict[tuple, Cut]) -> None:
        ins, leaving = at.inputs(), self._leaving(at)
        if not union([read(view, v) for v in ins]).active:
            return
        culprit = self._culprit(at.eqns, view)
        # A single plain equation is known by JAX's rule. Several together, or a library's program, may cancel: that is measured.
        if culprit is not None and len(at.eqns) + len(programs(culprit)) > 1:
            self._measure(at.eqns, ins, leaving, view)
        cut = self._without_rule(at, view) or self._lost(at, leaving, culprit, view)
        if cut is not None:
            cuts[at.key] = cut
        cuts.update(_forward_only(at.eqns, leaving, view, at.key, at.place))
        _forget(leaving, view)

    def _without_rule(self, at: Expression, view: States) -> Cut | None:
        """An equation whose rule raises: so does `jax.grad`."""
        for eqn in at.eqns:
            error = self._error(eqn, view)
            if error is not None:
                note = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                lost = dict.fromkeys(eqn.outvars, _active(eqn, view))
                return Cut(at.path, at.place, at.eqns, eqn, "no-rule", lost, note, at.first)
        return None

    def _lost(self, at: Expression, leaving: Sequence, culprit: JaxprEqn | None, view: States) -> Cut | None:
        """What was cut inside and does not reach an output by another way: x - stop_gradient(x) + x is whole."""
        lost = {v: cut for v in leaving if (cut := view[v].cut & ~view[v].active)}
        if not lost:
            return None
        culprit = culprit or at.eqns[-1]
        place = self._code.place(culprit) or at.place
        is_meant = culprit.primitive.name == "stop_gradient" and is_called(place, "stop_gradient")
        return Cut(at.path, place, at.eqns, culprit, "intended" if is_meant else "zero", lost, first=at.first)

    def _culprit(self, eqns: Sequence[JaxprEqn], view: States) -> JaxprEqn | None:
        """The first equation that an active value enters and that some output of does not have it."""
        for eqn in eqns:
            loses = any(view[v].cut & ~view[v].active for v in eqn.outvars)
            if loses or self._cuts_inside(eqn, _active(eqn, view)):
                return eqn
        return None

    def _cuts_inside(self, eqn: JaxprEqn, active: int) -> bool:
        """Might a library's program hide a cut behind outputs that are alive?"""
        return bool(active) and bool(programs(eqn)) and below(eqn, is_step) is not None

    def _error(self, eqn: JaxprEqn, view: States) -> Exception | None:
        if programs(eqn) or eqn.primitive in (sample_p, cost_p):
            return None
        active = [bool(read(view, v).active) for v in eqn.invars]
        return self._rules.of(eqn, active).error if any(active) else None

    def _measure(self, eqns: Sequence[JaxprEqn], ins: Sequence, leaving: Sequence, view: States) -> None:
        """Takes the tangent from outputs that have one by structure only."""
        alive = [v for v, is_float in zip(leaving, floats(leaving), strict=True) if is_float and view[v].active]
        given = _values([read(view, v) for v in ins]) if alive else None
        if given is not None and self._rules.is_flat(eqns, ins, given, alive):
            for v in alive:
                view[v] = view[v]._replace(active=0, sure=0)

    def _leaving(self, at: Expression) -> list:
        """The variables made here that are read after it."""
        uses = self._last_use(at.jaxpr)
        return [v for e in at.eqns for v in e.outvars if uses.get(v, -1) > at.last]

    def _last_use(self, jaxpr: Jaxpr) -> dict[Any, int]:
        """The index of the last equation that reads each variable; beyond the end for what is returned."""
        if id(jaxpr) not in self._uses:
            uses = {v: i for i, eqn in enumerate(jaxpr.eqns) for v in eqn.invars if not isinstance(v, Literal)}
            uses.update({v: len(jaxpr.eqns) for v in jaxpr.outvars if not isinstance(v, Literal)})
            self._uses[id(jaxpr)] = uses
        return self._uses[id(jaxpr)]


def _active(eqn: JaxprEqn, view: States) -> int:
    return functools.reduce(int.__or__, (read(view, v).active for v in eqn.invars), 0)


def _forget(variables: Iterable, view: States) -> None:
    """What was lost up to here is in the findings: the next expression starts with nothing lost."""
    view.update({v: view[v]._replace(cut=0) for v in variables})


def _values(states: Sequence[State]) -> list[Any] | None:
    """The values of the inputs, None for each that is differentiated; None altogether where one is not known.

    A guess in place of an unknown value might be nowhere in its domain, and say "flat" of a function that is not.
    """
    if any(not s.active and s.value is None for s in states):
        return None
    try:
        return [None if s.active or s.value is None else s.value() for s in states]
    except Exception:  # of the user's own making, or a chain of constants too long: nothing is known
        return None


def _forward_only(
    eqns: Sequence[JaxprEqn], leaving: Sequence, view: States, key: tuple, place: Place | None
) -> dict[tuple, Cut]:
    """A while loop that a tangent enters: forward mode alone comes out of it."""
    inside = itertools.chain.from_iterable(e.invars for e in eqns)
    entering = union([read(view, v) for v in inside if v not in leaving])
    lost = {v: new for v in leaving if (new := view[v].forward & ~entering.forward)}
    if not lost:
        return {}
    culprit = next((e for e in eqns if below(e, lambda e: e.primitive is P.while_p)), eqns[0])
    return {(*key, "forward"): Cut(key[0], place, eqns, culprit, "forward-only", lost)}
