"""Where softness can get to in a traced program: found once, without tracing anything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..._jaxprs import (
    CALLS,
    CUSTOM_RULES,
    ClosedJaxpr,
    Jaxpr,
    JaxprEqn,
    Literal,
    P,
    aval,
    below,
    body,
    called,
    cond_branches,
    fixed_point,
    is_traced,
    opened,
    scan_parts,
    source_file,
    while_parts,
)

# What is known of a variable, as bits.
REACHED = 1  # it depends on what f is given: a float, or an integer that is softened
CARRIED = 2  # it depends on the state of the loop around it
MIXED = 4  # ... through a soft mixture of two such states
CONSTANT = 8  # a number written in the program
WHOLE = 16  # a float that may be known to be whole

LASTING = REACHED | WHOLE  # in and out of loops

COMPARISONS = frozenset("lt le gt ge lt_to le_to eq ne".split())
STEPS = COMPARISONS | frozenset("floor ceil round sign rem argmax argmin top_k".split())
CALLBACKS = frozenset("pure_callback io_callback python_callback".split())

_ROUNDING = frozenset("floor ceil round sign trunc floor_divide divmod".split())
_KEEPS_WHOLE = frozenset(
    """add sub mul neg abs max min clamp select_n square integer_pow reduce_sum cumsum reduce_max reduce_min cummax cummin
    reduce_prod cumprod dot_general broadcast_in_dim reshape squeeze transpose slice rev copy concatenate stack unstack pad gather
    dynamic_slice dynamic_update_slice scatter scatter-add sort top_k convert_element_type stop_gradient""".split()
)

# Functions of JAX that are softened as one operation, and not from their parts.
_LIBRARY = frozenset("searchsorted floor_divide remainder divmod trunc signbit".split())
_JAX = os.path.dirname(jax.__file__) + os.sep


def operation(eqn: JaxprEqn) -> str:
    """The name of the library function, or of the primitive."""
    if eqn.primitive is P.jit_p and eqn.params["name"] in _LIBRARY and source_file(body(eqn)[0]).startswith(_JAX):
        return eqn.params["name"]
    return eqn.primitive.name


def is_floating(variable: Any) -> bool:
    return jnp.issubdtype(getattr(aval(variable), "dtype", bool), jnp.inexact)


def _is_number(variable: Any) -> bool:
    """A boolean or an integer: no key, no mutable array."""
    dtype = getattr(aval(variable), "dtype", None)
    return dtype is not None and (jnp.issubdtype(dtype, jnp.integer) or dtype == jnp.bool_)


class Flow(NamedTuple):
    """The bits of the results, and of every variable inside.

    - `acts`: must it be entered, because something in it is softened, or is to be listed? `softens`: the former?
    - `mixing`: equations that mix the state of the loop around them; `mixed`: those of the loops inside, whose mixture comes
      back as their state.
    """

    outs: tuple[int, ...]
    bits: dict[Any, int]
    acts: bool
    softens: bool = False
    mixing: tuple[JaxprEqn, ...] = ()
    mixed: tuple[JaxprEqn, ...] = ()


def is_certain(eqn: JaxprEqn, bits: Sequence[int]) -> bool:
    """A test for NaN, or whether a float equals a number that stands in the program: noise does not change it."""
    if eqn.primitive.name not in ("eq", "ne") or not is_floating(eqn.invars[0]):
        return False
    # x == x is how NaN is tested for.
    return eqn.invars[0] is eqn.invars[1] or (any(b & CONSTANT for b in bits) and not any(b & WHOLE for b in bits))


_ALWAYS_ACT = STEPS | _LIBRARY | CALLBACKS


class Reach:
    """The flow of softness through one traced program; `known`: the operations that give a soft result."""

    def __init__(self, known: frozenset[str]):
        self.known = known
        self._flows: dict[tuple, tuple[Jaxpr, Flow]] = {}  # the program is kept, so that its id stays its own

    def of(self, program: ClosedJaxpr | Jaxpr, ins: Sequence[int]) -> Flow:
        jaxpr, consts = opened(program)
        # What a closure is differentiated by comes as a constant of the program that is traced.
        given = tuple(REACHED if _is_given(c) else 0 for c in consts)
        key = (id(jaxpr), given, tuple(ins))
        if key not in self._flows:
            self._flows[key] = (jaxpr, self._follow(jaxpr, given, ins))
        return self._flows[key][1]

    def _follow(self, jaxpr: Jaxpr, consts: Sequence[int], ins: Sequence[int]) -> Flow:
        bits = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *ins], strict=True))
        acts, softens, mixing, mixed = False, False, (), ()
        for eqn in jaxpr.eqns:
            flow = self.step(eqn, [look(bits, v) for v in eqn.invars])
            acts, softens = acts or flow.acts, softens or flow.softens
            mixing, mixed = mixing + flow.mixing, mixed + flow.mixed
            bits.update(zip(eqn.outvars, flow.outs, strict=True))
        return Flow(tuple(look(bits, v) for v in jaxpr.outvars), bits, acts, softens, mixing, mixed)

    def step(self, eqn: JaxprEqn, ins: Sequence[int]) -> Flow:
        """The flow through one equation; its bits are left out."""
        if operation(eqn) in _LIBRARY:
            return self._plain(eqn, ins)
        if eqn.primitive in CALLS:
            flow = self.of(called(eqn), ins)
            # What a rule of the user's covers is neither softened nor hidden, unless the value itself changes.
            return flow._replace(bits={}, acts=flow.softens if eqn.primitive in CUSTOM_RULES else flow.acts)
        # Unknown programs inside an equation are taken as one operation: `is_opaque` then says whether they hide a
        # step.
        rule = {P.scan_p: self._scan, P.cond_p: self._cond, P.while_p: self._while}.get(eqn.primitive, self._plain)
        return rule(eqn, ins)

    def _plain(self, eqn: JaxprEqn, ins: Sequence[int]) -> Flow:
        name, union = operation(eqn), _union(ins)
        certain = is_certain(eqn, ins)
        acts = bool(union & REACHED) and not certain and self._acts(eqn, ins)
        outs = self._results(eqn, self._whole(eqn, union), name in self.known and not certain)
        # A constant that is only brought into form is one still.
        if name in ("broadcast_in_dim", "convert_element_type") and all(b & CONSTANT for b in ins):
            outs = [b | CONSTANT for b in outs]
        if _mixes_states(eqn, ins):
            return Flow((outs[0] | MIXED,), {}, acts, acts and name in self.known, (eqn,))
        return Flow(tuple(outs), {}, acts, acts and name in self.known)

    def _results(self, eqn: JaxprEqn, union: int, softened: bool) -> list[int]:
        # Noise passes floats on; a boolean or an integer takes it on only where an operation here is softened.
        return [union if is_floating(v) or (softened and _is_number(v)) else union & ~REACHED for v in eqn.outvars]

    def _whole(self, eqn: JaxprEqn, union: int) -> int:
        """What rounds, or casts from a number without fraction, makes whole floats; most other operations lose that."""
        name = operation(eqn)
        rounds = name in _ROUNDING or (name == "convert_element_type" and not is_floating(eqn.invars[0]))
        if union & REACHED and rounds:
            return union | WHOLE
        return union if name in _KEEPS_WHOLE else union & ~WHOLE

    def _acts(self, eqn: JaxprEqn, ins: Sequence[int]) -> bool:
        name = operation(eqn)
        if name == "is_finite":
            return False
        if name in _ALWAYS_ACT:
            return True
        if any(b & REACHED and not is_floating(v) for b, v in zip(ins, eqn.invars, strict=True)):
            return True
        # Sorted keys are continuous; what is carried along, such as the order, is not.
        if name == "sort":
            return len(eqn.outvars) > 1
        return any(_is_number(v) for v in eqn.outvars) or is_opaque(eqn)

    def _scan(self, eqn: JaxprEqn, ins: Sequence[int]) -> Flow:
        outer = _union(ins) & (CARRIED | MIXED)
        scan = scan_parts(eqn)
        flow, _ = self.loop(scan.body, *scan.split([b & LASTING for b in ins]))
        return self._after_loop(flow, scan.num_carry, outer)

    def _after_loop(self, flow: Flow, states: int, outer: int) -> Flow:
        returns = flow.mixing if any(b & MIXED for b in flow.outs[:states]) else ()
        outs = tuple(b & LASTING | outer for b in flow.outs)
        return Flow(outs, {}, flow.acts, flow.softens, (), flow.mixed + returns)

    def loop(
        self, program: Any, consts: Sequence[int], start: Sequence[int], xs: Sequence[int] = ()
    ) -> tuple[Flow, list[int]]:
        """The flow of a loop's body, and the bits of its operands."""

        def step(state):
            operands = [*consts, *state, *xs]
            flow = self.of(program, operands)
            return [s | (b & LASTING) for s, b in zip(state, flow.outs, strict=False)], (flow, operands)

        # Bits only grow, so this ends after a few rounds.
        return fixed_point(step, [b | CARRIED for b in start])[1]

    def _cond(self, eqn: JaxprEqn, ins: Sequence[int]) -> Flow:
        index, *operands = ins
        flows = [self.of(b, operands) for b in cond_branches(eqn)]
        outs, mixing, mixed = _join_branches(flows, index, eqn.outvars)
        if not index & REACHED:
            return Flow(outs, {}, any(f.acts for f in flows), any(f.softens for f in flows), mixing, mixed)
        # A soft index: all branches are run, and their results are mixed. A mixture of two states of the loop around is marked,
        # because a loop that hands it on mixes in every iteration, and may grow without bound.
        mixes = [bool(b & CARRIED) and is_floating(v) for b, v in zip(_states(flows), eqn.outvars, strict=True)]
        outs = tuple(b | MIXED if m else b for b, m in zip(outs, mixes, strict=True))
        return Flow(outs, {}, True, True, mixing + ((eqn,) if any(mixes) else ()), mixed)

    def _while(self, eqn: JaxprEqn, ins: Sequence[int]) -> Flow:
        outer = _union(ins) & (CARRIED | MIXED)
        # The condition is looked at with the bits that the body ends up with.
        flow, _, tested = self.while_loop(eqn, [b & LASTING for b in ins])
        if tested:  # the loop stays as it is
            union = _union(ins) & ~CONSTANT
            outs = [union if is_floating(v) else union & ~REACHED for v in eqn.outvars]
            return Flow(tuple(outs), {}, True)
        return self._after_loop(flow, len(flow.outs), outer)

    def while_loop(self, eqn: JaxprEqn, ins: Sequence[int]) -> tuple[Flow, list[int], bool]:
        """The flow of the body, the bits of its operands, and whether the condition is reached."""
        loop = while_parts(eqn)
        tested, consts, start = loop.split(ins)
        flow, operands = self.loop(loop.body, consts, start)
        test = self.of(loop.test, [*tested, *loop.split_body(operands)[1]])
        return flow, operands, test.acts or bool(test.outs[0] & REACHED)


