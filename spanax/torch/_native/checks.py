"""Checks of tensors, each with the error that a user sees."""

from __future__ import annotations

from typing import Any

import torch

from ..._checks import is_number, is_whole
from ..._errors import SpanaxError


def check_float(name: str, x: Any) -> torch.Tensor:
    """The tensor. Raises `SpanaxError` for anything but a tensor of real floating-point numbers; `name` as in "f(x"."""
    if not isinstance(x, torch.Tensor):
        raise SpanaxError(f"{as_called(name, type(x).__name__)}, which is no tensor", "torch.as_tensor(...)")
    if not x.is_floating_point():
        raise SpanaxError(
            f"{as_called(name, x.dtype)}: only floating-point numbers have a derivative", "x.to(torch.float32)"
        )
    return x


def as_called(name: str, what: Any) -> str:
    """The call as the user wrote it: "reinmax(logits" and torch.int64 give "reinmax(logits=torch.int64)"."""
    return f"{name}={what})"


def check_dim(name: str, dim: Any, x: torch.Tensor) -> int:
    """The dimension, not negative; `name` as in "soft_rank(dim". A 0-d tensor has none."""
    if not (is_whole(dim, -x.dim()) and dim < x.dim()):
        raise SpanaxError(f"{as_called(name, repr(dim))}, and the tensor has shape {list(x.shape)}", "dim=-1")
    return dim % x.dim()


def check_positive(name: str, value: Any) -> float | torch.Tensor:
    """A positive number of Python, or a 0-d tensor of floats, whose value is not looked at: that would wait for the device."""
    if isinstance(value, torch.Tensor) and value.dim() == 0 and value.is_floating_point():
        return value
    if not (is_number(value) and value > 0):
        raise SpanaxError(as_called(name, repr(value)), "one positive number, or a tensor of shape []")
    return value


def check_generator(name: str, generator: Any, device: torch.device | None) -> None:
    """Raises `SpanaxError` unless it is None or a generator, of that device if one is given."""
    if generator is None:
        return
    if not isinstance(generator, torch.Generator):
        raise SpanaxError(as_called(name, repr(generator)), "torch.Generator(device).manual_seed(0)", "None")
    if device is not None and generator.device.type != device.type:
        raise SpanaxError(
            f"{as_called(name, f'<on {generator.device}>')}, and the tensor is on {device}",
            f"torch.Generator({str(device)!r})",
        )


def in_single(x: torch.Tensor) -> torch.Tensor:
    """x in float32 if it is narrower: half precision holds the data, not the arithmetic."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()
