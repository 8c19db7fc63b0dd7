"""Making primitives: operations of our own in a traced program, and identities that guard a derivative."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from ._errors import SpanaxError
from ._jaxprs import here


def new_primitive(name: str, run: Callable, avals: Callable) -> Primitive:
    """A primitive with several results: `run(*args, **params)` gives them, `avals` their shapes."""
    primitive = Primitive(name)
    primitive.multiple_results = True
    primitive.def_impl(run)
    primitive.def_abstract_eval(avals)
    mlir.register_lowering(primitive, mlir.lower_fun(run, multiple_results=True))
    return primitive


def set_batching(primitive: Primitive, rule: Callable) -> None:
    """`rule(args, dims, **params) -> (outs, out_dims)`."""
    batching.primitive_batchers[primitive] = rule


def set_jvp(primitive: Primitive, rule: Callable) -> None:
    """`rule(primals, tangents, **params) -> (outs, out_tangents)`; symbolic zeros arrive as arrays of zeros."""

    def with_arrays(primals, tangents, **params):
        return rule(primals, tuple(map(ad.instantiate_zeros, tangents)), **params)

    ad.primitive_jvps[primitive] = with_arrays


def _elementwise(name: str, run: Callable) -> Primitive:
    """A primitive of one array whose result has the same shape and dtype."""
    primitive = new_primitive(name, lambda x, **_: [run(x)], lambda x, **_: [x])
    set_batching(primitive, lambda xs, dims, **params: (primitive.bind(*xs, **params), dims))
    return primitive


_zero_valued_p = _elementwise("spanax_zero_valued", jax.numpy.zeros_like)
_undifferentiated_p = _elementwise("spanax_undifferentiated", lambda x: x)
_forward_only_p = _elementwise("spanax_forward_only", lambda x: x)

set_jvp(_zero_valued_p, lambda primals, tangents: (_zero_valued_p.bind(*primals), list(tangents)))


def zero_valued(x: Array) -> Array:
    """0, with the derivatives of x: `x - stop_gradient(x)` for a finite x, and no need to compute x for its value."""
    return _zero_valued_p.bind(x)[0]


def _raise(*_, diagnosis: tuple[str, ...]):
    raise SpanaxError(*diagnosis)


def _forward_jvp(primals, tangents, *, diagnosis):
    out = _forward_only_p.bind(*primals, diagnosis=diagnosis)
    return out, _forward_only_p.bind(*tangents, diagnosis=diagnosis)


set_jvp(_undifferentiated_p, _raise)
set_jvp(_forward_only_p, _forward_jvp)
ad.primitive_transposes[_forward_only_p] = _raise


def _guard(primitive: Primitive, tree: Any, problem: str, remedies: tuple[str, ...]) -> Any:
    diagnosis = (problem, here(), *remedies)

    def one(x):
        return primitive.bind(x, diagnosis=diagnosis)[0] if jax.numpy.issubdtype(x.dtype, jax.numpy.inexact) else x

    return jax.tree.map(one, tree)


def undifferentiated(tree: Any, problem: str, *remedies: str) -> Any:
    """The same arrays; whoever differentiates through them gets a `SpanaxError` with this message."""
    return _guard(_undifferentiated_p, tree, problem, remedies)


def forward_only(tree: Any, problem: str, *remedies: str) -> Any:
    """The same arrays; forward mode passes, reverse mode gets a `SpanaxError` with this message."""
    return _guard(_forward_only_p, tree, problem, remedies)
