"""Until `sx.descend` is here: its call, and the part of its result that the gallery reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np


@dataclass(frozen=True)
class Descent:
    x: Any
    last: Any
    history: dict[str, Any]
    steps: int
    stopped: str


def descend(
    objective: Callable,
    x0: Any,
    *,
    optimizer: Any,
    steps: int,
    key: Any,
    bounds: tuple[Any, Any],
    callback: Callable,
    progress: bool = True,
) -> Descent:
    import jax.numpy as jnp
    import optax

    @jax.jit
    def update(x, state, key):
        slope = jax.grad(objective)(x, key=key)
        updates, state = optimizer.update(slope, state, x)
        moved = optax.apply_updates(x, updates)
        return jax.tree.map(jnp.clip, moved, *bounds), state

    x, state, xs, stopped = x0, optimizer.init(x0), [], "steps"
    try:
        for step in range(steps):
            x, state = jax.block_until_ready(update(x, state, jax.random.fold_in(key, step)))
            xs.append(jax.tree.map(np.asarray, x))
            callback(step)
    except KeyboardInterrupt:
        stopped = "interrupted"
    if not xs:
        raise KeyboardInterrupt
    history = {"x": jax.tree.map(lambda *leaves: np.stack(leaves), *xs)}
    return Descent(x, x, history, len(xs), stopped)
