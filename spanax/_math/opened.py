"""Distributions as pytrees whose arrays are all leaves, including those in their static fields.

A NumPyro distribution keeps some arrays, such as the `total_count` of a Multinomial, in the static fields of its pytree, where
JAX cannot follow them; so do some transforms.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from typing import Any

import jax
import numpy as np

from .._errors import SpanaxError
from .._jaxprs import is_traced


@jax.tree_util.register_pytree_node_class
@dataclasses.dataclass(frozen=True)
class Opened:
    """A distribution or a transform: its class, and both kinds of its pytree fields."""

    cls: type
    fields: tuple[Any, Any]  # data, static

    def tree_flatten(self):
        return self.fields, self.cls

    @classmethod
    def tree_unflatten(cls, aux, children):
        return cls(aux, tuple(children))


def opened(tree: Any) -> Any:
    """The same tree with each distribution and transform in it as an `Opened`."""
    import numpyro.distributions as dist

    kinds = (dist.Distribution, dist.transforms.Transform)

    def open_one(node: Any) -> Any:
        if not isinstance(node, kinds):
            return node
        data, static = _with_known_sizes(node).tree_flatten()
        return Opened(type(node), (opened(tuple(data)), opened(tuple(static))))

    return jax.tree.map(open_one, tree, is_leaf=lambda node: isinstance(node, kinds))


def closed(tree: Any) -> Any:
    """What `opened` made an `Opened` of, again as distributions and transforms."""

    def close_one(node: Any) -> Any:
        if not isinstance(node, Opened):
            return node
        data, static = (closed(part) for part in node.fields)
        return node.cls.tree_unflatten(static, data)

    return jax.tree.map(close_one, tree, is_leaf=lambda node: isinstance(node, Opened))


def _with_known_sizes(node: Any) -> Any:
    """Sizes and the ends of a finite support as integers, if the arrays that hold them are concrete."""
    # As operands of an equation they are traced, and a shape that depends on them would be lost.
    known = {name: _one_integer(getattr(node, name, None)) for name in ("total_count", "low", "high")}
    if known := {name: value for name, value in known.items() if value is not None}:
        node = _replace_fields(node, **known)
    if hasattr(node, "total_count_max") and node.total_count_max is None and not is_traced(node.total_count):
        node = _replace_fields(node, total_count_max=int(np.max(node.total_count, initial=0)))
    if getattr(node, "is_sparse", False) and hasattr(node, "adj_matrix"):
        node = _replace_fields(node, is_sparse=False, adj_matrix=jax.numpy.asarray(node.adj_matrix.toarray()))
    return node


def _one_integer(x: Any) -> int | None:
    """The integer that all entries of a concrete array are equal to; None if there is none."""
    if not isinstance(x, np.ndarray | np.generic | jax.Array) or is_traced(x) or not x.size or x.dtype.kind not in "iu":
        return None
    least, most = int(np.min(x)), int(np.max(x))
    return least if least == most else None


def _replace_fields(node: Any, **fields: Any) -> Any:
    # Without `__init__`, which would check arrays that may be traced.
    new = object.__new__(type(node))
    new.__dict__.update(vars(node), **fields)
    return new


def check_static(leaf: Any, where: str | None = None) -> None:
    """Raises `SpanaxError` if a function in a static field has captured a traced array: its derivative would be lost."""
    if callable(leaf) and any(map(is_traced, _leaves_inside(leaf))):
        raise SpanaxError(
            f"the function {getattr(leaf, '__name__', leaf)!r} in a field of the distribution has captured a traced array, "
            "with respect to which there would be no derivative",
            "jax.tree_util.Partial(function, array), with the array as an argument of the function",
            "an equinox.Module with a __call__, whose fields are the arrays",
            where=where,
        )


def _leaves_inside(function: Any, depth: int = 4) -> list[Any]:
    """The leaves of all that a function holds, and of the functions among it."""
    # Bounded, because functions may hold each other in a circle. A traced array is callable for some types: it is a leaf.
    if depth == 0:
        return []
    leaves = jax.tree.leaves(_held_by(function))
    return [y for x in leaves for y in (_leaves_inside(x, depth - 1) if callable(x) and not is_traced(x) else [x])]


def _held_by(function: Any) -> list[Any]:
    """What a function holds: its closure and its defaults, its partial arguments, its bound object's or its own attributes."""
    if isinstance(function, functools.partial):
        return [function.func, *function.args, *function.keywords.values()]
    if isinstance(function, types.MethodType):
        return [function.__func__, *getattr(function.__self__, "__dict__", {}).values()]
    if isinstance(function, types.FunctionType):
        defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        return [*defaults, *(cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell))]
    return list(getattr(function, "__dict__", {}).values())


def _is_filled(cell: types.CellType) -> bool:
    # The cell of a name that is assigned later is empty, and has no other way to say so.
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True
