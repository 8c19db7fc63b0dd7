"""What a surrogate does with an x outside the bounds in which it was fitted."""

from __future__ import annotations

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ..._errors import SpanaxError, warn
from ..._jaxprs import here, is_traced
from ..._primitives import new_host_primitive, set_batching
from .space import Space

CHOICES = ("raise", "warn", "ignore")


def tolerance(space: Space, dtype: jnp.dtype) -> Float[np.ndarray, " d"]:
    """In [-1, 1]: a bound that was rounded to the dtype of x is not outside."""
    size = np.maximum(abs(space.lower), abs(space.upper)) / space.widths
    return 8 * float(jnp.finfo(dtype).eps) * (1 + size)


def check_inside(space: Space, u: Float[Array, " d"], choice: str, name: str) -> None:
    """Raises, or warns, where the value is known: outside of compiled programs."""
    if choice == "ignore" or is_traced(u):
        return
    rows = np.asarray(u, np.float64).reshape(-1, space.size)
    bad = np.abs(rows) > 1 + tolerance(space, u.dtype)
    if np.any(bad):
        k = int(np.argmax(np.any(bad, axis=1)))
        _tell(space, rows[k], bad[k], choice, name, here())


def _tell(space: Space, row: np.ndarray, bad: np.ndarray, choice: str, name: str, where: str) -> None:
    i = int(np.argmax(bad))
    value, low, high = space.numbers(row)[i], space.lower[i], space.upper[i]
    problem = (
        f"the surrogate of {name!r} outside the bounds it was fitted in: {space.names[i]}={value:.6g}, "
        f"which is not between {low:.6g} and {high:.6g}. It knows nothing of fn there"
    )
    remedies = (
        "bounds on the optimisation: sx.descend(..., bounds=bounds), or a projection of x",
        "sx.fit_surrogate with wider bounds",
    )
    if choice == "raise":
        raise SpanaxError(
            problem, *remedies, 'dataclasses.replace(model, outside="ignore") to extrapolate', where=where
        )
    warn(problem, *remedies, where=where)


def where_traced(space: Space, u: Float[Array, " d"], choice: str, name: str) -> Float[Array, " d"]:
    """u, so that its value and derivative in a compiled program are NaN outside the bounds; or warned of there."""
    if choice == "ignore" or not is_traced(u):
        return u
    if choice == "warn":
        return u + _watch_p.bind(lax.stop_gradient(u), space=space, name=name, where=here())[0]
    bad = jnp.any(jnp.abs(u) > 1 + jnp.asarray(tolerance(space, u.dtype), u.dtype))
    # A factor, and not a choice between u and NaN: the derivative of a choice would be 0 there.
    return u * jnp.where(bad, jnp.nan, jnp.ones((), u.dtype))


def _watch(u: np.ndarray, *, space: Space, name: str, where: str) -> list[np.ndarray]:
    rows = np.asarray(u, np.float64).reshape(-1, space.size)
    bad = np.abs(rows) > 1 + tolerance(space, u.dtype)
    if np.any(bad):
        k = int(np.argmax(np.any(bad, axis=1)))
        _tell(space, rows[k], bad[k], "warn", name, where)
    return [np.zeros_like(u)]


def _batching_rule(args, dims, **params):
    return _watch_p.bind(jnp.moveaxis(args[0], dims[0], 0), **params), [0]


# It gives zeros that the compiler cannot know: a call whose result nothing needs would be left out.
_watch_p = new_host_primitive("spanax_outside", _watch, lambda u, **_: [jax.core.ShapedArray(u.shape, u.dtype)])
set_batching(_watch_p, _batching_rule)
