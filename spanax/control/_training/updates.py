"""The compiled part of training: many updates in one call, ended by a gradient that cannot be used.

A loop in one program, since a call for each update would cost more than a small update itself. It runs in pieces, so that
progress is shown, checkpoints are written and Ctrl-C is answered between them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key

from ..._optimizer import apply_update
from .method import Carry, Method, Seen, Task

# The most updates of one call: the log has as many rows, whatever their number.
ROWS = 256


class Progress(NamedTuple):
    """All that training continues from, and nothing else."""

    arrays: Any  # of the policy
    memory: Any  # the optimizer's
    carry: Carry
    done: Int[Array, ""]  # updates


class Log(NamedTuple):
    """One row for each update."""

    seen: Seen
    norms: Float[Array, " rows"]
    objectives: Float[Array, " rows"]
    metrics: dict[str, Float[Array, " rows"]]  # the method's own


class Training(eqx.Module):
    """What does not change: pieces of it are arguments of the compiled program, others are compiled in."""

    task: Task
    method: Method
    optimizer: Any = eqx.field(static=True)
    static: Any  # the policy without its trained arrays
    key: Key[Array, ""]
    largest: Float[Array, ""]  # a gradient of a greater norm ends the training

    def prepared(self, progress: Progress) -> tuple[Carry, Seen]:
        """The carry that the next gradient is taken at."""
        # A stream of its own, which no update's number leads to: what a method prepares changes no other draw.
        key = jax.random.fold_in(jax.random.fold_in(self.key, 2**31 - 1), progress.done)
        policy = eqx.combine(lax.stop_gradient(progress.arrays), self.static)
        return self.method.prepare(self.task, policy, progress.carry, key)

    def gradient(self, progress: Progress) -> tuple[Float[Array, ""], Carry, Seen, Any]:
        """The objective and its derivative with respect to the policy's arrays, for the next update."""
        # By the update's number, and not split from a key that is carried: a resumed training has the same draws.
        key = jax.random.fold_in(self.key, progress.done)
        prepared, before = self.prepared(progress)

        def objective(arrays):
            policy = eqx.combine(arrays, self.static)
            return self.method.objective(self.task, policy, prepared, key)

        (value, (carry, seen)), gradient = jax.value_and_grad(objective, has_aux=True)(progress.arrays)
        return value, carry, jax.tree.map(jnp.add, before, seen), gradient

    def update(self, progress: Progress) -> tuple[Progress, Log, Bool[Array, ""]]:
        """One update; not made where its gradient cannot be used."""
        value, carry, seen, gradient = self.gradient(progress)
        norm = global_norm(gradient)
        # A NaN compares false.
        usable = jnp.isfinite(value) & (norm <= self.largest)
        arrays, memory = apply_update(self.optimizer, gradient, progress.memory, progress.arrays)
        after = Progress(arrays, memory, carry, progress.done + 1)
        # The update that cannot be used is not made: what was learned before it stays.
        chosen = jax.tree.map(lambda new, old: jnp.where(usable, new, old), after, progress)
        return chosen, Log(seen, norm, value, self.method.metrics(carry)), usable

    def updates(
        self, progress: Progress, count: Int[Array, ""]
    ) -> tuple[Progress, Log, Int[Array, ""], Bool[Array, ""]]:
        """`count` updates, at most ROWS; the log's first rows, how many they are, and whether the last one was usable."""

        def is_unfinished(carry):
            _, _, made, usable = carry
            return usable & (made < count)

        def one(carry):
            progress, log, made, _ = carry
            progress, row, usable = self.update(progress)
            log = jax.tree.map(lambda rows, x: lax.dynamic_update_index_in_dim(rows, x, made, 0), log, row)
            return progress, log, made + 1, usable

        # Room for all rows; the host takes the first ones.
        row = jax.eval_shape(lambda p: self.update(p)[1], progress)
        log = jax.tree.map(lambda x: jnp.zeros((ROWS, *x.shape), x.dtype), row)
        return lax.while_loop(is_unfinished, one, (progress, log, jnp.zeros((), jnp.int32), jnp.ones((), bool)))


def global_norm(tree: Any) -> Float[Array, ""]:
    """The Euclidean norm of all leaves together; NaN where one element is."""
    return jnp.sqrt(
        sum((jnp.sum(jnp.square(jnp.asarray(x, float))) for x in jax.tree.leaves(tree)), jnp.zeros((), float))
    )
