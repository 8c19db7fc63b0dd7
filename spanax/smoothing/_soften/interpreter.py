"""Running a traced program with soft values, equation by equation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..._jaxprs import (
    ClosedJaxpr,
    Jaxpr,
    JaxprEqn,
    Literal,
    at,
    aval,
    computed_now,
    evaluate,
    is_cast,
    is_traced,
    opened,
    varying,
    where,
)
from . import noise
from .reach import CALLBACKS, REACHED, Reach, is_certain, is_floating, is_opaque, look, operation
from .values import Either, canonical, default_float, is_float, is_key, is_soft, likeliest, number

_NAMES = {
    "while": "while loop whose length depends on what is softened",
    "sort": "sort by several keys",
    "pure_callback": "host callback",
    "io_callback": "host callback",
    "python_callback": "host callback",
}


class KeptHard(NamedTuple):
    """One operation that a softened program leaves as it is, and the user's line, as `file:line (function)`."""

    operation: str
    where: str

    def __str__(self) -> str:
        return f"{self.operation} at {self.where}" if self.where else self.operation


class EquationContext(NamedTuple):
    """One equation on its way: what is known of its operands, and the user's line."""

    eqn: JaxprEqn
    bits: Sequence[int]
    place: str
    jaxpr: Jaxpr  # that it stands in

    @property
    def name(self) -> str:
        return operation(self.eqn)

    @property
    def out(self) -> Any:
        """Shape and dtype of its only result."""
        return aval(self.eqn.outvars[0])

    def reached(self, k: int) -> bool:
        return bool(self.bits[k] & REACHED)

    def dtype(self, k: int) -> Any:
        return aval(self.eqn.invars[k]).dtype

    def is_whole(self, k: int, x: Any) -> bool:
        """Is operand k known to hold whole numbers only?"""
        if is_soft(x) or not is_float(self.dtype(k)):
            return True
        if self.reached(k) or not is_concrete(x):
            return False
        values = np.asarray(x, np.float64)
        return bool(np.all(np.isfinite(values) & (values == np.floor(values))))

    def all_whole(self, ins: Sequence, first: int = 0) -> bool:
        """The same of all of `ins`, the operands from `first`."""
        return all(self.is_whole(first + k, x) for k, x in enumerate(ins))


Rule = Callable[["Interpreter", EquationContext, list], "list | None"]  # None: this equation is not for it


