"""`lift`: a plain Python and NumPy function as a JAX function."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._errors import SpanaxError, diagnosis
from .._foreign_arrays import refuse_foreign
from .._jaxprs import is_traced
from ._compiled import LiftedProgram, Outcome
from ._verify import check_values

MAX_ITERATIONS = 10_000


def lift(
    f: Callable[..., Any], *, max_iterations: int = MAX_ITERATIONS, recursive: bool = True, verify: bool = False
) -> Callable[..., Any]:
    """The same function as a JAX function: it works under jit, grad, vmap and the rest of Spanax.

    f is plain Python with NumPy, `math` and, in part, SciPy; its source is read, so it must have one. `if`, `while`, `for`,
    `break`, `continue`, early `return`, conditional expressions, `and`/`or`/`not`, chained comparisons, `assert` and `raise` may
    depend on the arguments. Arrays may be written in place, through views and aliases as well; the caller's arrays and global
    arrays are not changed. Functions, methods and classes that f uses are lifted in turn, wherever they come from. `print` and
    logging happen when the program runs.

    - A `for` loop over a range, arrays, lists of numbers, `zip` or `enumerate` stays a loop (a scan) where its iterations are
      alike, and is written out otherwise. A `while` loop whose test depends on the arguments runs `max_iterations` iterations at
      most; reverse mode keeps the state of about 2 sqrt(max_iterations) of them. Where the bound is reached and the test still
      holds, the call fails.
    - Numbers, arrays, and lists, tuples and dicts of them are traced; any other argument is static (as are Python's ints and
      bools in a call that is not traced), and the program is traced again for each of its values. It is also traced again when
      a global variable, a closure or an attribute that it reads has changed.
    - Results have the shapes that f's have. They are JAX arrays, in JAX's precision: double where `jax_enable_x64` is on.
      Promotion follows NumPy's rules (NEP 50).
    - The derivative is that of the branches that the program takes for its arguments. It does not see a jump:
      `sx.find_gaps(lift(f), ...)` names the lines, and `sx.smooth` or `sx.gradient(..., sigma=...)` crosses them.

    The rewriting is that of AutoGraph (Moldovan et al., 2018, "AutoGraph: Imperative-style Coding with Graph-based
    Performance"): each branch and loop becomes a call, which runs Python's where its condition is known and traces both
    branches where it is not.

    **Arguments:**

    - `f`: a function, a method, or an object with `__call__`.
    - `max_iterations`: the bound on each `while` loop whose test depends on the arguments.
    - `recursive`: False lifts f alone, and calls what it uses as it is.
    - `verify`: each call that is not traced also runs f itself, on NumPy arrays, and compares the results.

    **Returns:**

    A function with f's signature.

    **Raises:**

    - `SpanaxError`: if f is not a function or `max_iterations` is not a positive integer. When the lifted function is traced,
      with the line of f's source: for what has no counterpart, such as compiled code on traced values, files, shapes that
      depend on values, or a name that is a number on one path and text on another. When it runs: for a loop at its bound, an
      assertion or a `raise` of the program's, and an index out of bounds. Inside the caller's jit that is JAX's runtime error,
      with the same text. With `verify`, for results that differ.

    >>> import spanax as sx
    >>> def collatz(x):
    ...     steps = 0
    ...     while x > 1:
    ...         x = x / 2 if x % 2 == 0 else 3 * x + 1
    ...         steps += 1
    ...     return steps
    >>> print(sx.lift(collatz)(27.0))
    111
    """
    if not callable(f):
        raise SpanaxError(f"lift() takes a function, not {f!r}", "sx.lift(f)(x)")
    # One program for all calls: what it has compiled is kept as long as the lifted function is.
    program = LiftedProgram(f, max_iterations, recursive)

    @functools.wraps(f)
    def lifted(*args: Any, **kwargs: Any) -> Any:
        refuse_foreign(args, kwargs, tables=False)
        outcome = program(args, kwargs)
        result = result_or_fault(outcome)
        # In a trace there are no values to run f on.
        if verify and not any(map(is_traced, jax.tree.leaves((args, kwargs)))):
            check_values(f, args, kwargs, result)
        return result

    return lifted


def result_or_fault(outcome: Outcome) -> Any:
    """The result, once no fault has come up; inside a traced program, a check of it."""
    return checked_result(outcome.result, outcome)


def checked_result(result: Any, outcome: Outcome) -> Any:
    """Numbers and other things that are right if the run had no fault."""
    # Most programs cannot fail, and pay nothing: the check is compiled only where there is a message.
    if not outcome.messages:
        return result
    if not is_traced(outcome.code):
        raise_fault(outcome)
        return result
    texts = [diagnosis(problem, *remedies, where=where) for problem, where, remedies in outcome.messages]
    # In the caller's trace an error can only come when the program runs, and only if something that is used depends on it.
    one, others = jnp.ones(()), eqx.filter(result, lambda x: eqx.is_array(x) and not eqx.is_inexact_array(x))
    one, others = eqx.branched_error_if((one, others), outcome.code > 0, outcome.code - 1, texts)
    # Times one, so that the derivatives depend on the check as well: a compiled gradient leaves out what only the value needs.
    numbers, rest = eqx.partition(result, eqx.is_inexact_array)
    return eqx.combine(jax.tree.map(lambda x: x * one.astype(x.dtype), numbers), others, rest)


def raise_fault(outcome: Outcome) -> None:
    """The error of the first fault, if there was one; of a batch, that of any vmap index."""
    # The largest code, not the first: in a batch each index has its own, and one of them is reported.
    code = int(np.asarray(outcome.code).max())  # by NumPy, which compiles nothing
    if code:
        problem, where, remedies = outcome.messages[code - 1]
        raise SpanaxError(problem, *remedies, where=where)
