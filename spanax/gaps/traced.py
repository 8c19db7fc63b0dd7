"""f as a traced program of the leaves that are differentiated."""

from __future__ import annotations

import inspect
import operator
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

    @property
    def size(self) -> int:
        """How many numbers the leaves and the others hold."""
        return sum(int(np.prod(np.shape(x))) for x in (*self.leaves, *self.others))

    def near(self, seed: int, scale: float, around: float) -> tuple[list, list]:
        """The leaves and the others, at random: `scale` times their own size away from `around` times what they are.

        Random where only the shape was given.
        """
        random = np.random.default_rng(seed)

        def one(leaf):
            if isinstance(leaf, jax.ShapeDtypeStruct):
                return random_like(leaf, random)
            x = np.asarray(leaf, np.float64)
            size = max(1.0, float(np.max(np.abs(x), initial=0.0)))
            return (around * x + random.normal(size=x.shape) * (scale * size)).astype(jnp.result_type(leaf))

        return [one(leaf) for leaf in self.leaves], [random_like(s, random) for s in self.others]


def traced(f: Callable, args: tuple, kwargs: dict, argnums: int | Sequence[int]) -> Traced:
    f = getattr(f, "expectation_of", f)
    nums = _positions(argnums)
    nums = tuple(n + len(args) if n < 0 else n for n in nums)
    if any(not 0 <= n < len(args) for n in nums):
        raise SpanaxError(f"argnums={argnums!r}, and there are {len(args)} positional arguments", here(), "argnums=0")
    flat, tree = jax.tree_util.tree_flatten_with_path((args, kwargs))
    chosen = [k for k, (path, leaf) in enumerate(flat) if _is_chosen(path, nums) and _is_float(path, leaf)]
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


def _positions(argnums: Any) -> tuple[int, ...]:
    try:
        return tuple(map(operator.index, argnums)) if isinstance(argnums, Sequence) else (operator.index(argnums),)
    except TypeError as error:
        raise SpanaxError(f"argnums={argnums!r}", here(), "a position, such as 0, or a tuple of them") from error


def _is_float(path: tuple, leaf: Any) -> bool:
    """An array of floats; a Python float too, unless it is an attribute of a module, which is a setting there."""
    dtype = getattr(leaf, "dtype", None)
    if dtype is not None:
        return jnp.issubdtype(dtype, jnp.floating)
    return isinstance(leaf, float) and not any(isinstance(step, jax.tree_util.GetAttrKey) for step in path)


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
