"""What the probing bridges share: a step for each leaf of x, numbers in rows, values weighted by a cotangent.

x is a pytree of arrays; a derivative is computed on one vector of all its numbers (`concatenate_rows`), and given back in x's
structure (`like`).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Key

from ..._checks import as_called
from ..._errors import SpanaxError
from ..._foreign_arrays import refuse_foreign
from ..._jaxprs import is_traced
from ..._pytree import PyTree


def check_positive(name: str, values: PyTree[Any], *, scalar: bool = False) -> None:
    """Raises `SpanaxError` if a leaf is known not to be positive and finite, is not a float, or (`scalar`) is an array."""
    refuse_foreign(values)
    for value in jax.tree.leaves(values):
        if not _may_be_positive(value) or (scalar and np.shape(value) != ()):
            raise SpanaxError(
                as_called(name, value),
                "a positive number, in the units of x",
                "a pytree of x's structure, with one for each leaf",
            )


def _may_be_positive(value: Any) -> bool:
    """Is it positive and finite, as far as that is known now?"""
    # A traced step is checked where it is used: there it makes the points NaN (`usable`).
    if is_traced(value):
        return jnp.issubdtype(value.dtype, jnp.floating)
    array = np.asarray(value)
    is_number = np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)
    return bool(is_number and np.all((array > 0) & (array < np.inf)))


def check_key(name: str, key: Key[Array, ""] | None) -> Key[Array, ""]:
    if key is None:
        raise SpanaxError(f"the derivative by {name} draws random directions", "f(x, key=key)")
    return key


def of_leaves(name: str, given: PyTree[Any], x: PyTree[Array], *, scalar: bool = False) -> list[Array]:
    """One positive step for each leaf of x, in its dtype: a number, or (unless `scalar`) an array of the leaf's shape."""
    leaves, tree = jax.tree.flatten(x)
    steps, form = jax.tree.flatten(given)
    what = name.rpartition("(")[2]
    if jax.tree_util.treedef_is_leaf(form):
        steps = steps * len(leaves)
    elif form != tree:
        raise SpanaxError(f"{what} has the structure {form}, and x has {tree}", f"one {what}", "one for each leaf of x")
    check_positive(name, steps, scalar=scalar)
    # An empty leaf has no points, so that any step will do, also one of another shape.
    steps = [
        step if leaf.size else jnp.ones(() if scalar else leaf.shape) for step, leaf in zip(steps, leaves, strict=True)
    ]
    for step, leaf in zip(steps, leaves, strict=True):
        if np.shape(step) not in ((), leaf.shape):
            raise SpanaxError(
                f"{what} has the shape {np.shape(step)}, and x {leaf.shape}", f"one {what} for each leaf of x"
            )
    return [jnp.asarray(step).astype(leaf.dtype) for step, leaf in zip(steps, leaves, strict=True)]


def usable(name: str, step: Array, x: Array, resolution: int) -> Array:
    """The step; NaN if it is not positive or is below `resolution` spacings of floats at x. Raises if that is known."""
    # A NaN makes the derivative NaN, which nobody takes for right; points that are rounded onto x would make it 0.
    fine = jnp.all(step >= resolution * jnp.finfo(x.dtype).eps * jnp.abs(x)) & jnp.all(step > 0)
    if not is_traced(fine) and not fine:
        raise SpanaxError(
            f"{name}={step} is too small for x in {x.dtype}: at most {jnp.max(jnp.abs(x))} in size, its points would be rounded",
            f"a larger {name}",
            "x in float64 (jax.enable_x64)",
            "x measured from another origin",
        )
    return jnp.where(fine, step, jnp.nan)


def concatenate_rows(arrays: list[Array], dtype: jnp.dtype) -> Float[Array, "rows size"]:
    """Each array flattened except for its first axis, side by side."""
    return jnp.concatenate([a.astype(dtype).reshape(len(a), -1) for a in arrays], axis=1)


def split(rows: Float[Array, "rows size"], leaves: list[Array]) -> list[Array]:
    """The columns of each leaf, in its shape."""
    ends = np.cumsum([jnp.size(leaf) for leaf in leaves])[:-1]
    pieces = jnp.split(rows, ends, axis=1)
    return [piece.reshape(len(rows), *leaf.shape) for piece, leaf in zip(pieces, leaves, strict=True)]


def like(x: PyTree[Array], numbers: Float[Array, " size"]) -> PyTree[Array]:
    """The numbers in x's structure, shapes and dtypes."""
    leaves, tree = jax.tree.flatten(x)
    pieces = zip(split(numbers[None], leaves), leaves, strict=True)
    return jax.tree.unflatten(tree, [piece[0].astype(leaf.dtype) for piece, leaf in pieces])


def both_ways(leaf: Array, move: Array) -> Array:
    """The points leaf + move, then leaf - move, in rows."""
    return jnp.concatenate([leaf[None] + move, leaf[None] - move])


def keep_rows(kept: Bool[Array, " n"] | None, rows: Array, otherwise: Array | float) -> Array:
    """The kept rows, with `otherwise` in place of the others."""
    # Selected before any arithmetic: a dropped row may hold NaN, and 0 times NaN is NaN.
    if kept is None:
        return rows
    return jnp.where(kept.reshape((-1,) + (1,) * (rows.ndim - 1)), rows, jnp.asarray(otherwise, rows.dtype))


def differences(whole: Bool[Array, " pairs"] | None, values: Array) -> Array:
    """The first half of the rows less the second half; 0 for a pair that is not whole."""
    plus, minus = (keep_rows(whole, half, 0) for half in jnp.split(values, 2))
    return plus - minus


def contract(changes: PyTree[Array], ct: PyTree[Array] | float, dtype: jnp.dtype) -> Float[Array, " n"]:
    """<ct, change> of each row: `changes` has a leading axis that `ct` does not have. Linear in ct."""
    weights = ct if jax.tree.structure(ct) == jax.tree.structure(changes) else jax.tree.map(lambda _: ct, changes)
    total = jnp.zeros((), dtype)
    for change, weight in zip(jax.tree.leaves(changes), jax.tree.leaves(weights), strict=True):
        rows = change.astype(dtype).reshape(len(change), -1)
        vector = jnp.broadcast_to(jnp.asarray(weight).astype(dtype).ravel(), rows.shape[1:])
        # On a GPU products are rounded to 10 bits by default, which would drown a difference of two values.
        total = total + jnp.matmul(rows, vector, precision=lax.Precision.HIGHEST)
    return total
