"""How the values of a traced program reach its result: as a value, as the choice of a branch, as an index."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ..._jaxprs import (
    CALLS,
    Jaxpr,
    JaxprEqn,
    Literal,
    P,
    below,
    body,
    cond_branches,
    fixed_point,
    scan_parts,
    while_parts,
)
from ..._primitives import zero_valued_p
from ..._steps import BRANCH, INDEX, steers
from ...stochastic.sampling import cost_p
from .cuts import Cut, Path

# Flags, because a value may reach the result in several ways at once. _STOPPED marks what only chooses among values
# whose derivative the user stopped: a gap there cuts nothing.
_VALUE, _BRANCH, _INDEX, _STOPPED = 1, 2, 4, 8
_FLAGS = {BRANCH: _BRANCH, INDEX: _INDEX}
_ROUTES = {_VALUE: "value", _BRANCH: "branch", _INDEX: "index"}


class Routes:
    """One walk backward over a program, from its outputs and its costs."""

    def __init__(self, jaxpr: Jaxpr):
        self._flags: dict[Path, dict[Any, int]] = {}
        self._walk(jaxpr, [_VALUE] * len(jaxpr.outvars), ())

    def of(self, cut: Cut) -> dict[str, int]:
        """route -> the leaves that are cut on it."""
        flags, found = self._flags.get(cut.path, {}), {}
        for v, leaves in cut.lost.items():
            for bit, name in _ROUTES.items():
                if flags.get(v, 0) & bit:
                    found[name] = found.get(name, 0) | leaves
        return found

    def _walk(self, jaxpr: Jaxpr, outs: Sequence[int], path: Path) -> list[int]:
        """How the inputs reach the result, given how the outputs do."""
        env = self._flags.setdefault(path, {})

        def mark(v, flags):
            if not isinstance(v, Literal):
                env[v] = env.get(v, 0) | flags

        for v, flags in zip(jaxpr.outvars, outs, strict=True):
            mark(v, flags)
        # Backward liveness, as in a compiler: from the outputs and the costs to what they are made of.
        for i in reversed(range(len(jaxpr.eqns))):
            eqn = jaxpr.eqns[i]
            flags = [env.get(v, 0) for v in eqn.outvars]
            # A cost is an output of its own, so an equation that holds one is walked even if nothing reads its
            # results.
            if any(flags) or self._holds_cost(eqn):
                for v, got in zip(eqn.invars, self._step(eqn, flags, (*path, i)), strict=True):
                    mark(v, got)
        return [env.get(v, 0) for v in jaxpr.invars]

    def _holds_cost(self, eqn: JaxprEqn) -> bool:
        return below(eqn, lambda e: e.primitive is cost_p) is not None

    def _step(self, eqn: JaxprEqn, flags: list[int], path: Path) -> list[int]:
        if eqn.primitive is cost_p:
            return [_VALUE]
        if eqn.primitive in CALLS:
            return self._walk(body(eqn)[0], flags, path)
        if eqn.primitive in _PROGRAMS:
            return _PROGRAMS[eqn.primitive](self, eqn, flags, path)
        if eqn.primitive is zero_valued_p and eqn.params["owner"] is not None:
            return [0]  # the score of an estimate: what it is made of is the estimator's affair
        joined = functools.reduce(int.__or__, flags, 0)
        if eqn.primitive.name == "stop_gradient":
            return [_STOPPED]
        if joined == _STOPPED:  # what chooses among values that are stopped afterwards cuts nothing
            return [_STOPPED] * len(eqn.invars)
        return [_FLAGS.get(steers(eqn, k) or "", joined) for k in range(len(eqn.invars))]

    def _cond(self, eqn, flags, path):
        # The index of a cond reaches the result as a choice, whatever the branches do.
        ins = [self._walk(b.jaxpr, flags, (*path, k)) for k, b in enumerate(cond_branches(eqn))]
        return [_BRANCH, *(functools.reduce(int.__or__, of_one) for of_one in zip(*ins, strict=True))]

    def _scan(self, eqn, flags, path):
        scan = scan_parts(eqn)
        last, ys = scan.split_outs(flags)

        def step(carry):
            consts, before, xs = scan.split(self._walk(scan.body.jaxpr, [*carry, *ys], path))
            return [c | got for c, got in zip(carry, before, strict=True)], (consts, xs)

        # The flags of the carry at the end of one iteration are those at the start of the next: repeated until they
        # stop growing.
        carry, (consts, xs) = fixed_point(step, last)
        return [*consts, *carry, *xs]

    def _loop(self, eqn, flags, path):
        loop = while_parts(eqn)
        # What the condition reads decides how many iterations there are, which is the choice of a branch.
        tested, compared = loop.split_test(self._walk(loop.test.jaxpr, [_BRANCH], (*path, 0)))

        def step(carry):
            consts, before = loop.split_body(self._walk(loop.body.jaxpr, carry, (*path, 1)))
            return [c | got for c, got in zip(carry, before, strict=True)], consts

        carry, consts = fixed_point(step, [c | got for c, got in zip(flags, compared, strict=True)])
        return [*tested, *consts, *carry]


_PROGRAMS: dict[Any, Callable] = {P.cond_p: Routes._cond, P.scan_p: Routes._scan, P.while_p: Routes._loop}
