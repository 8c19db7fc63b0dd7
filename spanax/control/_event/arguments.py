"""The arguments of `event`: checked before anything is computed, and with all that they close over made explicit."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ..._errors import SpanaxError
from ..._functions import parameters
from ..._jaxprs import P, below
from .integrators import State


def floating_state(state: Any) -> tuple[State, Any]:
    """The state with arrays for all leaves, and the dtype of time: that of its floats."""
    try:
        arrays = jax.tree.map(_array, state)
    except TypeError as error:
        raise SpanaxError(
            f"the state has a leaf that is not an array or a number: {error}", "a pytree of arrays"
        ) from error
    floats = [x.dtype for x in jax.tree.leaves(arrays) if jnp.issubdtype(x.dtype, jnp.floating)]
    if not floats:
        raise SpanaxError(f"the state {state!r} has no floating-point leaf", "floats or arrays of floats that move")
    return arrays, jnp.result_type(*floats)


def _array(leaf: Any) -> Any:
    # Numbers of Python have no precision of their own.
    return jnp.asarray(leaf, float if isinstance(leaf, float) else None)


def closed(f: Callable, *args: Any) -> Callable:
    """f as a pytree, whose leaves are the arrays that it closes over: so that a derivative by them is not lost."""
    # Behind another function, because Equinox takes one without a closure as it is, with traced arrays among its defaults.
    return eqx.filter_closure_convert(lambda *args: f(*args), *args)


def takes_time(slope: Callable) -> bool:
    """Is it slope(t, state) rather than slope(state)?"""
    named = parameters(slope).values()
    kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    # A parameter with a default is not given: slope(state, gravity=9.81) takes no time.
    return sum(p.kind in kinds and p.default is p.empty for p in named) >= 2


def as_array(what: str, f: Callable, state: State, *args: Any) -> Callable:
    """f, called with `args`, with its results as arrays of the state's dtypes. `what`: its name in an error.

    Raises unless they have the state's structure, shapes and dtypes; numbers of Python have none of their own.
    """
    out = jax.eval_shape(f, *args)
    given, want = jax.tree.structure(out), jax.tree.structure(state)
    if given != want:
        raise SpanaxError(f"{what} returns {given}, and the state is {want}", "a result of the state's structure")
    for (path, leaf), x in zip(jax.tree_util.tree_leaves_with_path(out), jax.tree.leaves(state), strict=True):
        if leaf.shape != x.shape or (leaf.dtype != x.dtype and not leaf.weak_type):
            raise SpanaxError(
                f"{what} returns {leaf.dtype}{list(leaf.shape)} for state{jax.tree_util.keystr(path)}, which is"
                f" {x.dtype}{list(x.shape)}",
                "a result of the state's shapes and dtypes",
                "a state of the precision that the parameters have",
            )
    return lambda *args: jax.tree.map(lambda y, x: jnp.asarray(y, x.dtype), f(*args), state)


def check_condition(condition: Callable, state: State) -> None:
    """Raises unless the condition is a real number that can cross zero."""
    out = jax.eval_shape(condition, state)
    is_number = isinstance(out, jax.ShapeDtypeStruct) and out.shape == ()
    if not (is_number and jnp.issubdtype(out.dtype, jnp.floating)):
        got = f"{out.dtype}{list(out.shape)}" if isinstance(out, jax.ShapeDtypeStruct) else repr(out)
        raise SpanaxError(
            f"the condition is {got}, not a floating-point number that crosses zero",
            "lambda state: state.height, which is 0 at the event, instead of state.height < 0",
            "the least of several numbers: jnp.min(...)",
        )


def is_reverse_only(f: Callable, *args: Any) -> bool:
    """Does it call what has a derivative in reverse mode only, such as a solution of diffrax?"""
    program = jax.make_jaxpr(f)(*args)
    return any(below(eqn, lambda eqn: eqn.primitive is P.custom_vjp_call_p) is not None for eqn in program.eqns)
