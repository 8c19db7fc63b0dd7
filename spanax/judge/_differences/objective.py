"""The function whose gradient is checked, as a function of the leaves that are differentiated and a key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..._functions import Differentiated, at_many_points, check_scalar, takes_key
from .._measure.upstream import that_may_jump

AT_ONCE = 256  # keys in one compiled call, for few arguments
NUMBERS = 4_000_000  # of all their gradients


class Objective(eqx.Module):
    """`f(*args, key=key, **kwargs)`: the floating-point leaves of some arguments are `leaves`, all else stays."""

    f: Callable[..., Any]
    leaves: list[Array]
    others: list[Any]  # None where a leaf of `leaves` is
    tree: Any = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    is_random: bool = eqx.field(static=True)

    @classmethod
    def of(cls, f: Callable, args: tuple, kwargs: dict, argnums: int | Sequence[int], where: str) -> Objective:
        at = Differentiated.of(f, args, kwargs, argnums, where)
        # A leaf without numbers has no direction to move along.
        filled = [i for i, x in enumerate(at.leaves) if np.size(x)]
        chosen = [at.chosen[i] for i in filled]
        leaves = [jnp.asarray(at.leaves[i]) for i in filled]
        others = [None if k in chosen else leaf for k, leaf in enumerate(at.flat)]
        return cls(f, leaves, others, at.tree, tuple(at.names[i] for i in filled), takes_key(f, args, kwargs))

    def value(self, leaves: Sequence[Array], key: Key[Array, ""]) -> Float[Array, ""]:
        # The places of the leaves hold None, so that one pass over the others fills them in.
        given = iter(leaves)
        args, kwargs = jax.tree.unflatten(self.tree, [next(given) if x is None else x for x in self.others])
        return self.f(*args, **kwargs, key=key) if self.is_random else self.f(*args, **kwargs)

    def that_may_jump(self, key: Key[Array, ""]) -> Sequence[int]:
        """The leaves in which f may be discontinuous, by the structure of its program."""
        return that_may_jump(jax.make_jaxpr(self.value)(self.leaves, key), len(self.leaves))

    def gradient(self, key: Key[Array, ""]) -> list[Array]:
        return jax.grad(self.value)(self.leaves, key)

    def check(self, key: Key[Array, ""], where: str) -> None:
        """Raises unless f returns a floating-point scalar; what f itself raises passes."""
        check_scalar("check_gradient(f): f", eqx.filter_eval_shape(self.value, self.leaves, key), where)

    @property
    def at_once(self) -> int:
        return max(1, min(AT_ONCE, NUMBERS // sum(x.size for x in self.leaves)))

    def mean_gradient(self, keys: Key[Array, " n"]) -> list[np.ndarray]:
        """In double precision."""
        # Summed in float64, part by part: single precision would lose the mean of many draws.
        totals = [[x.sum(0, np.float64) for x in part] for part in for_all(_gradients, self.at_once, keys, self)]
        return [np.sum(leaf, axis=0) / len(keys) for leaf in zip(*totals, strict=True)]


def _gradients(key: Key[Array, ""], program: Objective) -> list[Array]:
    return program.gradient(key)


def for_all(one: Callable[..., Any], at_once: int, keys: Key[Array, " n"], *given: Any) -> list[Any]:
    """`one(key, *given)` of all keys, compiled once for parts of them; NumPy arrays with a leading axis for the keys of a part.

    One key after the other where it cannot be vmapped.
    """
    parts = -(-len(keys) // at_once)
    size = -(-len(keys) // parts)
    # The last part is filled up with its last key, so that one compiled program serves all parts.
    order = np.minimum(np.arange(parts * size), len(keys) - 1).reshape(parts, size)
    results = [_part(one, keys[rows], given) for rows in order]
    last = len(keys) - (parts - 1) * size
    return [
        jax.tree.map(lambda x, keep=last if k == parts - 1 else size: np.asarray(x)[:keep], result)
        for k, result in enumerate(results)
    ]


@eqx.filter_jit
def _part(one: Callable[..., Any], keys: Key[Array, " n"], given: tuple) -> Any:
    return at_many_points(lambda key: one(key, *given), keys)
