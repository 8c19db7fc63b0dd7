"""`gradient` and `value_and_gradient`: of a plain Python and NumPy function, in one call.

Three routes: lifted and differentiated by JAX (`_gradient/lifted.py`), taken as a JAX function
(`_gradient/jax_functions.py`), or estimated from values, of the smoothed program (`_gradient/smoothed.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxtyping import Array, Key

from .._errors import SpanaxError
from .._foreign_arrays import refuse_foreign
from .._functions import join_keywords
from ..bridges.smoothing import Smoothing
from ._derivatives.nan_gradients import check_choice
from ._gradient.arguments import Differentiated
from ._gradient.jax_functions import derive_jax, is_jax
from ._gradient.lifted import derive_lifted
from ._gradient.smoothed import derive_smoothed
from .lift import MAX_ITERATIONS


def gradient(
    f: Callable[..., Any],
    *args: Any,
    argnums: int | Sequence[int] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    lifted: bool | None = None,
    sigma: float | None = None,
    key: Key[Array, ""] | None = None,
    pairs: int = 64,
    max_iterations: int = MAX_ITERATIONS,
    nan: str = "raise",
    **keywords: Any,
) -> Any:
    """The gradient of a scalar function of plain Python and NumPy: `value_and_gradient` without the value.

    **Arguments:** as those of `value_and_gradient`

    - `f`: the function; its result is one real number.
    - `*args`: its positional arguments: numbers, arrays of any shape, lists, tuples and dicts of them, and anything else.
    - `argnums`: the argument to differentiate by, or several in a tuple. By default, those that hold a float.
    - `kwargs`: f's keyword arguments whose names are options here, such as `{"key": ...}`.
    - `lifted`: whether f is lifted (True) or is a JAX function (False). By default, the names in its code decide.
    - `sigma`: the standard deviation of the noise on the arguments, for the gradient of the smoothed program.
    - `key`: a PRNG key, for `sigma`.
    - `pairs`: the number of pairs of points, for `sigma`.
    - `max_iterations`: the bound on each `while` loop whose test depends on the arguments.
    - `nan`: "raise" or "return", for a gradient that is NaN where the value is finite.
    - `**keywords`: f's other keyword arguments, which are not differentiated.

    **Returns:**

    The gradient of the argument, of its type and shape; of several, a tuple.

    **Raises:**

    - `SpanaxError`: as `value_and_gradient`.

    >>> import spanax as sx
    >>> sx.gradient(lambda x: 3 * x**2 + 2 * x + 1, 5)
    32.0
    >>> sx.gradient(lambda x, y: x * y**2, 2.0, 3.0)
    (9.0, 12.0)
    >>> sx.gradient(lambda x, y: x * y**2, 2.0, 3.0, argnums=1)
    12.0
    """
    call = _call("gradient", f, args, argnums, keywords, kwargs)
    return _derive("gradient", call, lifted, sigma, key, pairs, max_iterations, nan)[1]


def value_and_gradient(
    f: Callable[..., Any],
    *args: Any,
    argnums: int | Sequence[int] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    lifted: bool | None = None,
    sigma: float | None = None,
    key: Key[Array, ""] | None = None,
    pairs: int = 64,
    max_iterations: int = MAX_ITERATIONS,
    nan: str = "raise",
    **keywords: Any,
) -> tuple[Any, Any]:
    """The value of a scalar function of plain Python and NumPy, and its gradient.

    f is lifted (see `lift`), or taken as it is where it is a JAX function. Numbers, arrays, and lists, tuples and dicts of them
    have a gradient of the same form: a float for a Python number, a NumPy array of the same shape and dtype for NumPy's, a JAX
    array for JAX's. It is None for what has no derivative: text, None, booleans, arrays of integers, objects, and integers that
    decide how often a loop runs or how large an array is. Python's other integers count as the real numbers that they are.
    Unless an argument is a JAX array, the computation is in the precision of the arguments: double for Python's floats.

    By which arguments: those that `argnums` names, as in JAX. Without `argnums`, by those that hold a float (a Python float, an
    array of floats, or a container of such); where none does, by those that hold a Python integer. If that is one argument, its
    gradient itself is returned, else a tuple with one entry for each positional argument, None for what has no derivative. So
    the form of the result depends on the types of the arguments only.

    It is the derivative of the branches that the program takes for these arguments: of a program with jumps it does not see the
    jumps. With `sigma` it is that of the smoothed program, E[f(x + sigma u)], u standard normal, for all arguments that are
    differentiated: estimated from values of f at `pairs` pairs of points, and unbiased for it (see `smooth`). The value is then
    the mean over all points.

    The program is traced in the first call, and kept with the function; it is traced again for arguments of another form, and
    when a global variable, a closure or an attribute that it reads has changed.

    **Arguments:**

    - `f`: the function; its result is one real number.
    - `*args`: its positional arguments: numbers, arrays of any shape, lists, tuples and dicts of them, and anything else.
    - `argnums`: the argument to differentiate by, as a position from 0, or several in a tuple. An int gives the gradient
      itself, a tuple a tuple.
    - `kwargs`: f's keyword arguments whose names are options here, such as `{"key": ...}`. Not differentiated.
    - `lifted`: True lifts f, False takes it as a JAX function. By default, f is taken for a JAX function if it is one of a
      library on JAX, or names JAX and neither NumPy, SciPy nor math.
    - `sigma`: the standard deviation of the noise on the arguments, in their units, for the gradient of the smoothed program.
    - `key`: a PRNG key, which `sigma` needs.
    - `pairs`: the number of pairs of points for `sigma`: 2 `pairs` evaluations of f.
    - `max_iterations`: the bound on each `while` loop whose test depends on the arguments. Reverse mode keeps the state of
      about 2 sqrt(max_iterations) iterations.
    - `nan`: what happens to a gradient that is NaN where the value is finite. "raise" names the line that makes it; inside the
      caller's jit it is JAX's runtime error, without the line. "return" returns it. Infinite gradients are returned in any
      case, and so are those of a value that is not finite.
    - `**keywords`: f's other keyword arguments. Not differentiated.

    **Returns:**

    `(value, gradient)`: a float (a JAX scalar where an argument is a JAX array), and the gradient or the tuple of gradients.

    **Raises:**

    - `SpanaxError`: for a result that is not one real number; for what cannot be lifted (see `lift`); for an argument in
      `argnums` that has no derivative; for a gradient that is NaN; and for what goes wrong when the program runs: an
      assertion or a `raise` of its own, a loop at its bound, an index out of bounds.

    >>> import numpy as np, spanax as sx
    >>> def path(v, angle):
    ...     x, y, vx, vy = 0.0, 0.0, v * np.cos(angle), v * np.sin(angle)
    ...     while y >= 0:
    ...         x, y, vy = x + 0.01 * vx, y + 0.01 * vy, vy - 0.0981
    ...     return x
    >>> value, (by_speed, by_angle) = sx.value_and_gradient(path, 10.0, 0.7)
    >>> print(round(value, 3), round(by_speed, 3))
    10.172 1.017

    SciPy's minimisers take both at once (`jac=True`):

    >>> from scipy.optimize import minimize
    >>> rosen = lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
    >>> found = minimize(lambda x: sx.value_and_gradient(rosen, x), np.array([-1.0, 2.0]), jac=True, method="BFGS")
    >>> print(found.x.round(3))
    [1. 1.]

    optax's optimisers take the gradient, which has the form of the parameters:

    >>> import jax.numpy as jnp, optax
    >>> def loss(params):
    ...     return np.sum((params["w"] - 3) ** 2)
    >>> params, optimizer = {"w": jnp.array([1.0, -2.0])}, optax.sgd(0.25)
    >>> state = optimizer.init(params)
    >>> for _ in range(9):
    ...     value, slope = sx.value_and_gradient(loss, params)
    ...     updates, state = optimizer.update(slope, state)
    ...     params = optax.apply_updates(params, updates)
    >>> print(params["w"].round(1))
    [3. 3.]
    """
    call = _call("value_and_gradient", f, args, argnums, keywords, kwargs)
    return _derive("both", call, lifted, sigma, key, pairs, max_iterations, nan)


def _call(
    who: str, f: Any, args: tuple, argnums: Any, keywords: dict, kwargs: Mapping[str, Any] | None
) -> Differentiated:
    if not callable(f):
        raise SpanaxError(f"{who}() takes a function, not {f!r}", f"sx.{who}(f, x)")
    named = join_keywords(keywords, kwargs)
    refuse_foreign(args, named, tables=False)
    return Differentiated.of(f, args, named, argnums)


def _derive(
    derive: str,
    call: Differentiated,
    lifted: bool | None,
    sigma: float | None,
    key: Any,
    pairs: int,
    max_iterations: int,
    nan: str,
) -> tuple[Any, Any]:
    """The value, which may be None where only the gradient is asked for, and the gradient."""
    _check_options(lifted, sigma, key)
    check_choice(nan)
    # A plain function that was taken for a JAX one would fail at its first `if`, with JAX's error: `lifted=True` is the remedy.
    is_lifted = not is_jax(call.f) if lifted is None else lifted
    # The precision holds for the tracing and the run: a program in double precision cannot be entered in single.
    with call.precision(key):
        if sigma is not None:
            return derive_smoothed(call, Smoothing(sigma=sigma, pairs=pairs), key, max_iterations, is_lifted)
        return derive_lifted(call, max_iterations, derive, nan) if is_lifted else derive_jax(call, nan)


def _check_options(lifted: Any, sigma: Any, key: Any) -> None:
    if lifted not in (None, True, False):
        raise SpanaxError(f"lifted={lifted!r}", "lifted=True, for a plain function", "lifted=False, for a JAX function")
    if sigma is None and key is not None:
        raise SpanaxError(
            "a key without sigma: an exact gradient draws nothing", "sigma=0.1", 'kwargs={"key": key}, for a key of f'
        )
    if sigma is not None and key is None:
        raise SpanaxError("sigma needs a key: the smoothed gradient is an estimate", "key=jax.random.key(0)")
