"""f as a traced program of the leaves that are differentiated."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._errors import SpanaxError
from .._jaxprs import ClosedJaxpr, here
from .rules import random_like


class Traced(NamedTuple):
    """f as a function of the floating-point leaves of `argnums`, and of whatever else is given by shape only."""

    closed: ClosedJaxpr
    names: tuple[str, ...]
    leaves: tuple[Any, ...]  # arrays, or shapes
    others: tuple[jax.ShapeDtypeStruct, ...]
    function: Callable[..., Any]  # f without the expectation around it
    rebuild: Callable[..., tuple[tuple, dict]]  # (leaves, others) -> args, kwargs
    place: tuple[str, int]  # file and line of f

    def concrete(self) -> list[jax.Array]:
        """The leaves, where all arguments are arrays."""
        if self.others or any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in self.leaves):
            raise SpanaxError("arguments that are given by shape only cannot be moved", here(), "arrays")
        return [jnp.asarray(leaf) for leaf in self.leaves]

    def near(self, seed: int, scale: float) -> tuple[list[jax.Array], list[jax.Array]]:
        """The leaves and the others: at random, `scale` times their own size away; random where only the shape was given."""
        random = np.random.default_rng(seed)

        def one(leaf):
            if isinstance(leaf, jax.ShapeDtypeStruct):
                return random_like(leaf, random)
            x = jnp.asarray(leaf)
            return x + random_like(x, random) * (scale * jnp.maximum(1.0, jnp.max(jnp.abs(x), initial=0.0))).astype(
                x.dtype
            )

        return [one(leaf) for leaf in self.leaves], [random_like(s, random) for s in self.others]


def traced(f: Callable, args: tuple, kwargs: dict, argnums: int | Sequence[int]) -> Traced:
    f = getattr(f, "expectation_of", f)
    nums = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    nums = tuple(n + len(args) if n < 0 else n for n in nums)
    if any(not 0 <= n < len(args) for n in nums):
        raise SpanaxError(f"argnums={argnums!r}, and there are {len(args)} positional arguments", here(), "argnums=0")
    flat, tree = jax.tree_util.tree_flatten_with_path((args, kwargs))
    chosen = [k for k, (path, leaf) in enumerate(flat) if _is_chosen(path, nums) and _is_float(leaf)]
    if not chosen:
        raise SpanaxError(
            f"argnums={argnums!r} has no floating-point leaf to differentiate",
            here(),
            "argnums of an argument with floating-point arrays",
        )
    shapes = [k for k, (_, leaf) in enumerate(flat) if isinstance(leaf, jax.ShapeDtypeStruct) and k not in chosen]

    def rebuild(leaves, others):
        values = [leaf for _, leaf in flat]
        for k, x in zip([*chosen, *shapes], [*leaves, *others], strict=True):
            values[k] = x
        return jax.tree.unflatten(tree, values)

    def run(leaves, others):
        args, kwargs = rebuild(leaves, others)
        return [x for x in jax.tree.leaves(f(*args, **kwargs)) if eqx.is_array_like(x)]

    leaves, others = tuple(flat[k][1] for k in chosen), tuple(flat[k][1] for k in shapes)
    names = _parameter_names(f, len(args))
    labels = tuple(_label(flat[k][0], names) for k in chosen)
    closed = jax.make_jaxpr(run)(leaves, others)
    code = getattr(inspect.unwrap(f), "__code__", None)
    return Traced(
        closed, labels, leaves, others, f, rebuild, (code.co_filename, code.co_firstlineno) if code else ("", 0)
    )


def _is_chosen(path: tuple, nums: tuple[int, ...]) -> bool:
    return path[0].idx == 0 and path[1].idx in nums


def _is_float(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return isinstance(leaf, float) if dtype is None else jnp.issubdtype(dtype, jnp.floating)


def _parameter_names(f: Callable, n: int) -> list[str]:
    names = [p.name for p in _parameters(f).values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [names[k] if k < len(names) else f"args[{k}]" for k in range(n)]


def _label(path: tuple, names: list[str]) -> str:
    return names[path[1].idx] + jax.tree_util.keystr(path[2:])


def with_key(f: Callable, key: jax.Array, args: tuple, kwargs: dict) -> dict:
    """The keyword arguments of f, with a key of its own where it takes one."""
    try:
        given = inspect.signature(f).bind_partial(*args, **kwargs).arguments
    except (TypeError, ValueError):
        return kwargs
    return {**kwargs, "key": jax.random.fold_in(key, 1)} if "key" in _parameters(f) and "key" not in given else kwargs


def _parameters(f: Callable) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(f).parameters
    except (TypeError, ValueError):  # it has none to read
        return {}
