"""Is it a batched loss? Draws in independent lanes whose costs are only summed at the end.

Such a program is right inside one expectation, but every draw answers to the cost of every lane, so its variance grows
with the batch; `jax.vmap(expectation(f))` gives each draw its own lane's cost. This pass follows the leading axis of
each batch of draws through the traced program: while each entry along it depends on one lane only, and the last thing
that happens is a sum, the lanes never met.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..._errors import warn
from ..._jaxprs import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, aval, body, is_call
from ...bridges import Drawing, Local
from ..sampling import Site, cost_p, parts, sample_p

# What a value is to the lanes of a site: the axis along which they lie, or one of these.
SUMMED = "summed"  # a sum over lanes, scaled or shifted
MIXED = "mixed"  # anything else
Lanes = Mapping[Site, int | str]

ELEMENTWISE = frozenset(
    "abs add add_any and atan2 clamp ceil convert_element_type copy cos cosh div eq erf erfc exp exp2 expm1 floor ge gt "
    "integer_pow is_finite le lgamma log log1p log2 logistic lt max min mul ne neg nextafter not one_minus_square or "
    "polynomial pow rem round rsqrt select_n sign sin sinh sqrt square stop_gradient sub tan tanh xor".split()
)
LINEAR = frozenset(
    "add add_any broadcast_in_dim convert_element_type copy div mul neg reduce_sum reshape squeeze sub".split()
)


def warn_of_batched_loss(closed: ClosedJaxpr, bridge: Callable[[Site], Drawing]) -> None:
    """Warns with `SpanaxWarning`, once a site, where a batch of draws that are not `Local` meets only in a sum."""
    found: dict[Site, int] = {}
    costs: list[Lanes] = []
    outs = _walk(closed.jaxpr, [{}] * len(closed.jaxpr.invars), costs, found)
    for site, size in found.items():
        if site.estimate is not None or isinstance(bridge(site), Local):
            continue
        if any(lanes.get(site, MIXED) != MIXED for lanes in (outs[0], *costs)):
            _warn(site, size)


def _warn(site: Site, size: int) -> None:
    warn(
        f"{site.label} is a batch of {size} independent draws, and each answers to the cost of all {size}: the gradient is "
        "right, but its variance grows with the batch",
        "a loss of one example, and jnp.mean(jax.vmap(sx.expectation(loss), in_axes=...)(..., key=jax.random.split(key, n)))",
        where=site.where,
    )


def _batch_size(eqn: JaxprEqn) -> int:
    """The length of the leading axis of a batch of draws; 1 where there is none."""
    site, shape = eqn.params["site"], aval(eqn.outvars[0]).shape
    batched = site.lanes or parts(site, [aval(v) for v in eqn.invars[1:]])[0].batch_shape
    return shape[0] if batched else 1


def _walk(jaxpr: Jaxpr, ins: Sequence[Lanes], costs: list[Lanes], found: dict[Site, int]) -> list[Lanes]:
    env = dict(zip(jaxpr.invars, ins, strict=True))

    def read(v):
        return {} if isinstance(v, Literal) else env.get(v, {})

    for eqn in jaxpr.eqns:
        ins = [read(v) for v in eqn.invars]
        if is_call(eqn):
            outs = _walk(body(eqn)[0], ins, costs, found)
        elif eqn.primitive is cost_p:
            costs.append(ins[0])
            outs = []
        else:
            outs = [_merge(eqn, ins)] * len(eqn.outvars)
            if eqn.primitive is sample_p and (size := _batch_size(eqn)) > 1:
                found[eqn.params["site"]] = size
                outs = [{**outs[0], eqn.params["site"]: 0}]
        env.update(zip(eqn.outvars, outs, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _merge(eqn: JaxprEqn, ins: Sequence[Lanes]) -> Lanes:
    sites = {site for lanes in ins for site in lanes}
    return {site: _result(eqn, [lanes.get(site) for lanes in ins]) for site in sites}


def _result(eqn: JaxprEqn, ins: Sequence[int | str | None]) -> int | str:
    """Where the lanes of one site lie in the output (None: this input does not depend on it)."""
    name = eqn.primitive.name
    seen = {x for x in ins if x is not None}
    if len(seen) != 1 or MIXED in seen:
        return MIXED
    (lanes,) = seen
    if isinstance(lanes, str):
        products = (name == "mul" and ins.count(lanes) > 1) or (name == "div" and ins[1] is not None)
        return SUMMED if name in LINEAR and not products else MIXED
    if name == "reduce_sum" and lanes in eqn.params["axes"]:
        return SUMMED
    rule = RULES.get(name, _elementwise if name in ELEMENTWISE else None)
    return MIXED if rule is None else rule(eqn, ins, lanes)


def _elementwise(eqn, ins, axis):
    return axis


def _broadcast(eqn, ins, axis):
    return eqn.params["broadcast_dimensions"][axis]


def _reduce(eqn, ins, axis):
    return MIXED if axis in eqn.params["axes"] else axis - sum(a < axis for a in eqn.params["axes"])


def _squeeze(eqn, ins, axis):
    return axis - sum(d < axis for d in eqn.params["dimensions"])


def _unstack(eqn, ins, axis):
    along = eqn.params["axis"]
    return MIXED if axis == along else axis - (along < axis)


def _transpose(eqn, ins, axis):
    return list(eqn.params["permutation"]).index(axis)


def _reshape(eqn, ins, axis):
    before, after = aval(eqn.invars[0]).shape, aval(eqn.outvars[0]).shape
    return axis if before[: axis + 1] == after[: axis + 1] else MIXED


def _dot(eqn, ins, axis):
    (contract, batch), ndims = eqn.params["dimension_numbers"], [aval(v).ndim for v in eqn.invars]
    side = 0 if ins[0] is not None else 1
    if ins[1 - side] is not None or axis in contract[side]:
        shared = all(x is not None and x in batch[k] for k, x in enumerate(ins))
        return batch[0].index(ins[0]) if shared else MIXED
    if axis in batch[side]:
        return batch[side].index(axis)
    free = [[a for a in range(n) if a not in contract[k] and a not in batch[k]] for k, n in enumerate(ndims)]
    return len(batch[0]) + (len(free[0]) if side else 0) + free[side].index(axis)


RULES = {
    "broadcast_in_dim": _broadcast,
    "reduce_sum": _reduce,
    "reduce_max": _reduce,
    "reduce_min": _reduce,
    "reduce_prod": _reduce,
    "squeeze": _squeeze,
    "unstack": _unstack,
    "transpose": _transpose,
    "reshape": _reshape,
    "dot_general": _dot,
}
