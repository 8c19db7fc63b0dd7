"""What a bridge may do while it is traced, whatever its kind."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ...bridges import Bridge
from ..report import NotApplicable, require


def checks(bridge: Bridge, use: Callable[[Any], Any], what: str = "") -> dict[str, Callable[[], None]]:
    """`use(bridge)` differentiates a program that holds the bridge; where it takes none of them, it raises `NotApplicable`."""
    return {
        f"traced settings{what}": lambda: _settings(bridge, use),
        f"tracers stay inside{what}": lambda: _leaks(bridge, use),
    }


def _settings(bridge: Bridge, use: Callable[[Any], Any]) -> None:
    """Fields that are leaves may be arguments of jit: a temperature that falls, a learned baseline."""
    # Without leaves there is nothing that could be traced.
    if not jax.tree.leaves(bridge):
        raise NotApplicable("no field of it is a leaf")
    try:
        # Traced, not run: what fails under jit fails while it is traced.
        eqx.filter_eval_shape(use, jax.tree.map(jnp.asarray, bridge))
    except NotApplicable:
        raise
    except Exception as error:
        require(
            False,
            f"with its fields as arguments of jit it raises {type(error).__name__} ({_first(error)}): use jax.numpy on them, "
            "or make what steers Python a static field, eqx.field(static=True)",
        )


def _leaks(bridge: Bridge, use: Callable[[Any], Any]) -> None:
    try:
        # A tracer that outlives its trace fails much later, in another program, with no word of this bridge.
        with _small_heap(), jax.checking_leaks():
            jax.eval_shape(lambda: use(bridge))
    except NotApplicable:
        raise
    except Exception as error:
        # Other errors have checks of their own, with better words.
        leaked = "leak" in str(error).lower()
        require(not leaked, "it keeps a traced array after its call, in a global, a list or a cache: return it instead")


@contextlib.contextmanager
def _small_heap() -> Iterator[None]:
    """JAX looks through all objects for those that hold a leaked one, which takes minutes in a large process."""
    # Somebody else may have frozen the heap: then it stays so.
    alone = gc.get_freeze_count() == 0
    gc.freeze()
    try:
        yield
    finally:
        if alone:
            gc.unfreeze()


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
