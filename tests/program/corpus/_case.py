"""A program of the corpus, what it is called with, and how closely its gradient can be known."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Case:
    """A program in plain Python and NumPy: `function(*args)` is a number, or an array.

    Floats and float arrays come first among `args` (these are differentiated); counts, options and flags follow.
    `rtol` and `gradient_rtol` are wider than 1e-12 and 1e-6 only where the program itself computes in float32.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    name: str = ""
    rtol: float = 1e-12
    gradient_rtol: float = 1e-6
    step: float = 2e-3

    def __str__(self) -> str:
        return self.name or self.function.__name__

    @property
    def numbers(self) -> tuple[Any, ...]:
        """The arguments that are floats or float arrays."""
        return tuple(arg for arg in self.args if isinstance(arg, float | np.ndarray))

    @property
    def options(self) -> dict[str, Any]:
        """The other arguments by the names of their parameters."""
        names = list(inspect.signature(self.function).parameters)
        count = len(self.numbers)
        return dict(zip(names[count:], self.args[count:], strict=False))

    @property
    def value(self) -> Any:
        """What NumPy says, on copies: a program may write into its arguments."""
        return self.function(*copies(self.args))

    @functools.cached_property
    def is_scalar(self) -> bool:
        return np.ndim(self.value) == 0

    def total(self, *args: Any) -> Any:
        """The sum of the result's entries: a number also where the program gives an array."""
        return np.sum(self.function(*copies(args)))

    def differences(self) -> tuple[np.ndarray, ...]:
        """The gradient of `total` for each of `numbers`, by differences of the plain program.

        Central differences at steps h, h/2, h/4, extrapolated twice (Ridders 1982): the error is O(h^6), and that of rounding
        is near 1e-16 / h. Without jumps within h of the arguments, ten digits hold.
        """
        return tuple(self._difference(k) for k in range(len(self.numbers)))

    def _difference(self, k: int) -> np.ndarray:
        at = np.asarray(self.args[k])
        slopes = np.empty(at.shape)
        for index in np.ndindex(at.shape):
            h = self.step * max(abs(float(at[index])), 0.5)
            rough, middle, fine = (self._central(k, index, step) for step in (h, h / 2, h / 4))
            better, best = middle + (middle - rough) / 3, fine + (fine - middle) / 3
            slopes[index] = best + (best - better) / 15
        return slopes

    def _central(self, k: int, index: tuple[int, ...], h: float) -> float:
        up, down = (self.total(*self._moved(k, index, side)) for side in (h, -h))
        return (float(up) - float(down)) / (2 * h)

    def _moved(self, k: int, index: tuple[int, ...], by: float) -> tuple[Any, ...]:
        moved = np.array(self.args[k])
        moved[index] += by
        number = moved if isinstance(self.args[k], np.ndarray) else float(moved)
        return (*self.args[:k], number, *self.args[k + 1 :])


def copies(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(arg.copy() if isinstance(arg, np.ndarray) else arg for arg in args)
