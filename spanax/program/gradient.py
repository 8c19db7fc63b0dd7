"""`gradient` and `value_and_gradient`: of a plain Python and NumPy function, in one call."""

from __future__ import annotations

import contextlib
import functools
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from .._errors import SpanaxError
from .._foreign_arrays import refuse_foreign
from .._jaxprs import here, is_traced
from ..bridges.smoothing import Smoothing
from ..smoothing import smooth
from ._compiled import Outcome, Program
from ._derivatives.nan_gradients import NanGradientError, check_choice, without_nan
from ._python.calls import is_of_jax
from .lift import MAX_ITERATIONS, checked, raising


def gradient(
    f: Callable[..., Any],
    *args: Any,
    sigma: float | None = None,
    key: Key[Array, ""] | None = None,
    pairs: int = 64,
    max_iterations: int = MAX_ITERATIONS,
    nan: str = "raise",
) -> tuple[Any, ...]:
    """The gradients of a scalar function, one for each argument: see `value_and_gradient`.

    >>> import spanax as sx
    >>> sx.gradient(lambda x: 3 * x**2 + 2 * x + 1, 5)
    (32.0,)
    """
    return _derived("gradient", f, args, sigma, key, pairs, max_iterations, nan)[1]


def value_and_gradient(
    f: Callable[..., Any],
    *args: Any,
    sigma: float | None = None,
    key: Key[Array, ""] | None = None,
    pairs: int = 64,
    max_iterations: int = MAX_ITERATIONS,
    nan: str = "raise",
) -> tuple[Any, tuple[Any, ...]]:
    """The value of a scalar function, and a tuple of its gradients, one for each argument.

    f is a plain Python and NumPy function, which is lifted (see `lift`), or a JAX function, which is taken as it is. Numbers,
    arrays, and lists, tuples and dicts of them have a gradient of the same form: floats for Python's numbers, NumPy arrays of
    the same dtype for NumPy's, JAX arrays for JAX's. It is None for what has no derivative: text, None, booleans, arrays of
    integers, objects, and integers that decide how often a loop runs or how large an array is. Other integers count as the real
    numbers that they are. Unless an argument is a JAX array, the computation is in the precision of the arguments: double for
    Python's floats.

    It is the derivative of the way that the arguments take: of a program with jumps it does not see the jumps. With `sigma` it
    is that of the smoothed program, E[f(x + sigma u)], u standard normal, for all arguments that have a derivative: estimated
    from values of f at `pairs` pairs of points, and unbiased for it (see `smooth`). The value is then the mean over all points.
    That needs a `key`.

    The program is traced in the first call, and kept with the function; it is traced again for arguments of another form, and
    when a global variable, a closure or an attribute that it reads has changed. `max_iterations` bounds each `while` loop whose
    test depends on the arguments.

    A gradient that is NaN where the value is finite is an error, which names the line that makes it; inside of the caller's jit,
    JAX's runtime error without the line. With `nan="return"` it is returned. Infinite gradients are returned, and those of a
    value that is not finite.

    Raises `SpanaxError` for a result that is not one real number, for what cannot be lifted (see `lift`), and for what goes wrong
    when the program runs: an assertion or a `raise` of its own, a loop at its bound, an index out of bounds.

    >>> import numpy as np, spanax as sx
    >>> def path(v, angle):
    ...     x, y, vx, vy = 0.0, 0.0, v * np.cos(angle), v * np.sin(angle)
    ...     while y >= 0:
    ...         x, y, vy = x + 0.01 * vx, y + 0.01 * vy, vy - 0.0981
    ...     return x
    >>> value, (by_speed, by_angle) = sx.value_and_gradient(path, 10.0, 0.7)
    >>> print(round(value, 3), round(by_speed, 3))
    10.172 1.017
    """
    return _derived("both", f, args, sigma, key, pairs, max_iterations, nan)