def _mixes_states(eqn: JaxprEqn, ins: Sequence[int]) -> bool:
    """A soft choice among values of which one is the state of the loop around."""
    chooses = eqn.primitive.name == "select_n" and bool(ins[0] & REACHED)
    return chooses and is_floating(eqn.outvars[0]) and bool(_union(ins[1:]) & CARRIED)


def _states(flows: Sequence[Flow]) -> list[int]:
    """The bits of each result, from all branches."""
    return [_union(of_one) for of_one in zip(*(f.outs for f in flows), strict=True)]


def _join_branches(
    flows: Sequence[Flow], index: int, outvars: Sequence
) -> tuple[tuple[int, ...], tuple[JaxprEqn, ...], tuple[JaxprEqn, ...]]:
    """The bits of the results, whichever branch is taken, and the equations that mix in any of them."""
    outs = [b | index & ~CONSTANT for b in _states(flows)]
    bits = (b if is_floating(v) or _is_number(v) else b & ~REACHED for b, v in zip(outs, outvars, strict=True))
    return tuple(bits), sum((f.mixing for f in flows), ()), sum((f.mixed for f in flows), ())


def is_opaque(eqn: JaxprEqn) -> bool:
    """A program inside, of a kind that is not entered, that holds a step."""
    if eqn.primitive.name == "custom_linear_solve":  # smooth, whatever solves it
        return False
    return below(eqn, lambda e: e is not eqn and e.primitive.name in STEPS) is not None


def look(bits: dict, v: Any) -> int:
    return CONSTANT if isinstance(v, Literal) else bits.get(v, 0)


def _union(bits: Any) -> int:
    union = 0
    for b in bits:
        union |= b & ~CONSTANT
    return union


def _is_given(x: Any) -> bool:
    """A constant that JAX traces, such as what a closure is differentiated with respect to."""
    return is_traced(x) and jnp.issubdtype(x.dtype, jnp.inexact)
