"""The box in which a surrogate lives: x as one vector of numbers, each scaled to [-1, 1] between its bounds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..._errors import SpanaxError
from ..._foreign_arrays import refuse_foreign
from ..._jaxprs import is_traced
from ..._math.directions import widest
from ..._pytree import PyTree

_HOW = "bounds=(lower, upper): two pytrees of x's structure, of finite numbers or arrays, each lower one below its upper one"
# Spacings of floats between two bounds, at the least: between fewer there are no differences to learn.
_RESOLUTION = 2**16


@dataclasses.dataclass(frozen=True, eq=False)
class Space:
    """x between its bounds.

    `tree`: of x; `shapes`, `dtypes`: of its leaves; `names`: of its numbers; `lower`, `upper`: (d,), of all its numbers.
    """

    tree: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    names: tuple[str, ...]
    lower: Float[np.ndarray, " d"]
    upper: Float[np.ndarray, " d"]

    @classmethod
    def of(cls, bounds: Any) -> Space:
        """Raises `SpanaxError` for what does not enclose a box."""
        if not isinstance(bounds, tuple | list) or len(bounds) != 2:
            raise SpanaxError(f"fit_surrogate(bounds={bounds!r})", _HOW)
        refuse_foreign(bounds)
        (lower, tree), (upper, other) = (jax.tree.flatten(_as_arrays(bound)) for bound in bounds)
        if tree != other or not lower:
            raise SpanaxError(f"fit_surrogate(bounds=...): {tree} below and {other} above", _HOW)
        lows, highs, dtypes = zip(*map(_leaf, lower, upper), strict=True)
        shapes = tuple(low.shape for low in lows)
        flat = (np.concatenate([array.ravel() for array in side]) for side in (lows, highs))
        return cls(tree, shapes, dtypes, number_names("x", tree, shapes), *flat)._checked()

    def _checked(self) -> Space:
        if not self.size:
            raise SpanaxError("fit_surrogate(bounds=...): x holds no numbers", _HOW)
        spacing = self._spacing() * _RESOLUTION
        # A width of 0 would be a number that is never varied, whose derivative would be a silent zero.
        narrow = ~(self.upper - self.lower > spacing)
        if np.any(narrow):
            k = int(np.argmax(narrow))
            problem = f"fit_surrogate(bounds=...): {self.names[k]} between {self.lower[k]:.9g} and {self.upper[k]:.9g}"
            raise SpanaxError(problem, _HOW, "what is fixed left out of x", "wider bounds, or jax.enable_x64")
        return self

    def _spacing(self) -> Float[np.ndarray, " d"]:
        eps = [np.full(math.prod(s), float(jnp.finfo(t).eps)) for s, t in zip(self.shapes, self.dtypes, strict=True)]
        return np.concatenate(eps) * np.maximum(abs(self.lower), abs(self.upper))

    @property
    def size(self) -> int:
        return len(self.lower)

    @property
    def widths(self) -> Float[np.ndarray, " d"]:
        return self.upper - self.lower

    @property
    def resolution(self) -> float:
        """The coarsest spacing of floats in the box, in units of [-1, 1]."""
        return float(np.max(2 * self._spacing() / self.widths))

    def rows(self, U: Float[np.ndarray, "n d"]) -> tuple[PyTree[np.ndarray], Float[np.ndarray, "n d"]]:
        """Points of [-1, 1]^d as rows of x, inside the bounds in double precision too, and where they lie after rounding."""
        flat = self.lower + (U + 1) / 2 * self.widths
        leaves, start = [], 0
        for shape, dtype in zip(self.shapes, self.dtypes, strict=True):
            part = slice(start, start + math.prod(shape))
            leaves.append(_inside(flat[:, part], self.lower[part], self.upper[part], dtype).reshape(-1, *shape))
            start = part.stop
        exact = np.concatenate([leaf.reshape(len(U), -1).astype(np.float64) for leaf in leaves], axis=1)
        return jax.tree.unflatten(self.tree, leaves), self.units(exact)

    def units(self, flat: Float[np.ndarray, "... d"]) -> Float[np.ndarray, "... d"]:
        """Numbers of x in [-1, 1]."""
        return 2 * (flat - self.lower) / self.widths - 1

    def numbers(self, u: Float[np.ndarray, "... d"]) -> Float[np.ndarray, "... d"]:
        """The numbers of x that `units` gives as u."""
        return self.lower + (u + 1) / 2 * self.widths

    def flatten(self, x: PyTree[Any]) -> Float[Array, " d"]:
        """One x as a vector of its widest float. Raises `SpanaxError` for another structure or other shapes."""
        refuse_foreign(x)
        leaves, tree = jax.tree.flatten(x)
        shapes = tuple(np.shape(leaf) for leaf in leaves)
        if tree != self.tree or shapes != self.shapes:
            raise SpanaxError(
                f"x of the structure {tree} and the shapes {list(shapes)}",
                f"as in the bounds: {self.tree}, {list(self.shapes)}",
            )
        arrays = [jnp.asarray(leaf) for leaf in leaves]
        if any(jnp.iscomplexobj(array) for array in arrays):
            raise SpanaxError("x holds complex numbers", "their real and imaginary parts, as two numbers")
        return _joined(arrays)

    def scaled(self, flat: Float[Array, " d"]) -> Float[Array, " d"]:
        """`units`, traced."""
        lower, widths = (jnp.asarray(v, flat.dtype) for v in (self.lower, self.widths))
        return 2 * (flat - lower) / widths - 1

    def text(self, u: Float[np.ndarray, " d"], digits: int = 6) -> str:
        """The numbers of x by name; of many, the first."""
        numbers = [f"{n}={v:.{digits}g}" for n, v in zip(self.names, self.numbers(u), strict=True)]
        return ", ".join(numbers[:6]) + (", ..." if len(numbers) > 6 else "")


def _joined(arrays: Sequence[Array]) -> Float[Array, " d"]:
    """In the widest float among them."""
    # Counts given as integers have no derivative, but a value.
    floats = [a if jnp.issubdtype(a.dtype, jnp.floating) else a.astype(float) for a in arrays]
    return jnp.concatenate([a.astype(widest(floats)).ravel() for a in floats])


def number_names(root: str, tree: Any, shapes: Sequence[tuple[int, ...]]) -> tuple[str, ...]:
    """What each number of a pytree is called: "x['angle']", "x[0]"."""
    paths = jax.tree_util.tree_leaves_with_path(jax.tree.unflatten(tree, range(len(shapes))))
    names = []
    for (path, _), shape in zip(paths, shapes, strict=True):
        indices = [f"[{','.join(map(str, index))}]" if index else "" for index in np.ndindex(*shape)]
        names += [root + jax.tree_util.keystr(path) + index for index in indices]
    return tuple(names)


def _as_arrays(bound: Any) -> Any:
    """A list of numbers is one array, as in `sx.blackbox`, and not a pytree of numbers."""
    return jax.tree.map(lambda x: np.asarray(x, np.float64) if _is_list(x) else x, bound, is_leaf=_is_list)


def _is_list(x: Any) -> bool:
    items = x if isinstance(x, list | tuple) and not hasattr(x, "_fields") else ()
    return len(items) > 0 and all(isinstance(item, int | float | np.generic) or _is_list(item) for item in items)


def _leaf(low: Any, high: Any) -> tuple[np.ndarray, np.ndarray, str]:
    arrays = _numbers(low, high)
    # Numbers of Python, and integers, are floats of the precision that JAX has now.
    given = [a.dtype for a in arrays if a.ndim and jnp.issubdtype(a.dtype, jnp.floating)]
    dtype = jax.dtypes.canonicalize_dtype(max(given, key=lambda d: d.itemsize) if given else float)
    try:
        shape = np.broadcast_shapes(*(a.shape for a in arrays))
    except ValueError:
        problem = f"fit_surrogate(bounds=...): the shapes {arrays[0].shape} and {arrays[1].shape}"
        raise SpanaxError(problem, _HOW) from None
    below, above = (np.broadcast_to(a, shape).astype(np.float64) for a in arrays)
    if not np.all(np.isfinite(below) & np.isfinite(above)):
        raise SpanaxError(f"fit_surrogate(bounds=...): {low!r} and {high!r} are not finite", _HOW)
    return below, above, np.dtype(dtype).name


def _numbers(low: Any, high: Any) -> list[np.ndarray]:
    if is_traced(low) or is_traced(high):
        raise SpanaxError("fit_surrogate(bounds=...) are traced", "bounds that are numbers or NumPy arrays")
    arrays = [np.asarray(low), np.asarray(high)]
    if any(a.dtype.kind in "bcOSUmM" for a in arrays):
        raise SpanaxError(f"fit_surrogate(bounds=...): {low!r} and {high!r}", _HOW)
    return arrays


def _inside(flat: np.ndarray, lower: np.ndarray, upper: np.ndarray, dtype: str) -> np.ndarray:
    """Rounded to the dtype of x, and one float further in where that is beyond a bound."""
    rounded = flat.astype(dtype)
    up, down = np.asarray(np.inf, dtype), np.asarray(-np.inf, dtype)
    rounded = np.where(rounded.astype(np.float64) < lower, np.nextafter(lower.astype(dtype), up), rounded)
    return np.where(rounded.astype(np.float64) > upper, np.nextafter(upper.astype(dtype), down), rounded).astype(dtype)
