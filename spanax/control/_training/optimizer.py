"""One step of an optimizer of optax."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax


def stepped(optimizer: Any, gradient: Any, memory: Any, parameters: Any) -> tuple[Any, Any]:
    """Parameters and memory after it. optax mixes its counters with floats, whatever the caller has made strict."""
    with jax.numpy_dtype_promotion("standard"):
        change, memory = optimizer.update(gradient, memory, parameters)
    return eqx.apply_updates(parameters, change), memory
