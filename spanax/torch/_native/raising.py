"""A value whose derivative raises, where torch's would be a silent 0 or a silent wrong number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..._errors import SpanaxError


def raising(value: torch.Tensor, at: torch.Tensor, error: Callable[[], SpanaxError]) -> torch.Tensor:
    """`value`, which depends on `at` in a way that nothing is known of: a derivative with respect to `at` raises."""
    return _Raising.apply(value, at, error)  # pyright: ignore[reportReturnType]


class _Raising(torch.autograd.Function):
    generate_vmap_rule = True

    # A copy: autograd would take a returned input for a view of it.
    @staticmethod
    def forward(value, at, error):
        return value.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs, output):
        ctx.error = inputs[2]

    @staticmethod
    def backward(ctx: Any, *grads):
        raise ctx.error()

    @staticmethod
    def jvp(ctx: Any, *tangents):
        raise ctx.error()
