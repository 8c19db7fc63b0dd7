"""The arguments of the programs that are compared, as the leaves that are differentiated and everything else."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from .._errors import SpanaxError


@dataclass(frozen=True)
class Arguments:
    """`(args, kwargs)`, flattened.

    `leaves` are the floating-point leaves of `argnums`, with their `names`; `arrays` the other JAX arrays. Both are given to
    compiled programs; what is left (numbers, NumPy arrays, functions) is constant in them.
    """

    names: tuple[str, ...]
    leaves: tuple[Array, ...]
    arrays: tuple[Array, ...]
    argnums: int | tuple[int, ...]
    _flat: tuple[Any, ...]
    _tree: Any
    _chosen: tuple[int, ...]
    _others: tuple[int, ...]

    @classmethod
    def of(cls, f: Callable, args: tuple, kwargs: dict, argnums: int | Sequence[int], where: str) -> Arguments:
        nums = _positions(argnums, len(args), where)
        flat, tree = jax.tree_util.tree_flatten_with_path((args, kwargs))
        flat_leaves = tuple(leaf for _, leaf in flat)
        chosen = tuple(k for k, (path, leaf) in enumerate(flat) if _is_in(path, nums) and _is_float(path, leaf))
        if not any(np.size(flat_leaves[k]) for k in chosen):
            raise SpanaxError(
                f"argnums={argnums!r} has no floating-point leaf to differentiate", where, "floats, or arrays of floats"
            )
        others = tuple(k for k, leaf in enumerate(flat_leaves) if k not in chosen and isinstance(leaf, jax.Array))
        given = _names_of_arguments(f, len(args))
        return cls(
            tuple(given[flat[k][0][1].idx] + jax.tree_util.keystr(flat[k][0][2:]) for k in chosen),
            tuple(jnp.asarray(flat_leaves[k]) for k in chosen),
            tuple(flat_leaves[k] for k in others),
            nums[0] if not isinstance(argnums, Sequence) else nums,
            flat_leaves,
            tree,
            chosen,
            others,
        )

    def rebuilt(self, leaves: Sequence[Any], arrays: Sequence[Any]) -> tuple[tuple, dict]:
        """(args, kwargs) with other leaves and arrays in their places."""
        flat = list(self._flat)
        for places, values in ((self._chosen, leaves), (self._others, arrays)):
            for k, value in zip(places, values, strict=True):
                flat[k] = value
        return jax.tree.unflatten(self._tree, flat)

    # -- gradients as one vector

    @property
    def size(self) -> int:
        return sum(leaf.size for leaf in self.leaves)

    @property
    def parts(self) -> list[slice]:
        """Where each leaf lies in the vector."""
        ends = np.cumsum([leaf.size for leaf in self.leaves]).tolist()
        return [slice(end - leaf.size, end) for end, leaf in zip(ends, self.leaves, strict=True)]

    @property
    def eps(self) -> Float[np.ndarray, " size"]:
        """The relative rounding error of each element."""
        return np.repeat([float(jnp.finfo(x.dtype).eps) for x in self.leaves], [x.size for x in self.leaves])

    def coordinate(self, j: int) -> str:
        """The name of one element, such as "params['w'][3, 0]"."""
        for name, leaf, part in zip(self.names, self.leaves, self.parts, strict=True):
            if part.start <= j < part.stop:
                index = np.unravel_index(j - part.start, leaf.shape)
                return name + (f"[{', '.join(map(str, map(int, index)))}]" if leaf.ndim else "")
        raise IndexError(j)

    def names_at(self, elements: Int[np.ndarray, " n"]) -> str:
        """The names of the leaves that hold these elements."""
        hit = [name for name, part in zip(self.names, self.parts, strict=True) if np.any(_within(elements, part))]
        return ", ".join(hit)

    def as_tree(self, vector: Float[np.ndarray, " size"]) -> PyTree:
        """The structure of `args[argnums]`, with None where nothing is differentiated."""
        flat: list[Any] = [None] * len(self._flat)
        for k, leaf, part in zip(self._chosen, self.leaves, self.parts, strict=True):
            flat[k] = jnp.asarray(vector[part].reshape(leaf.shape), leaf.dtype)
        args, _ = jax.tree.unflatten(self._tree, flat)
        return args[self.argnums] if isinstance(self.argnums, int) else tuple(args[n] for n in self.argnums)

    def as_vector(self, tree: PyTree, where: str) -> Float[np.ndarray, " size"]:
        """The inverse of `as_tree`; leaves that are not floating-point are not looked at."""
        vector = np.zeros(self.size)
        wanted, found = (_shapes(x) for x in (self.as_tree(vector), tree))
        if found != wanted:
            raise SpanaxError(
                f"truth= has floating-point leaves of shapes {_said(found)}, and the gradient {_said(wanted)}",
                where,
                "a gradient as jax.grad(f, argnums) returns it",
                'truth="auto"',
            )
        given = [leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree) if _is_float(path, leaf)]
        return np.concatenate([np.asarray(g, np.float64).ravel() for g in given])


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    """Of the floating-point leaves, by their paths."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): np.shape(leaf) for path, leaf in leaves if _is_float(path, leaf)}


def _said(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{path} {shape}".strip() for path, shape in shapes.items()) or "none"


def _within(elements: np.ndarray, part: slice) -> np.ndarray:
    return (elements >= part.start) & (elements < part.stop)


def _positions(argnums: Any, count: int, where: str) -> tuple[int, ...]:
    try:
        nums = tuple(map(operator.index, argnums)) if isinstance(argnums, Sequence) else (operator.index(argnums),)
    except TypeError:
        nums = ()
    nums = tuple(n + count if n < 0 else n for n in nums)
    if not nums or len(set(nums)) < len(nums) or any(not 0 <= n < count for n in nums):
        raise SpanaxError(f"argnums={argnums!r}, and there are {count} positional arguments", where, "argnums=0")
    return nums


def _is_in(path: tuple, nums: tuple[int, ...]) -> bool:
    return path[0].idx == 0 and path[1].idx in nums


def _is_float(path: tuple, leaf: Any) -> bool:
    """An array of floats; a Python float too, unless it is an attribute of a module, which is a setting there."""
    dtype = getattr(leaf, "dtype", None)
    if dtype is not None:
        return jnp.issubdtype(dtype, jnp.floating)
    return isinstance(leaf, float) and not any(isinstance(step, jax.tree_util.GetAttrKey) for step in path)


def _names_of_arguments(f: Callable, count: int) -> list[str]:
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    plain = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [plain[i] if i < len(plain) else f"args[{i}]" for i in range(count)]
