"""The arguments of the programs that are compared, as the leaves that are differentiated and everything else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..._errors import SpanaxError
from ..._functions import Differentiated, is_float
from ..._pytree import PyTree


@dataclass(frozen=True)
class Arguments:
    """`(args, kwargs)`, flattened.

    `leaves` are the floating-point leaves of `argnums`, with their `names`, and with those of the top-level keys that hold them,
    `tops`; `arrays` the other JAX arrays. Both are given to compiled programs; what is left (numbers, NumPy arrays, functions) is
    constant in them.
    """

    names: tuple[str, ...]
    tops: tuple[str, ...]
    leaves: tuple[Array, ...]
    arrays: tuple[Array, ...]
    argnums: int | tuple[int, ...]
    _of: Differentiated
    _others: tuple[int, ...]

    @classmethod
    def of(cls, f: Callable, args: tuple, kwargs: dict, argnums: int | Sequence[int], where: str) -> Arguments:
        of = Differentiated.of(f, args, kwargs, argnums, where)
        # JAX arrays are inputs of the compiled program, so that another batch does not compile it anew.
        others = tuple(k for k, x in enumerate(of.flat) if k not in of.chosen and isinstance(x, jax.Array))
        return cls(
            of.names,
            of.tops,
            tuple(jnp.asarray(leaf) for leaf in of.leaves),
            tuple(of.flat[k] for k in others),
            of.nums[0] if not isinstance(argnums, Sequence) else of.nums,
            of,
            others,
        )

    def rebuilt(self, leaves: Sequence[Any], arrays: Sequence[Any]) -> tuple[tuple, dict]:
        """(args, kwargs) with other leaves and arrays in their places."""
        return self._of.rebuilt(leaves, dict(zip(self._others, arrays, strict=True)))

    # -- gradients as one vector

    @property
    def size(self) -> int:
        return sum(leaf.size for leaf in self.leaves)

    @property
    def parts(self) -> list[slice]:
        """Where each leaf lies in the vector."""
        # One flat vector over all leaves: moments and tests need no pytrees then.
        ends = np.cumsum([leaf.size for leaf in self.leaves]).tolist()
        return [slice(end - leaf.size, end) for end, leaf in zip(ends, self.leaves, strict=True)]

    @property
    def eps(self) -> Float[np.ndarray, " size"]:
        """The relative rounding error of each element."""
        return np.repeat([float(jnp.finfo(x.dtype).eps) for x in self.leaves], [x.size for x in self.leaves])

    def elements(self, leaves: Sequence[int]) -> slice | Int[np.ndarray, " n"]:
        """Where some of the leaves lie in the vector."""
        # A slice is a view; indices would copy every matrix of gradients.
        if len(leaves) == len(self.leaves):
            return slice(None)
        parts = self.parts
        return np.concatenate([np.arange(parts[i].start, parts[i].stop) for i in leaves])

    def coordinate(self, j: int) -> str:
        """The name of one element, such as "params['w'][3, 0]"."""
        for name, leaf, part in zip(self.names, self.leaves, self.parts, strict=True):
            if part.start <= j < part.stop:
                # Names as a user would index: params['w'][3, 0].
                index = np.unravel_index(j - part.start, leaf.shape)
                return name + (f"[{', '.join(map(str, map(int, index)))}]" if leaf.ndim else "")
        raise IndexError(j)

    def names_at(self, elements: Int[np.ndarray, " n"]) -> str:
        """The names of the leaves that hold these elements."""
        hit = [name for name, part in zip(self.names, self.parts, strict=True) if np.any(_within(elements, part))]
        return ", ".join(hit)

    def holds(self, leaves: Sequence[int], elements: Int[np.ndarray, " n"]) -> bool:
        """Does any of these leaves hold any of these elements?"""
        return any(bool(np.any(_within(elements, self.parts[i]))) for i in leaves)

    def as_tree(self, vector: Float[np.ndarray, " size"]) -> PyTree:
        """The structure of `args[argnums]`, with None where nothing is differentiated."""
        parts = zip(self.leaves, self.parts, strict=True)
        return self.place_leaves([jnp.asarray(vector[part].reshape(leaf.shape), leaf.dtype) for leaf, part in parts])

    def place_leaves(self, values: Sequence[Any]) -> PyTree:
        """One value for each leaf, in the structure of `args[argnums]`, with None where nothing is differentiated."""
        flat: list[Any] = [None] * len(self._of.flat)
        for k, value in zip(self._of.chosen, values, strict=True):
            flat[k] = value
        args, _ = jax.tree.unflatten(self._of.tree, flat)
        return args[self.argnums] if isinstance(self.argnums, int) else tuple(args[n] for n in self.argnums)

    def as_vector(self, tree: PyTree, where: str) -> Float[np.ndarray, " size"]:
        """The inverse of `as_tree`; leaves that are not floating-point are not looked at."""
        # Compared by paths and shapes, not by tree structure: None may stand for what is not differentiated.
        vector = np.zeros(self.size)
        wanted, found = (_shapes(x) for x in (self.as_tree(vector), tree))
        if found != wanted:
            raise SpanaxError(
                f"truth= has floating-point leaves of shapes {_as_text(found)}, and the gradient {_as_text(wanted)}",
                "a gradient as jax.grad(f, argnums) returns it",
                'truth="auto"',
                where=where,
            )
        given = [leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree) if is_float(path, leaf)]
        return np.concatenate([np.asarray(g, np.float64).ravel() for g in given])


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    """Of the floating-point leaves, by their paths."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): np.shape(leaf) for path, leaf in leaves if is_float(path, leaf)}


def _as_text(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{path} {shape}".strip() for path, shape in shapes.items()) or "none"


def _within(elements: np.ndarray, part: slice) -> np.ndarray:
    return (elements >= part.start) & (elements < part.stop)
