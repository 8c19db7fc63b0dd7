"""The gradient of the smoothed program, E[f(x + sigma u)], u standard normal: estimated from values of f alone.

By pairs of points x + sigma u and x - sigma u: the mean of (f(x + sigma u) - f(x - sigma u)) / (2 sigma) u over them is
unbiased for the gradient of the smoothed f at any sigma, and f may jump (Nesterov and Spokoiny, 2017). See `smooth`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..._errors import SpanaxError
from ...bridges.smoothing import Smoothing
from ...smoothing import smooth
from .._compiled import LiftedProgram
from ..lift import result_or_fault
from .arguments import Differentiated, differentiate_numbers


def derive_smoothed(
    call: Differentiated, via: Smoothing, key: Any, max_iterations: int, is_lifted: bool
) -> tuple[Any, Any]:
    """The mean over all points, and the estimate of the gradients."""
    # Filled while the program is traced: what may go wrong in it, to be recognised in JAX's error.
    messages: list[tuple[str, str, tuple[str, ...]]] = []
    program = LiftedProgram(call.f, max_iterations, True)

    def value(*args: Any) -> Any:
        if not is_lifted:
            return call.f(*args, **call.kwargs)
        outcome = program(args, call.kwargs)
        messages.extend(outcome.messages)
        return result_or_fault(outcome)

    def run(moving: tuple, fixed: tuple) -> tuple:
        if not jax.tree.leaves(moving):
            problem = "no argument is a real number: there is nothing to smooth"
            raise SpanaxError(problem, "floats instead of text or objects")
        smoothed = smooth(lambda x: _as_float(value(*eqx.combine(x, fixed))), via=via)
        with _faults_of_program(messages):
            return jax.value_and_grad(lambda x: smoothed(x, key=key))(moving)

    return differentiate_numbers(call, run)


def _as_float(value: Any) -> Array:
    # `smooth` wants a floating-point scalar, and a program that counts returns an int.
    inexact = jnp.issubdtype(jnp.result_type(value), jnp.inexact)
    return jnp.reshape(value, ()) if inexact else jnp.asarray(value, float)


@contextlib.contextmanager
def _faults_of_program(messages: list[tuple[str, str, tuple[str, ...]]]) -> Iterator[None]:
    """Raises the program's own error at any of the points as itself: the points run in one batch, where JAX reports it as its
    runtime error with the text inside."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        for problem, where, remedies in messages:
            if problem in str(error) and where in str(error):
                raise SpanaxError(problem, *remedies, where=where) from None
        raise
