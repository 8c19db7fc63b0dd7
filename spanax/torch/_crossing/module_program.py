"""A torch module as a function of a list of tensors, and what derives from it: pullback, pushforward, itself over an axis.

Each has two forms. `call` is made of torch.func's transformations, for one run over a whole axis; `run` is made of autograd and
of loops, for whatever those transformations do not know: functions of the user's own, random numbers, values that are looked at.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any

import jax
import torch

from ..._errors import SpanaxError, warn
from .module import Look, Module, plain, unchanged_generators

Tensors = Sequence[torch.Tensor]


class ModuleProgram(abc.ABC):
    """A function of tensors. `ins` and `outs`: tensors that show shapes and dtypes; `module`: of which it is made.

    `linear`: in how many of its first arguments it is linear.
    """

    module: Module
    ins: tuple[torch.Tensor, ...]
    outs: tuple[torch.Tensor, ...]
    is_random: bool
    linear = 0

    def __init__(self):
        self._derived: dict[tuple, ModuleProgram] = {}

    @abc.abstractmethod
    def call(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """By torch.func."""

    @abc.abstractmethod
    def run(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """By autograd."""

    def pullback(self, moving: tuple[int, ...]) -> ModuleProgram:
        """(*tensors, *cotangents of the floating-point results) -> cotangents of the arguments `moving`."""
        return self._remembered(("pullback", moving), lambda: _Pullback(self, moving))

    def pushforward(self, moving: tuple[int, ...]) -> ModuleProgram:
        """(*tangents of the arguments `moving`, *tensors) -> tangents of the floating-point results."""
        return self._remembered(("pushforward", moving), lambda: _Pushforward(self, moving))

    def mapped(self, which: tuple[bool, ...], size: int) -> ModuleProgram:
        """The same along the leading axis of the arguments `which`."""
        return self._remembered(("mapped", which, size), lambda: _Mapped(self, which, size))

    def transposed(self) -> ModuleProgram:
        """(*the other arguments, *cotangents) -> cotangents of those in which it is linear."""
        raise NotImplementedError

    def _remembered(self, name: tuple, make: Callable[[], ModuleProgram]) -> ModuleProgram:
        # One object for one derivative: JAX compiles what it has not seen, and tells programs apart by identity.
        if name not in self._derived:
            self._derived[name] = make()
        return self._derived[name]

    @property
    def floats(self) -> list[int]:
        return [i for i, y in enumerate(self.outs) if is_float(y)]


class Base(ModuleProgram):
    """The module itself: its weights, then the tensors among its arguments, then two words of seed if it is random."""

    def __init__(self, module: Module, given: Callable[[Tensors], tuple[tuple, dict]], ins: Tensors, seen: Look):
        super().__init__()
        self.module, self._given, self.seen = module, given, seen
        self.ins, self.outs, self.is_random = tuple(ins), seen.outs, seen.is_random

    def pushforward(self, moving):
        if not any(self.seen.alive[i] for i in self.floats):
            raise SpanaxError(
                f"the derivative of the torch module {self.module.title}, whose results do not depend on its weights and "
                "inputs by differentiable operations: it would be 0",
                "spanax.torch.find_gaps(module, x): the lines where the gradient dies",
                "jax.lax.stop_gradient of its result, if that is meant",
            )
        return super().pushforward(moving)

    def call(self, *tensors):
        count = len(self.module.names)
        # The module may overwrite its inputs, which a leaf that requires a gradient does not allow.
        inputs = [t.clone() for t in tensors[count : len(tensors) - self.is_random]]
        args, kwargs = self._given(inputs)
        return tuple(jax.tree.leaves(plain(self.module(tensors[:count], args, kwargs))))

    def run(self, *tensors):
        words = tensors[-1] if self.is_random else None
        with unchanged_generators(self.module.device, words) as drawn:
            outs = self.call(*tensors)
            if not self.is_random and drawn():
                raise SpanaxError(
                    f"the torch module {self.module.title} draws random numbers for these inputs, and drew none for others",
                    "a module that always draws, or never",
                )
        return outs


class _Pullback(ModuleProgram):
    def __init__(self, inner: ModuleProgram, moving: tuple[int, ...]):
        super().__init__()
        self.inner, self.moving, self.module, self.is_random = inner, moving, inner.module, inner.is_random
        self.ins = (*inner.ins, *(inner.outs[i] for i in inner.floats))
        self.outs = tuple(inner.ins[i] for i in moving)

    def call(self, *tensors):
        primals, cts = self._split(tensors)
        of, moved = _of_moving(self.inner, self.inner.call, primals, self.moving)
        return torch.func.vjp(of, *moved)[1](cts)

    def run(self, *tensors):
        primals, cts = self._split(tensors)
        # An outer derivative looks through this one only if a graph of it is kept, which costs memory otherwise.
        again = any(t.requires_grad for t in tensors)
        with torch.enable_grad():
            moved = _leaves(primals[i] for i in self.moving)
            outs = self.inner.run(*_placed(primals, self.moving, moved))
            floats = [outs[i] for i in self.inner.floats]
            return _gradients(floats, moved, cts, again)

    def _split(self, tensors: Tensors) -> tuple[Tensors, tuple[torch.Tensor, ...]]:
        return tensors[: len(self.inner.ins)], tuple(tensors[len(self.inner.ins) :])


class _Pushforward(ModuleProgram):
    def __init__(self, inner: ModuleProgram, moving: tuple[int, ...]):
        super().__init__()
        self.inner, self.moving, self.module, self.is_random = inner, moving, inner.module, inner.is_random
        self.ins = (*(inner.ins[i] for i in moving), *inner.ins)
        self.outs = tuple(inner.outs[i] for i in inner.floats)
        self.linear = len(moving)

    def call(self, *tensors):
        tangents, primals = tuple(tensors[: self.linear]), tensors[self.linear :]
        of, moved = _of_moving(self.inner, self.inner.call, primals, self.moving)
        return torch.func.jvp(of, tuple(moved), tangents)[1]

    def run(self, *tensors):
        tangents, primals = tensors[: self.linear], tensors[self.linear :]
        again = any(t.requires_grad for t in tensors)
        with torch.enable_grad():
            moved = _leaves(primals[i] for i in self.moving)
            outs = self.inner.run(*_placed(primals, self.moving, moved))
            floats = [outs[i] for i in self.inner.floats]
            # The pullback is linear in its cotangents: its own pullback is the pushforward. Few functions of users know more
            # than reverse mode.
            cts = [torch.zeros_like(y).requires_grad_() for y in floats]
            return _gradients(_gradients(floats, moved, cts, True), cts, tangents, again)

    def transposed(self):
        return self.inner.pullback(self.moving)


class _Mapped(ModuleProgram):
    def __init__(self, inner: ModuleProgram, which: tuple[bool, ...], size: int):
        super().__init__()
        self.inner, self.which, self.size = inner, which, size
        self.module, self.is_random, self.linear = inner.module, inner.is_random, inner.linear
        self.ins = tuple(_wider(x, size) if m else x for x, m in zip(inner.ins, which, strict=True))
        self.outs = tuple(_wider(y, size) for y in inner.outs)
        self._one_by_one = inner.is_random or not inner.outs

    def call(self, *tensors):
        in_dims = tuple(0 if m else None for m in self.which)
        return torch.func.vmap(self.inner.call, in_dims)(*tensors)

    def run(self, *tensors):
        # Tried at first, and remembered if it fails: no list says what PyTorch's vmap knows.
        if not self._one_by_one and any(self.which):
            try:
                with torch.no_grad():
                    return self.call(*tensors)
            except (RuntimeError, ValueError, NotImplementedError, TypeError) as error:
                self._one_by_one = True
                warn(
                    f"the torch module {self.module.title} runs once for each of {self.size} indices of a vmap, because "
                    f"PyTorch's own vmap refuses it: {str(error).splitlines()[0][:200]}",
                    "a module of operations that torch.func.vmap knows",
                    "the batch as one input of the module, without jax.vmap",
                )
        # Random numbers are drawn index by index: each has a seed of its own, as without vmap.
        rows = [self.inner.run(*self._row(tensors, i)) for i in range(self.size)]
        return tuple(map(torch.stack, zip(*rows, strict=True)))

    def _row(self, tensors: Tensors, i: int) -> list[torch.Tensor]:
        return [t[i] if m else t for t, m in zip(tensors, self.which, strict=True)]

    def transposed(self):
        # All tangents are mapped, and so are all cotangents: none has to be summed over the axis.
        back, linear = self.inner.transposed(), self.inner.linear
        return back.mapped((*self.which[linear:], *(True for _ in self.outs)), self.size)


def is_float(t: torch.Tensor) -> bool:
    return t.is_floating_point()


def _wider(t: torch.Tensor, size: int) -> torch.Tensor:
    # A shape and a dtype, without memory.
    return t.new_empty((), device="meta").expand(size, *t.shape)


def _leaves(tensors: Any) -> list[torch.Tensor]:
    """What is differentiated: where an outer derivative does it already, the tensor that it looks at."""
    return [t if t.requires_grad else t.detach().requires_grad_() for t in tensors]


def _placed(tensors: Tensors, places: Sequence[int], by: Tensors) -> list[torch.Tensor]:
    full = list(tensors)
    for i, x in zip(places, by, strict=True):
        full[i] = x
    return full


def _of_moving(inner: ModuleProgram, call: Callable, tensors: Tensors, moving: Sequence[int]):
    """The floating-point results as a function of the arguments `moving`, and these."""

    def of(*moved):
        outs = call(*_placed(tensors, moving, moved))
        return tuple(outs[i] for i in inner.floats)

    return of, [tensors[i] for i in moving]


def _gradients(outs: Tensors, moved: Tensors, cts: Tensors, again: bool) -> tuple[torch.Tensor, ...]:
    """0 where nothing leads from one to the other."""
    # autograd refuses results that do not require a gradient, where JAX takes a zero.
    pairs = [(y, ct) for y, ct in zip(outs, cts, strict=True) if y.requires_grad]
    if not pairs:
        return tuple(map(torch.zeros_like, moved))
    ys, slopes = zip(*pairs, strict=True)
    grads = torch.autograd.grad(ys, list(moved), slopes, create_graph=again, allow_unused=True)
    return tuple(torch.zeros_like(x) if g is None else g for x, g in zip(moved, grads, strict=True))
