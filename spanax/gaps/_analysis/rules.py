"""What one equation does to a derivative, asked of JAX's own rule for it; and what a few of them do, measured.

There is no table of guilty primitives: an equation is differentiated by itself, and the traced derivative says which tangents
its own depend on. Where a library function is alive by structure and yet holds a cut (`jnp.heaviside` passes NaN through),
its derivative is computed at random inputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._jaxprs import CALLS, Jaxpr, JaxprEqn, Literal, P, aval, below, body, excerpt
from ..._steps import floats


class Rule(NamedTuple):
    """`through[i][k]`: does the tangent of output k depend on that of input i? `error`: what differentiating raised."""

    through: tuple[tuple[bool, ...], ...]
    error: Exception | None = None


class Rules:
    """The rules of the equations of one program; equal equations are asked once."""

    def __init__(self):
        self._known: dict[Hashable, Rule] = {}
        self._flat: dict[Hashable, bool] = {}

    def of(self, eqn: JaxprEqn, active: Sequence[bool]) -> Rule:
        """`active`: the inputs that have a tangent."""
        signature = self._signature(eqn, tuple(active))
        if signature not in self._known:
            self._known[signature] = _ask(eqn, active)
        return self._known[signature]

    def _signature(self, eqn: JaxprEqn, *more: Hashable) -> Hashable:
        # Two equations with the same primitive, parameters and types have the same derivative rule, whatever the
        # numbers are. A long program repeats few of them, so this is what makes the walk cheap.
        key = (eqn.primitive, tuple(eqn.params.items()), tuple(_kind(v) for v in eqn.invars), *more)
        try:
            hash(key)
        except TypeError:
            # Parameters that cannot be hashed, such as arrays: the equation is asked by itself.
            return (id(eqn), *more)
        return key

    def is_flat(self, eqns: Sequence[JaxprEqn], ins: Sequence, given: Sequence[Any], outs: Sequence) -> bool:
        """Is the derivative of these equations 0 wherever it is looked at, in spite of their structure?

        `given`: the values of the inputs, None where it is differentiated.
        """
        # The variables are numbered, so that the same expression at another line, with other variables, is found
        # again.
        index = {v: k for k, v in enumerate(itertools.chain(ins, *(e.outvars for e in eqns)))}
        wiring = tuple(tuple(None if isinstance(v, Literal) else index.get(v) for v in e.invars) for e in eqns)
        values = (*map(_identity, given), *(_identity(v.val) for e in eqns for v in e.invars if isinstance(v, Literal)))
        key = (tuple(self._signature(e) for e in eqns), wiring, values, tuple(index[v] for v in outs))
        if key not in self._flat:
            self._flat[key] = _measure_flat(eqns, ins, outs, given)
        return self._flat[key]


def _identity(x: Any) -> Hashable:
    # Small constants count by value; large ones by identity, because comparing them would cost more than it saves.
    if x is None or _is_key(x) or np.size(x) > 64:
        return None if x is None else id(x)
    return np.asarray(x).tobytes(), np.shape(x)


def _kind(v) -> Hashable:
    """All that a rule may depend on before it runs: a literal is like any other number of its type."""
    return isinstance(v, Literal), str(v.aval)


def _of_active(run: Callable[..., list], ins: Sequence, active: Sequence[bool]):
    """The same function, of the active inputs only."""

    def f(*xs):
        # JAX differentiates by all arguments of a function, so those that are held fixed are closed over.
        given = iter(xs)
        return run(*(next(given) if a else x for a, x in zip(active, ins, strict=True)))

    return f


def _ask(eqn: JaxprEqn, active: Sequence[bool]) -> Rule:
    variables = list(dict.fromkeys(v for v in eqn.invars if not isinstance(v, Literal)))
    is_active = {v: a for v, a in zip(eqn.invars, active, strict=True) if not isinstance(v, Literal)}
    keep = floats(eqn.outvars)
    try:
        rows = _ask_jax(eqn, variables, [is_active[v] for v in variables], keep)
    except Exception as error:  # the rule itself says no: whatever it raises, jax.grad raises too
        return Rule(tuple((False,) * len(keep) for _ in eqn.invars), error)

    def row(v: Any, active: bool) -> tuple[bool, ...]:
        depends = iter(rows.get(v, ()) if active else ())
        return tuple(active and k and next(depends) for k in keep)

    return Rule(tuple(row(v, a) for v, a in zip(eqn.invars, active, strict=True)))


def _ask_jax(eqn: JaxprEqn, variables: list, live: list[bool], keep: list[bool]) -> dict[Any, tuple[bool, ...]]:
    """For each variable that has a tangent: which of the floating-point outputs' tangents depend on it."""
    outs = [v for v, k in zip(eqn.outvars, keep, strict=True) if k]
    # A custom_vjp has no forward rule, so it is asked in reverse; all others forward, which while loops have as well.
    ask = _reverse if eqn.primitive.name.startswith("custom_vjp") else _forward
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        depends = ask(excerpt([eqn], variables, outs), [_abstract(v) for v in variables], live, outs)
    return dict(zip([v for v, a in zip(variables, live, strict=True) if a], depends, strict=True))


