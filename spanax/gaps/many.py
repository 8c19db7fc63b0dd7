"""One function at many points."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def many(f: Callable[..., Any]) -> Callable[..., Any]:
    """f at many points at once; one after the other where it cannot be vmapped."""
    together, alone = jax.jit(jax.vmap(f)), jax.jit(f)
    can = [True]

    def run(*args):
        args = tuple(map(jnp.asarray, args))
        if can[0]:
            try:
                return together(*args)
            except (NotImplementedError, ValueError):  # a callback that does not say how it is vmapped
                can[0] = False
        results = [alone(*(x[i] for x in args)) for i in range(len(args[0]))]
        return jax.tree.map(lambda *xs: jnp.stack(xs), *results)

    return run
