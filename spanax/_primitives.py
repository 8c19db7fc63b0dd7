"""Making primitives: operations of our own in a traced program, and identities that guard a derivative.

A guard is an identity whose derivative rule raises: a wrong gradient is then an error at the place that would have made it,
under every transformation.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import jax
import jax.core
import jax.numpy
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir, partial_eval
from jax.sharding import ManualAxisType, NamedSharding, PartitionSpec
from jaxtyping import Array

from ._errors import SpanaxError
from ._jaxprs import as_varying, here, varying, varying_type


@functools.cache
def _effect() -> Any:
    """The effect of a debug print: JAX keeps an equation that has it, under every transformation, even without results."""
    (effect,) = jax.make_jaxpr(lambda: jax.debug.print(""))().effects
    return effect


def _varying_as_its_arguments(avals: Callable) -> Callable:
    """`avals`, with results that differ from device to device along every mesh axis along which an argument does."""

    def of(*args, **params):
        axes = frozenset().union(*map(varying_type, args))
        mesh = next((x.sharding.mesh for x in args if varying_type(x)), None)

        def with_axes(out):
            # The type of an argument, returned as a result's, has its mesh axes already.
            if mesh is None or not out.sharding.mesh.empty:
                return out
            return out.update(
                sharding=NamedSharding(mesh, PartitionSpec()), manual_axis_type=ManualAxisType(varying=axes)
            )

        return list(map(with_axes, avals(*args, **params)))

    return of


def new_primitive(name: str, run: Callable, avals: Callable, *, kept: bool = False) -> Primitive:
    """A primitive with several results: `run(*args, **params)` gives them, `avals` their shapes.

    `kept`: no transformation may drop it, even if nothing needs its results.
    """
    avals = _varying_as_its_arguments(avals)
    primitive = Primitive(name)
    primitive.multiple_results = True
    primitive.def_impl(run)
    if kept:
        primitive.def_effectful_abstract_eval(lambda *args, **params: (avals(*args, **params), {_effect()}))
    else:
        primitive.def_abstract_eval(avals)
    mlir.register_lowering(primitive, mlir.lower_fun(run, multiple_results=True))
    return primitive


# JAX converts what a callback returns to single precision, in a thread of its own where `jax.enable_x64` around the caller does
# not count. So double precision leaves the host as 32-bit words.


def _is_wide(dtype: Any) -> bool:
    return dtype in (np.float64, np.int64, np.uint64, np.complex128)


def _words(aval: Any) -> Any:
    if not _is_wide(aval.dtype):
        return aval
    return jax.core.ShapedArray((*aval.shape, *((2, 2) if aval.dtype == np.complex128 else (2,))), np.uint32)


def _as_words(aval: Any, x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x).view(np.uint32).reshape(_words(aval).shape) if _is_wide(aval.dtype) else x


def _from_halves(aval: Any, words: Array) -> Array:
    # A complex number has its real and imaginary parts on an axis of its own, and each of them two words.
    if aval.dtype != np.complex128:
        return lax.bitcast_convert_type(words, aval.dtype)
    parts = lax.bitcast_convert_type(words, np.float64)
    return lax.complex(parts[..., 0], parts[..., 1])


def _from_words(context: Any, aval: Any, x: Any) -> Any:
    if not _is_wide(aval.dtype):
        return x
    to_wide = mlir.lower_fun(lambda x: _from_halves(aval, x), multiple_results=False)
    return to_wide(context.replace(avals_in=[_words(aval)], avals_out=[aval]), x)[0]


def _call_host(context: Any, run: Callable, args: Sequence) -> list:
    """In the compiled program: calls `run(*numpy_arrays) -> numpy_arrays`, without a JAX operation on the way."""
    outs = context.avals_out
    words = [_words(aval) for aval in outs]
    results, _, _ = mlir.emit_python_callback(
        context.replace(avals_out=words),
        lambda *arrays: tuple(map(_as_words, outs, run(*arrays))),
        None,
        args,
        context.avals_in,
        words,
        has_side_effect=False,
        returns_token=False,
    )
    return [_from_words(context, aval, result) for aval, result in zip(outs, results, strict=True)]


def set_host_lowering(primitive: Primitive, run: Callable) -> None:
    """On a CPU the primitive, which has no parameters, is `run(*numpy_arrays) -> numpy_arrays`; elsewhere it stays as it was."""
    elsewhere = mlir.lower_fun(primitive.impl, multiple_results=True)

    def lower(context, *args):
        module = context.module_context
        # An exported program runs in another process, where `run` does not exist.
        if tuple(module.platforms) != ("cpu",) or module.lowering_parameters.for_export:
            return list(elsewhere(context, *args))
        return _call_host(context, run, args)

    # Outside of jit the primitive runs compiled too: there it knows the platform.
    primitive.def_impl(jax.jit(primitive.bind))
    mlir.register_lowering(primitive, lower, cacheable=False)


def new_host_primitive(name: str, run: Callable, avals: Callable) -> Primitive:
    """A primitive that calls the host: `run(*numpy_arrays, **params)` gives NumPy arrays of the shapes `avals(*args, **params)`.

    Outside of compiled programs `run` is called directly, so that its exceptions arrive as they are. In a compiled program JAX
    raises an error of its own, which quotes the message. A call whose results nothing needs may be dropped.
    """
    avals = _varying_as_its_arguments(avals)
    primitive = Primitive(name)
    primitive.multiple_results = True
    primitive.def_impl(lambda *args, **params: list(map(jax.numpy.asarray, run(*map(np.asarray, args), **params))))
    primitive.def_abstract_eval(avals)
    by_callback = mlir.lower_fun(functools.partial(_by_pure_callback, run, avals), multiple_results=True)

    def lower(context, *args, **params):
        if context.module_context.lowering_parameters.for_export:
            raise SpanaxError(
                "a call of the host cannot be exported: it lives in this process", "export what is around it"
            )
        # Newer versions of JAX may have moved this function: a slower public one does the same.
        if not hasattr(mlir, "emit_python_callback"):
            return list(by_callback(context, *args, **params))
        return _call_host(context, functools.partial(run, **params), args)

    mlir.register_lowering(primitive, lower, cacheable=False)
    return primitive


def _by_pure_callback(run: Callable, avals: Callable, *args, **params):
    """The same by `pure_callback`, which hands over JAX's arrays instead of NumPy's."""
    return jax.pure_callback(lambda *xs: tuple(run(*map(np.asarray, xs), **params)), avals(*args, **params), *args)


def set_batching(primitive: Primitive, rule: Callable) -> None:
    """`rule(args, dims, **params) -> (outs, out_dims)`, called if at least one argument is mapped."""
    batching.primitive_batchers[primitive] = rule


def set_batching_always(primitive: Primitive, rule: Callable) -> None:
    """The same, and called even if no argument is mapped."""
    batching.fancy_primitive_batchers[primitive] = lambda axis, args, dims, **params: rule(args, dims, **params)


def set_partial_evaluation(primitive: Primitive, rule: Callable) -> None:
    """`rule(**params)` is called when reverse mode splits a program with the primitive, such as the body of a scan."""
    partial_eval.custom_partial_eval_rules[primitive] = lambda trace, *tracers, **params: rule(**params)


def set_jvp(primitive: Primitive, rule: Callable) -> None:
    """`rule(primals, tangents, **params) -> (outs, out_tangents)`; symbolic zeros arrive as arrays of zeros."""

    # Rules that must see symbolic zeros are registered with JAX directly.
    def with_arrays(primals, tangents, **params):
        return rule(primals, tuple(map(ad.instantiate_zeros, tangents)), **params)

    ad.primitive_jvps[primitive] = with_arrays


def set_linear(primitive: Primitive, transpose: Callable, linear: Callable[..., int] = lambda **_: 1) -> None:
    """Its results are linear in the first `linear(**params)` arguments.

    `transpose(cotangents, *others, **params)` gives the cotangents of those.
    """

    def jvp(primals, tangents, **params):
        first, others = tangents[: linear(**params)], primals[linear(**params) :]
        return primitive.bind(*primals, **params), primitive.bind(*first, *others, **params)

    def transpose_rule(cotangents, *args, **params):
        first, others = args[: linear(**params)], args[linear(**params) :]
        if all(isinstance(cotangent, ad.Zero) for cotangent in cotangents):
            results = [ad.Zero(x.aval) for x in first]
        else:
            results = transpose(list(map(ad.instantiate_zeros, cotangents)), *others, **params)
            results = [_sum_to(x.aval, cotangent) for x, cotangent in zip(first, results, strict=True)]
        return [*results, *(None for _ in others)]

    set_jvp(primitive, jvp)
    ad.primitive_transposes[primitive] = transpose_rule


def _sum_to(aval: Any, cotangent: Array) -> Array:
    """The cotangent of an argument that is the same on all devices of an axis: the sum of theirs, as for JAX's own `pvary`."""
    axes = varying(cotangent) - varying_type(aval)
    return lax.psum(cotangent, tuple(axes)) if axes else cotangent


