"""What single equations do with continuous randomness: which make it, which choose by it, and by which of their operands."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..._jaxprs import CUSTOM_RULES, JaxprEqn, Literal
from ...bridges import Drawing, Pathwise
from ..sampling import parts, sample_p
from .flat import Node, Ref

# Results without a derivative, whatever is compared.
COMPARISONS = frozenset("eq ne lt le gt ge lt_to le_to".split())
FLAT = frozenset("floor ceil round sign".split())  # floats without a derivative
# Bits from which JAX makes all its noise; a rejection sampler is a loop around them.
SOURCES = frozenset("random_bits random_gamma rng_bit_generator rng_uniform threefry2x32".split())


@functools.cache
def is_inexact(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.inexact)


def _is_float(variable: Any) -> bool:
    return is_inexact(variable.aval.dtype)


def is_random(eqn: JaxprEqn) -> bool:
    """Is it a draw of `sample`, or a source of noise?"""
    return eqn.primitive is sample_p or eqn.primitive.name in SOURCES


def may_decide(eqn: JaxprEqn) -> bool:
    """Is it a draw that this analysis follows: a continuous one of `sample`, or a source of noise?"""
    return eqn.primitive.name in SOURCES or (eqn.primitive is sample_p and is_continuous(eqn))


def is_continuous(eqn: JaxprEqn) -> bool:
    """Is the distribution of this draw a continuous one?"""
    # The parameters are abstract: no number is needed to know a family.
    distribution, _ = parts(eqn.params["site"], [v.aval for v in eqn.invars[1:]])
    try:
        return not distribution.is_discrete
    except Exception:  # its support needs more than the shapes of its parameters
        return _is_float(eqn.outvars[0])


def differentiates(via: Drawing) -> bool:
    """Does this bridge use the derivative of the draw itself?"""
    return isinstance(via, Pathwise) or bool(getattr(via, "pathwise", False))


# -- choices


def chosen_by(node: Node) -> Sequence[Ref]:
    """What an equation chooses by; nothing where it makes no choice."""
    # The user's rule answers for the floats.
    if node.eqn.primitive in CUSTOM_RULES:  # it has no derivative for an output that is an integer
        return () if all(map(_is_float, node.eqn.outvars)) else node.ins
    rule = _CHOSEN_BY.get(node.name)
    return rule(node) if rule else ()


def _by_comparison(node: Node) -> Sequence[Ref]:
    # x < inf, or x != inf, asks for an overflow: no finite x changes the answer.
    for r in node.ins:
        if isinstance(r, Literal) and is_inexact(np.asarray(r.val).dtype) and np.isinf(r.val):
            return ()
    return node.ins


def _by_sign(node: Node) -> Sequence[Ref]:
    # |x| is continuous, but its derivative is not: x / |x| jumps. A complex z has no sign that jumps.
    x = node.eqn.invars[0]
    return node.ins if _is_float(x) and jnp.isrealobj(x.aval) else ()


def _by_rounding(node: Node) -> Sequence[Ref]:
    return node.ins if _is_float(node.eqn.invars[0]) and not _is_float(node.eqn.outvars[0]) else ()


def _by_order(node: Node) -> Sequence[Ref]:
    # A single sorted array is continuous in its entries; what is sorted along with it changes places.
    return node.ins[: node.eqn.params["num_keys"]] if len(node.ins) > 1 else ()


def _by_first(node: Node) -> Sequence[Ref]:
    return node.ins[:1]


def _by_all(node: Node) -> Sequence[Ref]:
    return node.ins


def _by_all_but_first(node: Node) -> Sequence[Ref]:
    return node.ins[1:]


_CHOSEN_BY: dict[str, Callable[[Node], Sequence[Ref]]] = {
    **dict.fromkeys(COMPARISONS, _by_comparison),
    **dict.fromkeys([*FLAT, "argmax", "argmin", "top_k", "approx_top_k"], _by_first),
    **dict.fromkeys(["rem", "atan2", "is_finite"], _by_all),  # the first two are floats with a derivative, that jump
    "abs": _by_sign,
    # A derivative of the largest in each window.
    **dict.fromkeys(["select_and_scatter_add", "select_and_gather_add"], _by_all_but_first),
    **dict.fromkeys(["convert_element_type", "bitcast_convert_type"], _by_rounding),
    "sort": _by_order,
}
