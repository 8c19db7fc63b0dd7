"""A pytree of floats as one vector of NumPy, with a name for each number, and the bounds on them."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._errors import SpanaxError
from ..._foreign_arrays import refuse_foreign
from ..._pytree import PyTree

_HOW = "bounds=(lower, upper): numbers, or pytrees of x0's structure with a number or an array for each leaf, None for no bound"


@dataclasses.dataclass(frozen=True, eq=False)
class Form:
    """The structure, shapes and dtypes of a pytree of floats. `names`: of the numbers in it, one each."""

    tree: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[np.dtype, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, who: str, x: PyTree[Any]) -> Form:
        """Raises `SpanaxError` for an x without numbers, or with others than floats. `who`: the argument, for the message."""
        refuse_foreign(x)
        flat, tree = jax.tree_util.tree_flatten_with_path(x)
        # In the precision that JAX has now, in which everything will be evaluated.
        try:
            leaves = [jax.eval_shape(lambda leaf=leaf: jnp.asarray(leaf)) for _, leaf in flat]
        except TypeError:
            raise SpanaxError(
                f"{who} must hold floats, and it is {x!r}", "floats, or a pytree of arrays of them"
            ) from None
        _check_floats(who, leaves)
        names = [name for (path, _), leaf in zip(flat, leaves, strict=True) for name in _names(path, leaf.shape)]
        return cls(tree, tuple(a.shape for a in leaves), tuple(np.dtype(a.dtype) for a in leaves), tuple(names))

    @property
    def size(self) -> int:
        return len(self.names)

    @property
    def resolution(self) -> float:
        """The spacing of floats at 1, of the coarsest of its dtypes."""
        return max(float(jnp.finfo(dtype).eps) for dtype in self.dtypes)

    def flatten(self, x: PyTree[Any]) -> np.ndarray:
        """As one vector of float64."""
        return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(x)])

    def unflatten(self, vector: np.ndarray, *, dtype: Any = None) -> PyTree[np.ndarray]:
        """In the structure, as NumPy arrays, in the dtypes of x or in `dtype`."""
        pieces = np.split(np.asarray(vector), np.cumsum([int(np.prod(shape)) for shape in self.shapes])[:-1])
        leaves = [
            piece.reshape(shape).astype(dtype or own)
            for piece, shape, own in zip(pieces, self.shapes, self.dtypes, strict=True)
        ]
        return jax.tree.unflatten(self.tree, leaves)

    def rounded(self, vector: np.ndarray) -> np.ndarray:
        """The nearest vector that x can hold."""
        return self.flatten(self.unflatten(vector))


def _check_floats(who: str, leaves: list[Any]) -> None:
    if not sum(leaf.size for leaf in leaves) or not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
        kinds = ", ".join(str(leaf.dtype) for leaf in leaves) or "nothing"
        problem = f"{who} must hold floats, and it holds {kinds}"
        raise SpanaxError(problem, "floats, or a pytree of arrays of them", "what is not fitted in a closure")


def _names(path: Any, shape: tuple[int, ...]) -> list[str]:
    name = jax.tree_util.keystr(path, simple=True, separator=".") or "x"
    return [name] if not shape else [f"{name}[{','.join(map(str, at))}]" for at in np.ndindex(*shape)]


def flat_bounds(bounds: Any, form: Form) -> tuple[np.ndarray, np.ndarray]:
    """(lower, upper) as vectors, infinite where there is no bound. Raises `SpanaxError` where they do not fit x."""
    if bounds is None:
        return np.full(form.size, -np.inf), np.full(form.size, np.inf)
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise SpanaxError(f"bounds={bounds!r}", _HOW)
    lower, upper = _one_side(bounds[0], form, -np.inf), _one_side(bounds[1], form, np.inf)
    if not np.all(lower < upper):
        problem = (
            f"bounds=...: the lower bound of {form.names[int(np.argmin(lower < upper))]} is not below its upper one"
        )
        raise SpanaxError(problem, _HOW, "a number that is fixed in a closure, and not in x0")
    return lower, upper


def _one_side(bound: Any, form: Form, missing: float) -> np.ndarray:
    # Where x is one array, [0, 0, 1] is its bound and not a pytree of three.
    if jax.tree_util.treedef_is_leaf(form.tree) and isinstance(bound, list | tuple):
        bound = np.asarray(bound, np.float64)
    numbers, tree = jax.tree.flatten(bound, is_leaf=lambda b: b is None)
    if jax.tree_util.treedef_is_leaf(tree):
        numbers = numbers * len(form.shapes)
    elif tree != form.tree:
        raise SpanaxError(f"bounds=... have the structure {tree}, and x0 has {form.tree}", _HOW)
    try:
        arrays = [
            np.broadcast_to(np.asarray(missing if number is None else number, np.float64), shape).ravel()
            for number, shape in zip(numbers, form.shapes, strict=True)
        ]
    except (TypeError, ValueError) as error:
        raise SpanaxError(f"bounds=... do not fit x0: {error}", _HOW) from None
    return np.concatenate(arrays)
