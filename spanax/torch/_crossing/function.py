"""A program as a function of tensors that PyTorch can differentiate: `apply`.

Two autograd functions, because the general one costs more than a small program takes. Where PyTorch records a graph and nothing
else, the forward pass keeps what the backward pass needs. Under a transformation of torch.func, or with forward-mode tangents,
the derivatives are programs of their own, applied in the same way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import torch

from ..._errors import SpanaxError
from . import arrays as crossing
from .program import Form, Program, opened

_Tensors = tuple[torch.Tensor, ...]


class Call:
    """One program, the arrays of JAX that it is given besides tensors, where it runs and how precisely.

    `form`: of the result, once there is one.
    """

    __slots__ = "device", "fixed", "form", "program", "wide"

    def __init__(self, program: Program, fixed: Sequence[Any], device: torch.device, wide: bool | None = None):
        self.program, self.fixed, self.device = program, fixed, device
        self.wide: bool = jax.config.jax_enable_x64 if wide is None else wide  # pyright: ignore[reportAttributeAccessIssue]
        self.form: Form | None = None

    def of(self, program: Program) -> Call:
        return Call(program, self.fixed, self.device, self.wide)

    def value(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        self.form, leaves = opened(self.run(self.program.value, self.fixed, tensors))
        return self.tensors(leaves)

    def run(self, f: Callable, first: Any, *tensors: Sequence[torch.Tensor | None]) -> Any:
        """`f(first, *arrays)` or, of several lists, `f(first, *lists)`: as precisely as in the forward pass, and on its device.

        The backward pass may run in another thread, where JAX is set otherwise.
        """
        same = self.wide == jax.config.jax_enable_x64  # pyright: ignore[reportAttributeAccessIssue]
        if same and crossing.is_beside(self.device):
            return self._run(f, first, tensors)
        with contextlib.ExitStack() as contexts:
            contexts.enter_context(jax.enable_x64(self.wide))
            if not crossing.is_beside(self.device):
                contexts.enter_context(crossing.on_the_host())
            return self._run(f, first, tensors)

    def _run(self, f: Callable, first: Any, tensors: Sequence[Sequence[torch.Tensor | None]]) -> Any:
        into = crossing.as_array if self.program.jit else crossing.as_copy
        if len(tensors) == 1:
            return f(first, *[into(t) for t in tensors[0]])  # pyright: ignore[reportArgumentType]
        return f(first, *[[None if t is None else into(t) for t in each] for each in tensors])

    def tensors(self, leaves: Sequence[Any]) -> list[torch.Tensor]:
        results = crossing.as_tensors(leaves, self.device)
        # A compiled function's results are memory that nobody else has. Without jit they may be what JAX keeps.
        return results if self.program.jit else [y.clone() for y in results]


def apply(call: Call, tensors: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
    """The results of the call's program, with their derivatives."""
    if _is_transformed():
        return _Transformed.apply(call, *tensors)
    if torch.is_grad_enabled():
        for t in tensors:
            if t.requires_grad:
                return _record(call, *tensors)
    return call.value(tensors)


# Neither question has a public answer; where a version of PyTorch does not know these names, the general function does.
_transforms = getattr(torch._C, "_are_functorch_transforms_active", None)
_keeps_graph = getattr(getattr(torch._C, "_autograd", None), "_get_current_graph_task_keep_graph", None)
_forward_ad = torch.autograd.forward_ad


def _is_transformed() -> bool:
    """Is a transformation of torch.func at work, or forward mode?"""
    if _transforms is None or _transforms():
        return True
    return getattr(_forward_ad, "_current_level", 0) >= 0


def _present(cts: Sequence[Any], kinds: Sequence[bool]) -> tuple[bool, ...]:
    return tuple(ct is not None for ct, floating in zip(cts, kinds, strict=True) if floating)


def _pulled_back(call: Call, moving: tuple[int, ...], kinds: Sequence[bool], tensors: _Tensors, cts: _Tensors) -> Any:
    """The gradients of all arguments, such that they can be differentiated again."""
    # A result that was not used has no cotangent: a program of its own knows that it is 0 without being given zeros.
    present = _present(cts, kinds)
    given = [ct for ct, floating in zip(cts, kinds, strict=True) if floating and ct is not None]
    grads = apply(call.of(call.program.pullback(moving, present)), [*tensors, *given])
    return _filled(call, moving, grads)


