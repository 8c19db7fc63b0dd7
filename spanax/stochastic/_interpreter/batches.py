"""Is it a batched loss? Draws of independent examples whose costs are only summed at the end.

Such a program is right inside one expectation, but every draw answers to the cost of every example, so its variance grows
with the batch; `jax.vmap(expectation(f))` gives each draw the cost of its own example. This analysis follows the leading axis of
each batch of draws through the traced program: while each entry along it depends on one example only, and the last thing
that happens is a sum, the examples never met.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..._errors import warn
from ..._jaxprs import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, aval, body, is_call
from ...bridges import Drawing, Local
from ..sampling import Site, cost_p, parts, sample_p

# What a value is to the examples of a site: the axis along which they lie, or one of these.
# Independent examples are what it looks for, so any doubt is MIXED: a wrong warning would send users after a problem that
# they do not have.
SUMMED = "summed"  # a sum over the examples, scaled or shifted
MIXED = "mixed"  # anything else
Batches = Mapping[Site, int | str]

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
    sizes: dict[Site, int] = {}
    costs: list[Batches] = []
    outs = _walk(closed.jaxpr, [{}] * len(closed.jaxpr.invars), costs, sizes)
    for site, size in sizes.items():
        # The draws of an inner estimate answer to the inner costs, which its own check has looked at.
        if site.estimate is not None or isinstance(bridge(site), Local):
            continue
        if any(batches.get(site, MIXED) != MIXED for batches in (outs[0], *costs)):
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
    # Only the shapes of the parameters are needed, so abstract ones will do.
    batched = site.vmapped or parts(site, [aval(v) for v in eqn.invars[1:]])[0].batch_shape
    return shape[0] if batched else 1


def _walk(jaxpr: Jaxpr, ins: Sequence[Batches], costs: list[Batches], sizes: dict[Site, int]) -> list[Batches]:
    env = dict(zip(jaxpr.invars, ins, strict=True))

    def read(v):
        return {} if isinstance(v, Literal) else env.get(v, {})

    for eqn in jaxpr.eqns:
        ins = [read(v) for v in eqn.invars]
        if is_call(eqn):
            outs = _walk(body(eqn)[0], ins, costs, sizes)
        elif eqn.primitive is cost_p:
            costs.append(ins[0])
            outs = []
        else:
            # Loops and branches have no rule, so what comes out of them is MIXED.
            outs = [_merge(eqn, ins)] * len(eqn.outvars)
            if eqn.primitive is sample_p and (size := _batch_size(eqn)) > 1:
                sizes[eqn.params["site"]] = size
                outs = [{**outs[0], eqn.params["site"]: 0}]
        env.update(zip(eqn.outvars, outs, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _merge(eqn: JaxprEqn, ins: Sequence[Batches]) -> Batches:
    sites = {site for batches in ins for site in batches}
    return {site: _result(eqn, [batches.get(site) for batches in ins]) for site in sites}


def _result(eqn: JaxprEqn, ins: Sequence[int | str | None]) -> int | str:
    """Where the examples of one site lie in the output (None: this input does not depend on it)."""
    states = {x for x in ins if x is not None}
    # Along different axes of two operands, every example meets every other one.
    if len(states) != 1 or MIXED in states:
        return MIXED
    (state,) = states
    return _of_sum(eqn, ins) if isinstance(state, str) else _along(eqn, ins, state)


def _of_sum(eqn: JaxprEqn, ins: Sequence[int | str | None]) -> str:
    """A sum over examples stays one under linear operations; a square of it, or 1 over it, brings them together."""
    name = eqn.primitive.name
    is_product = (name == "mul" and None not in ins) or (name == "div" and ins[1] is not None)
    return SUMMED if name in LINEAR and not is_product else MIXED


def _along(eqn: JaxprEqn, ins: Sequence[int | str | None], axis: int) -> int | str:
    name = eqn.primitive.name
    if name == "reduce_sum" and axis in eqn.params["axes"]:
        return SUMMED
    rule = RULES.get(name, _elementwise if name in ELEMENTWISE else None)
    return MIXED if rule is None else rule(eqn, ins, axis)


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
    # Only if the axis and all before it stay: then each example keeps its block of entries.
    return axis if before[: axis + 1] == after[: axis + 1] else MIXED


def _dot(eqn, ins, axis):
    contract, batch = eqn.params["dimension_numbers"]
    if None not in ins:  # both hold examples, which stay apart only along an axis that the two share
        shared = all(x in batch[k] for k, x in enumerate(ins))
        return batch[0].index(axis) if shared else MIXED
    side = 0 if ins[0] is not None else 1
    if axis in contract[side]:
        return MIXED
    if axis in batch[side]:
        return batch[side].index(axis)
    # The result has the batch axes first, then the free ones of the first operand, then those of the second.
    free = [_free_axes(eqn, k) for k in range(2)]
    return len(batch[0]) + (len(free[0]) if side else 0) + free[side].index(axis)


def _free_axes(eqn: JaxprEqn, operand: int) -> list[int]:
    contract, batch = eqn.params["dimension_numbers"]
    return [a for a in range(aval(eqn.invars[operand]).ndim) if a not in contract[operand] and a not in batch[operand]]


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
