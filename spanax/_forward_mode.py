"""Functions of few numbers with long loops inside: derivatives of every order, by forward-mode Jacobians.

A throw of three numbers integrates thousands of steps. Reverse mode would keep the state of each of them and cannot cross a
`while_loop`; three forward columns, computed together with the value, need neither.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero, zero_from_primal

from ._primitives import new_primitive, set_batching

Function = Callable[..., tuple[Any, Any]]
Axes = tuple[int | None, ...]


def by_forward_mode(f: Function, count: int, check: Callable[[Any], None]) -> Function:
    """`f`, compiled, and differentiable in forward and reverse mode, to any order, at the cost of forward mode.

    `f(*numbers) -> (y, aux)` takes `count` floating-point scalars of one dtype; y is a pytree of floating-point arrays, aux one
    of anything else, without a derivative. Its Jacobian is computed forwards together with its value, for those numbers only
    that are differentiated, so that reverse mode needs no state of any loop, may cross a `while_loop`, and compiles fast.
    `check(aux)` sees the aux of every evaluation, traced or not, and may raise.
    """

    @functools.cache
    def outline(dtype):
        return jax.eval_shape(f, *(jax.ShapeDtypeStruct((), dtype) for _ in range(count)))

    return _differentiable(f, functools.partial(jax.vmap, f), outline, check)


class _Program(NamedTuple):
    """`one(*numbers) -> (y, aux)`; `many(axes)`, the same for numbers of which some have a leading axis (0, else None), as have
    all results; `outline(dtype)`, the results' shapes and dtypes.
    """

    one: Function
    many: Callable[[Axes], Function]
    outline: Callable[[Any], Any]

    def run(self, *numbers):
        tree = jax.tree.structure(self.outline(numbers[0].dtype))
        return jax.tree.unflatten(tree, _run_p.bind(*numbers, program=self, axes=None))


def _run(*numbers, program: _Program, axes: Axes | None):
    return jax.tree.leaves((program.one if axes is None else program.many(axes))(*numbers))


def _shapes(*numbers, program: _Program, axes: Axes | None):
    front = max((x.shape for x in numbers), key=len)
    leaves = jax.tree.leaves(program.outline(numbers[0].dtype))
    return [jax.core.ShapedArray((*front, *x.shape), x.dtype) for x in leaves]


# A primitive, because `custom_vmap` would trace the whole program once more without the axis, only to learn shapes.
_run_p = new_primitive("spanax_by_forward_mode", _run, _shapes)


def _batch(numbers, dims, *, program, axes):
    """The axis of a vmap, which lies inside that of the columns (see `_with_columns`); those of several become one."""
    shapes = [x.shape if d is None else (*x.shape[:d], *x.shape[d + 1 :]) for x, d in zip(numbers, dims, strict=True)]
    inner = max(shapes, key=len)  # the axis that there is already, if there is one
    axes = axes or (None,) * len(numbers)
    size = next(x.shape[d] for x, d in zip(numbers, dims, strict=True) if d is not None)

    def front(x, d, axis):
        # What is the same for all stays a number, which the compiler may know.
        if d is None and axis is None:
            return x
        x = x[None] if d is None else jnp.moveaxis(x, d, 0)
        x = x.reshape(x.shape[0], *(x.shape[1:] or (1,) * len(inner)))
        return jnp.broadcast_to(x, (size, *inner)).reshape(-1)

    fronts = list(map(front, numbers, dims, axes))
    out = _run_p.bind(*fronts, program=program, axes=tuple(0 if x.ndim else None for x in fronts))
    return [x.reshape(size, *inner, *x.shape[1:]) for x in out], [0] * len(out)


set_batching(_run_p, _batch)


def _differentiable(f: Function, many: Callable[[Axes], Function], outline: Callable, check: Callable) -> Function:
    compiled = jax.jit(_Program(f, many, outline).run)

    @jax.custom_jvp
    def value(*numbers):
        y, aux = compiled(*numbers)
        check(aux)
        return y, aux

    # Only numbers that move get a column, and each set of them is compiled once. The result is differentiable the same way again,
    # which gives the higher orders.
    @functools.cache
    def with_jacobian(moving: tuple[int, ...]) -> Function:
        def rows_first(axes):
            program = _with_columns(jax.vmap(f, axes), moving)

            def run(*numbers):
                (y, columns), aux = program(*numbers)
                return (y, jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), columns)), aux

            return run

        def with_rows(dtype):
            y, aux = outline(dtype)
            return (y, jax.tree.map(lambda x: jax.ShapeDtypeStruct((len(moving), *x.shape), x.dtype), y)), aux

        return _differentiable(_with_columns(f, moving), rows_first, with_rows, check)

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
