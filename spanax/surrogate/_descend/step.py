"""One step of a descent, compiled: the gradient, the optimizer's update, the projection onto the bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ..._errors import SpanaxError
from ..._functions import check_scalar, takes_key
from ..._jaxprs import defined, is_traced
from ..._math.directions import widest
from ..._optimizer import apply_update
from ..._pytree import PyTree
from ...bridges import Box


class Stepped(NamedTuple):
    """`gradient`: of all numbers of x in one vector, 0 where a bound holds x against it."""

    x: PyTree[Array]
    memory: Any  # the optimizer's
    value: Float[Array, ""]
    gradient: Float[Array, " size"]


class Step:
    """`step(x, memory, key)`, of one objective, optimizer and box. `program`: what it was traced to."""

    def __init__(self, objective: Callable[..., Any], optimizer: Any, box: Box | None, x: PyTree[Array], key: Any):
        import optax

        self.objective, self.box = objective, box
        self.optimizer = optax.with_extra_args_support(optimizer)
        self.takes_key = takes_key(objective, (x,), {})
        self.memory = self.optimizer.init(x)
        # Traced once, looked through for black boxes, and compiled.
        traced = jax.jit(self._step).trace(x, self.memory, key)
        self.program = traced.jaxpr
        self.run = traced.lower().compile()

    def _step(self, x: PyTree[Array], memory: Any, key: Key[Array, ""]) -> Stepped:
        def value_at(x):
            out = self.objective(x, key=key) if self.takes_key else self.objective(x)
            check_scalar("descend: the objective", out, defined(self.objective), "jnp.sum or jnp.mean of it")
            return jnp.asarray(out)

        value, gradient = jax.value_and_grad(value_at)(x)
        # A line search evaluates the same function: one key for a step, and points projected as x is.
        searched = value_at if (box := self.box) is None else lambda x: value_at(clip(box, x))
        if self.box is not None:
            gradient = jax.tree.unflatten(jax.tree.structure(x), self._free(x, jax.tree.leaves(gradient)))
        more = {"value": value, "grad": gradient, "value_fn": searched}
        moved, memory = apply_update(self.optimizer, gradient, memory, x, **more)
        leaves, dtype = jax.tree.leaves(gradient), widest(jax.tree.leaves(x))
        if self.box is not None:
            moved = clip(self.box, moved)
        return Stepped(moved, memory, value, jnp.concatenate([leaf.astype(dtype).ravel() for leaf in leaves]))

    def _free(self, x: PyTree[Array], slopes: list[Array]) -> list[Array]:
        """The gradient where x may follow it: at a bound a slope that points outwards says nothing of the optimum."""
        assert self.box is not None
        down, up = self.box.rooms(x)
        return [
            jnp.where(((low == 0) & (slope > 0)) | ((high == 0) & (slope < 0)), 0, slope)
            for slope, low, high in zip(slopes, down, up, strict=True)
        ]


def clip(box: Box, x: PyTree[Array]) -> PyTree[Array]:
    """The nearest point in the box."""
    return jax.tree.map(lambda rows: rows[0], box.clip(jax.tree.map(lambda leaf: leaf[None], x)))


def start(x0: Any) -> PyTree[Array]:
    """x0 as arrays of floats; raises `SpanaxError` for what cannot be followed along a gradient."""
    leaves = jax.tree_util.tree_leaves_with_path(x0)
    # It is a loop of the host, with files and Ctrl-C: it cannot be a step of a compiled program.
    if any(is_traced(leaf) for _, leaf in leaves):
        raise SpanaxError(
            "descend inside jit, vmap or grad: its x0 is traced, and it runs on the host", "descend outside of them"
        )
    if not sum(jnp.size(leaf) for _, leaf in leaves):
        raise SpanaxError("descend(x0=...) holds no numbers", "an array, or a pytree of arrays, of floats")
    for path, leaf in leaves:
        name, array = f"x0{jax.tree_util.keystr(path)}", jnp.asarray(leaf)
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise SpanaxError(f"descend: {name} is {array.dtype}, and has no gradient", f"{name} as floats")
        if not jnp.all(jnp.isfinite(array)):
            raise SpanaxError(f"descend: {name} holds a NaN or an infinity", "finite numbers")
    # Never of a weak type: the first step would change it, and be compiled again.
    return jax.tree.map(lambda leaf: jnp.array(leaf, jnp.asarray(leaf).dtype), x0)
