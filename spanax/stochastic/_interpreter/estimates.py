"""Estimates inside a program: how an outer `expectation` treats the draws of an inner one.

An inner estimate leaves its draws in the program as `sample` sites that know whose they are (`Site.estimate`), its scores as
`zero_valued` of the same owner, and marks its result with `leave`. By itself that is the estimate of E[g], with its
derivatives. An outer expectation, whose derivative is that of E[value of f], may take it so only where the estimate enters
the costs affinely, given everything that is independent of its draws. Anywhere else (S**2, log S, a branch on S, S as the
logits of a later draw, a gradient of S) the inner draws are draws of the outer program: it UNFOLDS the estimate, which is to
score the draws itself, and to take the inner scores, whose derivatives inside f have been taken by then, for the zeros
that they are.

This analysis follows each estimate through the traced program. A value is INSIDE it, AFFINE in its result, or BENT: anything
else.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

import jax.numpy as jnp

from ..._errors import SpanaxError
from ..._jaxprs import (
    ClosedJaxpr,
    Jaxpr,
    JaxprEqn,
    Literal,
    P,
    aval,
    body,
    cond_branches,
    fixed_point,
    is_again,
    is_call,
    jaxprs_in_params,
    scan_parts,
    while_parts,
)
from ..._primitives import new_markers
from ...bridges import Local
from ..sampling import cost_p, parts, sample_p

# A lattice: INSIDE and AFFINE are the two good states, and do not mix; BENT is above both.
INSIDE, AFFINE, BENT = "inside", "affine", "bent"
States = Mapping[int, str]  # estimate -> what a value is to it

# Process-wide: programs that are traced apart may be nested later.
_numbers = itertools.count()
# Identities that survive tracing. In reverse mode the transpose of `leave` is `enter`: a derivative enters where a value
# leaves.
leave_p, enter_p = new_markers("leave_estimate", "enter_estimate")


def new_estimate() -> int:
    """A number that no other estimate has."""
    return next(_numbers)


def leave(value, estimate: int, frozen: str | None):
    """Marks the result of an estimate. `frozen`: the place of a draw that is not a site, so that it cannot be unfolded."""
    return leave_p.bind(value, estimate=estimate, frozen=frozen)[0]


def estimates_to_unfold(closed: ClosedJaxpr) -> frozenset[int]:
    """The estimates in a program whose draws are to be draws of the program itself.

    Raises `SpanaxError` where one of them has no sites for its draws.
    """
    walk = _Walk()
    result = walk.walk(closed.jaxpr, [{}] * len(closed.jaxpr.invars), {})[0]
    # The result of f is a cost.
    walk.use([result])
    # Sorted, so that the same program always raises the same error.
    for estimate in sorted(walk.bent & walk.frozen.keys()):
        raise SpanaxError(
            "an inner expectation whose estimate is not used linearly, or whose derivative is used: its draws must be draws of "
            "the outer expectation, and one of them is through a bridge that runs the rest of its program again",
            "ScoreFunction() for all draws of the inner expectation, with samples=2 or more",
            "Enumerate() for all of them: then the inner expectation is exact",
            where=walk.frozen[estimate],
        )
    return frozenset(walk.bent)


class _Walk:
    def __init__(self):
        # Monotone: once an estimate is bent anywhere, all its draws are the outer program's.
        self.bent: set[int] = set()
        self.frozen: dict[int, str] = {}

    def use(self, ins: Iterable[States]) -> None:
        """A cost, or what decides a draw, is made of these."""
        # Also INSIDE: what has not passed the mark is a part of an estimate, a single draw of it for instance.
        self.bent |= {e for states in ins for e, state in states.items() if state != AFFINE}

    def walk(self, jaxpr: Jaxpr, ins: Sequence[States], control: States) -> list[States]:
        """The states of the outputs. `control`: those of the predicates that decided that this program runs."""
        env = dict(zip(jaxpr.invars, ins, strict=True))

        def read(v):
            return {} if isinstance(v, Literal) else env.get(v, {})

        for eqn in jaxpr.eqns:
            env.update(zip(eqn.outvars, self.step(eqn, [read(v) for v in eqn.invars], control), strict=True))
        return [read(v) for v in jaxpr.outvars]

    def step(self, eqn: JaxprEqn, ins: list[States], control: States) -> list[States]:
        if is_call(eqn):
            return self.walk(body(eqn)[0], ins, control)
        if rule := _STRUCTURES.get(eqn.primitive):
            return rule(self, eqn, ins, control)
        if eqn.primitive is cost_p:
            self.use([*ins, _choose({}, control)])
            return []
        if eqn.primitive in _MARKERS:
            return [_MARKERS[eqn.primitive](self, eqn, ins[0])]
        if eqn.primitive.name == "stop_gradient":  # what is to be a constant is one
            return [{e: state for e, state in ins[0].items() if state == INSIDE}]
        return [_result(eqn, ins)] * len(eqn.outvars)

    def sample(self, eqn: JaxprEqn, ins: Sequence[States], control: States) -> list[States]:
        ins, site = [*ins, control], eqn.params["site"]
        estimate = site.estimate
        inside = {e for states in ins for e, state in states.items() if state == INSIDE}
        # A draw of the outer program whose parameters hold an estimate answers to it by its log-probability, which is not linear.
        # A draw of an estimate may depend on that estimate's own draws: they are scored together.
        self.use({e: s for e, s in states.items() if s != INSIDE or estimate is None} for states in map(_bend, ins))
        if estimate is not None and not isinstance(parts(site, [0.0] * len(site.static))[1], Local):
            inside.add(estimate)
        return [dict.fromkeys(inside, INSIDE)]

    def leave(self, eqn: JaxprEqn, states: States) -> States:
        estimate, frozen = eqn.params["estimate"], eqn.params["frozen"]
        if frozen is not None:
            self.frozen[estimate] = frozen
        elif states.get(estimate) != INSIDE:
            return states
        return {**states, estimate: AFFINE}

    def enter(self, eqn: JaxprEqn, states: States) -> States:
        """Here reverse mode goes back into the estimate, and what it makes has no mark of its own."""
        estimate, frozen = eqn.params["estimate"], eqn.params["frozen"]
        if frozen is None:
            return states
        self.frozen[estimate] = frozen
        return {**states, estimate: INSIDE}

    def cond(self, eqn, ins, control):
        # A branch on an estimate decides everything inside it.
        inner = _join(control, ins[0])
        outs = [self.walk(b.jaxpr, ins[1:], inner) for b in cond_branches(eqn)]
        return [_choose(_join_all(states), ins[0]) for states in zip(*outs, strict=True)]

    def scan(self, eqn, ins, control):
        parts = scan_parts(eqn)
        consts, first, xs = parts.split(ins)

        def step(carry):
            outs = self.walk(parts.body.jaxpr, [*consts, *carry, *xs], control)
            return list(map(_join, carry, parts.split_outs(outs)[0])), outs

        return fixed_point(step, first)[1]

    def loop(self, eqn, ins, control):
        parts = while_parts(eqn)
        (tested, consts, first), test = parts.split(ins), {}

        def step(carry):
            nonlocal test
            test = _join(test, self.walk(parts.test.jaxpr, [*tested, *carry], control)[0])
            outs = self.walk(parts.body.jaxpr, [*consts, *carry], _join(control, test))
            return list(map(_join, carry, outs)), None

        carry, _ = fixed_point(step, first)
        return [_choose(states, test) for states in carry]


_MARKERS = {leave_p: _Walk.leave, enter_p: _Walk.enter}
_STRUCTURES = {sample_p: _Walk.sample, P.cond_p: _Walk.cond, P.scan_p: _Walk.scan, P.while_p: _Walk.loop}


def _join(a: States, b: States) -> States:
    """Of a value that is the one or the other."""
    return {**a, **b, **{e: BENT for e in a.keys() & b.keys() if a[e] != b[e]}}


def _join_all(alternatives: Sequence[States]) -> States:
    out: States = {}
    for states in alternatives:
        out = _join(out, states)
    return out


def _bend(states: States) -> States:
    return {e: INSIDE if state == INSIDE else BENT for e, state in states.items()}


def _choose(states: States, predicate: States) -> States:
    """Of a value that a predicate chose."""
    return _join(states, _bend(predicate))


def _result(eqn: JaxprEqn, ins: Sequence[States]) -> States:
    # Draws hidden inside an equation that is not looked into belong to some estimate as well.
    estimates = {e for states in ins for e in states} | set(() if is_again(eqn) else _inside(eqn.params))
    return {e: _state(eqn, [states.get(e) for states in ins]) for e in estimates}


def _inside(params) -> Iterable[int]:
    """The estimates whose draws an equation holds that is not looked into."""
    for jaxpr in jaxprs_in_params(params):
        for eqn in jaxpr.eqns:
            if eqn.primitive is sample_p and eqn.params["site"].estimate is not None:
                yield eqn.params["site"].estimate
            yield from _inside(eqn.params)


def _state(eqn: JaxprEqn, ins: Sequence[str | None]) -> str:
    states = set(ins) - {None}
    if states == {INSIDE}:
        return INSIDE
    # A product of an estimate with something inside it is not its value any more: E[S z] is not E[S] E[z].
    return AFFINE if states == {AFFINE} and _is_linear(eqn, [x is not None for x in ins]) else BENT


def _is_linear(eqn: JaxprEqn, of: Sequence[bool]) -> bool:
    """Is the operation linear, up to a shift, in these operands together?"""
    name = eqn.primitive.name
    if not all(jnp.issubdtype(aval(v).dtype, jnp.inexact) for v in eqn.outvars):
        return False
    # Bilinear: linear in each operand, and not in both.
    if name in _PRODUCTS:
        return sum(of) == 1
    first, last = _LINEAR.get(name, (0, 0))
    # Index operands and predicates come before these or after them, and bend what they choose.
    return all(first <= k and (last is None or k < last) for k, x in enumerate(of) if x)


# The operands in which an operation is linear together: from the first to before the last (None: all that follow).
_LINEAR: dict[str, tuple[int, int | None]] = {
    **dict.fromkeys(
        "add add_any sub neg convert_element_type reshape broadcast_in_dim squeeze expand_dims transpose rev reduce_sum cumsum "
        "copy copy_p concatenate stack tile slice split unstack pad real imag complex psum optimization_barrier".split(),
        (0, None),
    ),
    "div": (0, 1),
    "dynamic_slice": (0, 1),
    "gather": (0, 1),
    "dynamic_update_slice": (0, 2),
    "select_n": (1, None),
}
_PRODUCTS = frozenset("mul dot_general conv_general_dilated".split())
