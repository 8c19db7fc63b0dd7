"""Functions of few numbers with long loops inside: derivatives of every order, by forward-mode Jacobians.

A throw of three numbers integrates thousands of steps. Reverse mode would keep the state of each of them and cannot cross a
`while_loop`; three forward columns, computed together with the value, need neither.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jax.custom_derivatives import SymbolicZero, zero_from_primal

Function = Callable[..., tuple[Any, Any]]


def by_forward_mode(f: Function, check: Callable[[Any], None]) -> Function:
    """`f`, compiled, and differentiable in forward and reverse mode, to any order, at the cost of forward mode.

    `f(*numbers) -> (y, aux)` takes floating-point scalars of one dtype; y is a pytree of floating-point arrays, aux one of
    anything else, without a derivative. Its Jacobian is computed forwards together with its value, for those numbers only
    that are differentiated, so that reverse mode needs no state of any loop, may cross a `while_loop`, and compiles fast.
    `check(aux)` sees the aux of every evaluation, traced or not, and may raise.
    """
    return _differentiable(f, jax.vmap(f), check)


def _differentiable(f: Function, batched: Function, check: Callable[[Any], None]) -> Function:
    """`batched` is f with a leading axis on all numbers and results."""

    # A vmap from outside would put its axis outside that of the columns (see `_with_columns`): `batched` has it inside.
    mapped = custom_vmap(lambda *numbers: f(*numbers))

    @mapped.def_vmap
    def _(size, are_batched, *numbers):
        out = batched(*(x if b else jnp.broadcast_to(x, size) for x, b in zip(numbers, are_batched, strict=True)))
        return out, jax.tree.map(lambda _: True, out)

    compiled = jax.jit(mapped)

    @jax.custom_jvp
    def value(*numbers):
        y, aux = compiled(*numbers)
        check(aux)
        return y, aux

    # Only numbers that move get a column, and each set of them is compiled once. The result is differentiable the same way again,
    # which gives the higher orders.
    @functools.cache
    def with_jacobian(moving: tuple[int, ...]) -> Function:
        one, many = _with_columns(f, moving), _with_columns(jax.vmap(f), moving)

        def rows_first(*numbers):
            (y, columns), aux = many(*numbers)
            return (y, jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), columns)), aux

        return _differentiable(one, rows_first, check)

    def jvp(numbers, tangents):
        moving = tuple(i for i, tangent in enumerate(tangents) if not isinstance(tangent, SymbolicZero))
        (y, columns), aux = with_jacobian(moving)(*numbers)
        weights = jnp.stack([tangents[i] for i in moving])
        slope = jax.tree.map(lambda column: jnp.tensordot(weights, column, 1), columns)
        return (y, aux), (slope, jax.tree.map(zero_from_primal, aux))

    value.defjvp(jvp, symbolic_zeros=True)
    return value


def _with_columns(f: Function, moving: tuple[int, ...]) -> Function:
    """((y, dy by each number that moves, on a leading axis), aux)."""

    # The axis of the columns is the outermost one, outside that of a batch too: an innermost axis of two or three numbers would
    # leave the vector units of a CPU empty.
    def both(*numbers):
        def at_moving(*values):
            every = list(numbers)
            for i, x in zip(moving, values, strict=True):
                every[i] = x
            return f(*every)

        def column(direction):
            tangents = tuple(jnp.broadcast_to(d, x.shape) for d, x in zip(direction, at, strict=True))
            y, dy, aux = jax.jvp(at_moving, at, tangents, has_aux=True)
            return (y, aux), dy

        at = tuple(numbers[i] for i in moving)
        (y, aux), columns = jax.vmap(column, out_axes=(None, 0))(jnp.eye(len(moving), dtype=numbers[0].dtype))
        return (y, columns), aux

    return both
