"""Runs a program with the value that enters a gap moved by noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .analysis import Analysis
from .flow import Cut
from .program import Program
from .record import Step
from .tensors import tensors_in


class Moved:
    """Runs with noise on the value v that enters a cut, in antithetic pairs."""

    def __init__(self, program: Program, analysis: Analysis, cut: Cut, sigma: float | None, seed: int):
        self._program, self._guard, self._seed = program, program.guard(), seed
        # A parameter that enters is moved itself, any other value where it is made: at the results of these steps.
        self._sources: set[int] = set()
        self._places: dict[int, list[int]] = {}
        for value in (analysis.run.record.values[number] for number in cut.entering):
            if value.source >= 0:
                self._sources.add(value.source)
            elif value.step >= 0:
                made = analysis.run.record.steps[value.step].made
                self._places.setdefault(value.step, []).append(made.index(value.number))
        self._entering: list[torch.Tensor] = []
        self.sigma = float(sigma) if sigma is not None else self._half_of_size()

    def _half_of_size(self) -> float:
        self._run(None, 0.0)
        parts = [tensor.detach().double().ravel() for tensor in self._entering]
        size = math.sqrt(float(torch.cat(parts).square().mean())) if parts else 0.0
        return size / 2 if size > 0 else 0.5

    def pair(self, number: int) -> tuple[float, np.ndarray, np.ndarray]:
        """(loss(v + sigma u) - loss(v - sigma u)) / (2 sigma), u, and autograd's derivative in v, the mean of both runs."""
        losses, owns, noise = [], [], None
        for sign in (1.0, -1.0):
            generator = np.random.default_rng((self._seed, number))
            loss, noise = self._run(generator, sign * self.sigma)
            losses.append(float(loss.detach()))
            owns.append(self._own(loss))
        assert noise is not None
        return (losses[0] - losses[1]) / (2 * self.sigma), noise, (owns[0] + owns[1]) / 2

    def _own(self, loss: torch.Tensor) -> np.ndarray:
        parts = [_array(grad, tensor) for grad, tensor in zip(self._grads(loss), self._entering, strict=True)]
        return np.concatenate(parts or [np.zeros(0)])

    def _grads(self, loss: torch.Tensor) -> list[torch.Tensor | None]:
        followed = [tensor for tensor in self._entering if tensor.requires_grad]
        if not loss.requires_grad or not followed:
            return [None] * len(self._entering)
        try:
            found = iter(torch.autograd.grad(loss, followed, allow_unused=True))
        except RuntimeError:  # no rule: autograd sees nothing
            found = iter([None] * len(followed))
        return [next(found) if tensor.requires_grad else None for tensor in self._entering]

    def _run(self, generator: np.random.Generator | None, scale: float) -> tuple[torch.Tensor, np.ndarray]:
        self._entering, noises = [], []

        def noise_like(tensor: torch.Tensor) -> torch.Tensor:
            u = generator.standard_normal(tuple(tensor.shape)) if generator else np.zeros(tuple(tensor.shape))
            noises.append(np.asarray(u).ravel())
            return (torch.from_numpy(np.asarray(u)) * scale).to(tensor.device, tensor.dtype)

        def move(step: Step, func: Callable, args: tuple, kwargs: dict) -> Any:
            result = func(*args, **kwargs)
            return (
                self._with_noise(result, self._places[step.number], noise_like)
                if step.number in self._places
                else result
            )

        self._guard.rewind()
        sources = [self._program.sources[number].tensor for number in sorted(self._sources)]
        self._guard.before_write(sources)
        with torch.no_grad():
            for tensor in sources:
                tensor.add_(noise_like(tensor))
        self._entering += sources
        try:
            return self._program.run(self._guard, move).loss, np.concatenate(noises or [np.zeros(0)])
        finally:
            self._guard.rewind()

    def _with_noise(self, result: Any, places: list[int], noise_like: Callable[[torch.Tensor], torch.Tensor]) -> Any:
        tensors = tensors_in(result)
        new = {}
        for at in places:
            if at < len(tensors):
                moved = tensors[at] + noise_like(tensors[at])
                self._entering.append(moved)
                new[id(tensors[at])] = moved
        return _replaced(result, new)


def _array(grad: torch.Tensor | None, like: torch.Tensor) -> np.ndarray:
    return np.zeros(like.numel()) if grad is None else grad.detach().cpu().double().numpy().ravel()


def _replaced(tree: Any, new: dict[int, torch.Tensor]) -> Any:
    if id(tree) in new:
        return new[id(tree)]
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(_replaced(element, new) for element in tree))
    if isinstance(tree, list | tuple):
        # PyTorch's own tuples, as of `sort`, are made of one sequence.
        return type(tree)([_replaced(element, new) for element in tree])
    return tree
