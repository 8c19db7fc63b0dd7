"""Dataflow over the traced program, with JAX's own rules for what each equation does to a derivative.

Forward, each value carries three sets of the arguments' leaves: on which it depends, from which a tangent reaches it, and for
which that tangent cannot be transposed. Backward, each value carries how it reaches the result: as a value, as the choice of a
branch, as an index. Equations that belong to one expression of the user's are taken together, so that what a library function
does inside is its own affair: a gap is where a tangent enters such an expression and does not come out.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .._errors import SpanaxError
from .._jaxprs import (
    CALLS,
    CUSTOM_RULES,
    ClosedJaxpr,
    Jaxpr,
    JaxprEqn,
    Literal,
    P,
    below,
    body,
    evaluate,
    is_ref,
    jaxprs_in_params,
    source_file,
    where,
)
from ..stochastic.sampling import cost_p, sample_p
from .places import CALLBACKS, Place, is_called, is_library_file, is_not_jax, is_users, place
from .report import Kind
from .rules import BRANCH, INDEX, Rules, floats, is_step, steers

Path = tuple[int, ...]
_VALUE, _BRANCH, _INDEX, _STOPPED = 1, 2, 4, 8
_FLAGS = {BRANCH: _BRANCH, INDEX: _INDEX}
_ROUTES = {_VALUE: "value", _BRANCH: "branch", _INDEX: "index"}


class Constant:
    """A value that depends on no leaf, computed when it is asked for."""

    def __init__(self, compute: Callable[[], Any]):
        self._compute = functools.cache(compute)

    def __call__(self) -> Any:
        return self._compute()


class State(NamedTuple):
    """Sets of leaves, as bits; and the value, where it depends on none and can be computed."""

    depends: int = 0  # the value depends on them
    active: int = 0  # their tangent reaches it
    forward: int = 0  # their tangent reaches it, in forward mode only
    sure: int = 0  # their tangent reaches it, whichever branches are taken
    cut: int = 0  # their tangent was lost on the way, in this expression
    value: Constant | None = None

    def __or__(self, other: State) -> State:
        depends, active, forward, sure, cut = (a | b for a, b in zip(self[:-1], other[:-1], strict=True))
        return State(depends, active, forward, sure, cut)


NOTHING = State()


def _all(states: Sequence[State]) -> State:
    return functools.reduce(State.__or__, states, NOTHING)


def _either(states: Sequence[State]) -> State:
    """One of these, nobody knows which."""
    return _all(states)._replace(sure=functools.reduce(int.__and__, (s.sure for s in states)))


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


class Finder:
    """One walk forward and one backward over a traced program whose inputs are the leaves."""

    def __init__(self, closed: ClosedJaxpr, leaves: int):
        self.rules = Rules()
        self.cuts: dict[tuple, Cut] = {}
        self.sites: dict[Path, tuple[JaxprEqn, Place | None, int]] = {}
        self.flags: dict[Path, dict[Any, int]] = {}
        self.raises = 0
        self.costs = NOTHING
        self.size = 0  # equations, those of sub-programs among them
        self._places: dict[int, Place | None] = {}
        self._library: dict[int, bool] = {}
        self._uses: dict[int, dict[Any, int]] = {}
        jaxpr = closed.jaxpr
        self._compiled: dict[int, bool] = {}
        self.locate(jaxpr, False, set())
        self.own = is_users
        if self.is_library(jaxpr):
            self.own = is_not_jax
            self._places.clear()
            self._library.clear()
        ins = [State(1 << i, 1 << i, 0, 1 << i) if i < leaves else NOTHING for i in range(len(jaxpr.invars))]
        consts = [State(value=Constant(lambda x=x: x)) for x in closed.consts]
        outs = self.forward(jaxpr, ins, (), None, True, consts)
        self.result = _all([*outs, self.costs])
        self.backward(jaxpr, [_VALUE] * len(outs), ())

    # -- forward

    def forward(
        self,
        jaxpr: Jaxpr,
        ins: Sequence[State],
        path: Path,
        site: Place | None,
        detect: bool,
        consts: Sequence[State] = (),
    ) -> list[State]:
        """The states of the outputs. `site`: where the program was called; `detect`: is it the user's own code?"""
        env = dict(zip([*jaxpr.invars, *jaxpr.constvars], [*ins, *consts], strict=False))
        run: list[int] = []
        current: Any = None
        for i, eqn in enumerate(jaxpr.eqns):
            mine = self.place(eqn) or site
            if detect and run and _expression(mine) != _expression(current):
                self.finish(jaxpr, run, env, path, current)
                run = []
            current = mine
            run.append(i)
            outs = self.step(eqn, [self.read(env, v) for v in eqn.invars], (*path, i), mine)
            env.update(zip(eqn.outvars, outs, strict=True))
        if detect and run:
            self.finish(jaxpr, run, env, path, current)
        return [self.read(env, v) for v in jaxpr.outvars]

    @staticmethod
    def read(env: dict, v: Any) -> State:
        return State(value=Constant(lambda: v.val)) if isinstance(v, Literal) else env.get(v, NOTHING)

    def step(self, eqn: JaxprEqn, ins: list[State], path: Path, site: Place | None) -> list[State]:
        self.size += 1
        if any(is_ref(v) for v in [*eqn.invars, *eqn.outvars]):
            raise SpanaxError(
                f"a mutable array (`{eqn.primitive.name}` of a jax.Ref), through which the gradient cannot be followed",
                where(eqn),
                "carry the array through jax.lax.scan",
                "x = x.at[i].set(value)",
            )
        if not any(s.depends for s in ins):
            return _constants(eqn, [s.value for s in ins])
        if eqn.primitive is sample_p:
            joined = _all(ins)
            self.sites[path] = (eqn, site, joined.active)
            return [joined]
        if eqn.primitive is cost_p:
            self.costs |= _all(ins)
            return []
        if eqn.primitive in CALLS and eqn.primitive not in CUSTOM_RULES:
            return self.enter(body(eqn)[0], ins, path, site)
        if eqn.primitive in _PROGRAMS:
            return _PROGRAMS[eqn.primitive][0](self, eqn, ins, path, site)
        if eqn.primitive is P.custom_vjp_call_p and self.wraps_user_code(eqn):
            self.forward(body(eqn)[0], ins, path, site, True)
        return self.primitive(eqn, ins)

    def wraps_user_code(self, eqn: JaxprEqn) -> bool:
        """A library's adjoint around the user's code (an ODE solver's, say) passes on what that code does to a derivative."""
        inner = body(eqn)[0]
        return is_library_file(source_file(inner)) and not self.is_library(inner)

    def primitive(self, eqn: JaxprEqn, ins: list[State]) -> list[State]:
        depends = functools.reduce(int.__or__, (s.depends for s in ins), 0)
        active = [bool(s.active) for s in ins]
        if not any(active):
            return [State(depends, cut=_all(ins).cut)] * len(eqn.outvars)
        rule = self.rules.of(eqn, active)
        if rule.error is not None:
            self.raises |= functools.reduce(int.__or__, (s.active for s in ins))
        outs = []
        for k in range(len(eqn.outvars)):
            through = [s if row[k] else NOTHING for s, row in zip(ins, rule.through, strict=True)]
            chosen = eqn.primitive.name == "select_n" and ins[0].depends
            joined = _either(through[1:]) if chosen else _all(through)
            cut = functools.reduce(
                int.__or__, (s.cut | (0 if row[k] else s.active) for s, row in zip(ins, rule.through, strict=True))
            )
            outs.append(joined._replace(depends=depends, cut=cut))
        return outs

    def enter(self, jaxpr: Jaxpr, ins: Sequence[State], path: Path, site: Place | None) -> list[State]:
        return self.forward(jaxpr, ins, path, site, not self.is_library(jaxpr))

    def cond(self, eqn, ins, path, site):
        detect = self.holds_user_code(eqn)
        branches = [
            self.forward(b.jaxpr, ins[1:], (*path, k), site, detect) for k, b in enumerate(eqn.params["branches"])
        ]
        index = State(ins[0].depends, cut=ins[0].cut)
        return [_either(outs) | index for outs in zip(*branches, strict=True)]

    def scan(self, eqn, ins, path, site):
        n, m, inner = eqn.params["num_consts"], eqn.params["num_carry"], body(eqn)[0]
        carry = ins[n : n + m]
        while True:
            outs = self.enter(inner, [*ins[:n], *carry, *ins[n + m :]], path, site)
            after = [c | out for c, out in zip(carry, outs, strict=False)]
            if after == carry:
                carry = [c._replace(sure=out.sure) for c, out in zip(carry, outs, strict=False)]
                return [*carry, *outs[m:]]
            carry = after

    def loop(self, eqn, ins, path, site):
        a, b = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
        test, inner, carry = eqn.params["cond_jaxpr"].jaxpr, eqn.params["body_jaxpr"].jaxpr, ins[a + b :]
        while True:
            (going,) = self.enter(test, [*ins[:a], *carry], (*path, 0), site)
            outs = self.enter(inner, [*ins[a : a + b], *carry], (*path, 1), site)
            after = [c | out for c, out in zip(carry, outs, strict=True)]
            if after == carry:
                break
            carry = after
        return [State(s.depends | going.depends, s.active, s.active, s.sure, s.cut | going.cut) for s in carry]

    # -- where the user's code is

    def place(self, eqn: JaxprEqn) -> Place | None:
        if id(eqn) not in self._places:
            self._places[id(eqn)] = place(eqn, self.own, self._compiled.get(id(eqn), False))
        return self._places[id(eqn)]

    def locate(self, jaxpr: Jaxpr, compiled: bool, seen: set[int]) -> None:
        """Notes for each equation whether it stands in the compiled program of a library function."""
        seen.add(id(jaxpr))
        for eqn in jaxpr.eqns:
            self._compiled[id(eqn)] = compiled
            for inner in jaxprs_in_params(eqn.params):
                if id(inner) not in seen:
                    file = source_file(inner) if eqn.primitive is P.jit_p else ""
                    self.locate(inner, is_library_file(file) if file else compiled, seen)

    def is_library(self, jaxpr: Jaxpr) -> bool:
        """Does no equation in it, at any depth, come from a line of its own?"""
        if id(jaxpr) not in self._library:
            self._library[id(jaxpr)] = not any(below(e, lambda e: self.place(e) is not None) for e in jaxpr.eqns)
        return self._library[id(jaxpr)]

    def holds_user_code(self, eqn: JaxprEqn) -> bool:
        """Is it an equation whose program is looked into for gaps of its own?"""
        if eqn.primitive is sample_p or eqn.primitive is cost_p:
            return True
        if eqn.primitive in CUSTOM_RULES or not (eqn.primitive in CALLS or eqn.primitive in _PROGRAMS):
            return False
        if (
            eqn.primitive is P.cond_p
            and (mine := self.place(eqn))
            and (is_called(mine, "cond") or is_called(mine, "switch"))
        ):
            return True  # the choice is the user's, whoever wrote the branches
        return not all(map(self.is_library, _programs(eqn)))

    def last_use(self, jaxpr: Jaxpr) -> dict[Any, int]:
        """The index of the last equation that reads each variable; beyond the end for what is returned."""
        if id(jaxpr) not in self._uses:
            uses = {v: i for i, eqn in enumerate(jaxpr.eqns) for v in eqn.invars if not isinstance(v, Literal)}
            uses.update({v: len(jaxpr.eqns) for v in jaxpr.outvars if not isinstance(v, Literal)})
            self._uses[id(jaxpr)] = uses
        return self._uses[id(jaxpr)]

    # -- one expression of the user's

    def finish(self, jaxpr: Jaxpr, run: Sequence[int], env: dict, path: Path, site: Place | None) -> None:
        """Looks for what enters the equations of a run, and does not come out of them."""
        eqns = [jaxpr.eqns[i] for i in run]
        if not any(map(self.holds_user_code, eqns)):
            self.detect(jaxpr, run, env, path, site)
            return
        for i, eqn in zip(run, eqns, strict=True):  # a library function around the user's own: equation by equation
            if not self.holds_user_code(eqn) and eqn.primitive.name != "stop_gradient":  # that one is the library's
                self.detect(jaxpr, [i], env, path, site)
            elif eqn.primitive is P.while_p:
                self.detect_forward_only([eqn], eqn.outvars, env, (path, i), site)
            self.forget(eqn.outvars, env)

    def forget(self, variables: Sequence, env: dict) -> None:
        """What was lost up to here has been told."""
        env.update({v: env[v]._replace(cut=0) for v in variables})

    def detect(self, jaxpr: Jaxpr, run: Sequence[int], env: dict, path: Path, site: Place | None) -> None:
        eqns = [jaxpr.eqns[i] for i in run]
        made = {v for e in eqns for v in e.outvars}
        ins = list(dict.fromkeys(v for e in eqns for v in e.invars if not isinstance(v, Literal) and v not in made))
        entering = _all([self.read(env, v) for v in ins])
        if not entering.active:
            return
        uses = self.last_use(jaxpr)
        leaving = [v for e in eqns for v in e.outvars if uses.get(v, -1) > run[-1]]
        culprit = self.culprit(eqns, env)
        if culprit is not None and len(eqns) + len(_programs(culprit)) > 1:
            self.measure(eqns, ins, leaving, env)
        lost = {v: cut for v in leaving if (cut := env[v].cut & ~env[v].active)}
        raising = next((e for e in eqns if self.error(e, env) is not None), None)
        key = (path, run[0])
        if raising is not None:
            error = self.error(raising, env)
            note = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            active = functools.reduce(int.__or__, (self.read(env, v).active for v in raising.invars))
            self.cuts[key] = Cut(
                path, site, eqns, raising, "no-rule", dict.fromkeys(raising.outvars, active), note, run[0]
            )
        elif lost:
            culprit = culprit or eqns[-1]
            where = self.place(culprit) or site
            kind: Kind = (
                "intended"
                if culprit.primitive.name == "stop_gradient" and is_called(where, "stop_gradient")
                else "zero"
            )
            self.cuts[key] = Cut(path, where, eqns, culprit, kind, lost, first=run[0])
        self.detect_forward_only(eqns, leaving, env, key, site)
        self.forget(leaving, env)

    def detect_forward_only(self, eqns, leaving, env: dict, key: tuple, site: Place | None) -> None:
        entering = _all([self.read(env, v) for e in eqns for v in e.invars if v not in leaving])
        loops = {v: new for v in leaving if (new := env[v].forward & ~entering.forward)}
        if loops:
            culprit = next((e for e in eqns if below(e, lambda e: e.primitive is P.while_p)), eqns[0])
            self.cuts[*key, "forward"] = Cut(key[0], site, eqns, culprit, "forward-only", loops)

    def culprit(self, eqns: Sequence[JaxprEqn], env: dict) -> JaxprEqn | None:
        """The first equation that an active value enters and that some output of does not have it."""
        for eqn in eqns:
            active = functools.reduce(int.__or__, (self.read(env, v).active for v in eqn.invars), 0)
            if any(env[v].cut & ~env[v].active for v in eqn.outvars) or self.cuts_inside(eqn, active):
                return eqn
        return None

    def cuts_inside(self, eqn: JaxprEqn, active: int) -> bool:
        """Might a library's program hide a cut behind outputs that are alive?"""
        return bool(active) and bool(_programs(eqn)) and below(eqn, is_step) is not None

    def error(self, eqn: JaxprEqn, env: dict) -> Exception | None:
        if eqn.primitive in CALLS or eqn.primitive in _PROGRAMS or eqn.primitive in (sample_p, cost_p):
            return None
        active = [bool(self.read(env, v).active) for v in eqn.invars]
        return self.rules.of(eqn, active).error if any(active) else None

    def measure(self, eqns, ins, leaving, env) -> None:
        """Takes the tangent from outputs that have one by structure only."""
        alive = [v for v, is_float in zip(leaving, floats(leaving), strict=True) if is_float and env[v].active]
        if not alive:
            return
        states = [self.read(env, v) for v in ins]
        if any(not s.active and s.value is None for s in states):
            return  # what the others are is not known here, and a guess might be nowhere in their domain
        try:
            given = [None if s.active or s.value is None else s.value() for s in states]
        except Exception:  # of the user's own making, or a chain of constants too long: nothing is known
            return
        if self.rules.is_flat(eqns, ins, given, alive):
            for v in alive:
                env[v] = env[v]._replace(active=0, sure=0)

    # -- backward

    def backward(self, jaxpr: Jaxpr, outs: Sequence[int], path: Path) -> list[int]:
        """How the inputs reach the result, given how the outputs do."""
        env = self.flags.setdefault(path, {})

        def mark(v, flags):
            if not isinstance(v, Literal):
                env[v] = env.get(v, 0) | flags

        for v, flags in zip(jaxpr.outvars, outs, strict=True):
            mark(v, flags)
        for i in reversed(range(len(jaxpr.eqns))):
            eqn = jaxpr.eqns[i]
            flags = [env.get(v, 0) for v in eqn.outvars]
            if any(flags) or self.holds_cost(eqn):
                for v, got in zip(eqn.invars, self.back_step(eqn, flags, (*path, i)), strict=True):
                    mark(v, got)
        return [env.get(v, 0) for v in jaxpr.invars]

    def holds_cost(self, eqn: JaxprEqn) -> bool:
        return below(eqn, lambda e: e.primitive is cost_p) is not None

    def back_step(self, eqn: JaxprEqn, flags: list[int], path: Path) -> list[int]:
        if eqn.primitive is cost_p:
            return [_VALUE]
        if eqn.primitive in CALLS:
            return self.backward(body(eqn)[0], flags, path)
        if eqn.primitive in _PROGRAMS:
            return _PROGRAMS[eqn.primitive][1](self, eqn, flags, path)
        joined = functools.reduce(int.__or__, flags, 0)
        if eqn.primitive.name == "stop_gradient":
            return [_STOPPED]
        return [_FLAGS.get(steers(eqn, k) or "", joined) for k in range(len(eqn.invars))]

    def back_cond(self, eqn, flags, path):
        ins = [self.backward(b.jaxpr, flags, (*path, k)) for k, b in enumerate(eqn.params["branches"])]
        return [_BRANCH, *(functools.reduce(int.__or__, of_one) for of_one in zip(*ins, strict=True))]

    def back_scan(self, eqn, flags, path):
        n, m = eqn.params["num_consts"], eqn.params["num_carry"]
        carry = flags[:m]
        while True:
            ins = self.backward(body(eqn)[0], [*carry, *flags[m:]], path)
            before = [c | got for c, got in zip(carry, ins[n:], strict=False)]
            if before == carry:
                return [*ins[:n], *carry, *ins[n + m :]]
            carry = before

    def back_loop(self, eqn, flags, path):
        a, b = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
        test = self.backward(eqn.params["cond_jaxpr"].jaxpr, [_BRANCH], (*path, 0))
        carry = [c | got for c, got in zip(flags, test[a:], strict=True)]
        while True:
            ins = self.backward(eqn.params["body_jaxpr"].jaxpr, carry, (*path, 1))
            before = [c | got for c, got in zip(carry, ins[b:], strict=True)]
            if before == carry:
                return [*test[:a], *ins[:b], *carry]
            carry = before

    # -- the outcome

    def routes(self, cut: Cut) -> dict[str, int]:
        """route -> the leaves that are cut on it."""
        flags, found = self.flags.get(cut.path, {}), {}
        for v, leaves in cut.lost.items():
            for bit, name in _ROUTES.items():
                if flags.get(v, 0) & bit:
                    found[name] = found.get(name, 0) | leaves
        return found


