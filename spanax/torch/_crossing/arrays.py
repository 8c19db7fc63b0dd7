"""Tensors to arrays and back, without a copy where the memory allows it.

On a CPU a compiled JAX function reads a tensor's memory through NumPy, the cheapest of all ways in, and its results are handed
over by DLPack. On another device both ways are DLPack, whose streams wait for each other: the host waits for nothing.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.dlpack
import jax.numpy as jnp
import numpy as np
import torch

from ..._errors import SpanaxError

# Those that NumPy and JAX both have, and that JAX takes at any precision.
_PLAIN = frozenset(
    getattr(torch, name) for name in "float32 float16 complex64 bool uint8 int8 int16 int32 uint16 uint32".split()
)
_WIDE_FLOATS = frozenset([torch.float64, torch.complex128])
_WIDE_INTEGERS = frozenset([torch.int64, torch.uint64])
_KNOWN = _PLAIN | _WIDE_FLOATS | _WIDE_INTEGERS | {torch.bfloat16}
_NAMES = {str(dtype).removeprefix("torch.") for dtype in _KNOWN}
_INT32 = np.iinfo(np.int32)
_FEW = 2**16  # bytes
# Tensors that stand for a batch of others: no array can be read from one. Asked by private names, where they exist.
_WRAPPERS = [
    f for f in [getattr(getattr(torch._C, "_functorch", None), "is_legacy_batchedtensor", None)] if f is not None
]


def as_array(t: torch.Tensor) -> Any:
    """What JAX is given for a tensor: its memory, not a copy, where it can be read as it is. The result is to be read at once."""
    if t.dtype not in _PLAIN:
        return _as_array(t)
    # Conjugated and negated views, and whatever is not in the host's memory, say so by raising.
    try:
        return t.detach().numpy()
    except (RuntimeError, TypeError):
        return _as_array(t)


def as_copy(t: torch.Tensor) -> jax.Array:
    """An array with memory of its own, for JAX to keep."""
    return jnp.array(as_array(t), copy=True)


def _as_array(t: torch.Tensor) -> Any:
    _check(t)
    t = t.detach().resolve_conj().resolve_neg()
    if t.dtype in _WIDE_INTEGERS and not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        t = _narrowed(t)
    if t.device.type != "cpu":
        return _on_device(t)
    # NumPy has no bfloat16 of its own: the bits go over as integers.
    if t.dtype == torch.bfloat16:
        return t.view(torch.int16).numpy().view(jnp.bfloat16)
    return t.numpy()


def _on_device(t: torch.Tensor) -> jax.Array:
    try:
        return jax.dlpack.from_dlpack(t.contiguous())
    except (RuntimeError, ValueError, TypeError, BufferError) as error:
        raise SpanaxError(
            f"JAX cannot read a tensor on {t.device}: {str(error).splitlines()[0]}",
            "a JAX for this device: pip install 'jax[cuda12]'",
            "x.cpu()",
        ) from error


def _check(t: torch.Tensor) -> None:
    """Raises for a tensor that JAX would not take as it is."""
    if any(is_wrapper(t) for is_wrapper in _WRAPPERS):
        raise SpanaxError(
            "a tensor inside an older vmap of PyTorch (is_grads_batched, jacobian(vectorize=True), batched gradcheck)",
            "torch.func.vmap, torch.func.jacrev",
            "is_grads_batched=False, vectorize=False",
        )
    if t.dtype in _WIDE_FLOATS and not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        short = "float32" if t.dtype == torch.float64 else "complex64"
        raise SpanaxError(
            f"a tensor of {_name(t)}, and JAX is set to single precision: it would be rounded",
            'jax.config.update("jax_enable_x64", True), at the start of the program',
            "with jax.enable_x64(): around the call",
            f"x.to(torch.{short})",
        )
    if (problem := _strange(t)) is not None:
        raise SpanaxError(f"a tensor {problem[0]}", problem[1])


def _strange(t: torch.Tensor) -> tuple[str, str] | None:
    """What is wrong with a tensor that is no dense array of numbers, and what helps."""
    if t.layout != torch.strided or t.is_quantized or t.is_nested:
        return f"that is not dense ({t.layout})", "x.to_dense()"
    if t.is_meta:
        return "on the meta device, which holds no numbers", "a tensor with data"
    if t.dtype not in _KNOWN:
        return f"of {_name(t)}, which JAX does not take from PyTorch", "x.to(torch.float32)"
    return None


def _name(t: torch.Tensor) -> str:
    return str(t.dtype).removeprefix("torch.")


def _narrowed(t: torch.Tensor) -> torch.Tensor:
    """64-bit integers as 32-bit ones, if all of them fit."""
    # Indices are int64 in PyTorch whatever their size, so refusing them all would refuse nearly every indexed program.
    if t.numel():
        low, high = (end.item() for end in torch.aminmax(t if t.dtype == torch.int64 else t.to(torch.int64)))
        if low < _INT32.min or high > _INT32.max:
            raise SpanaxError(
                f"a tensor of {_name(t)} with {low if low < _INT32.min else high}, and JAX is set to 32-bit integers",
                'jax.config.update("jax_enable_x64", True), at the start of the program',
                "x.to(torch.int32), where its numbers fit",
            )
    return t.to(torch.int32)


def as_tensors(arrays: Sequence[jax.Array], device: torch.device) -> list[torch.Tensor]:
    """The tensors that own these arrays' memory from now on. Nobody else may keep the arrays."""
    if device.type == "cpu":
        return [_as_tensor(y) for y in arrays]
    _check_dtypes(arrays)
    return [torch.from_dlpack(y) for y in arrays]


