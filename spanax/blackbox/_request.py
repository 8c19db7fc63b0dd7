"""What one call of the host asks for: which function, and the form of the rows that go in and come out."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._pytree import PyTree
from ._bounds import Bounds
from .store.store import Layout
from .workers._supervisor import BadResult

# Kinds of evaluations: f, f at complex points, and the user's derivatives.
# The kinds are in the layouts of stores: they must not be renamed.
VALUE, COMPLEX, VJP, JVP = "value", "complex", "vjp", "jvp"


class Misfit(BadResult):
    """Of another structure, shape or dtype than was declared."""


@dataclasses.dataclass(frozen=True, eq=False)
class Request:
    """Static: the parameters of the equation that calls the host.

    All arrays have a leading axis, of one row for each evaluation. `group` rows belong together: the value (the first of them, if
    `with_value`) and the points of one derivative; a batch holds a whole number of groups, one for each vmap index.

    - `fn(*args)`, `args` of the structures `trees`: what is evaluated; `kind` names it in the store;
    - `names`: of the arguments; `out`: structure, shapes and dtypes of one result, in `tree` and `outs`;
    - `usable(kept)`: is an estimate left with these points of a group only?
    - `may_fail`: points that fail are NaN, and only a value that fails raises;
    - `lever`: what a user would enlarge for values that differ more; where there is one, they must differ;
    - `misses`: the chance, at most, that f changes and no point of a group shows it;
    - `references`: how many arrays with f(x), a row for each group, come after all others;
    - `random`: the points were drawn, so that those that fail must be like the others;
    - `seeded`: the function takes a seed;
    - `bounds`: of each leaf of x, outside of which nothing is evaluated;
    - `where`: the user's line.
    """

    fn: Callable[..., Any]
    kind: str
    names: tuple[str, ...]
    trees: tuple[Any, ...]
    tree: Any
    outs: tuple[jax.ShapeDtypeStruct, ...]
    where: str
    group: int = 1
    with_value: bool = True
    usable: Callable[[np.ndarray], Any] = np.all
    may_fail: bool = False
    lever: str = ""
    misses: float = 0.0
    references: int = 0
    random: bool = False
    seeded: bool = False
    bounds: tuple[Bounds, ...] | None = None

    @functools.cached_property
    def is_one_number(self) -> bool:
        """Is a result one floating-point number, at real points?"""
        return len(self.outs) == 1 and self.outs[0].shape == () and is_real(self.outs[0].dtype)

    def arguments(self, leaves: Sequence[np.ndarray]) -> tuple[PyTree[np.ndarray], ...]:
        """The arguments that these leaves make up."""
        rest = iter(leaves)
        return tuple(jax.tree.unflatten(tree, [next(rest) for _ in range(tree.num_leaves)]) for tree in self.trees)

    def places(self) -> list[str]:
        """What the leaves of all arguments are called."""
        # Numbers stand for the leaves, since a structure of None would lose them.
        placeholders = self.arguments(range(sum(tree.num_leaves for tree in self.trees)))  # pyright: ignore[reportArgumentType]
        return [
            label + jax.tree_util.keystr(path)
            for label, tree in zip(self.names, placeholders, strict=True)
            for path, _ in jax.tree_util.tree_leaves_with_path(tree)
        ]

    def layout(self, name: str, leaves: Sequence[np.ndarray]) -> Layout:
        """How a row looks in the store."""
        inputs = self.places()
        numbered = jax.tree.unflatten(self.tree, range(len(self.outs)))
        outputs = ["y" + jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(numbered)]
        return Layout(
            name,
            self.kind,
            tuple((path, _name(leaf.dtype), leaf.shape[1:]) for path, leaf in zip(inputs, leaves, strict=True)),
            tuple((path, _name(out.dtype), out.shape) for path, out in zip(outputs, self.outs, strict=True)),
        )

    def accept(self, raw: Any, rows: int | None) -> list[np.ndarray]:
        """What the function returned, as arrays in the dtypes of `outs`; raises `BadResult` for what does not fit.

        `rows`: how many results it holds along a leading axis; None for one result, without that axis.
        """
        # The common case, one array, without a flattening: `accept` runs once for each evaluation.
        leaves, tree = ([raw], self.tree) if type(raw) is np.ndarray and _is_leaf(self.tree) else jax.tree.flatten(raw)
        if tree != self.tree:
            raise Misfit(
                f"returned the structure {tree} instead of {self.tree}",
                "returned another structure",
                "sx.blackbox(fn, out): `out` in the structure that fn returns",
            )
        lead = () if rows is None else (rows,)
        return [self._as_declared(leaf, out, lead) for leaf, out in zip(leaves, self.outs, strict=True)]

    def _as_declared(self, leaf: Any, out: jax.ShapeDtypeStruct, lead: tuple[int, ...]) -> np.ndarray:
        array = as_numpy(leaf)
        if array.shape != (*lead, *out.shape):
            raise Misfit(
                f"returned the shape {array.shape} instead of {(*lead, *out.shape)}",
                "returned another shape",
                *self._shape_remedy(array, rows=lead),
            )
        # A function that takes the real part of what it is given has the derivative 0 by a complex step.
        if self.kind == COMPLEX and np.dtype(out.dtype).kind == "c" != array.dtype.kind:
            raise Misfit("returned real numbers at a complex point: a complex step would find the derivative 0")
        return array if array.dtype == out.dtype else _cast_same_kind(array, out.dtype)

    def _shape_remedy(self, array: np.ndarray, rows: tuple[int, ...]) -> list[str]:
        """Where the user would have declared what came."""
        if rows and array.shape[:1] != rows:
            return [f"batched=True asks for one row for each of the {rows[0]} points: {rows} first in the shape"]
        return [f"sx.blackbox(fn, out): jax.ShapeDtypeStruct({array.shape[len(rows) :]}, float), if that is what it is"]


def as_numpy(leaf: Any) -> np.ndarray:
    if isinstance(leaf, jax.Array):
        raise Misfit(
            "returned a jax.Array: JAX inside a function that JAX calls can deadlock",
            "returned a jax.Array",
            "compute in NumPy",
            "a function of JAX needs no sx.blackbox",
        )
    # NumPy would hand out what lies under the mask.
    if isinstance(leaf, np.ma.MaskedArray) and np.ma.is_masked(leaf):
        raise BadResult("returned masked values")
    # What may come: a PyTorch tensor that has a derivative, rows of different lengths.
    try:
        return np.asarray(leaf)
    except Exception as error:
        problem = f"returned what is not a NumPy array: {type(error).__name__}: {error}"
        remedy = "np.asarray(...) of it, or tensor.detach().numpy()"
        raise Misfit(problem, "returned no array of NumPy", remedy) from None


def _cast_same_kind(array: np.ndarray, dtype: Any) -> np.ndarray:
    if not np.can_cast(array.dtype, dtype, "same_kind"):
        raise Misfit(
            f"returned {array.dtype} where {np.dtype(dtype)} was declared",
            "returned another dtype",
            "numbers of that dtype, or of a narrower one of its kind",
        )
    return _cast(array, dtype)


def _cast(array: np.ndarray, dtype: Any) -> np.ndarray:
    """Raises `BadResult` where a number does not fit, for NumPy would wrap it around or make it infinite."""
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    # An infinity that the function returned itself is its own; integers must survive the cast exactly.
    fits = np.isfinite(cast) | ~np.isfinite(array) if is_inexact(cast.dtype) else cast == array
    if not np.all(fits):
        problem = f"returned {array[~fits].ravel()[0]!r}, which does not fit into {np.dtype(dtype)}"
        raise BadResult(problem, "returned what does not fit into its dtype")
    return cast


def _is_leaf(tree: Any) -> bool:
    return jax.tree_util.treedef_is_leaf(tree)


@functools.cache
def is_inexact(dtype: np.dtype) -> bool:
    """Can it hold a NaN? NumPy itself does not know that bfloat16 and its like are floats."""
    return bool(jnp.issubdtype(dtype, jnp.inexact))


@functools.cache
def is_real(dtype: np.dtype) -> bool:
    return bool(jnp.issubdtype(dtype, jnp.floating))


def has_nan(array: np.ndarray) -> bool:
    """The least of all numbers is NaN where one of them is."""
    if not is_inexact(array.dtype) or not array.size:
        return False
    # One reduction without a temporary array. bfloat16 and its like would warn of a NaN in it.
    if array.dtype.kind not in "fc":
        return bool(np.isnan(array).any())
    # NaN propagates through a minimum.
    least = np.minimum.reduce(array, axis=None)
    return bool(least != least)


def takes_seed(fn: Callable) -> bool:
    """Has it a parameter `seed`? `**kwargs` does not count: such a function may pass them on to one that has no seed."""
    try:
        return "seed" in inspect.signature(fn).parameters
    except (TypeError, ValueError):
        # A built-in function without a signature.
        return False


def _name(dtype: Any) -> str:
    dtype = np.dtype(dtype)
    return dtype.name if dtype.kind == "V" else dtype.str


def nan_rows(arrays: Sequence[np.ndarray]) -> np.ndarray | None:
    """Which rows hold a NaN in any of the arrays; None where none does."""
    # The cheap look first: almost always no array has one.
    bad = [np.isnan(array).reshape(len(array), -1).any(axis=1) for array in arrays if has_nan(array)]
    return np.any(bad, axis=0) if bad else None  # pyright: ignore[reportReturnType]