def _abstract(v) -> jax.ShapeDtypeStruct:
    a = aval(v)
    return jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=getattr(a, "weak_type", False))


def _forward(run, shapes, live, outs) -> list[tuple[bool, ...]]:
    def tangents(ins, d_ins):
        f = _of_active(run, ins, live)
        return jax.jvp(f, tuple(x for x, a in zip(ins, live, strict=True) if a), d_ins)[1]

    given = tuple(s for s, a in zip(shapes, live, strict=True) if a)
    traced = jax.make_jaxpr(tangents)(shapes, given).jaxpr
    # The derivative is traced, not computed: which tangents come out depends on which went in, and a jaxpr shows that
    # exactly.
    masks = [0] * len(shapes) + [1 << i for i in range(len(given))]
    reached = _dependence(traced, masks)
    return [tuple(bool(out >> i & 1) for out in reached) for i in range(len(given))]


def _reverse(run, shapes, live, outs) -> list[tuple[bool, ...]]:
    def cotangents(ins, d_outs):
        f = _of_active(run, ins, live)
        return jax.vjp(f, *(x for x, a in zip(ins, live, strict=True) if a))[1](d_outs)

    traced = jax.make_jaxpr(cotangents)(shapes, list(map(_abstract, outs))).jaxpr
    masks = [0] * len(shapes) + [1 << i for i in range(len(outs))]
    return [tuple(bool(got >> i & 1) for i in range(len(outs))) for got in _dependence(traced, masks)]


def _dependence(jaxpr: Jaxpr, masks: Sequence[int]) -> list[int]:
    """Which of the marked inputs each output depends on, as bits; whatever holds a program that is not a call is taken as one."""
    env = dict(zip(jaxpr.invars, masks, strict=True))

    def read(v):
        return 0 if isinstance(v, Literal) else env.get(v, 0)

    for eqn in jaxpr.eqns:
        ins = [read(v) for v in eqn.invars]
        # Calls are looked into, because a jitted rule of JAX may drop a tangent inside. Loops and branches of a rule
        # are taken as one: that can only say "depends" too often, and what is alive by structure is measured
        # afterwards.
        if eqn.primitive in CALLS and len(body(eqn)[0].invars) == len(ins):
            outs = _dependence(body(eqn)[0], ins)
        else:
            union = 0
            for mask in ins:
                union |= mask
            outs = [union] * len(eqn.outvars)
        env.update(zip(eqn.outvars, outs, strict=True))
    return [read(v) for v in jaxpr.outvars]


# -- measuring

ATTEMPTS = 8  # random inputs at which a derivative is to be 0
LARGEST = 1 << 20  # elements: a larger library call is believed by its structure


def _is_loop(eqn: JaxprEqn) -> bool:
    return eqn.primitive is P.while_p


def _measure_flat(eqns: Sequence[JaxprEqn], variables: Sequence, outs: Sequence, given: Sequence[Any]) -> bool:
    size = sum(np.prod(aval(v).shape) for v in variables)
    # A while loop might not end at random inputs, and an effect is the user's affair.
    if size > LARGEST or any(e.effects or below(e, _is_loop) for e in eqns):
        return False
    slope = _slope(excerpt(eqns, variables, outs), [x is None for x in given])
    for attempt in range(ATTEMPTS):
        random = np.random.default_rng(attempt)
        ins = [random_like(v.aval, random) if x is None else x for v, x in zip(variables, given, strict=True)]
        d_ins = tuple(random_like(x, random) for x, g in zip(ins, given, strict=True) if g is None)
        try:
            with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
                slopes = np.concatenate([np.ravel(np.asarray(s)) for s in slope(ins, d_ins)])
        except Exception:  # measuring is a second opinion only
            return False
        if not np.all(slopes == 0):  # NaN as well: nothing is known then
            return False
    return True


def _slope(run: Callable[..., list], active: Sequence[bool]) -> Callable:
    """The derivative of the outputs along a direction of the active inputs, compiled."""

    @jax.jit
    def slope(ins, d_ins):
        chosen = tuple(x for x, a in zip(ins, active, strict=True) if a)
        return jax.jvp(_of_active(run, ins, active), chosen, d_ins)[1]

    return slope


def _is_key(x) -> bool:
    return jnp.issubdtype(getattr(x, "dtype", float), jax.dtypes.prng_key)


def random_like(like, random: np.random.Generator) -> jax.Array:
    """An array of that shape and dtype: normal numbers, small integers, booleans, or keys."""
    shape = like.shape
    if _is_key(like):
        return jax.random.split(jax.random.key(int(random.integers(1 << 30))), shape)
    dtype = jax.dtypes.canonicalize_dtype(like.dtype)
    if jnp.issubdtype(dtype, jnp.inexact):
        return jnp.asarray(random.normal(size=shape), dtype)
    # 0 and 1 are valid as booleans, as indices of anything that is not empty, and as branches of a cond.
    return jnp.asarray(random.integers(2, size=shape), dtype)
