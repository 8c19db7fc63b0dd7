"""Leaves a program as it was: its weights, buffers, gradients, modes and random generators."""

from __future__ import annotations

import contextlib
import copy
import operator
import random
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from .tensors import storage_key


class Attributes:
    """An object's attributes, and what the lists, dictionaries and sets among them hold: a module's tables, counters, caches."""

    def __init__(self, attributes: dict[str, Any]):
        containers = [attributes, *(v for v in attributes.values() if isinstance(v, _CONTAINERS))]
        self._kept = [(container, copy.copy(container)) for container in containers]

    def put_back(self) -> None:
        for container, was in self._kept:
            if not _is_same(container, was):
                container.clear()
                getattr(container, "extend" if isinstance(container, list | deque) else "update")(was)


_CONTAINERS = (list, dict, set, deque)


def _is_same(container: Any, was: Any) -> bool:
    """With the same things in the same order: by identity, as tensors have no truth."""
    if isinstance(container, dict):
        return list(container) == list(was) and all(container[key] is was[key] for key in was)
    return len(container) == len(was) and all(map(operator.is_, container, was))


class Guard:
    """What is to be put back after each run.

    Weights are copied when something is about to write into them, so that a large model costs no copy. Buffers are copied at
    once: batch normalisation writes into its own without saying so.
    """

    def __init__(
        self,
        modules: Sequence[nn.Module],
        owners: Iterable[Any],
        tensors: Iterable[torch.Tensor],
        generators: Iterable[torch.Generator],
    ):
        self._modules = [m for root in modules for m in root.modules()]
        self._attributes = [Attributes(vars(thing)) for thing in [*self._modules, *owners]]
        kept = list({id(t): t for t in [*self._own_tensors(), *tensors]}.values())
        self._followed = [(t, t.detach(), t.requires_grad, _grad(t)) for t in kept]
        self._copies: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        grads = [grad for _, _, _, grad in self._followed if grad is not None]
        self._keys = {*map(storage_key, kept), *map(storage_key, grads)}
        for buffer in self._buffers():
            self._copy(buffer)
        self._generators = [(g, g.get_state()) for g in generators]
        self._random = _random_states()

    def _own_tensors(self) -> Iterable[torch.Tensor]:
        for module in self._modules:
            yield from (p for p in module._parameters.values() if p is not None)
            yield from (value for value in vars(module).values() if isinstance(value, torch.Tensor))
        yield from self._buffers()

    def _buffers(self) -> Iterable[torch.Tensor]:
        for module in self._modules:
            yield from (b for b in module._buffers.values() if b is not None)

    def _copy(self, tensor: torch.Tensor) -> None:
        key = storage_key(tensor)
        if key and key not in self._copies and not tensor.is_meta:
            whole = torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(tensor.untyped_storage())
            self._copies[key] = whole, whole.clone()

    def before_write(self, tensors: Iterable[torch.Tensor]) -> None:
        """Tensors that are about to be written to: those of the program's own are copied first."""
        with torch._C.DisableTorchFunction():
            for tensor in tensors:
                if (key := storage_key(tensor)) and key in self._keys:
                    with torch.no_grad():
                        self._copy(tensor.detach())

    def before_backward(self) -> None:
        """The program goes back itself, which adds to the gradients that there are."""
        self.before_write(grad for _, _, _, grad in self._followed if grad is not None)

    def rewind(self) -> None:
        """Puts everything back; may be called again."""
        with torch.no_grad():
            for whole, copy in self._copies.values():
                whole.copy_(copy)
        for attributes in self._attributes:
            attributes.put_back()
        for tensor, memory, requires_grad, grad in self._followed:
            if storage_key(tensor) != storage_key(memory):
                tensor.data = memory
            if tensor.is_leaf and tensor.requires_grad != requires_grad:
                tensor.requires_grad_(requires_grad)
            if tensor.is_leaf and tensor.grad is not grad:
                tensor.grad = grad
        for generator, state in self._generators:
            generator.set_state(state)
        _set_random_states(self._random)


def _grad(tensor: torch.Tensor) -> torch.Tensor | None:
    return tensor.grad if tensor.is_leaf else None  # of others PyTorch warns


@contextlib.contextmanager
def idle_optimizers() -> Iterator[None]:
    """A program that takes a step of its own leaves the weights, and the optimizer's memory, as they are."""
    emptied: list[tuple[dict[str, Any], list]] = []

    def before(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        for group in optimizer.param_groups:
            emptied.append((group, group["params"]))
            group["params"] = []

    def after(*step: Any) -> None:
        while emptied:
            group, parameters = emptied.pop()
            group["params"] = parameters

    handles = [register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(after)]
    try:
        yield
    finally:
        after()
        for handle in handles:
            handle.remove()


def _random_states() -> tuple:
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return torch.get_rng_state(), devices, np.random.get_state(), random.getstate()


def _set_random_states(states: tuple) -> None:
    cpu, devices, numpy_state, python_state = states
    torch.set_rng_state(cpu)
    if devices:
        torch.cuda.set_rng_state_all(devices)
    np.random.set_state(numpy_state)
    random.setstate(python_state)