def _as_tensor(y: jax.Array) -> torch.Tensor:
    # NumPy waits for what still computes, and without Python's lock: it may need Python to go on.
    try:
        x = np.asarray(y)
        # To copy a few numbers takes less than to arrange that they need not be copied.
        return torch.from_numpy(x.copy() if x.nbytes <= _FEW else np.asarray(Shown(x)))
    except (TypeError, ValueError):
        _check_dtypes([y])
    return torch.from_numpy(np.asarray(Shown(np.asarray(y).view(np.int16)))).view(torch.bfloat16)


class Shown:
    """An array's memory as memory that may be written: JAX lends it read-only, and here nobody else has it."""

    __slots__ = "__array_interface__", "owner"

    def __init__(self, x: np.ndarray):
        # NumPy keeps this object, and so the array, as long as the view lives.
        self.owner, interface = x, x.__array_interface__
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface


def _check_dtypes(arrays: Sequence[jax.Array]) -> None:
    for y in arrays:
        if str(y.dtype) not in _NAMES:
            raise SpanaxError(
                f"a result of {y.dtype}, which PyTorch has not",
                "jax.random.key_data(key), for a key",
                "x.astype(jnp.float32)",
            )


def device_of(tensors: Sequence[torch.Tensor]) -> torch.device:
    """The one device of all tensors; the CPU if there are none."""
    if not tensors:
        return torch.device("cpu")
    first = tensors[0].device
    for t in tensors:
        if t.device != first:
            raise SpanaxError(f"tensors on {first} and on {t.device}", "x.to(device), all of them to one device")
    return first


def is_beside(device: torch.device) -> bool:
    """Does JAX put what it is given by NumPy where these tensors are?"""
    if device.type != "cpu" or _is_host_alone():
        return True
    chosen = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    return chosen is not None and getattr(chosen, "platform", chosen) == "cpu"


@functools.cache
def _is_host_alone() -> bool:
    return jax.default_backend() == "cpu"


def on_the_host() -> contextlib.AbstractContextManager:
    """For JAX with another default device."""
    return jax.default_device(jax.devices("cpu")[0])
