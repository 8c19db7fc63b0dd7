"""Derivatives of what reaches no result: they are 0, also where a function has none.

In reverse mode what `np.where` does not choose gets the derivative 0, and 0 times the infinite slope of a root at 0 is NaN. So
each step that may have such a slope passes a derivative on only where its result is chosen (`_reached`). The values stay as they
are, and so do all derivatives of what is chosen: forward and reverse mode, of any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import lax

from ..._jaxprs import (
    ClosedJaxpr,
    P,
    at,
    below,
    body,
    cond_branches,
    evaluate,
    evaluate_jaxpr,
    is_ref,
    scan_parts,
    varying,
)
from .flat import Flat, Name, Step
from .kinks import Orders, root, root_of_square, root_power, squared_root
from .moving import Moving, within
from .reached import (
    ELEMENTWISE,
    EVERYWHERE,
    KEEPS_ALL,
    LEAVES_OUT,
    LINEAR,
    SINGULAR,
    TESTS,
    Mask,
    Reached,
    is_elementwise,
)
from .reaching import reaching, reaching_in_branch

_OPAQUE = frozenset(
    "cholesky eigh lu qr svd triangular_solve custom_linear_solve reduce_prod cumprod householder_product".split()
)
_REDUCED = frozenset(
    "reduce_max reduce_min reduce_sum cumsum cummax cummin select_n stop_gradient spanax_any_over_vmap".split()
)
_CHEAP = ELEMENTWISE | KEEPS_ALL | LEAVES_OUT | TESTS | _REDUCED
_FINITE = frozenset("exp exp2 expm1 sinh cosh tan".split())  # their slopes are, where their values are
MOST = 200  # steps that are looked at again to know a mask in time


def careful(run: Callable[..., Any]) -> Callable[..., Any]:
    """`run`, a function of arrays, with derivatives that are 0 for what does not reach its results."""

    def traced(*args: Any) -> Any:
        closed, form = jax.make_jaxpr(run, return_shape=True)(*args)
        leaves, tree = jax.tree.leaves(args), jax.tree.structure(form)
        # Most programs need no change: then the traced program is run as it is.
        plan = Plan(closed)
        return jax.tree.unflatten(
            tree, plan(leaves) if plan.changes else evaluate_jaxpr(closed.jaxpr, closed.consts, *leaves)
        )

    return traced


class Plan:
    """What is changed in a program, at any depth; calling it runs the program so."""

    def __init__(self, closed: ClosedJaxpr, infinite: bool = False, branch: bool = False, holds: Sequence[int] = ()):
        """`infinite`: may its inputs be? `branch`: is it one, whose results are used only where `runs` holds?

        `holds`: the inputs that hold whenever it runs, unless it runs for a batch.
        """
        self.flat = Flat(closed)
        self.runs: list[Any] = []
        within = Mask(lambda primal: self.runs[-1], (), True, implied=True) if branch else EVERYWHERE
        self.reached = Reached(self.flat, within, {self.flat.ins[k] for k in holds})
        self.orders = Orders(self.flat, self.reached.is_active)
        self.moving = Moving(self.flat, self.reached)
        self.infinite = set(self.flat.ins) if infinite else set()
        self.guards: dict[int, Mask] = {}
        self.rules: dict[int, Callable] = {}
        self.inner: dict[int, list[Plan]] = {}
        # References have effects in order, and varying axes would need the same in every mask: such programs stay as
        # they are.
        if not any(is_ref(n) or varying(n) for step in self.flat.steps for n in (*step.ins, *step.outs)):
            for i, step in enumerate(self.flat.steps):
                self._step(i, step)

    @property
    def changes(self) -> bool:
        return bool(self.guards or self.rules or self.inner)

    def _step(self, i: int, step: Step) -> None:
        spreads = any(name in self.infinite for name in step.ins)
        singular = _is_singular(step)
        if singular or spreads:
            # An infinite value spreads: 0 times infinity downstream is NaN as well.
            self.infinite.update(out for out in step.outs if out.is_number)
        mask = self.reached.steps.get(i)
        if mask is None:
            return
        if (guard := self._guard(step, mask, singular, spreads)) is not None:
            self.guards[i] = guard
        if (rule := self._rule(step)) is not None:
            self.rules[i] = rule
        plans = [Plan(*given) for given in _programs(step, spreads, self.flat, self.reached.implied)]
        if any(plan.changes for plan in plans):
            self.inner[i] = plans

    def _guard(self, step: Step, mask: Mask, singular: bool, spreads: bool) -> Mask | None:
        """Where a derivative may pass; None where it may everywhere, or where none can be spoiled.

        An array's mask fits elementwise steps only; a flag for the whole step fits all.
        """
        if singular and step.kind not in _FINITE and is_elementwise(step):
            mask = within(mask, self.moving.into(step))
        fits = mask is not EVERYWHERE and (mask.scalar or is_elementwise(step))
        return mask if fits and _may_spoil(step, singular, spreads) else None

    def _rule(self, step: Step) -> Callable | None:
        """Another way to compute it."""
        if (found := root_of_square(step, self.flat)) is not None:
            name, power = found
            return lambda env, ins: [squared_root(_read(env, name), power)]
        power = root_power(step)
        if step.kind in ("sqrt", "pow") and 0 < power < 1 and power * self.orders.of(step.ins[0]) >= 1:
            return lambda env, ins: [root(power)(ins[0])]
        return None

    def __call__(self, args: Sequence, runs: Any = None) -> list:
        self.runs.append(runs)
        try:
            env = dict(zip(self.flat.ins, args, strict=True))
            primal = _Primal(env, self.flat.makers)
            for i, step in enumerate(self.flat.steps):
                with at(step.site):
                    env.update(zip(step.outs, self._run(i, step, env, primal), strict=True))
            return [_read(env, out) for out in self.flat.outs]
        finally:
            self.runs.pop()

    def _run(self, i: int, step: Step, env: dict, primal: Callable) -> Sequence:
        ins = [_read(env, name) for name in step.ins]
        mask = self.guards.get(i)
        where = None if mask is None else mask.value(primal)
        if mask is None or where is None:
            return self._run_plain(i, step, env, ins)
        active = [self.reached.is_active(name) for name in step.ins]
        # Both sides of the step: the cotangent is stopped on the way back, the tangent on the way in.
        ins = [_guard_value(mask, where, x) if a else x for x, a in zip(ins, active, strict=True)]
        outs = self._run_plain(i, step, env, ins)
        # A selection stops NaN in forward mode by itself, a product with 0 does not: there the results are guarded
        # too.
        if not mask.by_weight:
            return outs
        return [_guard_value(mask, where, x) if name.is_number else x for x, name in zip(outs, step.outs, strict=True)]

    def _run_plain(self, i: int, step: Step, env: dict, ins: list) -> Sequence:
        if (rule := self.rules.get(i)) is not None:
            return rule(env, ins)
        if (plans := self.inner.get(i)) is not None:
            return _PROGRAMS[step.eqn.primitive](step, plans, ins)
        return evaluate(step.eqn, ins) if step.site is step.eqn else _as_part(step, ins)


def _as_part(step: Step, ins: Sequence) -> list:
    """Of a library's function: with the line of its call."""
    eqn = step.eqn
    # As JAX evaluates an equation: with the configuration under which it was traced.
    with eqn.ctx.manager:
        outs = eqn.primitive.bind(*ins, **eqn.primitive.get_bind_params(eqn.params))
    return list(outs) if eqn.primitive.multiple_results else [outs]


