"""The equation that runs a torch module: arrays in, arrays out, with its derivatives of every order and under vmap."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
import torch
from jax.custom_derivatives import SymbolicZero
from jax.dtypes import float0
from jaxtyping import Array

from ..._errors import SpanaxError
from ..._primitives import new_host_primitive, set_batching, set_jvp, set_linear
from .arrays import Shown
from .module import modes_of_its_own
from .module_program import ModuleProgram, is_float


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def cross(program: ModuleProgram, arrays: list[Array]) -> list[Array]:
    """The results of the program."""
    return host_p.bind(*arrays, program=program)


@functools.partial(cross.defjvp, symbolic_zeros=True)
def _jvp(program: ModuleProgram, primals, tangents):
    (arrays,), (along,) = primals, tangents
    # Symbolic zeros: weights that are not differentiated cost no backward pass.
    moving = [
        i for i, t in enumerate(along) if not isinstance(t, SymbolicZero) and jnp.issubdtype(t.dtype, jnp.inexact)
    ]
    outs = cross(program, arrays)
    return outs, _tangents(program, outs, moving, [along[i] for i in moving], arrays)


def _tangents(program: ModuleProgram, outs, moving: Sequence[int], along: Sequence[Array], arrays) -> list[Any]:
    slopes = iter(push_p.bind(*along, *arrays, program=program.pushforward(tuple(moving)))) if moving else None
    return [_tangent(y, slopes) for y in outs]


def _tangent(y: Array, slopes: Any) -> Any:
    if not jnp.issubdtype(y.dtype, jnp.inexact):
        return np.zeros(y.shape, float0)
    return jnp.zeros_like(y) if slopes is None else next(slopes)


def _run(*arrays: np.ndarray, program: ModuleProgram) -> list[np.ndarray]:
    weights = len(program.module.names)
    with modes_of_its_own(program.module.device):
        outs = program.run(*(_tensor(x, program, i < weights) for i, x in enumerate(arrays)))
    return [_array(y, like, program) for y, like in zip(outs, avals(program), strict=True)]


def _tensor(x: np.ndarray, program: ModuleProgram, is_weight: bool) -> torch.Tensor:
    is_short = x.dtype == jnp.bfloat16
    if is_short:
        x = x.view(np.int16)
    # A function of the user's may overwrite what it is given, and JAX's memory must not change. Weights, which no module may
    # overwrite, are read where they are.
    t = torch.from_numpy(np.asarray(Shown(x)) if is_weight and x.size else np.array(x))
    t = t.view(torch.bfloat16) if is_short else t
    # PyTorch's indices are 64-bit integers, which JAX has in x64 mode only.
    return t.to(program.module.device, torch.int64 if t.dtype == torch.int32 else t.dtype)


def _array(y: torch.Tensor, like: jax.core.ShapedArray, program: ModuleProgram) -> np.ndarray:
    if tuple(y.shape) != like.shape:
        raise SpanaxError(
            f"the torch module {program.module.title} returned the shape {tuple(y.shape)}, and {like.shape} for other values of "
            "its inputs",
            "a module whose result has one shape for each shape of its inputs",
        )
    y = y.to_dense() if y.layout != torch.strided else y  # such as the gradient of a sparse embedding
    y = y.detach().cpu().resolve_conj().resolve_neg().contiguous()
    if y.dtype == torch.bfloat16:
        return y.view(torch.int16).numpy().view(jnp.bfloat16)
    return y.numpy().astype(like.dtype, copy=False)


def avals(program: ModuleProgram) -> list[jax.core.ShapedArray]:
    return [jax.core.ShapedArray(tuple(y.shape), dtype_of(y, program)) for y in program.outs]


def dtype_of(y: torch.Tensor, program: ModuleProgram) -> Any:
    dtype = jnp.dtype(str(y.dtype).removeprefix("torch."))
    narrow = jax.dtypes.canonicalize_dtype(dtype)
    if narrow != dtype and is_float(y):
        raise SpanaxError(
            f"the torch module {program.module.title} returns {dtype}, and JAX is set to single precision",
            'jax.config.update("jax_enable_x64", True), at the start of the program',
            "module.float()",
        )
    return narrow


def _batch(primitive: Any):
    def rule(args, dims, *, program: ModuleProgram):
        size = next(x.shape[d] for x, d in zip(args, dims, strict=True) if d is not None)
        front = [x if d is None else jnp.moveaxis(x, d, 0) for x, d in zip(args, dims, strict=True)]
        which = [d is not None for d in dims]
        # Cotangents come back for each index, so tangents have to be there for each.
        for i in range(program.linear):
            front[i] = front[i] if which[i] else jnp.broadcast_to(front[i], (size, *front[i].shape))
            which[i] = True
        outs = primitive.bind(*front, program=program.mapped(tuple(which), size))
        return outs, [0] * len(outs)

    return rule


def _jvp_of(primitive: Any):
    """For whoever differentiates the equation itself: with respect to all that has a derivative."""

    def rule(primals, tangents, *, program: ModuleProgram):
        moving = [i for i, t in enumerate(tangents) if t.dtype != float0 and jnp.issubdtype(t.dtype, jnp.inexact)]
        outs = primitive.bind(*primals, program=program)
        return outs, _tangents(program, outs, moving, [tangents[i] for i in moving], primals)

    return rule


def _transpose(cts, *others, program: ModuleProgram):
    return cross(program.transposed(), [*others, *cts])


def _avals(*_, program: ModuleProgram):
    return avals(program)


host_p = new_host_primitive("spanax_torch", _run, _avals)
push_p = new_host_primitive("spanax_torch_tangents", _run, _avals)
set_batching(host_p, _batch(host_p))
set_batching(push_p, _batch(push_p))
set_jvp(host_p, _jvp_of(host_p))
set_linear(push_p, _transpose, lambda program: program.linear)
# It is linear in its tangents, and anything in the rest: a second derivative has both.
set_jvp(push_p, _jvp_of(push_p))