def _derived(
    derive: str, f: Callable, args: tuple, sigma: Any, key: Any, pairs: int, max_iterations: int, nan: str
) -> tuple[Any, tuple[Any, ...]]:
    """The value, None where it is not asked for, and the gradients."""
    refuse_foreign(args, tables=False)
    _check_options(sigma, key)
    check_choice(nan)
    with _precision(args, key):
        if sigma is not None:
            return _smoothed(f, args, sigma, key, pairs, max_iterations)
        if is_jax(f):
            return _of_jax(f, args, nan)
        if nan == "raise" and any(map(is_traced, jax.tree.leaves(args))):
            derive = "both"  # the check when it runs needs the value
        program = _program(f, max_iterations, derive)
        outcome, ints = _outcome(program, args)
        leaves, gradients = checked((outcome.leaves, outcome.gradients), outcome)
        if nan == "raise":
            again = functools.partial(program.scalar, args, ints)
            gradients = without_nan(leaves[0] if leaves else None, gradients, outcome.has_nan, f, again)
        value = _plain(leaves[0], args) if leaves else None
        return value, _in_place(args, gradients, ints)


def _check_options(sigma: Any, key: Any) -> None:
    if sigma is None and key is not None:
        raise SpanaxError("a key without sigma: an exact gradient draws nothing", "sigma=0.1", "no key")
    if sigma is not None and key is None:
        raise SpanaxError("sigma needs a key: the smoothed gradient is an estimate", "key=jax.random.key(0)")


def _precision(args: tuple, key: Any) -> contextlib.AbstractContextManager:
    """Double precision, for arguments that are not JAX's."""
    return contextlib.nullcontext() if _has_jax_numbers(args) or is_traced(key) else jax.enable_x64(True)


def _has_jax_numbers(args: tuple) -> bool:
    """Keys, which have no precision, are none."""
    arrays = [x for x in jax.tree.leaves(args) if isinstance(x, jax.Array)]
    return any(not jnp.issubdtype(x.dtype, jax.dtypes.extended) for x in arrays)


_PROGRAMS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def _program(f: Callable, max_iterations: int, derive: str) -> Program:
    """That of an earlier call with the same function."""
    owner = getattr(f, "__self__", None) if isinstance(f, types.MethodType) else None
    function = f.__func__ if isinstance(f, types.MethodType) else f
    try:
        programs = _PROGRAMS.setdefault(function, {})
    except TypeError:  # no weak reference, or not hashable
        return Program(f, max_iterations, True, derive)
    name = id(owner), max_iterations, derive
    if name not in programs:
        programs[name] = Program(f, max_iterations, True, derive)
        for old in list(programs)[:-8]:
            del programs[old]
    return programs[name]


def _outcome(program: Program, args: tuple) -> tuple[Outcome, str]:
    """With integers as numbers that have a derivative or, where the program counts with them, as they are."""
    kinds = tuple(type(x) for x in jax.tree.leaves(args))
    if int not in kinds or program.counts.get(kinds):
        return program(args, {}), "static"
    try:
        return program(args, {}, ints="float"), "float"
    except (SpanaxError, TypeError, ValueError, IndexError, KeyError, AttributeError):
        outcome = program(args, {})
        program.counts[kinds] = True
        return outcome, "static"


def _in_place(args: tuple, gradients: list, ints: str) -> tuple:
    """The gradients in the places of the arguments, None elsewhere."""
    given = iter(gradients)

    def one(x: Any) -> Any:
        if type(x) is int and ints == "float":
            return float(next(given))
        return _plain_like(next(given), x) if _is_inexact(x) else None

    return tuple(_whole(jax.tree.map(one, arg)) for arg in args)


def _whole(tree: Any) -> Any:
    """None for a container without any gradient."""
    return tree if jax.tree.leaves(tree) else None


def _plain_like(x: jax.Array, like: Any) -> Any:
    if isinstance(like, jax.Array) or is_traced(x):
        return x
    array = np.asarray(x)
    if isinstance(like, np.ndarray):
        return array
    return array.dtype.type(array) if isinstance(like, np.generic) else array.item()


def _plain(value: jax.Array, args: tuple) -> Any:
    if is_traced(value) or _has_jax_numbers(args):
        return value.reshape(())
    return np.asarray(value).item()


# -- JAX functions