_PROGRAMS: dict[Any, tuple[Callable, Callable]] = {
    P.cond_p: (Finder.cond, Finder.back_cond),
    P.scan_p: (Finder.scan, Finder.back_scan),
    P.while_p: (Finder.loop, Finder.back_loop),
}


def _constants(eqn: JaxprEqn, ins: Sequence[Constant | None]) -> list[State]:
    if eqn.effects or eqn.primitive.name in CALLBACKS or any(c is None for c in ins):
        return [NOTHING] * len(eqn.outvars)
    outs = functools.cache(lambda: evaluate(eqn, [c() for c in ins if c]))
    return [State(value=Constant(functools.partial(lambda k: outs()[k], k))) for k in range(len(eqn.outvars))]


def _expression(place: Place | None) -> tuple | None:
    return place.expression if place else None


def _programs(eqn: JaxprEqn) -> list[Jaxpr]:
    if eqn.primitive is P.cond_p:
        return [b.jaxpr for b in eqn.params["branches"]]
    if eqn.primitive is P.while_p:
        return [eqn.params["cond_jaxpr"].jaxpr, eqn.params["body_jaxpr"].jaxpr]
    if eqn.primitive in CALLS or eqn.primitive is P.scan_p:
        return [body(eqn)[0]]
    return []