def _read(env: dict, name: Name) -> Any:
    return env.get(name, name.known)


# -- what spoils a derivative of 0


def _is_singular(step: Step) -> bool:
    """May it have an infinite slope, or an infinite value, at finite arguments?"""
    kind = step.kind
    if kind == "div":
        return not step.ins[1].has_no_zero
    if kind == "integer_pow":
        return step.inner.params["y"] < 0
    return kind in SINGULAR or kind in _OPAQUE or below(step.eqn, lambda e: e.primitive.name in SINGULAR) is not None


def _may_spoil(step: Step, singular: bool, spreads: bool) -> bool:
    """May it make NaN of a derivative of 0?"""
    linear = step.kind in LINEAR or step.kind in KEEPS_ALL or step.kind in LEAVES_OUT or step.kind == "select_n"
    return (singular or spreads) and not linear


def _guard_value(mask: Mask, where: Any, x: Any) -> Any:
    return reaching_in_branch(where, x) if mask.implied else reaching(where, x)


class _Primal:
    """The value of a name, without its derivative; None where it is not known yet and takes long to know."""

    def __init__(self, env: dict[Name, Any], makers: dict[Name, Step]):
        self.env, self.makers = env, makers
        self.early: dict[Name, Any] = {}
        self.masks: dict[Mask, Any] = {}

    def __call__(self, name: Name) -> Any:
        if name.known is not None:
            return name.known
        if name not in self.env and name not in self.early:
            # A mask may depend on a value that comes later in the program. Cheap values are computed early, costly
            # ones are not.
            steps = self._steps_needed(name)
            for step in reversed(steps or []):
                outs = _as_part(step, [self._now(n) for n in step.ins])
                self.early.update(zip(step.outs, outs, strict=True))
            if steps is None:
                return None
        return self._now(name)

    def _now(self, name: Name) -> Any:
        if name.known is not None:
            return name.known
        return lax.stop_gradient(self.env[name]) if name in self.env else self.early[name]

    def _steps_needed(self, name: Name) -> list[Step] | None:
        """The steps to take first, the last one first; None where that is too much."""
        order: dict[int, Step] = {}
        stack = [name]
        while stack:
            one = stack.pop()
            if one.known is not None or one in self.env or one in self.early:
                continue
            step = self.makers.get(one)
            if step is None or len(order) > MOST or step.kind not in _CHEAP or step.eqn.effects:
                return None
            order.pop(id(step), None)  # it is needed earlier
            order[id(step)] = step
            stack.extend(step.ins)
        return list(order.values())


