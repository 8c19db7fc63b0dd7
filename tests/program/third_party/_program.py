"""One program with its arguments, and its derivatives by central differences."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Program(NamedTuple):
    """`function(*args)` is a float. Arguments that are floats or arrays of floats are differentiated, the others are options.

    `value`, `gradient`: relative tolerances against NumPy's own value and against central differences, the latter for what
    the differences lose. `step`: of the differences, relative to max(1, |x|).
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    value: float = 1e-12
    gradient: float = 1e-6
    step: float = 1e-3

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def moving(self) -> list[int]:
        """The places of the arguments that are differentiated."""
        return [i for i, x in enumerate(self.args) if np.asarray(x).dtype.kind == "f"]


def directions(x: Any, most: int = 4) -> np.ndarray:
    """The unit directions of x where they are few, random ones of length 1 otherwise: (directions, *shape of x)."""
    shape, size = np.shape(x), np.size(x)
    if size <= most:
        return np.eye(size).reshape(size, *shape)
    drawn = np.random.default_rng(size).standard_normal((2, size))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).reshape(2, *shape)


def slope(f: Callable[..., Any], args: tuple[Any, ...], place: int, direction: np.ndarray, step: float) -> float:
    """The derivative of `f(*args)` as argument `place` moves along `direction`: central differences of two steps, extrapolated.

    The error is of the fourth order in `step`, which is taken relative to max(1, the argument's largest entry).
    """

    def at(h: float) -> float:
        x = args[place]
        moved = x + h * direction if np.ndim(x) else float(x + h * direction)
        return float(f(*args[:place], moved, *args[place + 1 :]))

    h = step * max(1.0, float(np.max(np.abs(args[place]))))
    coarse, fine = ((at(k) - at(-k)) / (2 * k) for k in (h, h / 2))
    return (4 * fine - coarse) / 3
