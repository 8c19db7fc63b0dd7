"""Making primitives: operations of our own in a traced program, and identities that guard a derivative."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.core
import jax.numpy
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir, partial_eval
from jaxtyping import Array

from ._errors import SpanaxError
from ._jaxprs import here


@functools.cache
def _effect() -> Any:
    """What makes JAX keep an equation that has no results, under every transformation: the effect of a debug print."""
    (effect,) = jax.make_jaxpr(lambda: jax.debug.print(""))().effects
    return effect


def new_primitive(name: str, run: Callable, avals: Callable, *, kept: bool = False) -> Primitive:
    """A primitive with several results: `run(*args, **params)` gives them, `avals` their shapes.

    `kept`: no transformation may drop it, even where nothing needs its results.
    """
    primitive = Primitive(name)
    primitive.multiple_results = True
    primitive.def_impl(run)
    if kept:
        primitive.def_effectful_abstract_eval(lambda *args, **params: (avals(*args, **params), {_effect()}))
    else:
        primitive.def_abstract_eval(avals)
    mlir.register_lowering(primitive, mlir.lower_fun(run, multiple_results=True))
    return primitive


# JAX makes single precision of what a callback returns in a thread of its own, where `jax.enable_x64` around the caller does not
# count. So double precision leaves the host as pairs of 32-bit words.


def _words(aval: Any) -> Any:
    is_double = aval.dtype == np.float64
    return jax.core.ShapedArray((*aval.shape, 2), np.uint32) if is_double else aval


def _as_words(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x).view(np.uint32).reshape(*x.shape, 2) if x.dtype == np.float64 else x


def _from_words(context: Any, aval: Any, x: Any) -> Any:
    if aval.dtype != np.float64:
        return x
    joined = mlir.lower_fun(lambda x: lax.bitcast_convert_type(x, np.float64), multiple_results=False)
    return joined(context.replace(avals_in=[_words(aval)], avals_out=[aval]), x)[0]


def set_host_lowering(primitive: Primitive, run: Callable) -> None:
    """On a CPU the primitive, which has no parameters, is `run(*numpy_arrays) -> numpy_arrays`; elsewhere it stays as it was."""
    elsewhere = mlir.lower_fun(primitive.impl, multiple_results=True)

    def lower(context, *args):
        module, outs = context.module_context, context.avals_out
        # An exported program calls nothing in this process.
        if tuple(module.platforms) != ("cpu",) or module.lowering_parameters.for_export:
            return list(elsewhere(context, *args))
        words = [_words(aval) for aval in outs]
        results, _, _ = mlir.emit_python_callback(
            context.replace(avals_out=words),
            lambda *arrays: tuple(map(_as_words, run(*arrays))),
            None,
            args,
            context.avals_in,
            words,
            has_side_effect=False,
            returns_token=False,
        )
        return [_from_words(context, aval, result) for aval, result in zip(outs, results, strict=True)]

    primitive.def_impl(jax.jit(primitive.bind))
    mlir.register_lowering(primitive, lower, cacheable=False)


def set_batching(primitive: Primitive, rule: Callable) -> None:
    """`rule(args, dims, **params) -> (outs, out_dims)`, for one mapped argument or more."""
    batching.primitive_batchers[primitive] = rule


def set_batching_always(primitive: Primitive, rule: Callable) -> None:
    """The same, and called where no argument is mapped as well."""
    batching.fancy_primitive_batchers[primitive] = lambda axis, args, dims, **params: rule(args, dims, **params)


def set_partial_evaluation(primitive: Primitive, rule: Callable) -> None:
    """`rule(**params)` is called where reverse mode splits a program, such as the body of a scan, that holds the primitive."""
    partial_eval.custom_partial_eval_rules[primitive] = lambda trace, *tracers, **params: rule(**params)


def set_jvp(primitive: Primitive, rule: Callable) -> None:
    """`rule(primals, tangents, **params) -> (outs, out_tangents)`; symbolic zeros arrive as arrays of zeros."""

    def with_arrays(primals, tangents, **params):
        return rule(primals, tuple(map(ad.instantiate_zeros, tangents)), **params)

    ad.primitive_jvps[primitive] = with_arrays


def set_linear(primitive: Primitive, transpose: Callable) -> None:
    """Its one result is linear in the first argument; `transpose(cotangent, *others)` is the first one's cotangent."""

    def transposed(cotangents, x, *others):
        (cotangent,) = cotangents
        first = ad.Zero(x.aval) if isinstance(cotangent, ad.Zero) else transpose(cotangent, *others)
        return [first, *(None for _ in others)]

    set_jvp(primitive, lambda primals, tangents: (primitive.bind(*primals), primitive.bind(tangents[0], *primals[1:])))
    ad.primitive_transposes[primitive] = transposed


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


def _poison_jvp(primals, tangents, *, diagnosis):
    nonzero = [t for t in tangents if not isinstance(t, ad.Zero)]
    out = _without_derivative_p.bind(*primals, diagnosis=diagnosis)
    return out, _poison_p.bind(*nonzero, like=jax.typeof(out[0]), diagnosis=diagnosis)


def _nan(*_, like, diagnosis):
    return [jax.numpy.full(like.shape, jax.numpy.nan, like.dtype)]


_without_derivative_p = new_primitive("spanax_without_derivative", lambda x, *_, **__: [x], lambda x, *_, **__: [x])
_poison_p = new_primitive("spanax_poison", _nan, lambda *_, like, diagnosis: [like])


def _raise(*_, diagnosis: tuple[str, ...], **__):
    raise SpanaxError(*diagnosis)


def _forward_jvp(primals, tangents, *, diagnosis):
    out = _forward_only_p.bind(*primals, diagnosis=diagnosis)
    return out, _forward_only_p.bind(*tangents, diagnosis=diagnosis)


set_jvp(_undifferentiated_p, _raise)
set_jvp(_forward_only_p, _forward_jvp)
ad.primitive_transposes[_forward_only_p] = _raise
ad.primitive_jvps[_without_derivative_p] = _poison_jvp
ad.primitive_transposes[_poison_p] = _raise
set_batching(_poison_p, lambda args, dims, **params: (_poison_p.bind(*args, **params), [None]))


def _batch_without_derivative(args, dims, *, diagnosis):
    return _without_derivative_p.bind(*args, diagnosis=diagnosis), [dims[0]]


set_batching(_without_derivative_p, _batch_without_derivative)


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


def without_derivative(x: Array, of: Sequence[Array], problem: str, *remedies: str) -> Array:
    """x, whose derivative with respect to `of` is not known: reverse mode raises this `SpanaxError`, forward mode gives NaN."""
    diagnosis = (problem, here(), *remedies)
    return _without_derivative_p.bind(lax.stop_gradient(x), *of, diagnosis=diagnosis)[0]
