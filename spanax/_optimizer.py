"""One step of an optimizer of optax."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax


def apply_update(optimizer: Any, gradient: Any, memory: Any, parameters: Any, **extra: Any) -> tuple[Any, Any]:
    """Parameters and the optimizer's memory after one step. `extra`: what line searches take besides."""
    # optax mixes its integer counters with floats, which strict promotion, if the caller has it on, refuses.
    with jax.numpy_dtype_promotion("standard"):
        change, memory = optimizer.update(gradient, memory, parameters, **extra)
    return eqx.apply_updates(parameters, change), memory
