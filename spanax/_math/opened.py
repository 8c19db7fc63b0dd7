"""Distributions as pytrees whose arrays are all leaves, those in their static fields as well.

A numpyro distribution keeps some arrays, such as the `total_count` of a Multinomial, among the static fields of its pytree, where
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
    """What only concrete arrays tell becomes static before they are operands: sizes, and the ends of a finite support."""
    known = {name: _one_integer(getattr(node, name, None)) for name in ("total_count", "low", "high")}
    if known := {name: value for name, value in known.items() if value is not None}:
        node = _changed(node, **known)
    if hasattr(node, "total_count_max") and node.total_count_max is None and not is_traced(node.total_count):
        node = _changed(node, total_count_max=int(np.max(node.total_count, initial=0)))
    if getattr(node, "is_sparse", False) and hasattr(node, "adj_matrix"):
        node = _changed(node, is_sparse=False, adj_matrix=jax.numpy.asarray(node.adj_matrix.toarray()))
    return node


def _one_integer(x: Any) -> int | None:
    """The integer that all entries of a concrete array are; None where there is no such thing."""
    if not isinstance(x, np.ndarray | np.generic | jax.Array) or is_traced(x) or not x.size or x.dtype.kind not in "iu":
        return None
    least, most = int(np.min(x)), int(np.max(x))
    return least if least == most else None


def _changed(node: Any, **fields: Any) -> Any:
    new = object.__new__(type(node))
    new.__dict__.update(vars(node), **fields)
    return new


def check_static(leaf: Any, where: str) -> None:
    """Raises where a function in a static field has captured a traced array: its derivative would be lost."""
    if callable(leaf) and any(map(is_traced, _captured(leaf))):
        raise SpanaxError(
            f"the function {getattr(leaf, '__name__', leaf)!r} in a field of the distribution has captured a traced array, "
            "with respect to which there would be no derivative",
            "jax.tree_util.Partial(function, array), with the array as an argument of the function",
            "an equinox.Module with a __call__, whose fields are the arrays",
            where=where,
        )


def _captured(function: Any, deep: int = 4) -> list[Any]:
    """The leaves of all that a function holds: its closure, its bound object, its partial arguments, its defaults."""
    if deep == 0:
        return []
    held: list[Any] = []
    if isinstance(function, functools.partial):
        held += [function.func, *function.args, *function.keywords.values()]
    elif isinstance(function, types.MethodType):
        held += [function.__func__, *getattr(function.__self__, "__dict__", {}).values()]
    elif isinstance(function, types.FunctionType):
        held += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        for cell in function.__closure__ or ():
            with_content = cell.cell_contents if _is_filled(cell) else None
            held.append(with_content)
    elif hasattr(function, "__dict__"):
        held += list(vars(function).values())
    leaves = jax.tree.leaves(held)
    return [leaf for x in leaves for leaf in (_captured(x, deep - 1) if callable(x) and not is_traced(x) else [x])]


def _is_filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True
