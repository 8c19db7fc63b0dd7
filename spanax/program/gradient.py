"""`gradient` and `value_and_gradient`: of a plain Python and NumPy function, in one call."""

from __future__ import annotations

import contextlib
import types
import weakref
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from .._errors import SpanaxError
from .._jaxprs import here, is_traced
from ..bridges.smoothing import Smoothing
from ..smoothing import smooth
from ._calls import is_of_jax
from ._compiled import Outcome, Program
from .lift import MAX_ITERATIONS, lift, raise_fault


def gradient(
    f: Callable[..., Any],
    *args: Any,
    sigma: float | None = None,
    key: Key[Array, ""] | None = None,
    pairs: int = 64,
    max_iterations: int = MAX_ITERATIONS,
) -> tuple:
    """The gradients of a scalar function, one for each argument: see `value_and_gradient`.

    >>> import spanax as sx
    >>> sx.gradient(lambda x: 3 * x**2 + 2 * x + 1, 5)
    (32.0,)
    """
    return _derived("gradient", f, args, sigma, key, pairs, max_iterations)[1]


def value_and_gradient(
    f: Callable[..., Any],
    *args: Any,
    sigma: float | None = None,
    key: Key[Array, ""] | None = None,
    pairs: int = 64,
    max_iterations: int = MAX_ITERATIONS,
) -> tuple[Any, tuple]:
    """The value of a scalar function, and a tuple of its gradients, one for each argument.

    f is a plain Python and NumPy function, which is lifted (see `lift`), or a JAX function, which is taken as it is. Numbers, arrays, and
    lists, tuples and dicts of them have a gradient of the same form: floats for Python's numbers, NumPy arrays of the same
    dtype for NumPy's, JAX arrays for JAX's. It is None for what has no derivative: text, None, booleans, arrays of integers, objects, and
    integers that decide how often a loop runs or how large an array is. Other integers count as the real numbers that
    they are. Unless an argument is a JAX array, the computation is in the precision of the arguments: double for Python's floats.

    It is the derivative of the way that the arguments take: of a program with jumps it does not see the jumps. With `sigma` it is that
    of the smoothed program, E[f(x + sigma u)], u standard normal, for all arguments that have a derivative; estimated from values
    of f at `pairs` pairs of points, and unbiased for it (see `smooth`). The value is then the mean over all points. That needs a `key`.

    The program is traced in the first call, and kept with the function; it is traced again for arguments of another form, and
    when a global variable, a closure or an attribute that it reads has changed. `max_iterations` bounds each `while` loop whose test
    depends on the arguments.

    Raises `SpanaxError` for a result that is not one real number, for what cannot be lifted (see `lift`), and for what goes wrong when the
    program runs: an assertion or a `raise` of its own, a loop at its bound, an index out of bounds.

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
    return _derived("both", f, args, sigma, key, pairs, max_iterations)


def _derived(
    derive: str, f: Callable, args: tuple, sigma: Any, key: Any, pairs: int, max_iterations: int
) -> tuple[Any, tuple]:
    """The value, None where it is not asked for, and the gradients."""
    _check_options(sigma, key)
    with _precision(args):
        if sigma is not None:
            return _smoothed(f, args, sigma, key, pairs, max_iterations)
        if is_jax(f):
            return _of_jax(f, args)
        program = _program(f, max_iterations, derive)
        outcome, ints = _outcome(program, args)
        if outcome.messages:
            raise_fault(outcome)
        value = _plain(outcome.leaves[0].reshape(()), args) if outcome.leaves else None
        return value, _in_place(args, outcome.gradients, ints)


def _check_options(sigma: Any, key: Any) -> None:
    if sigma is None and key is not None:
        raise SpanaxError("a key without sigma: an exact gradient draws nothing", here(), "sigma=0.1", "no key")
    if sigma is not None and key is None:
        raise SpanaxError("sigma needs a key: the smoothed gradient is an estimate", here(), "key=jax.random.key(0)")


def _precision(args: tuple) -> contextlib.AbstractContextManager:
    """Double precision, for arguments that are not JAX's."""
    if any(isinstance(x, jax.Array) for x in jax.tree.leaves(args)):
        return contextlib.nullcontext()
    return jax.enable_x64(True)


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
        if isinstance(x, (float, complex, np.ndarray, np.generic, jax.Array)) and np.issubdtype(
            np.result_type(x), np.inexact
        ):
            return _plain_like(next(given), x)
        return None

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
    if is_traced(value) or any(isinstance(x, jax.Array) for x in jax.tree.leaves(args)):
        return value
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


def _numbers(args: tuple) -> tuple[list[bool], tuple]:
    """Which arguments have a derivative, and all of them as JAX takes them."""
    given = tuple(jax.tree.map(lambda x: jnp.asarray(x, float) if type(x) in (int, float) else x, args))
    return [bool(_inexact(arg)) for arg in given], given


def _inexact(arg: Any) -> bool:
    leaves = jax.tree.leaves(arg)
    return bool(leaves) and all(hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.inexact) for x in leaves)


def _of_jax(f: Callable, args: tuple) -> tuple[Any, tuple]:
    chosen, given = _numbers(args)
    places = tuple(i for i, c in enumerate(chosen) if c)
    value, found = jax.value_and_grad(f, argnums=places)(*given)
    return _plain(value, args), _spread(args, places, found)


def _spread(args: tuple, places: tuple[int, ...], found: tuple) -> tuple:
    by_place = dict(zip(places, found, strict=True))
    return tuple(jax.tree.map(_plain_like, by_place[i], arg) if i in by_place else None for i, arg in enumerate(args))


# -- smoothed


def _smoothed(f: Callable, args: tuple, sigma: float, key: Any, pairs: int, max_iterations: int) -> tuple[Any, tuple]:
    chosen, given = _numbers(args)
    places = tuple(i for i, c in enumerate(chosen) if c)
    if not places:
        raise SpanaxError(
            "no argument is a real number: there is nothing to smooth", here(), "floats instead of text or objects"
        )
    lifted = f if is_jax(f) else lift(f, max_iterations=max_iterations)

    def program(x: tuple) -> Array:
        full = list(args)
        for place, part in zip(places, x, strict=True):
            full[place] = part
        value = lifted(*full)
        return (
            jnp.asarray(value, float)
            if not jnp.issubdtype(jnp.result_type(value), jnp.inexact)
            else jnp.reshape(value, ())
        )

    smoothed = smooth(program, via=Smoothing(sigma=sigma, pairs=pairs))
    value, found = jax.value_and_grad(lambda x: smoothed(x, key=key))(tuple(given[i] for i in places))
    return _plain(value, args), _spread(args, places, found)
