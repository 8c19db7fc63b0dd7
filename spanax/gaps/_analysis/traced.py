"""f as a traced program of the leaves that are differentiated."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._errors import SpanaxError
from ..._functions import Differentiated, needs_key
from ..._jaxprs import ClosedJaxpr, here
from ..._places import is_library_file
from .rules import random_like


class Traced(NamedTuple):
    """f as a function of the floating-point leaves of `argnums`, and of whatever else is given by shape only."""

    closed: ClosedJaxpr
    names: tuple[str, ...]
    leaves: tuple[Any, ...]  # arrays, or shapes
    others: tuple[jax.ShapeDtypeStruct, ...]
    function: Callable[..., Any]  # f without the expectation around it
    rebuild: Callable[..., tuple[tuple, dict]]  # (leaves, others) -> args, kwargs
    place: tuple[str, int]  # file and line of f

    @property
    def is_concrete(self) -> bool:
        """Are all arguments arrays?"""
        return not self.others and not any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in self.leaves)

    def concrete(self) -> list[jax.Array]:
        """The leaves, where all arguments are arrays."""
        if not self.is_concrete:
            raise SpanaxError("arguments that are given by shape only cannot be moved", "arrays")
        return [jnp.asarray(leaf) for leaf in self.leaves]

    @property
    def size(self) -> int:
        """How many numbers the leaves and the others hold."""
        return sum(int(np.prod(np.shape(x))) for x in (*self.leaves, *self.others))

    def near(self, seed: int, scale: float, around: float) -> tuple[list, list]:
        """The leaves and the others, at random: `scale` times their own size away from `around` times what they are.

        Random where only the shape was given.
        """
        random = np.random.default_rng(seed)

        def one(leaf):
            if isinstance(leaf, jax.ShapeDtypeStruct):
                return (random_like(leaf, random) * max(1.0, scale)).astype(leaf.dtype)
            x = np.asarray(leaf, np.float64)
            size = float(np.max(np.abs(x), initial=0.0))
            # Zeros have no size of their own: nearby they move by `scale`, farther away by at least 1.
            size = size or 1.0 if scale < 1 and around else max(1.0, size)
            return (around * x + random.normal(size=x.shape) * (scale * size)).astype(jnp.result_type(leaf))

        return [one(leaf) for leaf in self.leaves], [random_like(s, random) for s in self.others]


def trace(f: Callable, args: tuple, kwargs: dict, argnums: int | Sequence[int]) -> Traced:
    f = getattr(f, "expectation_of", f)
    if needs_key(f, args, kwargs):  # where a gradient is cut does not depend on it
        kwargs = {**kwargs, "key": jax.random.key(0)}
    at = Differentiated.of(f, args, kwargs, argnums, here())
    # Leaves given by shape only are inputs of the traced program; all other values are constants in it.
    shapes = [k for k, x in enumerate(at.flat) if isinstance(x, jax.ShapeDtypeStruct) and k not in at.chosen]

    def rebuild(leaves, others):
        return at.rebuilt(leaves, dict(zip(shapes, others, strict=True)))

    def run(leaves, others):
        args, kwargs = rebuild(leaves, others)
        return [x for x in jax.tree.leaves(f(*args, **kwargs)) if eqx.is_array_like(x)]

    others = tuple(at.flat[k] for k in shapes)
    try:
        closed = jax.make_jaxpr(run)(at.leaves, others)
    except (TypeError, ValueError) as error:
        if not _asks_for_a_number(error):
            raise
        raise _not_of_jax(f, error) from error
    code = getattr(inspect.unwrap(f), "__code__", None)
    place = (code.co_filename, code.co_firstlineno) if code else ("", 0)
    return Traced(closed, at.names, at.leaves, others, f, rebuild, place)


def _asks_for_a_number(error: BaseException | None) -> bool:
    """Did plain Python or NumPy meet a value that is traced?"""
    kinds = jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError
    in_place = isinstance(error, TypeError) and "JAX arrays are immutable" in str(error)
    return error is not None and (isinstance(error, kinds) or in_place or _asks_for_a_number(error.__cause__))


def _not_of_jax(f: Callable, error: BaseException) -> SpanaxError:
    # The innermost line of the user's own is what to show: the traceback ends inside JAX or NumPy.
    frames = [(frame.f_code, number) for frame, number in traceback.walk_tb(error.__traceback__)]
    code, number = next(((c, n) for c, n in reversed(frames) if not is_library_file(c.co_filename)), frames[-1])
    name = getattr(f, "__name__", "f")
    return SpanaxError(
        "plain Python or NumPy meets a value that is traced: `if`, `while`, float(), np.sin, x[i] = y need its number",
        f"sx.find_gaps(sx.lift({name if name.isidentifier() else 'f'}), ...), for plain Python and NumPy",
        "jax.numpy instead of numpy, jnp.where or lax.cond instead of `if`, for a function of JAX",
        "a static argument, for a number that decides how the program runs: functools.partial",
        where=f"{code.co_filename}:{number} ({code.co_name})",
    )