class Interpreter:
    """Runs programs with `rules`, by the operation's name; collects what stays hard in `kept`."""

    def __init__(
        self,
        rules: Mapping[str, Rule],
        reach: Reach,
        softness: Float[Array, ""],
        straight_through: bool,
    ):
        self.rules, self.reach = rules, reach
        self.softness, self.straight_through = softness, straight_through
        self.kept: dict[KeptHard, None] = {}
        # Two values that are functions of the same draw must not be treated as independent: a root names the draw.
        self._roots = 0

    def new_root(self) -> int:
        """Names one more draw, of which `Outcomes` are functions."""
        self._roots += 1
        return self._roots

    def truth(self, p: Array) -> Either:
        """A truth value that holds with probability p."""
        return Either(p.astype(default_float()), jnp.zeros(p.shape, bool), jnp.ones(p.shape, bool), self.new_root())

    def noise(self, dtype: Any) -> Float[Array, ""]:
        return self.softness.astype(dtype)

    @property
    def fine(self) -> bool | None:
        """Is softness known to be small beside a step of 1?"""
        return None if is_traced(self.softness) else float(self.softness) < noise.FINE

    def value(self, soft: Array, hard: Array) -> Array:
        """soft; with straight_through the value of `hard`, and soft's derivatives."""
        return noise.with_derivative_of(hard.astype(soft.dtype), soft) if self.straight_through else soft

    def run(self, program: ClosedJaxpr | Jaxpr, bits: Sequence[int], ins: Sequence, place: str) -> list:
        """The results of a program; `bits` are those of its operands."""
        jaxpr, consts = opened(program)
        # Where softness can get to is known before anything is run, so branches and loops can be entered with the
        # right forms.
        known = self.reach.of(program, bits).bits
        env = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *ins], strict=True))

        def read(v):
            return v.val if isinstance(v, Literal) else env[v]

        for eqn in jaxpr.eqns:
            step = EquationContext(eqn, [look(known, v) for v in eqn.invars], where(eqn) or place, jaxpr)
            outs = self.step(step, [read(v) for v in eqn.invars])
            env.update(zip(eqn.outvars, outs, strict=True))
        return [read(v) for v in jaxpr.outvars]

    def run_to(self, forms: Sequence[bool], program: ClosedJaxpr | Jaxpr, bits: Sequence, ins: Sequence, place: str):
        """The same, each result in its canonical form: a `SoftBool` mean where `forms` says so."""
        outs = self.run(program, bits, ins, place)
        variables = opened(program)[0].outvars
        return [canonical(x, aval(v).dtype, f) for x, v, f in zip(outs, variables, forms, strict=True)]

    def step(self, step: EquationContext, ins: list) -> list:
        if not self._is_concerned(step, ins):
            return self.exactly(step, ins)
        rule = self.rules.get(step.name)
        if rule and not is_certain(step.eqn, step.bits):
            # New equations get the user's line, so that errors and find_gaps on the softened program point there.
            with at(step.eqn):
                outs = rule(self, step, ins)
            if outs is not None:
                return outs
        return self.keep(step, ins)

    def _is_concerned(self, step: EquationContext, ins: list) -> bool:
        if any(map(is_soft, ins)):
            return True
        # A float that noise reaches concerns only operations that act on it: a product of floats stays as it is.
        moves = any(b & REACHED and is_floating(v) for b, v in zip(step.bits, step.eqn.invars, strict=True))
        return (moves or not step.eqn.invars) and self.reach.step(step.eqn, step.bits).acts

    def exactly(self, step: EquationContext, ins: list) -> list:
        """The equation as it stands. What is a number of the program stays one, so that rules can read it."""
        # Small constants are computed now: an index that is a plain number is read as such by the rules.
        if ins and all(np.size(x) == 1 and not is_traced(x) for x in ins) and _is_small(step.eqn):
            if is_cast(step.eqn):
                return ins
            if not any(map(varying, step.eqn.invars)):
                with computed_now():
                    return evaluate(step.eqn, ins)
        return evaluate(step.eqn, ins)

    def keep(self, step: EquationContext, ins: list) -> list:
        """The equation as it stands, of the likeliest values; it is listed, where it hides a jump."""
        # A soft integer that no rule can take is rounded to its likeliest value: that is a hard step, and is listed.
        loses = any(is_soft(x) and not is_floating(v) for x, v in zip(ins, step.eqn.invars, strict=True))
        if (loses and step.eqn.outvars) or self._hides(step):
            self.kept[KeptHard(_NAMES.get(step.name, step.name), step.place)] = None
        ins = [likeliest(x, aval(v).dtype) if is_soft(x) else x for x, v in zip(ins, step.eqn.invars, strict=True)]
        return evaluate(step.eqn, ins)

    def _hides(self, step: EquationContext) -> bool:
        """May a jump be behind this equation, which stays as it is?"""
        if not any(b & REACHED for b in step.bits) or is_certain(step.eqn, step.bits) or step.name == "is_finite":
            return False
        # The pivots of an LU decomposition are integers that jump. In a solver they make no jump: the solution has none.
        if step.name == "lu" and any(e.primitive.name == "custom_linear_solve" for e in step.jaxpr.eqns):
            return False
        return step.name in CALLBACKS or step.name == "sort" or is_opaque(step.eqn) or _makes_integers(step)

    def bind(self, step: EquationContext, ins: Sequence, **changed: Any) -> list:
        """The equation of these operands, with some parameters changed."""
        return evaluate(step.eqn.replace(params={**step.eqn.params, **changed}), list(ins))

    def exact(self, step: EquationContext, ins: Sequence) -> Array:
        """The first result of the equation itself, for the value of `straight_through`; of the likeliest operands."""
        given = [likeliest(x, step.dtype(k)) for k, x in enumerate(ins)]
        return jax.lax.stop_gradient(evaluate(step.eqn, given)[0])


def _makes_integers(step: EquationContext) -> bool:
    """Is there an output without fraction, which can only change by a jump, that something reads?"""
    read_here = (v for e in step.jaxpr.eqns for v in e.invars)
    used = {v for v in itertools.chain(step.jaxpr.outvars, read_here) if not isinstance(v, Literal)}
    return any(v in used and not is_floating(v) and not is_key(aval(v).dtype) for v in step.eqn.outvars)


def _is_small(eqn: JaxprEqn) -> bool:
    return not eqn.effects and all(
        getattr(aval(v), "shape", None) == () and not is_key(aval(v).dtype) for v in (*eqn.invars, *eqn.outvars)
    )


def as_numbers(ins: Sequence, dtype: Any) -> list[Array]:
    return [number(x, dtype) for x in ins]


def is_concrete(x: Any) -> bool:
    return not is_soft(x) and not is_traced(x)


def broadcast(x: Any, shape: tuple[int, ...]) -> Array:
    return jnp.broadcast_to(x, shape)
