"""A quasi-Newton method for gradients from differences: BFGS with a line search that asks for values only.

A gradient from differences costs one evaluation for each number of x, a value costs one. So the line search must decide from
values what others decide from the slope at the new point: whether the step was long enough for the curvature to be learnt.
Goldstein's condition does (Nocedal and Wright 2006, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from .._checks import check_positive
from .._errors import SpanaxError

if TYPE_CHECKING:
    import optax

# Armijo's share of the first-order decrease, low as the slope is exact nearly always, and the share above which f falls as if
# it were straight, so that a longer step is tried. A parabola's minimum along the line has .5.
_SUFFICIENT, _STRAIGHT = 1e-4, 0.6
_GROWTH, _TRIALS = 2.0, 40
_NOISE = 10  # times the spacing of floats at f: changes of f below are rounding
_CURVED = 1e-10  # the cosine between step and change of the gradient, below which nothing is learnt


class QuasiNewtonState(NamedTuple):
    """Where the last gradient was taken, and the inverse of the Hessian that the gradients so far tell of."""

    x: Float[Array, " n"]
    gradient: Float[Array, " n"]
    inverse: Float[Array, "n n"]
    learnt: Bool[Array, ""]
    length: Float[Array, ""]
    count: Int[Array, ""]


class _Search(NamedTuple):
    """A line search under way: what is tried next, and the best so far (at 0, f itself)."""

    trial: Float[Array, ""]
    best: Float[Array, ""]
    value: Float[Array, ""]
    shortened: Bool[Array, ""]
    done: Bool[Array, ""]
    trials: Int[Array, ""]


def quasi_newton(curvature: float = 1.0, length: float = 1.0) -> optax.GradientTransformationExtraArgs:
    """BFGS with a line search by values: the optimizer for gradients from `FiniteDifference`.

    An optax optimizer that takes `value`, `grad` and `value_fn`, as optax's line searches do; `descend` gives them. Each step
    takes the value and the gradient where it is, and the values at 1 to 3 points along a line, more where f is rough.
    Recommended for smooth functions without noise, ill-conditioned ones included, of up to a few hundred numbers (it keeps an
    n x n matrix). Not for noise: take `optax.adam` or `optax.sgd` there. It finds the minimum of one valley: begin from several
    points where there may be more.

    The step of the differences decides how near it comes. Take `FiniteDifference(1e-9, "forward")` in float64, for a function
    whose values are right to the last digits: with a longer one the curvature of the steepest direction hides the slope of the
    flattest. At the minimum all differences are rounding; `sx.blackbox(..., constant=True)` makes the derivative 0 there.

    The matrix begins as the identity divided by `curvature`. It isn't scaled by what the first step finds: that is the curvature
    of the steepest direction, and that of others may be a million times less. If the line search finds no lower value, it
    begins again, along the gradient; if there is none either, x stays where it is.

    **Arguments:**

    - `curvature`: the least second derivative expected, in units of f over the square of those of x: a positive number. A factor
      of 10 matters little.
    - `length`: of the first step, in the units of x: a positive number.

    **Returns:** an `optax.GradientTransformationExtraArgs`. Its updates are to be added to the parameters as they are.

    **Raises:** `SpanaxError` for arguments that are not positive numbers; in `update`, without `params`, `value` or `value_fn`.

    Nocedal and Wright 2006 (Numerical Optimization), equations 6.17 (BFGS) and 3.11 (Goldstein's condition).

    >>> import jax, numpy as np, spanax as sx
    >>> with jax.enable_x64(True):
    ...     f = sx.blackbox(
    ...         lambda x: (x[0] - 1) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2,
    ...         jax.ShapeDtypeStruct((), float),
    ...         via=sx.FiniteDifference(1e-9, "forward"),
    ...     )
    ...     found = sx.descend(f, np.zeros(2), optimizer=sx.quasi_newton(), steps=30, key=jax.random.key(0))
    >>> print(found.x.round(3))
    [1. 1.]
    """
    check_positive("quasi_newton(curvature", curvature)
    check_positive("quasi_newton(length", length)
    import optax

    def init(params: Any) -> QuasiNewtonState:
        x = ravel_pytree(params)[0]
        inverse = jnp.eye(x.size, dtype=x.dtype) / curvature
        off, none = jnp.asarray(False), jnp.asarray(0)
        return QuasiNewtonState(x, jnp.zeros_like(x), inverse, off, jnp.asarray(length, x.dtype), none)

    def update(updates: Any, state: Any, params: Any = None, *, value=None, value_fn=None, **_: Any):
        if params is None or value is None or value_fn is None:
            raise SpanaxError(
                "quasi_newton needs the parameters, the value there, and the function",
                "optimizer.update(grad, state, params, value=value, grad=grad, value_fn=f)",
            )
        x, unravel = ravel_pytree(params)
        gradient = ravel_pytree(updates)[0]
        state = _learn(state, x, gradient)
        fresh = jnp.eye(x.size, dtype=x.dtype) / curvature
        step, failed = _step(state, x, gradient, fresh, jnp.asarray(value, x.dtype), lambda x: value_fn(unravel(x)))
        state = state._replace(
            x=x,
            gradient=gradient,
            inverse=jnp.where(failed, fresh, state.inverse),
            learnt=state.learnt & ~failed,
            length=jnp.where(jnp.any(step != 0), jnp.linalg.norm(step), state.length),
            count=state.count + 1,
        )
        return unravel(step), state

    return optax.GradientTransformationExtraArgs(init, update)


def _learn(state: QuasiNewtonState, x: Array, gradient: Array) -> QuasiNewtonState:
    """The matrix after the step to x: BFGS (equation 6.17), where f is curved upwards along the step."""
    # A number that a bound held at one of the two points tells no curvature.
    s, y = x - state.x, jnp.where((gradient != 0) & (state.gradient != 0), gradient - state.gradient, 0)
    curved = jnp.vdot(s, y)
    useful = (state.count > 0) & (curved > _CURVED * jnp.linalg.norm(s) * jnp.linalg.norm(y))
    rho = 1 / jnp.where(useful, curved, 1)
    Hy = state.inverse @ y
    better = state.inverse + (rho + rho**2 * jnp.vdot(y, Hy)) * jnp.outer(s, s)
    better = better - rho * (jnp.outer(Hy, s) + jnp.outer(s, Hy))
    return state._replace(inverse=jnp.where(useful, better, state.inverse), learnt=state.learnt | useful)


def _step(state, x, gradient, fresh, value, f) -> tuple[Array, Array]:
    """The step, and whether the matrix failed: then the step is one along the gradient."""

    def attempt(carry):
        _, _, number = carry
        # What has learnt nothing yet knows no length: the first step is as long as asked for, a later one as the last.
        known = state.learnt & (number == 0)
        # What has no slope at all, as what a bound holds, doesn't move: it would be against the bound, or for nothing.
        direction = -jnp.where(gradient != 0, jnp.where(known, state.inverse @ gradient, fresh @ gradient), 0)
        size = jnp.linalg.norm(direction)
        first = jnp.where(known, 1, jnp.minimum(1, state.length / jnp.where(size > 0, size, 1)))
        # Shorter steps than this don't change x.
        least = jnp.finfo(x.dtype).eps * jnp.linalg.norm(x) / jnp.where(size > 0, size, 1)
        found = _search(lambda t: f(x + t * direction), value, jnp.vdot(gradient, direction), first, least)
        return found.best * direction, found.best > 0, number + 1

    def again(carry):
        _, found, number = carry
        return ~found & (number < jnp.where(state.learnt, 2, 1))

    step, _, number = lax.while_loop(again, attempt, (jnp.zeros_like(x), jnp.asarray(False), jnp.asarray(0)))
    return step, number > 1


def _search(f: Callable, value: Array, slope: Array, first: Array, least: Array) -> _Search:
    """Along one line: shorter until f falls enough, or longer while it falls as if it were straight."""
    noise = _NOISE * jnp.finfo(value.dtype).eps * jnp.abs(value)

    def advance(at: _Search) -> _Search:
        t = at.trial
        new = jnp.asarray(f(t), value.dtype)
        moved = at.best > 0
        # NaN counts as a value that is too high, since no comparison with it holds.
        taken = jnp.where(moved, new < at.value, new <= value + _SUFFICIENT * t * slope)
        longer = taken & ~at.shortened & (new < value + _STRAIGHT * t * slope)
        # The minimum of the parabola through the value and slope at 0 and the new value; within a tenth and a half.
        bend = new - value - t * slope
        shorter = jnp.clip(jnp.nan_to_num(-slope * t**2 / (2 * bend), nan=0.0), 0.1 * t, 0.5 * t)
        trial = jnp.where(longer, _GROWTH * t, shorter)
        # Where even the first-order decrease is below rounding, no shorter step shows one.
        hopeless = ~taken & ((-trial * slope < noise) | (trial < least))
        return _Search(
            trial,
            jnp.where(taken, t, at.best),
            jnp.where(taken, new, at.value),
            at.shortened | ~taken,
            ~longer & (taken | moved) | hopeless,
            at.trials + 1,
        )

    off = ~(slope < 0)
    start = _Search(first, jnp.zeros_like(value), value, jnp.asarray(False), off, jnp.asarray(0))
    return lax.while_loop(lambda at: ~at.done & (at.trials < _TRIALS), advance, start)
