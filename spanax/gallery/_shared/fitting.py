"""Training a network by Adam in one compiled loop, and judging it on the way."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key


class Fitted(NamedTuple):
    """A trained network.

    - `curve`: (steps, seconds of training until then, the figure on what was held out) for each of some points;
    - `compile_seconds`: to trace and compile it, which the seconds do not hold; near 0 if that had been done before.
    """

    network: Any
    curve: tuple[tuple[int, float, float], ...]
    compile_seconds: float


def fit(
    loss: Callable[[Any, Any, Key[Array, ""]], Float[Array, ""]],
    judge: Callable[[Any], float],
    network: Any,
    data: Any,
    *,
    steps: int,
    rate: float,
    key: Key[Array, ""],
    points: int = 20,
) -> Fitted:
    """Minimises `loss(network, data, key)`, which draws its own batch, by AdamW; `judge(network)` is the figure of
    the `points` of its curve.

    The rate falls to 0 along a cosine. What is compiled is kept for the next call with the same loss, shapes and steps.
    """
    state = (network, _optimizer(rate, steps).init(eqx.filter(network, eqx.is_inexact_array)), key)
    count, done, seconds, curve = max(1, steps // points), 0, 0.0, []
    # No step is taken, and everything compiled.
    compile_seconds, state = _advance(loss, state, data, 0, rate, steps)
    while done < steps:
        now = min(count, steps - done)
        took, state = _advance(loss, state, data, now, rate, steps)
        done, seconds = done + now, seconds + took
        # Judging is not in the seconds: whoever trains need not look twenty times.
        curve.append((done, seconds, judge(state[0])))
    return Fitted(state[0], tuple(curve), compile_seconds)


# One object for the same settings: a new one would be compiled anew.
@functools.lru_cache(maxsize=8)
def _optimizer(rate: float, steps: int):
    import optax

    return optax.adamw(optax.cosine_decay_schedule(rate, steps), weight_decay=1e-3)


def _advance(loss: Callable, state: Any, data: Any, count: int, rate: float, steps: int) -> tuple[float, Any]:
    start = time.perf_counter()
    state = _train(loss, _optimizer(rate, steps), state, data, jnp.asarray(count))
    jax.block_until_ready(eqx.filter(state, eqx.is_array))
    return time.perf_counter() - start, state


@eqx.filter_jit
def _train(loss: Callable, optimizer: Any, state: Any, data: Any, count: Int[Array, ""]) -> Any:
    """`count` steps. It is an array, not an int, so that chunks of every length share one compilation."""
    arrays, static = eqx.partition(state, eqx.is_array)

    def step(_, arrays):
        network, optimizer_state, key = eqx.combine(arrays, static)
        following, key = jax.random.split(key)
        gradient = eqx.filter_grad(loss)(network, data, key)
        updates, optimizer_state = optimizer.update(
            gradient, optimizer_state, eqx.filter(network, eqx.is_inexact_array)
        )
        return eqx.filter((eqx.apply_updates(network, updates), optimizer_state, following), eqx.is_array)

    return eqx.combine(lax.fori_loop(0, count, step, arrays), static)
