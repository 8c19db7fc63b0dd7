"""The gradient of a function that is JAX's already, and that is not lifted."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._derivatives.nan_gradients import without_nan
from .._python.libraries import is_of_jax
from .arguments import Differentiated, differentiate_numbers


def is_jax(f: Callable) -> bool:
    """Is it JAX's, Equinox's or Spanax's own, or a function that names JAX, and neither NumPy nor math?

    A guess, by the names in its code: a function that names both is lifted, which a JAX function survives, as calls of JAX are
    left alone in a lifted program. The other way round, NumPy would be given tracers and fail.
    """
    if isinstance(f, eqx.Module) or is_of_jax(f):
        return True
    if not isinstance(f, (types.FunctionType, types.MethodType)):
        return False
    function = f.__func__ if isinstance(f, types.MethodType) else f
    scope = function.__globals__
    named = {_top_module(scope[n]) for n in function.__code__.co_names if n in scope}
    return bool(named & {"jax", "equinox", "optax"}) and not named & {"numpy", "math", "scipy"}


def _top_module(x: Any) -> str:
    name = x.__name__ if isinstance(x, types.ModuleType) else getattr(x, "__module__", None) or ""
    return str(name).partition(".")[0]


def derive_jax(call: Differentiated, nan: str) -> tuple[Any, Any]:
    """The value and the gradients, by `jax.value_and_grad`."""

    def run(moving: tuple, fixed: tuple) -> tuple:
        def scalar(x: tuple) -> Any:
            return call.f(*eqx.combine(x, fixed), **call.kwargs)

        value, gradients = jax.value_and_grad(scalar)(moving)
        if nan == "raise":
            leaves, tree = jax.tree.flatten(moving)
            # NaN is looked for in the whole gradient first: which line made it is another trace, and rarely needed.
            again = lambda *xs: scalar(jax.tree.unflatten(tree, xs))  # noqa: E731
            has_nan = jnp.stack([jnp.isnan(x).any() for x in jax.tree.leaves(gradients)] or [jnp.asarray(False)]).any()
            gradients = without_nan(value, gradients, has_nan, call.f, lambda: (again, leaves))
        return value, gradients

    return differentiate_numbers(call, run)
