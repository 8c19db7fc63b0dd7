"""A traced program as one list of steps: what JAX's functions compile is written out.

`stochastic/_decisions/flat.py` flattens as well, for another purpose: it opens loops and branches too, as blocks inside a
node, and keeps the path of each equation. Here they stay closed, and equal steps get one name, to find what is computed twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..._jaxprs import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, P, body, is_again, is_traced, source_file
from ..._places import is_library_program

PURE = frozenset(
    "neg add sub mul div square integer_pow sqrt pow exp log sin cos tanh abs max min convert_element_type conj real "
    "reshape squeeze expand_dims broadcast_in_dim transpose rev slice reduce_sum reduce_max dot_general".split()
)  # equal ones of these have equal results


class Name:
    """A value of the program; `known` where it is a constant."""

    __slots__ = ("aval", "known")

    def __init__(self, aval: Any, known: Any = None):
        self.aval, self.known = aval, known

    @property
    def is_number(self) -> bool:
        """May it have a derivative?"""
        return jnp.issubdtype(getattr(self.aval, "dtype", bool), jnp.inexact)

    @property
    def has_no_zero(self) -> bool:
        """Is it a constant that is nowhere 0?"""
        return self.known is not None and not is_traced(self.known) and bool(np.all(np.asarray(self.known) != 0))


class Step(NamedTuple):
    """One equation. `site`: the call of a library that it is part of, or itself: whose line it has."""

    eqn: JaxprEqn
    site: JaxprEqn
    ins: tuple[Name, ...]
    outs: tuple[Name, ...]

    @property
    def inner(self) -> JaxprEqn:
        """The equation, or the only one that a custom rule is for."""
        eqn = self.eqn
        while eqn.primitive is P.custom_jvp_call_p and len(body(eqn)[0].eqns) == 1:
            eqn = body(eqn)[0].eqns[0]
        return eqn

    @property
    def kind(self) -> str:
        return self.inner.primitive.name


def _token(name: Name) -> Any:
    """Tells constants apart."""
    return float(name.known) if np.ndim(name.known) == 0 and not is_traced(name.known) and name.is_number else name


class Flat:
    def __init__(self, closed: ClosedJaxpr):
        self.steps: list[Step] = []
        self.ins = [Name(v.aval) for v in closed.jaxpr.invars]
        self.traced: list[Name] = []  # constants that an outer program computes
        self.outs = self._written_out(closed.jaxpr, closed.consts, self.ins, None)
        self.makers = {out: step for step in self.steps for out in step.outs}
        self._same: dict[Name, Name] = {}
        self._seen: dict[Any, Name] = {}
        for step in self.steps:
            self._number(step)

    def are_same(self, one: Name, other: Name) -> bool:
        """Are they computed in the same way from the same values?"""
        return self._same.get(one, one) is self._same.get(other, other)

    def _number(self, step: Step) -> None:
        if len(step.outs) != 1 or step.eqn.effects or step.kind not in PURE:
            return
        try:
            params = tuple(sorted(step.inner.params.items(), key=lambda item: item[0]))
            # Value numbering: the same pure operation on the same names is the same value. sqrt(s) ** 2 is recognised
            # by that, also where s was computed twice.
            key = step.kind, params, tuple(self._same.get(n, n) if n.known is None else _token(n) for n in step.ins)
            self._same[step.outs[0]] = self._seen.setdefault(key, step.outs[0])
        except TypeError:  # a parameter that is not hashable
            pass

    def _call(self, eqn: JaxprEqn, given: Sequence[Name], site: JaxprEqn | None) -> list[Name]:
        inner, consts = body(eqn)
        return self._written_out(
            inner, consts, given, site or (eqn if is_library_program(source_file(inner)) else None)
        )

    def _written_out(self, jaxpr: Jaxpr, consts: Sequence, ins: Sequence[Name], site: JaxprEqn | None) -> list[Name]:
        # A call's inner names are those of its operands, so a value keeps one name across calls.
        names: dict[Any, Name] = dict(zip(jaxpr.invars, ins, strict=True))
        constants = {v: Name(v.aval, x) for v, x in zip(jaxpr.constvars, consts, strict=True)}
        self.traced += [name for name in constants.values() if is_traced(name.known)]
        names |= constants

        def read(v: Any) -> Name:
            return Name(v.aval, v.val) if isinstance(v, Literal) else names[v]

        for eqn in jaxpr.eqns:
            given = tuple(map(read, eqn.invars))
            # Only plain calls: what is rematerialised, or has a rule of its own, is to stay as it is.
            if eqn.primitive in (P.jit_p, P.closed_call_p) and not is_again(eqn):
                outs = self._call(eqn, given, site)
            else:
                outs = [Name(v.aval) for v in eqn.outvars]
                self.steps.append(Step(eqn, site or eqn, given, tuple(outs)))
            names.update(zip(eqn.outvars, outs, strict=True))
        return [read(v) for v in jaxpr.outvars]