def _filled(call: Call, moving: tuple[int, ...], grads: Sequence[torch.Tensor]) -> tuple[torch.Tensor | None, ...]:
    """A gradient for each argument, the call itself first; None for those that have none."""
    full: list[torch.Tensor | None] = [None] * (1 + call.program.tensors)
    for i, g in zip(moving, grads, strict=True):
        full[1 + i] = g
    return tuple(full)


class _Recorded(torch.autograd.Function):
    """In a graph that `backward` will go through: the residuals of the one forward pass wait for it."""

    @staticmethod
    def forward(ctx: Any, call: Call, *tensors: torch.Tensor) -> _Tensors:
        forward = call.program.value_and_residuals(ctx.needs_input_grad[1:])
        result, residuals = call.run(forward, call.fixed, tensors)
        form, leaves = opened(result)
        ctx.call, ctx.residuals, ctx.kinds, call.form = call, residuals, form.floats, form
        outs = tuple(call.tensors(leaves))
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        # What no argument moves says so: a loss of it alone then raises in `backward`, instead of having a gradient of 0.
        if not all(form.alive):
            ctx.mark_non_differentiable(*(y for y, alive in zip(outs, form.alive, strict=True) if not alive))
        return outs

    @staticmethod
    def backward(ctx: Any, *cts: torch.Tensor) -> Any:
        call: Call = ctx.call
        # Cotangents that will be differentiated themselves, or that stand for a batch of them under torch.func.vmap.
        if torch.is_grad_enabled() or _is_transformed():
            return _pulled_back(call, _moving(ctx), ctx.kinds, ctx.saved_tensors, cts)
        if ctx.residuals is None:
            raise _gone_backward()
        links, _ = opened(ctx.residuals)
        # Only now are the saved tensors looked at: PyTorch then raises if one that is needed has been overwritten.
        saved = [ctx.saved_tensors[i] for i in links.needs] if links.needs else ()
        slopes = [ct for ct, floating in zip(cts, ctx.kinds, strict=True) if floating]
        grads = call.tensors(call.run(call.program.pull, ctx.residuals, saved, slopes))
        # As PyTorch does with what it has saved: a loss that is kept for a plot does not keep its whole forward pass.
        if _keeps_graph is not None and not _keeps_graph():
            ctx.residuals = None
        return _filled(call, _moving(ctx), grads)


# What `Function.apply` does where no transformation is at work, which is known already.
_record = super(torch.autograd.Function, _Recorded).apply  # pyright: ignore[reportAttributeAccessIssue]


def _moving(ctx: Any) -> tuple[int, ...]:
    """Which of the tensors are differentiated."""
    return tuple([i for i, needed in enumerate(ctx.needs_input_grad[1:]) if needed])


def _gone_backward() -> SpanaxError:
    return SpanaxError(
        "a second backward pass through the same call, whose residuals the first one has freed",
        "loss.backward(retain_graph=True), the first time",
        "the forward pass once more",
    )


class _Transformed(torch.autograd.Function):
    """Under torch.func and forward mode: every derivative is a program, and is applied as this one was."""

    @staticmethod
    def forward(call: Call, *tensors: torch.Tensor) -> _Tensors:
        return tuple(call.value(tensors))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: _Tensors) -> None:
        ctx.call, *tensors = inputs
        ctx.kinds = [_is_float(y) for y in output]
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(y for y, floating in zip(output, ctx.kinds, strict=True) if not floating))

    @staticmethod
    def backward(ctx: Any, *cts: torch.Tensor) -> Any:
        return _pulled_back(ctx.call, _moving(ctx), ctx.kinds, ctx.saved_tensors, cts)

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: torch.Tensor | None) -> Any:
        moving = tuple(i for i, t in enumerate(tangents) if t is not None)
        program = ctx.call.program.pushforward(moving)
        slopes = iter(apply(ctx.call.of(program), [*ctx.saved_tensors, *(t for t in tangents if t is not None)]))
        return tuple(next(slopes) if floating else None for floating in ctx.kinds)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, call: Call, *tensors: torch.Tensor) -> tuple[_Tensors, tuple]:
        # `apply` again: there may be further transformations outside of this one.
        inner = call.of(call.program.mapped(tuple(in_dims[1:]), info.batch_size))
        outs = tuple(apply(inner, tensors))
        call.form = inner.form
        return outs, (0,) * len(outs)


def _is_float(t: torch.Tensor) -> bool:
    return t.is_floating_point() or t.is_complex()