# -- programs inside


def _programs(step: Step, infinite: bool, flat: Flat, implied: set[Name]) -> list[tuple]:
    """The arguments of their plans."""
    eqn = step.eqn
    if eqn.primitive is P.cond_p:
        flag = _any_over_vmap_of(step.ins[0], flat)
        holds = [k for k, name in enumerate(step.ins[1:]) if name is flag]
        branches = cond_branches(eqn)
        return [(branch, infinite, flag is None, holds if k == 1 else ()) for k, branch in enumerate(branches)]
    if eqn.primitive in (P.scan_p, P.remat_p):
        jaxpr, consts = body(eqn)
        holds = [k for k, name in enumerate(step.ins) if name in implied] if eqn.primitive is P.remat_p else ()
        return [(ClosedJaxpr(jaxpr, consts), infinite, False, holds)]
    return []


def _any_over_vmap_of(index: Name, flat: Flat) -> Name | None:
    """The flag of which a branch is chosen that stays a branch in a batch, and runs if the flag of any lane holds."""
    while (step := flat.makers.get(index)) is not None and step.kind == "convert_element_type":
        index = step.ins[0]
    return step.ins[0] if step is not None and step.kind == "spanax_any_over_vmap" else None


def _cond(step: Step, plans: list[Plan], ins: list) -> list:
    index, *given = ins

    def branch(k: int) -> Callable:
        return lambda which, *xs: plans[k](xs, which == k)

    return lax.switch(index, [branch(k) for k in range(len(plans))], index, *given)


def _scan(step: Step, plans: list[Plan], ins: list) -> list:
    scan = scan_parts(step.eqn)
    consts, start, rows = scan.split(ins)

    def one(state: list, xs: list) -> tuple[list, list]:
        return scan.split_outs(plans[0]([*consts, *state, *xs]))

    state, ys = lax.scan(one, start, rows, **scan.options)
    return [*state, *ys]


def _remat(step: Step, plans: list[Plan], ins: list) -> list:
    p = step.eqn.params
    run = jax.checkpoint(lambda *xs: plans[0](xs), prevent_cse=p["prevent_cse"], policy=p["policy"])
    return run(*ins)


_PROGRAMS: dict[Any, Callable] = {P.cond_p: _cond, P.scan_p: _scan, P.remat_p: _remat}