def _elementwise(name: str, run: Callable) -> Primitive:
    """A primitive of one array whose result has the same shape and dtype."""
    primitive = new_primitive(name, lambda x, **_: [run(x)], lambda x, **_: [x])
    set_batching(primitive, lambda xs, dims, **params: (primitive.bind(*xs, **params), dims))
    return primitive


zero_valued_p = _elementwise("spanax_zero_valued", jax.numpy.zeros_like)
_undifferentiated_p = _elementwise("spanax_undifferentiated", lambda x: x)
_forward_only_p = _elementwise("spanax_forward_only", lambda x: x)

set_jvp(zero_valued_p, lambda primals, tangents, **params: (zero_valued_p.bind(*primals, **params), list(tangents)))


# Under vmap, `lax.cond` on a batched flag becomes a select that runs both branches. One flag for the whole batch keeps it a cond.
_any_over_vmap_p = new_primitive("spanax_any_over_vmap", lambda x: [x], lambda x: [x])
set_batching(_any_over_vmap_p, lambda xs, dims: (_any_over_vmap_p.bind(xs[0].any(dims[0])), [None]))


def any_over_vmap(flag: Array) -> Array:
    """The flag; under vmap whether any index's flag is set, the same for all of them, so that a branch on it stays a branch."""
    return _any_over_vmap_p.bind(flag)[0]


