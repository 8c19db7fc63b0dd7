"""The gradient of one program: compiled once, or computed outside of JAX."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from ..._functions import check_scalar, with_key
from ..._jaxprs import defined, without_dead_code
from .arguments import Arguments


class Gradient:
    """`gradient(key, i)` are the leaves of the i-th gradient of a key, which is folded into it; it returns before they are there.

    Draws and timings share this one compiled program, as compilation is most of what a comparison of small programs costs.
    """

    def __init__(self, function: Callable[..., Any], arguments: Arguments):
        self.function, self.arguments = function, arguments

        def objective(leaves, arrays, key):
            args, kwargs = arguments.rebuilt(leaves, arrays)
            value = function(*args, **with_key(function, key, args, kwargs))
            check_scalar("a program to compare", value, defined(function))
            return value

        # The index is folded into the key inside, so that no keys are made or kept outside of the compiled program.
        self._run = jax.jit(
            lambda leaves, arrays, key, i: jax.grad(objective)(leaves, arrays, jax.random.fold_in(key, i))
        )

    def __call__(self, key: Key[Array, ""], i: int) -> tuple[Array, ...]:
        # An unsigned NumPy scalar: a Python int would be weakly typed, and a large one would not fit.
        return self._run(self.arguments.leaves, self.arguments.arrays, key, np.uint32(i))

    @functools.cached_property
    def is_random(self) -> bool:
        """Does the key reach the gradient? By the program's structure, not by its values: what is rare counts."""
        arrays = (self.arguments.leaves, self.arguments.arrays)
        # Dead code removed, a key that no equation reads decides nothing.
        program = without_dead_code(self._run.trace(*arrays, jax.random.key(0), np.uint32(0)).jaxpr).jaxpr
        key = program.invars[sum(map(len, arrays))]
        return any(v is key for eqn in program.eqns for v in eqn.invars)

    def rows(self, key: Key[Array, ""], start: int, stop: int) -> Float[np.ndarray, "rows size"]:
        """The gradients from the start-th on as float64 vectors; so many are in memory at once."""
        # All are started before the first is read: dispatch is asynchronous.
        running = [self(key, i) for i in range(start, stop)]
        return _as_rows(running, self.arguments)


class HostGradient:
    """The same of a gradient that is computed outside of JAX: `function(seed)` returns its leaves."""

    def __init__(self, function: Callable[[int], Sequence[np.ndarray]], arguments: Arguments):
        self.function, self.arguments = function, arguments
        self.__name__ = getattr(function, "__name__", "the function given")  # what a report calls it
        self._last: tuple[Any, int] = (None, 0)

    def __call__(self, key: Key[Array, ""], i: int) -> Sequence[np.ndarray]:
        # To read a key takes longer than many a gradient: that of the call before is remembered.
        if self._last[0] is not key:
            self._last = key, int(np.asarray(jax.random.key_data(key)).ravel()[-1])
        # Odd multipliers: no two draws of a key have one seed.
        return self.function((self._last[1] * 0x9E3779B1 + i * 0x85EBCA6B) % 2**32)

    @functools.cached_property
    def is_random(self) -> bool:
        """By its values, since there is no program to look at: gradients that differ seldom are taken for alike."""
        rows = self.rows(jax.random.key(0), 0, 20)
        return bool(np.any(rows != rows[0]))

    def rows(self, key: Key[Array, ""], start: int, stop: int) -> Float[np.ndarray, "rows size"]:
        return _as_rows([self(key, i) for i in range(start, stop)], self.arguments)


def gradient_of(function: Any, arguments: Arguments) -> Any:
    """A `Gradient`, or the `HostGradient` that it is."""
    return function if isinstance(function, HostGradient) else Gradient(function, arguments)


def _as_rows(gradients: Sequence[Sequence[Any]], arguments: Arguments) -> Float[np.ndarray, "rows size"]:
    found = np.empty((len(gradients), arguments.size))
    for row, leaves in zip(found, gradients, strict=True):
        for part, leaf in zip(arguments.parts, leaves, strict=True):
            row[part] = np.asarray(leaf).ravel()
    return found