def is_jax(f: Callable) -> bool:
    """Is it JAX's, Equinox's or Spanax's own, or a function that names JAX, and neither NumPy nor math?"""
    if isinstance(f, eqx.Module) or is_of_jax(f):
        return True
    if not isinstance(f, (types.FunctionType, types.MethodType)):
        return False
    function = f.__func__ if isinstance(f, types.MethodType) else f
    scope = function.__globals__
    named = {_top(scope[n]) for n in function.__code__.co_names if n in scope}
    return bool(named & {"jax", "equinox", "optax"}) and not named & {"numpy", "math", "scipy"}


def _top(x: Any) -> str:
    name = x.__name__ if isinstance(x, types.ModuleType) else getattr(x, "__module__", None) or ""
    return str(name).partition(".")[0]


def _is_inexact(x: Any) -> bool:
    numbers = isinstance(x, (float, complex, np.ndarray, np.generic, jax.Array))
    return numbers and jnp.issubdtype(getattr(x, "dtype", float), jnp.inexact)


def _of_jax(f: Callable, args: tuple, nan: str) -> tuple[Any, tuple]:
    def run(moving: tuple, fixed: tuple) -> tuple:
        def scalar(x: tuple) -> Any:
            return f(*eqx.combine(x, fixed))

        value, gradients = jax.value_and_grad(scalar)(moving)
        if nan == "raise":
            leaves, tree = jax.tree.flatten(moving)
            again = lambda *xs: scalar(jax.tree.unflatten(tree, xs))  # noqa: E731
            has_nan = jnp.stack([jnp.isnan(x).any() for x in jax.tree.leaves(gradients)] or [jnp.asarray(False)]).any()
            gradients = without_nan(value, gradients, has_nan, f, lambda: (again, leaves))
        return value, gradients

    return _differentiated(run, args)


def _differentiated(run: Callable[[tuple, tuple], tuple], args: tuple) -> tuple[Any, tuple]:
    """The value and the gradients that `run` gives of the numbers with a derivative, and all else.

    Integers are such numbers, unless that fails: then the program counts with them.
    """
    for given in (jax.tree.map(lambda x: float(x) if type(x) is int else x, args), args):
        moving, fixed = eqx.partition(given, _is_inexact)
        try:
            value, found = run(jax.tree.map(jnp.asarray, moving), fixed)
            break
        except NanGradientError:
            raise
        except (SpanaxError, TypeError, ValueError, IndexError, KeyError, AttributeError):
            if given is args or not any(type(x) is int for x in jax.tree.leaves(args)):
                raise
    pairs_ = zip(args, found, strict=True)
    return _plain(value, args), tuple(_whole(jax.tree.map(_slope_like, arg, slope)) for arg, slope in pairs_)


def _slope_like(x: Any, slope: Any) -> Any:
    return None if slope is None else _plain_like(slope, x)


# -- smoothed


def _smoothed(f: Callable, args: tuple, sigma: float, key: Any, pairs: int, max_iterations: int) -> tuple[Any, tuple]:
    place, messages = here(), []
    lifted = Program(f, max_iterations, True)

    def value(*given: Any) -> Any:
        if is_jax(f):
            return f(*given)
        outcome = lifted(given, {})
        messages.extend(outcome.messages)
        return raising(outcome)

    def run(moving: tuple, fixed: tuple) -> tuple:
        if not jax.tree.leaves(moving):
            raise SpanaxError(
                "no argument is a real number: there is nothing to smooth",
                "floats instead of text or objects",
                where=place,
            )
        smoothed = smooth(lambda x: _as_float(value(*eqx.combine(x, fixed))), via=Smoothing(sigma=sigma, pairs=pairs))
        with _faults(messages):
            return jax.value_and_grad(lambda x: smoothed(x, key=key))(moving)

    return _differentiated(run, args)


def _as_float(value: Any) -> Array:
    inexact = jnp.issubdtype(jnp.result_type(value), jnp.inexact)
    return jnp.reshape(value, ()) if inexact else jnp.asarray(value, float)


@contextlib.contextmanager
def _faults(messages: list[tuple[str, str, tuple[str, ...]]]) -> Iterator[None]:
    """Those of the program at any of the points, which come as JAX's errors, as what they are."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        for problem, where, remedies in messages:
            if problem in str(error) and where in str(error):
                raise SpanaxError(problem, *remedies, where=where) from None
        raise
