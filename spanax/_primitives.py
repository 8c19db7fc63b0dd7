"""Making primitives: operations of our own in a traced program, and identities that guard a derivative."""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

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


def _identity(name: str) -> Primitive:
    primitive = new_primitive(name, lambda x, **_: [x], lambda x, **_: [x])
    set_batching(primitive, lambda xs, dims, **params: (primitive.bind(*xs, **params), dims))
    return primitive


_undifferentiated_p = _identity("spanax_undifferentiated")
_forward_only_p = _identity("spanax_forward_only")


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
