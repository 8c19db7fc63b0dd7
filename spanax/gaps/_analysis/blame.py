"""Which equation of a traced program makes a number that is not finite, in its value or in its derivative.

The program is run equation by equation, and looked at from its end: backward along the values that are not finite, or with each
equation's own transposed derivative. Loops are looked at round by round, a `while` as well, which reverse mode does not cross.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._jaxprs import (
    CALLS,
    ClosedJaxpr,
    Jaxpr,
    JaxprEqn,
    Literal,
    P,
    body,
    cond_branches,
    evaluate,
    evaluate_jaxpr,
    opened,
    scan_parts,
    while_parts,
)


class Culprit(NamedTuple):
    """`eqns`: the equation and those around it, outermost first; `rounds`: of the loops around, from 0."""

    eqns: tuple[JaxprEqn, ...]
    rounds: tuple[int, ...]
    makes: str  # "nan" or "inf"

    def inside(self, eqn: JaxprEqn, *rounds: int) -> Culprit:
        return Culprit((eqn, *self.eqns), (*rounds, *self.rounds), self.makes)


def is_finite(x: Any) -> bool:
    return not _is_number(x) or bool(jnp.all(jnp.isfinite(x)))


def has_nan(x: Any) -> bool:
    return _is_number(x) and bool(jnp.any(jnp.isnan(x)))


def _is_number(x: Any) -> bool:
    return x is not None and jnp.issubdtype(getattr(x, "dtype", type(x)), jnp.inexact)


def _worst(xs: Sequence[Any]) -> int | None:
    """The first that holds NaN, or else the first that is infinite."""
    # NaN before infinity: an infinity may be divided by and do no harm, and NaN never goes away.
    bad = [k for k, x in enumerate(xs) if not is_finite(x)]
    return min(bad, key=lambda k: not has_nan(xs[k]), default=None)


def _nan_or_inf(*xs: Any) -> str:
    return "nan" if any(map(has_nan, xs)) else "inf"


class _Run:
    """A program with the values of all its variables."""

    def __init__(self, jaxpr: Jaxpr, consts: Sequence, args: Sequence):
        self.jaxpr = jaxpr
        self.values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))
        self.makers: dict[Any, JaxprEqn] = {}
        for eqn in jaxpr.eqns:
            # Every value is kept, since the search goes backward from the result. That is memory of the order of
            # reverse mode's.
            self.values.update(zip(eqn.outvars, evaluate(eqn, self.ins(eqn)), strict=True))
            self.makers.update(dict.fromkeys(eqn.outvars, eqn))

    def read(self, v: Any) -> Any:
        return v.val if isinstance(v, Literal) else self.values[v]

    def ins(self, eqn: JaxprEqn) -> list:
        return [self.read(v) for v in eqn.invars]


# -- values


def of_value(jaxpr: Jaxpr, consts: Sequence, args: Sequence, out: int) -> Culprit | int | None:
    """What makes output `out` not finite; the number of an input, if that came so; None where it cannot be told."""
    run = _Run(jaxpr, consts, args)
    v = jaxpr.outvars[out]
    # Upstream along operands that are not finite already: the first equation whose operands are all finite made it.
    while not isinstance(v, Literal) and v in run.makers:
        eqn = run.makers[v]
        ins, k = run.ins(eqn), list(eqn.outvars).index(v)
        found = _INSIDE[eqn.primitive](eqn, ins, k) if eqn.primitive in _INSIDE else _worst(_chosen_only(eqn, ins))
        if isinstance(found, Culprit):
            return found
        if found is None:
            return Culprit((eqn,), (), _nan_or_inf(run.read(v)))
        v = eqn.invars[found]
    return next((k for k, x in enumerate(jaxpr.invars) if x is v), None)


def _chosen_only(eqn: JaxprEqn, ins: list) -> list:
    """Without what a selection drops."""
    if eqn.primitive.name != "select_n":
        return ins
    # A selection passes on one case. The others may be NaN without harm, as in where(x > 0, log(x), 0).
    which, *cases = ins
    return [None, *(jnp.where(which == k, case, jnp.zeros_like(case)) for k, case in enumerate(cases))]


def _of_call(eqn: JaxprEqn, ins: list, out: int) -> Culprit | int | None:
    found = of_value(*body(eqn), ins, out)
    return found.inside(eqn) if isinstance(found, Culprit) else found


def _of_branch(eqn: JaxprEqn, ins: list, out: int) -> Culprit | int | None:
    found = of_value(*_branch(eqn, ins), ins[1:], out)
    return found.inside(eqn) if isinstance(found, Culprit) else None if found is None else found + 1


def _of_loop(eqn: JaxprEqn, ins: list, out: int) -> Culprit | int | None:
    """Backward from the last round, or from that of the first bad row."""
    loop = Loop.of(eqn, ins)
    last = len(loop.rounds) - 1
    if out >= loop.carried:
        # Stacked results: the first bad row says in which iteration to look.
        rows = loop.rows[out - loop.carried]
        bad = [k for k, row in enumerate(rows) if not is_finite(row)]
        last = next((k for k in bad if has_nan(rows[k])), bad[0] if bad else last)
    for r in range(last, -1, -1):
        found = of_value(loop.jaxpr, loop.consts, loop.rounds[r], out)
        if isinstance(found, Culprit):
            return found.inside(eqn, r)
        if found is None or not loop.fixed <= found < loop.fixed + loop.carried:
            return None if found is None else loop.place(found)
        # The culprit is in the iteration before: what it handed on was bad already.
        out = found - loop.fixed
    return loop.place(loop.fixed + out)


class Loop(NamedTuple):
    """The rounds of a scan or a while: the arguments of its body in each."""

    jaxpr: Jaxpr
    consts: Sequence
    fixed: int  # arguments that stay
    carried: int
    rounds: list[list]
    rows: list[list]  # what a scan stacks: one list for each, by round
    first: int  # operands of the equation before those of the body
    backward: bool

    @classmethod
    def of(cls, eqn: JaxprEqn, ins: Sequence) -> Loop:
        return cls._of_scan(eqn, ins) if eqn.primitive is P.scan_p else cls._of_while(eqn, ins)

    @classmethod
    def _of_scan(cls, eqn: JaxprEqn, ins: Sequence) -> Loop:
        scan = scan_parts(eqn)
        jaxpr, consts = opened(scan.body)
        step = _compile(jaxpr, consts)
        fixed, state, xs = scan.split(ins)
        rounds, rows = [], [[None] * scan.length for _ in scan.split_outs(eqn.outvars)[1]]
        for r in reversed(range(scan.length)) if scan.reverse else range(scan.length):
            rounds.append([*fixed, *state, *(x[r] for x in xs)])
            state, ys = scan.split_outs(step(*rounds[-1]))
            for row, y in zip(rows, ys, strict=True):
                row[len(rounds) - 1] = y
        return cls(jaxpr, consts, scan.num_consts, scan.num_carry, rounds, rows, 0, scan.reverse)

    @classmethod
    def _of_while(cls, eqn: JaxprEqn, ins: Sequence) -> Loop:
        loop = while_parts(eqn)
        jaxpr, consts = opened(loop.body)
        step, going = _compile(jaxpr, consts), _compile(*opened(loop.test))
        tested, fixed, state = loop.split(ins)
        rounds = []
        # Run on the host, iteration by iteration, because each one's operands are needed.
        while bool(going(*tested, *state)[0]):
            rounds.append([*fixed, *state])
            state = step(*rounds[-1])
        return cls(jaxpr, consts, len(fixed), len(state), rounds, [], len(tested), False)

    def row_of(self, slope: Slope, r: int) -> Slope:
        """Of what a scan stacks: the cotangent of the row that iteration r made."""
        row = len(self.rounds) - 1 - r if self.backward else r
        return slope if slope.value is None else Slope(slope.value[row], slope.culprit)

    def column(self, slopes: Sequence[Slope]) -> Slope:
        """The cotangent of what a scan goes through, from those of its rows, last iteration first."""
        if slopes[0].value is None:
            return Slope()
        ordered = slopes if self.backward else slopes[::-1]
        return Slope(jnp.stack([s.value for s in ordered]), _first(*slopes))

    def place(self, k: int) -> int:
        """Among the operands of the equation: of argument k of the body."""
        return self.first + k


def _compile(jaxpr: Jaxpr, consts: Sequence) -> Callable:
    return jax.jit(lambda *args: evaluate_jaxpr(jaxpr, consts, *args))


def _branch(eqn: JaxprEqn, ins: Sequence) -> tuple[Jaxpr, Sequence]:
    branches = cond_branches(eqn)
    return opened(branches[int(np.clip(int(ins[0]), 0, len(branches) - 1))])


_INSIDE: dict[Any, Callable] = {
    **dict.fromkeys(CALLS, _of_call),
    P.cond_p: _of_branch,
    P.scan_p: _of_loop,
    P.while_p: _of_loop,
}


# -- derivatives


class Slope(NamedTuple):
    """A cotangent, None where there is none, and who made it not finite."""

    value: Any = None
    culprit: Culprit | None = None

    def plus(self, other: Slope) -> Slope:
        if self.value is None or other.value is None:
            return other if self.value is None else self
        return Slope(self.value + other.value, _first(self, other))


def _first(*slopes: Slope) -> Culprit | None:
    """Whose is to blame: of NaN, before infinities."""
    worst = _worst([s.value for s in slopes])
    return None if worst is None else slopes[worst].culprit


def of_derivative(jaxpr: Jaxpr, consts: Sequence, args: Sequence, outs: Sequence[Slope]) -> list[Slope]:
    """The cotangents of the inputs, given those of the outputs."""
    run, slopes = _Run(jaxpr, consts, args), {}

    def add(v: Any, slope: Slope) -> None:
        if not isinstance(v, Literal) and slope.value is not None:
            slopes[v] = slopes.get(v, Slope()).plus(slope)

    for v, slope in zip(jaxpr.outvars, outs, strict=True):
        add(v, slope)
    for eqn in reversed(jaxpr.eqns):
        given = [slopes.pop(v, Slope()) for v in eqn.outvars]
        if any(slope.value is not None for slope in given):
            for v, slope in zip(eqn.invars, _through(eqn, run.ins(eqn), given), strict=True):
                add(v, slope)
    return [slopes.get(v, Slope()) for v in jaxpr.invars]


def _through(eqn: JaxprEqn, ins: list, given: list[Slope]) -> list[Slope]:
    try:
        found = _pull_back(lambda *xs: evaluate(eqn, xs), ins, [s.value for s in given])
    except (ValueError, NotImplementedError, TypeError):
        if eqn.primitive not in _THROUGH:  # what has no derivative is not followed
            return [Slope()] * len(ins)
        return _THROUGH[eqn.primitive](eqn, ins, given)
    before = _first(*given)
    # A cotangent that came in NaN makes NaN of anything: only the equation where it first appears is to blame.
    if all(map(is_finite, found)) or before is not None:
        return _blamed(found, before)
    inside = _THROUGH[eqn.primitive](eqn, ins, given) if eqn.primitive in _THROUGH else []
    culprit = _first(*inside) or Culprit((eqn,), (), _nan_or_inf(*found))
    return _blamed(found, culprit)


def _blamed(cotangents: Sequence[Any], culprit: Culprit | None) -> list[Slope]:
    return [Slope(x, None if is_finite(x) else culprit) for x in cotangents]


def _pull_back(f: Callable, ins: Sequence, cotangents: Sequence) -> list:
    """Of the numbers among the inputs; None elsewhere."""
    numbers = [k for k, x in enumerate(ins) if _is_number(x)]

    def run(*chosen: Any) -> list:
        given = list(ins)
        for k, x in zip(numbers, chosen, strict=True):
            given[k] = x
        return [out for out in f(*given) if _is_number(out)]

    def pull(chosen: list, cotangents: list) -> tuple:
        outs, back = jax.vjp(run, *chosen)
        kept = [jnp.zeros_like(o) if c is None else c for o, c in zip(outs, cotangents, strict=True)]
        return back(kept)

    outs = jax.eval_shape(lambda xs: f(*xs), list(ins))
    of_numbers = [c for c, o in zip(cotangents, outs, strict=True) if jnp.issubdtype(o.dtype, jnp.inexact)]
    found: list[Any] = [None] * len(ins)
    for k, x in zip(numbers, pull([jnp.asarray(ins[k]) for k in numbers], of_numbers), strict=True):
        found[k] = x
    return found


def _through_call(eqn: JaxprEqn, ins: list, given: list[Slope]) -> list[Slope]:
    return _inside(eqn, of_derivative(*body(eqn), ins, given))


def _through_branch(eqn: JaxprEqn, ins: list, given: list[Slope]) -> list[Slope]:
    return [Slope(), *_inside(eqn, of_derivative(*_branch(eqn, ins), ins[1:], given))]


def _through_loop(eqn: JaxprEqn, ins: list, given: list[Slope]) -> list[Slope]:
    """Backward through the iterations, the last one first; one at a time, so that the iteration to blame is known."""
    loop = Loop.of(eqn, ins)
    carried, stacked = list(given[: loop.carried]), given[loop.carried :]
    fixed = [Slope()] * loop.fixed
    rows: list[list[Slope]] = []
    step = jax.jit(lambda args, cts: _pull_back(lambda *xs: evaluate_jaxpr(loop.jaxpr, loop.consts, *xs), args, cts))
    for r in reversed(range(len(loop.rounds))):
        back = _round(eqn, loop, r, step, [*carried, *(loop.row_of(s, r) for s in stacked)])
        fixed = [whole.plus(part) for whole, part in zip(fixed, back, strict=False)]
        carried = back[loop.fixed : loop.fixed + loop.carried]
        rows.append(back[loop.fixed + loop.carried :])
    columns = [loop.column(slopes) for slopes in zip(*rows, strict=True)] if eqn.primitive is P.scan_p else []
    outs = [*fixed, *carried, *columns]
    return [Slope()] * loop.first + outs + [Slope()] * (len(ins) - loop.first - len(outs))


def _round(eqn: JaxprEqn, loop: Loop, r: int, step: Callable, given: list[Slope]) -> list[Slope]:
    before = _first(*given)
    try:
        found = step(loop.rounds[r], [s.value for s in given])
        finite = all(map(is_finite, found))
    except (ValueError, NotImplementedError, TypeError):  # a while loop inside
        found, finite = None, False
    if found is not None and (finite or before is not None):
        return _blamed(found, before)
    return [
        s if s.culprit is None or s.culprit is before else Slope(s.value, s.culprit.inside(eqn, r))
        for s in of_derivative(loop.jaxpr, loop.consts, loop.rounds[r], given)
    ]


def _inside(eqn: JaxprEqn, slopes: list[Slope]) -> list[Slope]:
    return [s if s.culprit is None else Slope(s.value, s.culprit.inside(eqn)) for s in slopes]


_THROUGH: dict[Any, Callable] = {
    **dict.fromkeys(CALLS, _through_call),
    P.cond_p: _through_branch,
    P.scan_p: _through_loop,
    P.while_p: _through_loop,
}


def culprit(closed: ClosedJaxpr, leaves: Sequence, others: Sequence) -> tuple[str, Culprit | None] | None:
    """What makes the value, or else the derivative of a weighted sum of all results, not finite: ("value" or "derivative", who).

    None where all is finite.
    """
    args = [*leaves, *others]
    outs = jax.jit(lambda *xs: evaluate_jaxpr(closed.jaxpr, closed.consts, *xs))(*args)
    if (worst := _worst(outs)) is not None:
        found = of_value(closed.jaxpr, closed.consts, args, worst)
        return "value", found if isinstance(found, Culprit) else None
    random = np.random.default_rng(0)
    weights = [_weight(out, random, len(outs)) for out in outs]
    try:
        found = jax.jit(lambda xs: _pull_back(_as_function(closed), xs, weights))(args)
        if all(is_finite(x) for x in found[: len(leaves)]):
            return None
    except (ValueError, NotImplementedError, TypeError):  # a while loop
        pass
    slopes = of_derivative(closed.jaxpr, closed.consts, args, [Slope(w) for w in weights])[: len(leaves)]
    return ("derivative", _first(*slopes)) if _worst([s.value for s in slopes]) is not None else None


def _as_function(closed: ClosedJaxpr) -> Callable:
    return lambda *xs: evaluate_jaxpr(closed.jaxpr, closed.consts, *xs)


def _weight(out: Any, random: np.random.Generator, count: int) -> Any:
    if not _is_number(out):
        return None
    size = np.ones(()) if out.size == 1 and count == 1 else random.uniform(0.5, 1.5, out.shape)
    return jnp.broadcast_to(jnp.asarray(size, out.dtype), out.shape)
