"""The function whose gradient is checked, as a function of the leaves that are differentiated and a key."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._errors import SpanaxError

AT_ONCE = 256  # keys in one compiled call, for few arguments
NUMBERS = 4_000_000  # of all their gradients


class Program(eqx.Module):
    """`f(*args, key=key, **kwargs)`: the floating-point leaves of some arguments are `leaves`, all else stays."""

    f: Callable[..., Any]
    leaves: list[Array]
    others: list[Any]  # None where a leaf of `leaves` is
    tree: Any = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    is_random: bool = eqx.field(static=True)

    @classmethod
    def of(cls, f: Callable, args: tuple, kwargs: dict, argnums: tuple[int, ...], where: str) -> Program:
        flat, tree = jax.tree_util.tree_flatten_with_path((args, kwargs))
        chosen = [k for k, (path, leaf) in enumerate(flat) if _moves(path, leaf, argnums)]
        if not chosen:
            raise SpanaxError(
                f"argnums={argnums} has no floating-point number to differentiate",
                where,
                "argnums of an argument with floating-point arrays",
            )
        leaves = [jnp.asarray(flat[k][1]) for k in chosen]
        others = [None if k in chosen else leaf for k, (_, leaf) in enumerate(flat)]
        names = tuple(_name(f, flat[k][0]) for k in chosen)
        return cls(f, leaves, others, tree, names, _takes_key(f))

    def value(self, leaves: Sequence[Array], key: Key[Array, ""]) -> Float[Array, ""]:
        given = iter(leaves)
        args, kwargs = jax.tree.unflatten(self.tree, [next(given) if x is None else x for x in self.others])
        return self.f(*args, **kwargs, key=key) if self.is_random else self.f(*args, **kwargs)

    def gradient(self, key: Key[Array, ""]) -> list[Array]:
        return jax.grad(self.value)(self.leaves, key)

    def check(self, key: Key[Array, ""], where: str) -> None:
        """Raises unless f returns a floating-point scalar; what f itself raises passes."""
        out = eqx.filter_eval_shape(self.value, self.leaves, key)
        if getattr(out, "shape", None) != () or not jnp.issubdtype(out.dtype, jnp.floating):
            raise SpanaxError(
                f"check_gradient(f): f must return a floating-point scalar, and it returned {jax.tree.map(str, out)}",
                where,
                "jnp.mean or jnp.sum of it",
            )

    @property
    def at_once(self) -> int:
        return max(1, min(AT_ONCE, NUMBERS // sum(x.size for x in self.leaves)))

    def mean_gradient(self, keys: Key[Array, " n"]) -> list[np.ndarray]:
        """In double precision."""
        totals = [[x.sum(0, np.float64) for x in part] for part in for_all(_gradients, self.at_once, keys, self)]
        return [np.sum(leaf, axis=0) / len(keys) for leaf in zip(*totals, strict=True)]


def _gradients(key: Key[Array, ""], program: Program) -> list[Array]:
    return program.gradient(key)


def for_all(one: Callable[..., Any], at_once: int, keys: Key[Array, " n"], *given: Any) -> list[Any]:
    """`one(key, *given)` of all keys, compiled once for parts of them; NumPy arrays with a leading axis for the keys of a part.

    One key after the other where it cannot be vmapped.
    """
    parts = -(-len(keys) // at_once)
    size = -(-len(keys) // parts)
    order = np.minimum(np.arange(parts * size), len(keys) - 1).reshape(parts, size)
    results = [_part(one, keys[rows], given) for rows in order]
    last = len(keys) - (parts - 1) * size
    return [
        jax.tree.map(lambda x, keep=last if k == parts - 1 else size: np.asarray(x)[:keep], result)
        for k, result in enumerate(results)
    ]


def _part(one: Callable[..., Any], keys: Key[Array, " n"], given: tuple) -> Any:
    try:
        return _together(one, keys, given)
    except (NotImplementedError, ValueError):  # a callback that does not say how it is vmapped
        return _in_turn(one, keys, given)


@eqx.filter_jit
def _together(one, keys, given):
    return jax.vmap(lambda key: one(key, *given))(keys)


@eqx.filter_jit
def _in_turn(one, keys, given):
    return jax.lax.map(lambda key: one(key, *given), keys)


def _moves(path: tuple, leaf: Any, argnums: tuple[int, ...]) -> bool:
    """An array of floats; a Python float too, unless it is an attribute of a module, which is a setting there."""
    if not (path[0].idx == 0 and path[1].idx in argnums) or np.size(leaf) == 0:
        return False
    if isinstance(leaf, jax.Array | np.ndarray | np.generic):
        return jnp.issubdtype(leaf.dtype, jnp.floating)
    return isinstance(leaf, float) and not any(isinstance(step, jax.tree_util.GetAttrKey) for step in path)


def _name(f: Callable, path: tuple) -> str:
    names = [p.name for p in _parameters(f) if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    k = path[1].idx
    return (names[k] if k < len(names) else f"args[{k}]") + jax.tree_util.keystr(path[2:])


def _parameters(f: Callable) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):  # it has none to read
        return []


def _takes_key(f: Callable) -> bool:
    return any(p.name == "key" or p.kind is p.VAR_KEYWORD for p in _parameters(f))
