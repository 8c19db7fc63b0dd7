"""What the probing bridges share: a step for each leaf of x, numbers in rows, values weighted by a cotangent."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Key

from ..._errors import SpanaxError
from ..._foreign_arrays import refuse_foreign
from ..._jaxprs import is_traced
from ..._pytree import PyTree


def check_positive(name: str, values: PyTree[Any], *, scalar: bool = False) -> None:
    """Raises where a leaf is known not to be positive and finite, is no float, or is no single number though it must be."""
    refuse_foreign(values)
    for value in jax.tree.leaves(values):
        if is_traced(value):
            good = jnp.issubdtype(value.dtype, jnp.floating)
        else:
            array = np.asarray(value)
            number = array.dtype != bool and (
                np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)
            )
            good = number and bool(np.all((array > 0) & (array < np.inf)))
        if not good or (scalar and np.shape(value) != ()):
            raise SpanaxError(
                f"{name}={value!r}",
                "a positive number, in the units of x",
                "a pytree of x's structure, with one for each leaf",
            )


def check_count(name: str, value: Any, default: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SpanaxError(f"{name}={value!r}", f"{default}: a Python integer, 1 or more")


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
    steps = [step if leaf.size else jnp.ones(leaf.shape) for step, leaf in zip(steps, leaves, strict=True)]
    for step, leaf in zip(steps, leaves, strict=True):
        if np.shape(step) not in ((), leaf.shape):
            raise SpanaxError(
                f"{what} has the shape {np.shape(step)}, and x {leaf.shape}", f"one {what} for each leaf of x"
            )
    return [jnp.asarray(step).astype(leaf.dtype) for step, leaf in zip(steps, leaves, strict=True)]


def usable(name: str, step: Array, x: Array, resolution: int) -> Array:
    """The step, or NaN where it is not positive or is below `resolution` spacings of floats at x; raises where that is known."""
    fine = jnp.all(step >= resolution * jnp.finfo(x.dtype).eps * jnp.abs(x)) & jnp.all(step > 0)
    if not is_traced(fine) and not fine:
        raise SpanaxError(
            f"{name}={step} is too small for x in {x.dtype}: at most {jnp.max(jnp.abs(x))} in size, its points would be rounded",
            f"a larger {name}",
            "x in float64 (jax.enable_x64)",
            "x measured from another origin",
        )
    return jnp.where(fine, step, jnp.nan)


def joined(arrays: list[Array], dtype: jnp.dtype) -> Float[Array, "rows size"]:
    """Each array flattened but for its first axis, one beside the other."""
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


def chosen(kept: Bool[Array, " n"] | None, rows: Array, otherwise: Array | float) -> Array:
    """The kept rows; `otherwise` in place of the others, so that what they hold reaches no arithmetic."""
    if kept is None:
        return rows
    return jnp.where(kept.reshape((-1,) + (1,) * (rows.ndim - 1)), rows, jnp.asarray(otherwise, rows.dtype))


def differences(whole: Bool[Array, " pairs"] | None, values: Array) -> Array:
    """The first half of the rows less the second half; 0 for a pair that is not whole."""
    plus, minus = (chosen(whole, half, 0) for half in jnp.split(values, 2))
    return plus - minus


def contracted(changes: PyTree[Array], ct: PyTree[Array] | float, dtype: jnp.dtype) -> Float[Array, " n"]:
    """<ct, change> of each row: `changes` has a leading axis that `ct` has not. Linear in ct."""
    weights = ct if jax.tree.structure(ct) == jax.tree.structure(changes) else jax.tree.map(lambda _: ct, changes)
    total = jnp.zeros((), dtype)
    for change, weight in zip(jax.tree.leaves(changes), jax.tree.leaves(weights), strict=True):
        rows = change.astype(dtype).reshape(len(change), -1)
        vector = jnp.broadcast_to(jnp.asarray(weight).astype(dtype).ravel(), rows.shape[1:])
        total = total + jnp.matmul(rows, vector, precision=lax.Precision.HIGHEST)
    return total
