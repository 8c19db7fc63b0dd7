"""A number whose derivative passes only where it reaches the results."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..._primitives import new_primitive, set_batching, set_jvp, set_linear


def reaching(where: Any, x: Any) -> Any:
    """x, and its derivative where the mask holds."""
    shape = np.broadcast_shapes(np.shape(where), np.shape(x))
    return _reaching(jnp.broadcast_to(where, shape), jnp.broadcast_to(x, shape))


@jax.custom_jvp
def _reaching(where: Any, x: Any) -> Any:
    return x


@_reaching.defjvp
def _reaching_derivative(primals: tuple, tangents: tuple) -> tuple:
    (where, x), t = primals, tangents[1]
    return _reaching(where, x), lax.select(where, t, jnp.zeros_like(t))


# In a branch that runs its own flag holds: a mask is needed in a batch alone, of which all lanes run it.
_in_branch_p = new_primitive("spanax_in_branch", lambda x, flag: [x], lambda x, flag: [x])
_slope_p = new_primitive("spanax_slope_in_branch", lambda x, flag: [x], lambda x, flag: [x])


def reaching_in_branch(flag: Any, x: Any) -> Any:
    """The same, where the flag holds whenever this runs, unless it runs for a batch."""
    return _in_branch_p.bind(jnp.asarray(x), flag)[0]


def _batched_value(args: Any, dims: Any) -> tuple:
    (x, flag), (of_x, of_flag) = args, dims
    if of_flag is None:
        return _in_branch_p.bind(x, flag), [of_x]
    x = _leading(x, of_x, flag.shape[of_flag])
    return [reaching(_over(jnp.moveaxis(flag, of_flag, 0), x), x)], [0]


def _batched_slope(args: Any, dims: Any) -> tuple:
    (x, flag), (of_x, of_flag) = args, dims
    if of_flag is None:
        return _slope_p.bind(x, flag), [of_x]
    x = _leading(x, of_x, flag.shape[of_flag])
    return [lax.select(_over(jnp.moveaxis(flag, of_flag, 0), x), x, jnp.zeros_like(x))], [0]


def _leading(x: Any, dim: int | None, size: int) -> Any:
    return jnp.broadcast_to(x, (size, *x.shape)) if dim is None else jnp.moveaxis(x, dim, 0)


def _over(flag: Any, x: Any) -> Any:
    return jnp.broadcast_to(flag.reshape(flag.shape + (1,) * (x.ndim - flag.ndim)), x.shape)


set_jvp(_in_branch_p, lambda primals, tangents: (_in_branch_p.bind(*primals), _slope_p.bind(tangents[0], primals[1])))
set_linear(_slope_p, lambda cotangents, flag: [_slope_p.bind(cotangents[0], flag)[0]])
set_batching(_in_branch_p, _batched_value)
set_batching(_slope_p, _batched_slope)
