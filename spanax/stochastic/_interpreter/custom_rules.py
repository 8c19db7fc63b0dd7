"""Derivatives of the user's own that cross a draw: custom rules, and straight-through written by hand.

A score would be added to such a derivative, and the sum is the gradient of nothing. What is refused: a custom rule that is not
the derivative of its function with the draws held, `z + p - stop_gradient(p)` around a draw z, and a custom rule that gives z
the derivative of an argument that its value does not depend on. Not seen: products, as in z * p / stop_gradient(p).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._errors import SpanaxError
from ..._jaxprs import (
    CUSTOM_RULES,
    Jaxpr,
    JaxprEqn,
    Literal,
    aval,
    body,
    closed_over,
    computed_now,
    evaluate,
    is_again,
    is_call,
    is_traced,
    jaxprs_in_params,
    where,
)
from ...bridges import Drawing, Local
from .._keys.values import is_key
from ..sampling import Site, sample_p

_REMEDIES = (
    "via=sx.StraightThrough() (or another Local bridge) in sample(): then no score is added",
    "the draw alone, through its bridge, without the derivative by hand",
    "a rule that is the derivative with the draw held, of a function that closes over nothing that is traced",
)


# -- custom rules


def crosses_a_draw(eqn: JaxprEqn, ins: Sequence[Any], held: Callable[[Sequence[Any]], list]) -> bool:
    """Is the rule of a call with a custom derivative another one than that of its function with the draws held?

    `held(ins)`: the outputs, with no derivative through the draws. Compared at random inputs, real, positive and between 0
    and 1; where none gives finite numbers, the answer is yes. What the function closes over stays what it is in `ins`, as the
    rule may close over it too; where that is traced, nothing can be compared, and the answer is yes.
    """
    # The rule may read these too, so they cannot be replaced by random ones.
    constants = ins[: closed_over(eqn)]
    if any(map(is_traced, constants)):
        return True
    with computed_now(), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        inputs = [_inputs(eqn, domain, seed) for seed in range(2) for domain in _DOMAINS]
        verdicts = [_agree(eqn, held, [*constants, *xs[len(constants) :]]) for xs in inputs]
    finite = [verdict for verdict in verdicts if verdict is not None]
    return not (finite and all(finite))


# Real, positive and between 0 and 1: most functions are defined on one of them.
_DOMAINS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    lambda x: x,
    np.exp,
    lambda x: 1 / (1 + np.exp(-x)),
)


def _inputs(eqn: JaxprEqn, domain: Callable[[np.ndarray], np.ndarray], seed: int) -> list:
    random = np.random.default_rng(seed)

    def one(v):
        if isinstance(v, Literal):
            return v.val
        a = aval(v)
        if is_key(a):
            return jax.random.split(jax.random.key(seed), a.shape)
        if jnp.issubdtype(a.dtype, jnp.inexact):
            return jnp.asarray(domain(random.normal(size=a.shape)), a.dtype)
        return jnp.asarray(random.integers(2, size=a.shape), a.dtype)

    return [one(v) for v in eqn.invars]


def _agree(eqn: JaxprEqn, held: Callable[[Sequence[Any]], list], ins: list) -> bool | None:
    """Do the two have the same derivative there? None where it is not finite."""
    first = closed_over(eqn)  # there is no derivative by what comes before
    floats = [k for k, x in enumerate(ins) if k >= first and jnp.issubdtype(jnp.result_type(x), jnp.inexact)]

    def slopes(run):
        def f(*xs):
            moved = dict(zip(floats, xs, strict=True))
            outs = run([moved.get(k, x) for k, x in enumerate(ins)])
            # Different weights for each element: with a plain sum, rules that differ by signs could look the same.
            weights = [np.cos(np.arange(x.size)).reshape(x.shape) for x in outs if _is_float(x)]
            return sum(jnp.sum(x * w) for x, w in zip(filter(_is_float, outs), weights, strict=True))

        return np.concatenate([np.ravel(g) for g in jax.grad(f, tuple(range(len(floats))))(*(ins[k] for k in floats))])

    if not floats:
        return True
    # In one direction each: with unrelated weights, two different derivatives agree only by accident.
    rule, plain = (np.asarray(slopes(run), np.float64) for run in (lambda ins: evaluate(eqn, ins), held))
    if not (np.isfinite(rule).all() and np.isfinite(plain).all()):
        return None
    # Rules are often written for float32 and rounded in another order; a straight-through rule is off by its whole size.
    return bool(np.allclose(rule, plain, rtol=1e-3, atol=1e-3 * np.max(np.abs(plain), initial=1e-6)))


def _is_float(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jnp.inexact)


def refuse_rule(eqn: JaxprEqn, site: Site, via: Drawing) -> SpanaxError:
    return SpanaxError(
        f"the rule of a `{eqn.primitive.name}` carries a derivative across {site.label}, and the score of {via!r} would be "
        "added to it",
        *_REMEDIES,
        where=site.where,
    )


# -- z + p - stop_gradient(p), and its other spellings


class _Part(NamedTuple):
    """A term of a sum: how often it is in the value, and how often in the derivative."""

    term: _Term
    value: float
    slope: float


class _Term(NamedTuple):
    """A value: what it is a function of, as a sum of terms, and the draws with a score that are behind it.

    `near`: how many operations away a draw is, up to NEAR: f(z) + h - stop_gradient(h) is a loss with a term of its own
    gradient, and z + p - stop_gradient(p) a draw with another's.
    """

    of: Hashable  # equal where the values are
    sum: Mapping[Hashable, _Part]  # empty where the value is not a sum, but a term itself
    total: Mapping[Hashable, _Part]  # of the entries of an array that was put together
    draws: frozenset[Site]
    near: Mapping[Site, int]

    @property
    def parts(self) -> Mapping[Hashable, _Part]:
        return self.sum or {self.of: _Part(self, 1.0, 1.0)}


def check_straight_through(
    jaxpr: Jaxpr, bridge_at: Callable[[Site], Drawing], ins: Sequence[_Term] = ()
) -> list[_Term]:
    """Raises where a draw with a score gets the derivative of something else, which was made without it.

    `ins`: what the inputs are, where that is known. Returns what the outputs are.
    """
    env = dict(zip(jaxpr.invars, ins, strict=False))

    def read(v):
        if isinstance(v, Literal):
            return _leaf(("literal", str(v.val)))
        return env.setdefault(v, _leaf(("variable", id(v))))

    for eqn in jaxpr.eqns:
        terms = list(map(read, eqn.invars))
        outs = [_term(eqn, k, terms, bridge_at) for k in range(len(eqn.outvars))]
        for inner in () if is_again(eqn) else jaxprs_in_params(eqn.params):
            # The last operands: what comes before is the index of a branch, or the constants of a rule.
            inside = check_straight_through(inner, bridge_at, terms[-len(inner.invars) :] if inner.invars else ())
            outs = inside if is_call(eqn) else outs
        _refuse_pairs(eqn, _by_hand(eqn, terms, outs), bridge_at)
        env.update(zip(eqn.outvars, outs, strict=True))
    return list(map(read, jaxpr.outvars))


def _by_hand(eqn: JaxprEqn, ins: Sequence[_Term], outs: Sequence[_Term]) -> list[tuple[_Term, _Term]]:
    """(what gives the value, what gives the derivative), where an equation gives one value the derivative of another."""
    if eqn.primitive in CUSTOM_RULES:
        return _by_rule(eqn, ins, outs)
    return _straight_through(outs[0]) if eqn.primitive.name in _SUMS else []


def _refuse_pairs(eqn: JaxprEqn, pairs: Sequence[tuple[_Term, _Term]], bridge_at: Callable[[Site], Drawing]) -> None:
    for hard, smooth in pairs:
        # A derivative that was made with the draw is one with the draw held: f(z) + h(z) - stop_gradient(h(z)) is fine.
        for site in hard.near.keys() - smooth.draws:
            raise _refuse_by_hand(eqn, site, bridge_at(site))


NEAR, LONG = 4, 16  # operations; terms of a sum
_SAME = frozenset("convert_element_type copy reshape broadcast_in_dim squeeze".split())
_SUMS = frozenset("add sub neg reduce_sum".split())


def _leaf(what: Hashable) -> _Term:
    return _Term(what, {}, {}, frozenset(), {})


def _term(eqn: JaxprEqn, k: int, ins: Sequence[_Term], bridge_at: Callable[[Site], Drawing]) -> _Term:
    name = eqn.primitive.name
    if name in _SAME:
        return ins[0]
    draws, near = _draws_behind(eqn, ins, bridge_at)
    params = tuple(eqn.params.items())
    # By hashes of hashes: equal expressions are found equal without the whole tree of either being kept.
    try:
        what = hash((name, k, params, tuple(hash(x.of) for x in ins)))
    except TypeError:
        what = id(eqn), k
    total = _add([(x, 1.0) for x in ins]) if name in ("stack", "concatenate") else {}
    return _Term(what, _sum_of(eqn, ins), total, draws, near)


def _draws_behind(
    eqn: JaxprEqn, ins: Sequence[_Term], bridge_at: Callable[[Site], Drawing]
) -> tuple[frozenset[Site], Mapping[Site, int]]:
    """The draws with a score that a result depends on, and how far those are that are near."""
    draws = frozenset().union(*(x.draws for x in ins))
    near = {site: n + 1 for x in ins for site, n in x.near.items() if n < NEAR}
    if eqn.primitive is sample_p and not isinstance(bridge_at(eqn.params["site"]), Local):
        site = eqn.params["site"]
        return draws | {site}, {**near, site: 0}
    return draws, near


def _sum_of(eqn: JaxprEqn, ins: Sequence[_Term]) -> dict[Hashable, _Part]:
    """A result as a sum of terms; empty where it is none, or a long one."""
    rule = _SUM_RULES.get(eqn.primitive.name)
    return rule(eqn, ins) if rule else {}


def _stop_slope(eqn: JaxprEqn, ins: Sequence[_Term]) -> dict[Hashable, _Part]:
    return {of: part._replace(slope=0.0) for of, part in ins[0].parts.items()}


def _scale(eqn: JaxprEqn, ins: Sequence[_Term]) -> dict[Hashable, _Part]:
    a, b = map(_number, eqn.invars)
    if eqn.primitive.name == "div":
        return _add([(ins[0], 1 / b)]) if b else {}
    if a:
        return _add([(ins[1], a)])
    return _add([(ins[0], b)]) if b else {}


_SUM_RULES: dict[str, Callable[[JaxprEqn, Sequence[_Term]], dict[Hashable, _Part]]] = {
    "stop_gradient": _stop_slope,
    "reduce_sum": lambda eqn, ins: dict(ins[0].total or ins[0].sum),
    "neg": lambda eqn, ins: _add([(ins[0], -1.0)]),
    "add": lambda eqn, ins: _add([(ins[0], 1.0), (ins[1], 1.0)]),
    "sub": lambda eqn, ins: _add([(ins[0], 1.0), (ins[1], -1.0)]),
    "div": _scale,
    "mul": _scale,
}


def _number(v: Any) -> float | None:
    return float(v.val) if isinstance(v, Literal) and np.ndim(v.val) == 0 and _is_float(aval(v)) else None


def _add(terms: Sequence[tuple[_Term, float]]) -> dict[Hashable, _Part]:
    # Value and derivative are added up apart: in z + p - stop_gradient(p), p is 0 times in the one and once in the other.
    total: dict[Hashable, _Part] = {}
    for term, factor in terms:
        for of, part in term.parts.items():
            old = total.get(of, _Part(part.term, 0.0, 0.0))
            total[of] = _Part(part.term, old.value + factor * part.value, old.slope + factor * part.slope)
    return total if len(total) <= LONG else {}


def _straight_through(out: _Term) -> list[tuple[_Term, _Term]]:
    """(what gives the value, what gives the derivative), where a sum is such an expression."""
    hard = [part.term for part in out.parts.values() if abs(part.value) > _ZERO]
    smooth = [part.term for part in out.parts.values() if abs(part.value) <= _ZERO < abs(part.slope)]
    return [(z, p) for z in hard for p in smooth]


_ZERO = 1e-6  # sums of factors such as 1 / 3 are 0 but for rounding


def _by_rule(eqn: JaxprEqn, ins: Sequence[_Term], outs: Sequence[_Term]) -> list[tuple[_Term, _Term]]:
    """The same, where a custom rule makes a derivative of an argument that the value does not depend on."""
    # The cheap questions first: whether the rule has a slope there takes a derivative to find out.
    (jaxpr, _), pairs = body(eqn), []
    for n, (z, v) in enumerate(zip(outs, jaxpr.outvars, strict=True)):
        # A derivative by an argument that the value does not depend on cannot be the function's own.
        unused = set(range(len(ins))) - _behind(jaxpr, v) - set(range(closed_over(eqn)))
        floats = [k for k in sorted(unused) if _is_float(aval(eqn.invars[k]))]
        if z.near and floats and _is_float(aval(v)):
            pairs += [(z, ins[k]) for k in floats if _has_slope(eqn, k, n)]
    return pairs


def _behind(jaxpr: Jaxpr, out: Any) -> set[int]:
    """The places of the inputs that an output is computed from."""
    needed = {out} if not isinstance(out, Literal) else set()
    # Backwards, one walk finds all that the output needs.
    for eqn in reversed(jaxpr.eqns):
        if needed.intersection(eqn.outvars):
            needed.update(v for v in eqn.invars if not isinstance(v, Literal))
    return {k for k, v in enumerate(jaxpr.invars) if v in needed}


def _has_slope(eqn: JaxprEqn, k: int, n: int) -> bool:
    """Does the rule give output n a derivative by input k?"""
    with computed_now(), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        ins = _inputs(eqn, _DOMAINS[-1], 0)
        slope = jax.grad(lambda x: jnp.sum(evaluate(eqn, [*ins[:k], x, *ins[k + 1 :]])[n]))(ins[k])
        return bool(np.any(np.asarray(slope) != 0))


def _refuse_by_hand(eqn: JaxprEqn, site: Site, via: Drawing) -> SpanaxError:
    return SpanaxError(
        f"straight-through by hand (z + p - stop_gradient(p), or a custom rule) around {site.label}: the score of {via!r} would "
        "be added to the derivative of p",
        *_REMEDIES,
        where=where(eqn) or site.where,
    )
