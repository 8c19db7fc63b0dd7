"""What a second run tells: with a value moved that left to the host, with an operation tried at random values, or about NaN."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from . import words
from .guard import Guard
from .program import Program, Run
from .record import Step
from .tensors import floats, is_float, is_live, numbers, tensors_in

_SCALES = (0.1, 3.0)  # by which values that leave to the host are moved
_GROUPS = 12  # lines whose values are moved one by one; of more, all are taken to matter
_SMALL = 4  # elements along an axis of what stands for a tensor without numbers
_SEEDS, _SPREAD = (0, 1), 2.0  # random values among which rounding, clipping and relus have all their pieces


# -- values that leave to the host


def returning(program: Program, guard: Guard, run: Run, exits: Iterable[Step]) -> set[int]:
    """Which of the exits give a value that comes back: the loss changes where it is moved. What does not come back is a log."""
    steps = list(exits)

    def matters(group: list[Step]) -> bool:
        # A little, and if nothing comes of it by far: what comes next may round it, and in one line more than in another.
        return bool(group) and any(_changes(program, guard, run, group, scale) for scale in _SCALES)

    # A loss that is another one in every run says nothing.
    if not matters(steps) or not _repeats(program, guard, run):
        return set()
    groups = _by_line(steps)
    return _numbers(filter(matters, groups) if 1 < len(groups) <= _GROUPS else groups)


def _numbers(groups: Iterable[Iterable[Step]]) -> set[int]:
    return {step.number for group in groups for step in group}


def _by_line(steps: Iterable[Step]) -> list[list[Step]]:
    groups: dict[tuple[str, int], list[Step]] = {}
    for step in steps:
        groups.setdefault((step.place.file, step.place.line), []).append(step)
    return list(groups.values())


def _repeats(program: Program, guard: Guard, run: Run) -> bool:
    if run.repeats is None:
        run.repeats = not _changes(program, guard, run, [], 0.0)
    return run.repeats


def _changes(program: Program, guard: Guard, run: Run, steps: list[Step], scale: float) -> bool:
    """Is the loss another one with the values of these exits moved? With none moved: is it another one in every run?"""
    numbers = {step.number for step in steps}

    def move(step: Step, func: Callable, args: tuple, kwargs: dict) -> Any:
        value = func(*args, **kwargs)
        return moved(value, scale) if step.number in numbers and step.exits else value

    guard.rewind()
    try:
        loss = program.run(guard, move).loss
    except Exception:
        # It is used, though not for a number: an index that there is none for. A test that raises is a check of arguments.
        return any(step.name not in words.TESTS for step in steps)
    return not _is_same(loss, run.loss)


def _is_same(loss: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.equal(loss.detach(), other.detach()) or bool(loss.isnan() & other.isnan())


def moved(value: Any, scale: float, at: int = 0) -> Any:
    """Another value of the same kind. `at`: its place in a list, so that no two elements are moved alike."""
    if isinstance(value, list):
        return [moved(element, scale, number) for number, element in enumerate(value)]
    if isinstance(value, np.ndarray):
        return _moved_array(value, scale)
    return moved_number(value, scale, at)


def moved_number(value: Any, scale: float, at: int) -> Any:
    if isinstance(value, bool | np.bool_):
        return not value
    if isinstance(value, int):
        return value + 1
    # Not the same for all elements: what comes next may subtract their mean and divide by their spread.
    return value * (1 + scale) + scale * math.cos(1.7 * at) if isinstance(value, float | complex) else value


def _moved_array(array: np.ndarray, scale: float) -> np.ndarray:
    if array.dtype == bool:
        return ~array
    if np.issubdtype(array.dtype, np.integer):
        return array + np.ones((), array.dtype)
    if not np.issubdtype(array.dtype, np.inexact):
        return array
    noise = np.cos(1.7 * np.arange(array.size)).reshape(array.shape)
    return (array * (1 + scale) + scale * noise * (1 + np.abs(array).mean())).astype(array.dtype)


# -- operations whose derivative is 0


def derivative_elsewhere(
    program: Program, guard: Guard, steps: Iterable[int], run: Run | None = None
) -> dict[int, float]:
    """Of operations: the largest derivative at random values, by the largest that came in. 0: its rule is zero.

    Of an operation of several tensors, that by the one with the smallest.
    """
    wanted, found = set(steps), {}

    def look(step: Step, func: Callable, args: tuple, kwargs: dict) -> Any:
        # Before the call: one that writes in place would change what is tried.
        if step.number in wanted:
            found[step.number] = max(_ratio_or_unknown(func, args, kwargs, seed) for seed in _SEEDS)
        return func(*args, **kwargs)

    if wanted:
        guard.rewind()
        loss = program.run(guard, look).loss
        if run is not None and not loss.is_meta:
            run.repeats = _is_same(loss, run.loss)
    return found


def _ratio_or_unknown(func: Callable, args: tuple, kwargs: dict, seed: int) -> float:
    """Any number will do for most operations; some take probabilities only."""
    # Not PyTorch's generator: inside of `torch.vmap` it would refuse.
    generator = np.random.default_rng(seed)

    def normal(like: torch.Tensor) -> torch.Tensor:
        return _tensor(generator.standard_normal(_shape(like)) * _SPREAD, like)

    def fraction(like: torch.Tensor) -> torch.Tensor:
        return _tensor(generator.random(_shape(like)), like)

    for draw in (normal, fraction):
        try:
            return _ratio(func, args, kwargs, draw)
        except (RuntimeError, ValueError, IndexError, TypeError):
            continue
    return math.nan  # neither: nothing is said of it


def _shape(like: torch.Tensor) -> list[int]:
    return [min(n, _SMALL) if like.is_meta else n for n in like.shape]


def _tensor(values: Any, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.asarray(values)).to("cpu" if like.is_meta else like.device, like.dtype)


def _ratio(func: Callable, args: tuple, kwargs: dict, draw: Callable[[torch.Tensor], torch.Tensor]) -> float:
    # All of them: what is multiplied by a constant 0 is used all the same.
    new = {id(t): draw(t).requires_grad_(is_live(t)) for t in floats((args, kwargs))}
    at = [x for x in new.values() if x.requires_grad]
    if not at:
        return math.nan
    with torch.random.fork_rng(), torch.enable_grad():
        # An operation in place may not write into a leaf.
        args, kwargs = _replaced((args, kwargs), {key: x * 1 for key, x in new.items()})
        y = next(t for t in tensors_in([func(*args, **kwargs), args]) if is_float(t))
        if not y.requires_grad:
            return 0.0
        cotangent = draw(y)
        grads = torch.autograd.grad(y, at, cotangent, allow_unused=True)
    return min(map(_size, grads)) / _size(cotangent)


def _size(grad: torch.Tensor | None) -> float:
    return 0.0 if grad is None or not grad.numel() else float(grad.abs().max())


def _replaced(tree: Any, new: dict[int, torch.Tensor]) -> Any:
    if isinstance(tree, torch.Tensor):
        return new.get(id(tree), tree)
    if isinstance(tree, list | tuple):
        elements = [_replaced(element, new) for element in tree]
        return type(tree)(*elements) if hasattr(tree, "_fields") else type(tree)(elements)
    if isinstance(tree, dict):
        return {name: _replaced(value, new) for name, value in tree.items()}
    return tree


# -- NaN and infinities


def first_not_finite(program: Program, guard: Guard) -> tuple[Step, str] | None:
    """The first operation that makes NaN, or an infinity that NaN comes of; or, without NaN, the first infinity."""
    found: dict[str, Step] = {}
    of_infinity = False

    def look(step: Step, func: Callable, args: tuple, kwargs: dict) -> Any:
        nonlocal of_infinity
        before = _not_finite((args, kwargs))
        value = func(*args, **kwargs)
        for kind in _not_finite([value, args[:1] if words.is_write(step.name, kwargs) else ()]) - before:
            if kind == "nan" and "nan" not in found:
                of_infinity = "inf" in before
            # What is filled with infinities, as a mask is, is meant to hold them.
            if kind == "nan" or not words.fills(step.name):
                found.setdefault(kind, step)
        return value

    guard.rewind()
    program.run(guard, look)
    order = ("inf", "nan") if of_infinity else ("nan", "inf")
    return next(((found[kind], kind) for kind in order if kind in found), None)


def _not_finite(tree: Any) -> set[str]:
    """Which of "nan" and "inf" there are among the numbers."""
    tensors = floats(tree)
    tests = {"nan": torch.isnan, "inf": torch.isinf}
    return {kind for kind, test in tests.items() if any(bool(test(numbers(t)).any()) for t in tensors)}