def zero_valued(x: Array, owner: int | None = None) -> Array:
    """0, with the derivatives of x: `x - stop_gradient(x)` for a finite x.

    `owner` is kept as a parameter of the equation.
    """
    # A difference would have to be computed, and is NaN for an infinite x. A compiled program drops x if only the value is used.
    return zero_valued_p.bind(x, owner=owner)[0]


def new_markers(name: str, transposed: str) -> tuple[Primitive, Primitive]:
    """Two identities with parameters, linear, each the transpose of the other: marks that derivatives carry along."""
    there, back = _elementwise(name, lambda x: x), _elementwise(transposed, lambda x: x)
    set_linear(there, lambda cotangents, **params: back.bind(*cotangents, **params))
    set_linear(back, lambda cotangents, **params: there.bind(*cotangents, **params))
    return there, back


def no_tangent(x: Array) -> Any:
    """The tangent, for a derivative rule to return, of a result that has none."""
    return ad.Zero(jax.typeof(x).to_tangent_aval())


# Inside a jit, JAX 0.10 fails on a `custom_jvp` whose result is the same for all indices of a vmap and whose tangent is not.
_beside_p = new_primitive("spanax_beside", lambda x, *_: [x], lambda x, *_: [x])


def _batch_beside(args, dims):
    size = next(arg.shape[dim] for arg, dim in zip(args, dims, strict=True) if dim is not None)
    x = args[0] if dims[0] is not None else jax.numpy.broadcast_to(args[0], (size, *args[0].shape))
    return _beside_p.bind(x, *args[1:]), [dims[0] or 0]


