"""The arguments that are differentiated, and the gradients in their places, of their types.

Python's integers are the difficulty: 5 for x in `3 * x**2` is a real number, 5 for n in `range(n)` a count, and nothing in the
call says which. So the program is run with integers as floats first and, where that fails, with integers as they are
(`integers_as_floats`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._errors import SpanaxError
from ..._functions import positions
from ..._jaxprs import here, is_traced
from .._derivatives.nan_gradients import NanGradientError

# What a program raises that was given a float where it counts: `range(3.0)`, an index, a shape, a key of a dictionary.
COUNTING_FAILED = (SpanaxError, TypeError, ValueError, IndexError, KeyError, AttributeError)


class Differentiated(NamedTuple):
    """A call of `f`, and the positions of the arguments that are differentiated.

    `single`: the result is the gradient of the only one, not a tuple. `explicit`: `argnums` named them, so each must have one.
    """

    f: Callable[..., Any]
    args: tuple
    kwargs: dict[str, Any]
    nums: tuple[int, ...]
    single: bool
    explicit: bool
    has_jax_numbers: bool  # is an argument an array of JAX's?

    @classmethod
    def of(cls, f: Callable, args: tuple, kwargs: dict, argnums: int | Sequence[int] | None) -> Differentiated:
        in_jax = _has_jax_numbers(args, kwargs)
        # As in JAX: an int is one gradient, a sequence a tuple, also of one.
        if argnums is not None:
            nums = positions(argnums, len(args), here())
            return cls(f, args, kwargs, nums, not isinstance(argnums, Sequence), True, in_jax)
        # The form of the result depends on the types of the arguments alone, never on what the program does with an integer.
        numbers = _positions_of(args, is_inexact) or _positions_of(args, is_integer)
        if len(numbers) == 1:
            return cls(f, args, kwargs, numbers, True, False, in_jax)
        return cls(f, args, kwargs, tuple(range(len(args))), False, False, in_jax)

    @property
    def is_traced(self) -> bool:
        return any(map(is_traced, jax.tree.leaves((self.args, self.kwargs))))

    def precision(self, key: Any) -> contextlib.AbstractContextManager:
        """Double precision, unless the arguments are JAX's and have chosen theirs."""
        return contextlib.nullcontext() if self.has_jax_numbers or is_traced(key) else jax.enable_x64(True)

    def plain_value(self, value: jax.Array) -> Any:
        """A Python number, unless the arguments are JAX's."""
        return value.reshape(()) if is_traced(value) or self.has_jax_numbers else np.asarray(value).item()

    def arrange(self, slopes: Mapping[int, Any]) -> Any:
        """The gradients by position as the caller gets them: one, or a tuple."""
        # None would be taken for a gradient by whoever asked for this one. Without `argnums` nobody did.
        if self.explicit and (missing := [i for i in self.nums if slopes[i] is None]):
            raise SpanaxError(
                f"argument {missing[0]} has no derivative: it holds no real number, or integers that the program counts with",
                "a float: 3.0 instead of 3",
                "argnums of arguments that hold floats",
            )
        return slopes[self.nums[0]] if self.single else tuple(slopes[i] for i in self.nums)


def _has_jax_numbers(args: tuple, kwargs: dict) -> bool:
    """One of them decides for the whole call: mixing precisions in one trace would promote all to double. Keys have none."""
    arrays = [x for x in jax.tree.leaves((args, kwargs)) if isinstance(x, jax.Array)]
    return any(not jnp.issubdtype(x.dtype, jax.dtypes.extended) for x in arrays)


def _positions_of(args: tuple, counts: Callable[[Any], bool]) -> tuple[int, ...]:
    return tuple(i for i, arg in enumerate(args) if any(map(counts, jax.tree.leaves(arg))))


def is_integer(x: Any) -> bool:
    return type(x) is int  # not a bool, which is a subclass


def is_inexact(x: Any) -> bool:
    """A real or complex number, or an array of them."""
    # Asked twice for each leaf of each call, and most leaves are Python's or NumPy's: so these are asked first.
    if isinstance(x, (float, complex)):
        return True
    if isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind in "fciub":
        return x.dtype.kind in "fc"
    # Known types only: an object of some library with a dtype need not be an array.
    return isinstance(x, (np.ndarray, np.generic, jax.Array)) and jnp.issubdtype(x.dtype, jnp.inexact)


def integers_as_floats(run: Callable[[str], Any], has_integers: bool) -> tuple[Any, str]:
    """`run("float")` or, where the program counts with its integers, `run("static")`; and which of them it was.

    A gradient that is NaN is an answer, not a sign of counting: its error is not tried again.
    """
    if has_integers:
        try:
            return run("float"), "float"
        except NanGradientError:
            raise
        except COUNTING_FAILED:
            pass
    return run("static"), "static"


def differentiate_numbers(call: Differentiated, run: Callable[[tuple, tuple], tuple]) -> tuple[Any, Any]:
    """The value and the gradients that `run(moving, fixed)` gives: of the numbers that are differentiated, and all else."""
    chosen = [arg for i, arg in enumerate(call.args) if i in call.nums]
    spec = tuple(is_inexact if i in call.nums else False for i in range(len(call.args)))

    def attempt(ints: str) -> tuple:
        # Only the chosen arguments' integers: another one may be a count, and must not make floats of those that are numbers
        # fail.
        args = call.args
        if ints == "float":
            floats = lambda arg: jax.tree.map(lambda x: float(x) if is_integer(x) else x, arg)  # noqa: E731
            args = tuple(floats(arg) if i in call.nums else arg for i, arg in enumerate(args))
        moving, fixed = eqx.partition(args, spec)
        return run(jax.tree.map(jnp.asarray, moving), fixed)

    (value, slopes), _ = integers_as_floats(attempt, any(map(is_integer, jax.tree.leaves(chosen))))
    gradients = {i: _without_empty(jax.tree.map(_slope_like, call.args[i], slopes[i])) for i in call.nums}
    return call.plain_value(value), call.arrange(gradients)


def place_gradients(call: Differentiated, gradients: Sequence[Any], ints: str) -> Any:
    """The gradients, one for each number that is differentiated, in the places of these numbers; None elsewhere."""
    # In the order of the arguments, not of `argnums`: that is how the program's inputs are flattened.
    following = iter(gradients)

    def slope(x: Any) -> Any:
        if is_integer(x) and ints == "float":
            return float(next(following))
        return _plain_like(next(following), x) if is_inexact(x) else None

    return call.arrange({i: _without_empty(jax.tree.map(slope, call.args[i])) for i in sorted(call.nums)})


def _without_empty(tree: Any) -> Any:
    """None for a container without any gradient."""
    return tree if jax.tree.leaves(tree) else None


def _slope_like(x: Any, slope: Any) -> Any:
    return None if slope is None else _plain_like(slope, x)


def _plain_like(x: jax.Array, like: Any) -> Any:
    """A gradient of the type of its argument: a Python float, a NumPy array or scalar, a JAX array."""
    if isinstance(like, jax.Array) or is_traced(x):
        return x
    array = np.asarray(x)
    if isinstance(like, np.ndarray):
        return array
    return array.dtype.type(array) if isinstance(like, np.generic) else array.item()
