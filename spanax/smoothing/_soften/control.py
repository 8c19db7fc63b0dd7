"""Calls, branches and loops of a softened program."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ..._jaxprs import CALLS, ClosedJaxpr, P, aval, called, cond_branches, scan_parts, while_parts
from .interpreter import EquationContext, Interpreter, Rule
from .reach import LASTING, REACHED
from .values import Columns, SoftBool, canonical, chances, default_float, is_float, is_number, is_soft, mix, number


def _is_form(bits: int, variable: Any) -> bool:
    """Does it cross as a `SoftBool` mean?"""
    return bool(bits & REACHED) and is_number(aval(variable).dtype)


def _call(soft: Interpreter, step: EquationContext, ins: list) -> list:
    """Entered; of a function with its own derivative rule, the rule is left behind, for its value has changed."""
    return soft.run(called(step.eqn), step.bits, ins, step.place)


def _remat(soft: Interpreter, step: EquationContext, ins: list) -> list:
    options = {name: step.eqn.params[name] for name in ("prevent_cse", "policy")}
    return jax.checkpoint(lambda xs: soft.run(called(step.eqn), step.bits, xs, step.place), **options)(
        list(map(_plain, ins))
    )


def _cond(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
    """A soft choice runs every branch that is possible, and mixes their results."""
    index, *operands = ins
    operands = list(map(_plain, operands))
    eqn, branches = step.eqn, cond_branches(step.eqn)
    forms = [_is_form(b, v) for b, v in zip(soft.reach.step(eqn, step.bits).outs, eqn.outvars, strict=True)]

    def run(branch):
        return lambda xs: soft.run_to(forms, branch, step.bits[1:], xs, step.place)

    if not is_soft(index):
        return lax.switch(index, [run(b) for b in branches], operands)
    # A mixture of keys, or of integers that are not soft, has no meaning: the choice stays hard, and is listed.
    if not all(f or is_float(aval(v).dtype) for f, v in zip(forms, eqn.outvars, strict=True)):
        return None  # keys do not mix
    weights = chances(index, len(branches))
    results = [_if_possible(soft, weights[k], b, run(b), operands, step, forms) for k, b in enumerate(branches)]
    return [
        _mix_branches(weights, of_one, v, f)
        for of_one, v, f in zip(zip(*results, strict=True), eqn.outvars, forms, strict=True)
    ]


def _if_possible(
    soft: Interpreter, weight, branch, run, operands: list, step: EquationContext, forms: list[bool]
) -> list:
    """A branch whose weight is 0 does not run: its infinities would come back through the derivative."""
    if soft.straight_through or _is_tame(branch):  # with straight_through, a weight of 0 has a derivative
        return run(operands)

    # A cond and not a select: both sides of a select are differentiated, and 0 times infinity is NaN.
    def nothing(_):
        return [_zeros(v, form) for v, form in zip(step.eqn.outvars, forms, strict=True)]

    return lax.cond(weight > 0, run, nothing, operands)


# Their values and derivatives are finite where their operands are, and they cost next to nothing.
_TAME = frozenset(
    """add sub mul neg abs max min clamp sign floor ceil round lt le gt ge eq ne and or not xor select_n sin cos tanh logistic
    convert_element_type broadcast_in_dim reshape squeeze transpose slice unstack copy one_minus_square stop_gradient""".split()
)


def _is_tame(branch: ClosedJaxpr) -> bool:
    return all(eqn.primitive.name in _TAME for eqn in branch.jaxpr.eqns)


def _zeros(variable: Any, form: bool) -> Any:
    shape = aval(variable).shape
    return SoftBool(jnp.zeros(shape, default_float())) if form else jnp.zeros(shape, aval(variable).dtype)


def _mix_branches(weights, cases: tuple, variable: Any, form: bool) -> Any:
    dtype = default_float() if form else aval(variable).dtype
    shares = [jnp.broadcast_to(weights[k], aval(variable).shape) for k in range(len(cases))]
    mixed = mix(shares, [number(c, dtype) for c in cases])
    return SoftBool(mixed) if form else mixed


def _scan(soft: Interpreter, step: EquationContext, ins: list) -> list:
    scan = scan_parts(step.eqn)
    # The forms of the carry must be the same in every iteration, so they come from the fixed point of the reach
    # analysis.
    _, bits = soft.reach.loop(scan.body, *scan.split([b & LASTING for b in step.bits]))
    consts, start, xs = scan.split(list(map(_plain, ins)))
    carried, _ = scan.split_outs(step.eqn.outvars)
    forms = [_is_form(b, v) for b, v in zip(scan.split(bits)[1], carried, strict=True)]

    def body(state, xs):
        state, ys = scan.split_outs(soft.run(scan.body, bits, [*consts, *state, *xs], step.place))
        return _state(state, carried, forms), list(map(_plain, ys))

    end, ys = lax.scan(body, _state(start, carried, forms), xs, **scan.options)
    return [*end, *ys]


def _state(values: list, variables: Any, forms: list[bool]) -> list:
    return [canonical(x, aval(v).dtype, f) for x, v, f in zip(values, variables, forms, strict=True)]


def _while(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
    """Stays as it is where its length depends on what is softened: nothing would promise that it ends."""
    loop = while_parts(step.eqn)
    _, bits, depends = soft.reach.while_loop(step.eqn, [x & LASTING for x in step.bits])
    # A soft condition would run on with ever smaller weights; no bound says when to stop.
    if depends:
        return None
    tested, consts, start = loop.split(list(map(_plain, ins)))
    carried = loop.split_body(bits)[1]
    forms = [_is_form(x, v) for x, v in zip(carried, step.eqn.outvars, strict=True)]

    def goes_on(state):
        return soft.run(loop.test, [*loop.split(step.bits)[0], *carried], [*tested, *state], step.place)[0]

    def body(state):
        outs = soft.run(loop.body, bits, [*consts, *state], step.place)
        return _state(outs, step.eqn.outvars, forms)

    return list(lax.while_loop(goes_on, body, _state(start, step.eqn.outvars, forms)))


def _plain(x: Any) -> Any:
    """Columns name an axis, which a loop would move."""
    return SoftBool(x.mean) if isinstance(x, Columns) else x


RULES: dict[str, Rule] = {
    **{primitive.name: _call for primitive in CALLS},
    P.remat_p.name: _remat,
    P.cond_p.name: _cond,
    P.scan_p.name: _scan,
    P.while_p.name: _while,
}