set_batching(_beside_p, _batch_beside)
set_jvp(_beside_p, lambda primals, tangents: (_beside_p.bind(*primals), [tangents[0]]))


def beside(x: Array, others: Any) -> Array:
    """x, mapped by a vmap as soon as one of the other arrays is."""
    return _beside_p.bind(x, *jax.tree.leaves(others))[0]


# `lax.psum` over the axis of a vmap does not run inside a `shard_map` that checks which axes a value varies along.
_sum_over_vmap_p = new_primitive("spanax_sum_over_vmap", lambda x, **_: [x], lambda x, **_: [x])


def _batch_sum_over_vmap(axis, args, dims, *, axis_name):
    ((x,), (dim,)) = args, dims
    if axis.name != axis_name:
        return _sum_over_vmap_p.bind(x, axis_name=axis_name), [dim]
    return [x * axis.size if dim is None else x.sum(dim)], [None]


batching.fancy_primitive_batchers[_sum_over_vmap_p] = _batch_sum_over_vmap


def sum_over_vmap(x: Array, axis_name: str) -> Array:
    """The sum of x over the indices of the surrounding vmap that has this `axis_name`; the same for all of them."""
    return _sum_over_vmap_p.bind(x, axis_name=axis_name)[0]


class Diagnosis(NamedTuple):
    """What a guard raises if it is differentiated. A tuple: parameters of an equation have to be hashable."""

    problem: str
    where: str
    remedies: tuple[str, ...]

    def throw(self) -> NoReturn:
        raise SpanaxError(self.problem, *self.remedies, where=self.where)


# One of several results may never be differentiated, and forward mode makes tangents of all of them: raising there would refuse
# right programs. So its tangent is a NaN that raises when it is transposed: in reverse mode, only if the result is used.


def _poison_jvp(primals, tangents, *, diagnosis):
    nonzero = [t for t in tangents if not isinstance(t, ad.Zero)]
    out = _without_derivative_p.bind(*primals, diagnosis=diagnosis)
    return out, _poison_p.bind(*nonzero, like=jax.typeof(out[0]), diagnosis=diagnosis)


def _nan(*_, like, diagnosis):
    return [as_varying(jax.numpy.full(like.shape, jax.numpy.nan, like.dtype), varying_type(like))]


_without_derivative_p = new_primitive("spanax_without_derivative", lambda x, *_, **__: [x], lambda x, *_, **__: [x])
_poison_p = new_primitive("spanax_poison", _nan, lambda *_, like, diagnosis: [like])


def _raise(*_, diagnosis: Diagnosis, **__):
    diagnosis.throw()


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


def _guard(primitive: Primitive, tree: Any, problem: str, where: str | None, remedies: tuple[str, ...]) -> Any:
    # The rule raises later, in whatever line differentiates: the place of the guard has to be kept now.
    diagnosis = Diagnosis(problem, here() if where is None else where, remedies)

    def one(x):
        return primitive.bind(x, diagnosis=diagnosis)[0] if jax.numpy.issubdtype(x.dtype, jax.numpy.inexact) else x

    return jax.tree.map(one, tree)


def undifferentiated(tree: Any, problem: str, *remedies: str, where: str | None = None) -> Any:
    """The same arrays; differentiating through them raises a `SpanaxError` with this message (`where`: here, if None)."""
    return _guard(_undifferentiated_p, tree, problem, where, remedies)


def forward_only(tree: Any, problem: str, *remedies: str) -> Any:
    """The same arrays; forward mode works, reverse mode raises a `SpanaxError` with this message."""
    return _guard(_forward_only_p, tree, problem, None, remedies)


def without_derivative(x: Array, of: Sequence[Array], problem: str, *remedies: str) -> Array:
    """x, whose derivative with respect to `of` is not known: reverse mode raises this `SpanaxError`, forward mode gives NaN."""
    diagnosis = Diagnosis(problem, here(), remedies)
    return _without_derivative_p.bind(lax.stop_gradient(x), *of, diagnosis=diagnosis)[0]
