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
from ._compiled import Outcome, Program
from ._verify import check_values

MAX_ITERATIONS = 10_000


def lift(
    f: Callable[..., Any], *, max_iterations: int = MAX_ITERATIONS, recursive: bool = True, verify: bool = False
) -> Callable[..., Any]:
    """The same function, in JAX: it works under jit, grad, vmap and the rest of Spanax.

    f is plain Python with NumPy, `math` and, in part, SciPy; its source is read, so it must have one. `if`, `while`, `for`,
    `break`, `continue`, early `return`, conditional expressions, `and`/`or`/`not`, chained comparisons, `assert` and `raise` may
    depend on the arguments. Arrays may be written in place, through views and aliases as well; what the caller gives is not
    changed, and neither are global arrays. Functions, methods and classes that f uses are lifted in turn, wherever they
    come from (`recursive=False`: only f itself). `print` and logging happen when the program runs.

    - A `for` loop over a range, arrays, lists of numbers, `zip` or `enumerate` stays a loop (a scan) where its rounds are
      alike, and is written out otherwise. A `while` loop whose test depends on the arguments runs `max_iterations` rounds at
      most; reverse mode keeps the state of about 2 sqrt(max_iterations) of them. Where the bound is reached and the test still
      holds, the call fails.
    - Arguments: numbers, arrays, and lists, tuples and dicts of them are traced; anything else is static (as are Python's ints
      and bools in a call that is not traced), and the program is traced again for each of its values. So it is when a global
      variable, a closure or an attribute that it reads has changed.
    - Results are JAX arrays, in JAX's precision: double where `jax_enable_x64` is on. Promotion follows NumPy's rules.
    - The derivative is that of the way that the arguments take. At a jump it sees nothing of it: `sx.find_gaps(lift(f), ...)`
      names the lines, and `sx.smooth` or `sx.gradient(..., sigma=...)` crosses them.

    `verify`: each call that is not traced also runs f itself, on NumPy arrays, and compares.

    Raises `SpanaxError`, with the line of f's source, for what has no counterpart: compiled code on traced values, files, shapes
    that depend on values, names with values of different kinds on different ways, and so on; when the program runs, for a loop
    at its bound, an assertion or a `raise` of its own, and an index out of bounds. Inside of the caller's jit that is JAX's
    runtime error, with the same text.

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
    program = Program(f, max_iterations, recursive)

    @functools.wraps(f)
    def lifted(*args: Any, **kwargs: Any) -> Any:
        refuse_foreign(args, kwargs, tables=False)
        outcome = program(args, kwargs)
        result = raising(outcome)
        if verify and not any(map(is_traced, jax.tree.leaves((args, kwargs)))):
            check_values(f, args, kwargs, result)
        return result

    return lifted


def raising(outcome: Outcome) -> Any:
    """The result, once no fault has come up; inside of a traced program, a check of it."""
    return checked(outcome.result, outcome)


def checked(result: Any, outcome: Outcome) -> Any:
    """Numbers and other things that are right if the run had no fault."""
    if not outcome.messages:
        return result
    if not is_traced(outcome.code):
        raise_fault(outcome)
        return result
    texts = [diagnosis(problem, *remedies, where=where) for problem, where, remedies in outcome.messages]
    one, others = jnp.ones(()), eqx.filter(result, lambda x: eqx.is_array(x) and not eqx.is_inexact_array(x))
    one, others = eqx.branched_error_if((one, others), outcome.code > 0, outcome.code - 1, texts)
    # Times one, so that the derivatives depend on the check as well: a compiled gradient leaves out what only the value needs.
    numbers, rest = eqx.partition(result, eqx.is_inexact_array)
    return eqx.combine(jax.tree.map(lambda x: x * one.astype(x.dtype), numbers), others, rest)


def raise_fault(outcome: Outcome) -> None:
    """The error of the first fault, if there was one; of a batch, that of any lane."""
    code = int(np.asarray(outcome.code).max())  # by NumPy, which compiles nothing
    if code:
        problem, where, remedies = outcome.messages[code - 1]
        raise SpanaxError(problem, *remedies, where=where)
