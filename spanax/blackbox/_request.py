"""What one call of the host asks for: which function, in which form its rows come and go."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .store import Layout
from .supervisor import BadResult

# Kinds of evaluations: f, f at complex points, and the user's derivatives.
VALUE, COMPLEX, VJP, JVP = "value", "complex", "vjp", "jvp"


@dataclasses.dataclass(frozen=True, eq=False)
class Request:
    """Static: the parameters of the equation that calls the host.

    All arrays have a leading axis, of one row for each evaluation. `lane` rows belong together: the value (the first of them, if
    `with_value`) and the points of one derivative; a batch holds a whole number of lanes.

    - `fn(*args)`, `args` of the structures `trees`: what is evaluated; `kind` names it in the store;
    - `names`: of the arguments; `out`: structure, shapes and dtypes of one result, in `tree` and `outs`;
    - `usable(kept)`: is an estimate left with these points of a lane only?
    - `may_fail`: points that fail are NaN, and nothing is raised but for the value;
    - `lever`: what a user would enlarge for values that differ more; where there is one, they must differ;
    - `misses`: the chance, at most, that f changes and no point of a lane shows it;
    - `references`: how many arrays with f(x), a row for each lane, come after all others;
    - `random`: the points were drawn, so that those that fail must be like the others;
    - `seeded`: the function takes a seed;
    - `where`: the user's line.
    """

    fn: Callable[..., Any]
    kind: str
    names: tuple[str, ...]
    trees: tuple[Any, ...]
    tree: Any
    outs: tuple[jax.ShapeDtypeStruct, ...]
    where: str
    lane: int = 1
    with_value: bool = True
    usable: Callable[[np.ndarray], Any] = np.all
    may_fail: bool = False
    lever: str = ""
    misses: float = 0.0
    references: int = 0
    random: bool = False
    seeded: bool = False

    def arguments(self, leaves: Sequence[np.ndarray]) -> tuple[PyTree[np.ndarray], ...]:
        """The arguments that these leaves make up."""
        given = iter(leaves)
        return tuple(jax.tree.unflatten(tree, [next(given) for _ in range(tree.num_leaves)]) for tree in self.trees)

    def layout(self, name: str, leaves: Sequence[np.ndarray]) -> Layout:
        """How a row looks in the store."""
        placeholders = self.arguments(range(len(leaves)))  # pyright: ignore[reportArgumentType]
        inputs = [
            label + jax.tree_util.keystr(path)
            for label, tree in zip(self.names, placeholders, strict=True)
            for path, _ in jax.tree_util.tree_leaves_with_path(tree)
        ]
        numbered = jax.tree.unflatten(self.tree, range(len(self.outs)))
        outputs = ["y" + jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(numbered)]
        return Layout(
            name,
            self.kind,
            tuple((path, _name(leaf.dtype), leaf.shape[1:]) for path, leaf in zip(inputs, leaves, strict=True)),
            tuple((path, _name(out.dtype), out.shape) for path, out in zip(outputs, self.outs, strict=True)),
        )

    def accepted(self, raw: Any, rows: int | None) -> list[np.ndarray]:
        """What the function returned, as arrays in the dtypes of `outs`; raises `BadResult` for what does not fit.

        `rows`: how many results it holds along a leading axis; None for one result, without that axis.
        """
        leaves, tree = ([raw], self.tree) if type(raw) is np.ndarray and _is_leaf(self.tree) else jax.tree.flatten(raw)
        if tree != self.tree:
            raise BadResult(f"returned the structure {tree} instead of {self.tree}")
        lead = () if rows is None else (rows,)
        return [self._fitting(leaf, out, lead) for leaf, out in zip(leaves, self.outs, strict=True)]

    def _fitting(self, leaf: Any, out: jax.ShapeDtypeStruct, lead: tuple[int, ...]) -> np.ndarray:
        if isinstance(leaf, jax.Array):
            raise BadResult(
                "returned a jax.Array: JAX inside a function that JAX calls can wait for itself for ever; "
                "compute in NumPy, or call it without sx.blackbox"
            )
        if np.ma.is_masked(leaf):
            raise BadResult("returned masked values")
        array = np.asarray(leaf)
        if array.shape != (*lead, *out.shape):
            raise BadResult(f"returned the shape {array.shape} instead of {(*lead, *out.shape)}")
        if self.kind == COMPLEX and np.dtype(out.dtype).kind == "c" != array.dtype.kind:
            raise BadResult("returned real numbers at a complex point: a complex step would find the derivative 0")
        if array.dtype != out.dtype:
            if not np.can_cast(array.dtype, out.dtype, "same_kind"):
                raise BadResult(f"returned {array.dtype} where {np.dtype(out.dtype)} was declared")
            array = _cast(array, out.dtype)
        return array


def _cast(array: np.ndarray, dtype: Any) -> np.ndarray:
    """Raises `BadResult` where a number does not fit, for NumPy would wrap it around or make it infinite."""
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    fits = np.isfinite(cast) | ~np.isfinite(array) if is_inexact(cast.dtype) else cast == array
    if not np.all(fits):
        raise BadResult(f"returned {array[~fits].ravel()[0]!r}, which does not fit into {np.dtype(dtype)}")
    return cast


def _is_leaf(tree: Any) -> bool:
    return jax.tree_util.treedef_is_leaf(tree)


@functools.cache
def is_inexact(dtype: np.dtype) -> bool:
    """Can it hold a NaN? bfloat16 and its like are no floats to NumPy."""
    return bool(jnp.issubdtype(dtype, jnp.inexact))


@functools.cache
def is_real(dtype: np.dtype) -> bool:
    return bool(jnp.issubdtype(dtype, jnp.floating))


def has_nan(array: np.ndarray) -> bool:
    return is_inexact(array.dtype) and bool(np.isnan(array).any())


def takes_seed(fn: Callable) -> bool:
    try:
        return "seed" in inspect.signature(fn).parameters
    except (TypeError, ValueError):  # nothing to read
        return False


def _name(dtype: Any) -> str:
    dtype = np.dtype(dtype)
    return dtype.name if dtype.kind == "V" else dtype.str


def nan_rows(arrays: Sequence[np.ndarray]) -> np.ndarray | None:
    """Which rows hold a NaN in any of the arrays; None where none does."""
    bad = [np.isnan(array).reshape(len(array), -1).any(axis=1) for array in arrays if has_nan(array)]
    return np.any(bad, axis=0) if bad else None  # pyright: ignore[reportReturnType]
