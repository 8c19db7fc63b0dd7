"""`scipy_objective`: a JAX function, with a black box in it, as `scipy.optimize.minimize` wants it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from .._checks import check_key
from .._errors import SpanaxError, warn
from .._functions import check_scalar, needs_key, takes_key
from .._jaxprs import here
from .._pytree import PyTree
from ._least_squares.vector import Form

# Points without a value, one after the other, until there is something wrong with more than a step.
_MOST = 20


def scipy_objective(
    f: Callable[..., Any], like: PyTree[Any], *, key: Key[Array, ""] | None = None, fresh: bool = False
) -> ScipyObjective:
    """A scalar JAX function as an objective for `scipy.optimize.minimize(fun, fun.x0, jac=True)`.

    Value and gradient come from one call of f, compiled once. A line search compares values, so that all calls have the same
    key: a noisy black box is then one function of x, and the minimum that is found is that of this function. Its noise stays
    in the answer, and shows when the fit is repeated with other keys.

    Methods that suit: `"L-BFGS-B"` (recommended; it has bounds), `"BFGS"`, `"CG"`, `"SLSQP"` and `"trust-constr"`
    (constraints). For a sum of squares `least_squares` needs fewer evaluations, and gives errors. Where two values of one key
    have different noise, none of them is recommended: optax's steps average over it, and these stop at it.

    **Arguments:**

    - `f`: f(x), or f(x, key=key), a floating-point scalar that JAX can differentiate.
    - `like`: where to start: an x of the structure, shapes and dtypes that f takes.
    - `key`: of all calls, if f takes one.
    - `fresh`: another key in each call, made from `key` and the number of the call: for methods that expect noise.

    **Returns:**

    A `ScipyObjective`. `fun(vector)` is the value and the gradient, as a float and a vector of float64.

    A point whose evaluation fails (see `Run`), or where f is NaN or infinite, is shown to SciPy as lying on a steep wall about
    the last point that had a value, so that its line search turns back; that is warned of once, and 20 of them in a row
    raise. An infinite value would not do: SciPy's L-BFGS-B then stops and reports success.

    **Raises:**

    - `SpanaxError` for an f that does not return a scalar, a `like` that does not hold floats, a gradient that is not finite
      where the value is, a first point without a value, and 20 in a row.

    >>> import jax.numpy as jnp, scipy.optimize, spanax as sx
    >>> fun = sx.scipy_objective(lambda x: (x["a"] - 3.0) ** 2 + jnp.sum(x["b"] ** 2), {"a": 0.0, "b": jnp.ones(2)})
    >>> result = scipy.optimize.minimize(fun, fun.x0, jac=True, method="L-BFGS-B")
    >>> print(round(float(fun.unflatten(result.x)["a"]), 3))
    3.0
    """
    if key is not None:
        check_key(key)
    form = Form.of("scipy_objective(f, like=...)", like)
    x = jax.tree.map(jnp.asarray, like)
    takes = key is not None and takes_key(f, (x,), {})
    # A black box takes one and may do without.
    if key is None and needs_key(f, (x,), {}):
        raise SpanaxError("scipy_objective of a function that takes a key", "key=jax.random.key(0)")
    if fresh and not takes:
        raise SpanaxError("scipy_objective(fresh=True) of a function that takes no key", "fresh=False")

    def call(x: PyTree[Array], key: Any) -> Array:
        return f(x, key=key) if takes else f(x)

    check_scalar("the f of scipy_objective", jax.eval_shape(call, x, key), here(), "jnp.sum(residuals**2)")
    return ScipyObjective(call, form, form.flatten(x), key, fresh)


class ScipyObjective:
    """An objective for `scipy.optimize.minimize(fun, fun.x0, jac=True)`. Made by `scipy_objective`.

    - `x0`: where to start, as a vector of float64;
    - `calls`: so far; `failures`: of these, points without a value.

    >>> import spanax as sx
    >>> fun = sx.scipy_objective(lambda x: x["a"] ** 2, {"a": 3.0})
    >>> fun(fun.x0)
    (9.0, array([6.]))
    >>> fun.unflatten(fun.x0)
    {'a': array(3., dtype=float32)}
    """

    def __init__(self, call: Callable[..., Any], form: Form, x0: np.ndarray, key: Any, fresh: bool):
        self.x0, self.calls, self.failures = x0, 0, 0
        self._form, self._key, self._fresh = form, key, fresh
        self._value_and_grad = jax.jit(jax.value_and_grad(call))
        self._last: tuple[np.ndarray, float, np.ndarray] | None = None
        self._in_a_row = 0

    def __call__(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        vector = np.asarray(vector, np.float64)
        key = self._key if not self._fresh else jax.random.fold_in(self._key, self.calls)
        self.calls += 1
        try:
            value, slope = self._value_and_grad(self.unflatten(vector), key)
            value, slope = float(value), self._form.flatten(slope)
        except Exception as error:
            return self._wall(vector, _failure(error))
        if not np.isfinite(value):
            return self._wall(vector, f"the value is {value}")
        if not np.all(np.isfinite(slope)):
            name = self._form.names[int(np.argmin(np.isfinite(slope)))]
            problem = f"scipy_objective: the value is finite, and the derivative by {name} is not"
            raise SpanaxError(problem, "bounds=..., where the function has a derivative")
        self._last, self._in_a_row = (vector.copy(), value, slope), 0
        return value, slope

    def unflatten(self, vector: np.ndarray) -> PyTree[np.ndarray]:
        """A vector, such as `result.x`, in the structure, shapes and dtypes of `like`."""
        return self._form.unflatten(vector)

    def _wall(self, vector: np.ndarray, why: str) -> tuple[float, np.ndarray]:
        """Value and gradient of a parabola about the last point that had a value: high beside what its slope promised."""
        self.failures += 1
        self._in_a_row += 1
        if self._last is None or self._in_a_row >= _MOST:
            which = "the first point" if self._last is None else f"{_MOST} points in a row"
            remedies = "bounds=... of the optimizer", "another x0"
            raise SpanaxError(f"scipy_objective: {which} had no value: {why}", *remedies)
        warn(
            f"scipy_objective: a point had no value, and the optimizer is turned back: {why}",
            "bounds=..., within which the function has values",
        )
        x, value, slope = self._last
        away = vector - x
        square = float(away @ away) or 1.0
        height = 10 * float(np.linalg.norm(slope)) * square**0.5 or 1.0
        return value + 2 * height, 2 * height * away / square


def _failure(error: Exception) -> str:
    """What failed, in the words of the black box; raises the error again where it is another one."""
    # Inside jit it arrives as an error of JAX or a ValueError, with the traceback as text.
    found = re.search(r"SpanaxError: (black box .*?: point \d+ of \d+ failed.*)", str(error))
    if found is None:
        raise error
    return found[1]
