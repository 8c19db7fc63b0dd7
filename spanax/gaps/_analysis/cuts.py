"""Where the gradient is cut: a tangent enters an expression of the user's and does not come out.

Equations that belong to one expression are taken together, so that what a library function does inside is its own affair.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

from ..._jaxprs import Jaxpr, JaxprEqn, Literal, P, below, programs
from ..._places import Place, is_called
from ..._steps import floats, is_step
from ...stochastic.sampling import cost_p, sample_p
from ..report import Kind
from .rules import Rules
from .states import read, union
from .user_code import UserCode

Path = tuple[int, ...]


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


class Detector:
    """Collects the cuts of one program, while the walk over it goes from expression to expression.

    `env`: the states of the variables; where a cut has been told, or a tangent measured to be none, they are changed.
    """

    def __init__(self, code: UserCode, rules: Rules):
        self.cuts: dict[tuple, Cut] = {}
        self._code, self._rules = code, rules
        self._uses: dict[int, dict[Any, int]] = {}

    def finish(self, jaxpr: Jaxpr, run: Sequence[int], env: dict, path: Path, site: Place | None) -> None:
        """Looks for what enters the equations of a run, and does not come out of them."""
        eqns = [jaxpr.eqns[i] for i in run]
        if not any(map(self._code.holds_user_code, eqns)):
            self._detect(jaxpr, run, env, path, site)
            return
        for i, eqn in zip(run, eqns, strict=True):  # a library function around the user's own: equation by equation
            if (
                not self._code.holds_user_code(eqn) and eqn.primitive.name != "stop_gradient"
            ):  # that one is the library's
                self._detect(jaxpr, [i], env, path, site)
            elif eqn.primitive is P.while_p:
                self._detect_forward_only([eqn], eqn.outvars, env, (path, i), site)
            self._forget(eqn.outvars, env)

    def _forget(self, variables: Sequence, env: dict) -> None:
        """What was lost up to here has been told."""
        env.update({v: env[v]._replace(cut=0) for v in variables})

    def _detect(self, jaxpr: Jaxpr, run: Sequence[int], env: dict, path: Path, site: Place | None) -> None:
        eqns = [jaxpr.eqns[i] for i in run]
        made = {v for e in eqns for v in e.outvars}
        ins = list(dict.fromkeys(v for e in eqns for v in e.invars if not isinstance(v, Literal) and v not in made))
        entering = union([read(env, v) for v in ins])
        if not entering.active:
            return
        uses = self._last_use(jaxpr)
        leaving = [v for e in eqns for v in e.outvars if uses.get(v, -1) > run[-1]]
        culprit = self._culprit(eqns, env)
        if culprit is not None and len(eqns) + len(programs(culprit)) > 1:
            self._measure(eqns, ins, leaving, env)
        lost = {v: cut for v in leaving if (cut := env[v].cut & ~env[v].active)}
        raising = next((e for e in eqns if self._error(e, env) is not None), None)
        key = (path, run[0])
        if raising is not None:
            error = self._error(raising, env)
            note = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            active = functools.reduce(int.__or__, (read(env, v).active for v in raising.invars))
            self.cuts[key] = Cut(
                path, site, eqns, raising, "no-rule", dict.fromkeys(raising.outvars, active), note, run[0]
            )
        elif lost:
            culprit = culprit or eqns[-1]
            where = self._code.place(culprit) or site
            kind: Kind = (
                "intended"
                if culprit.primitive.name == "stop_gradient" and is_called(where, "stop_gradient")
                else "zero"
            )
            self.cuts[key] = Cut(path, where, eqns, culprit, kind, lost, first=run[0])
        self._detect_forward_only(eqns, leaving, env, key, site)
        self._forget(leaving, env)

    def _detect_forward_only(self, eqns, leaving, env: dict, key: tuple, site: Place | None) -> None:
        entering = union([read(env, v) for e in eqns for v in e.invars if v not in leaving])
        loops = {v: new for v in leaving if (new := env[v].forward & ~entering.forward)}
        if loops:
            culprit = next((e for e in eqns if below(e, lambda e: e.primitive is P.while_p)), eqns[0])
            self.cuts[*key, "forward"] = Cut(key[0], site, eqns, culprit, "forward-only", loops)

    def _culprit(self, eqns: Sequence[JaxprEqn], env: dict) -> JaxprEqn | None:
        """The first equation that an active value enters and that some output of does not have it."""
        for eqn in eqns:
            active = functools.reduce(int.__or__, (read(env, v).active for v in eqn.invars), 0)
            if any(env[v].cut & ~env[v].active for v in eqn.outvars) or self._cuts_inside(eqn, active):
                return eqn
        return None

    def _cuts_inside(self, eqn: JaxprEqn, active: int) -> bool:
        """Might a library's program hide a cut behind outputs that are alive?"""
        return bool(active) and bool(programs(eqn)) and below(eqn, is_step) is not None

    def _error(self, eqn: JaxprEqn, env: dict) -> Exception | None:
        if programs(eqn) or eqn.primitive in (sample_p, cost_p):
            return None
        active = [bool(read(env, v).active) for v in eqn.invars]
        return self._rules.of(eqn, active).error if any(active) else None

    def _measure(self, eqns, ins, leaving, env) -> None:
        """Takes the tangent from outputs that have one by structure only."""
        alive = [v for v, is_float in zip(leaving, floats(leaving), strict=True) if is_float and env[v].active]
        if not alive:
            return
        states = [read(env, v) for v in ins]
        if any(not s.active and s.value is None for s in states):
            return  # what the others are is not known here, and a guess might be nowhere in their domain
        try:
            given = [None if s.active or s.value is None else s.value() for s in states]
        except Exception:  # of the user's own making, or a chain of constants too long: nothing is known
            return
        if self._rules.is_flat(eqns, ins, given, alive):
            for v in alive:
                env[v] = env[v]._replace(active=0, sure=0)

    def _last_use(self, jaxpr: Jaxpr) -> dict[Any, int]:
        """The index of the last equation that reads each variable; beyond the end for what is returned."""
        if id(jaxpr) not in self._uses:
            uses = {v: i for i, eqn in enumerate(jaxpr.eqns) for v in eqn.invars if not isinstance(v, Literal)}
            uses.update({v: len(jaxpr.eqns) for v in jaxpr.outvars if not isinstance(v, Literal)})
            self._uses[id(jaxpr)] = uses
        return self._uses[id(jaxpr)]
