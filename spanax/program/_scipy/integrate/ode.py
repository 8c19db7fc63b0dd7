"""`scipy.integrate.solve_ivp` and `odeint`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._session import line, session, unliftable
from ..._values.trees import has_unknown
from ..._values.values import as_jax, is_unknown, raw, wrap
from ..given import Given, Result, in_program, real, refuse_options
from .explicit import Explicit
from .radau import Radau
from .steps import Method, Problem, Solution, integrate

METHODS: dict[str, Method] = {
    **{name: Explicit(name) for name in ("RK23", "RK45", "DOP853")},
    # BDF and LSODA change their order from step to step; Radau is accurate to the same tolerance, on other steps.
    **{name: Radau() for name in ("Radau", "BDF", "LSODA")},
}


def solve_ivp(
    fun: Callable,
    t_span: Any,
    y0: Any,
    method: Any = "RK45",
    t_eval: Any = None,
    dense_output: Any = False,
    events: Any = None,
    vectorized: Any = False,
    args: Any = None,
    rtol: Any = 1e-3,
    atol: Any = 1e-6,
    first_step: Any = None,
    max_step: Any = np.inf,
    jac: Any = None,
    **options: Any,
) -> Any:
    """`jac` is not needed: the derivative is exact."""
    who = "scipy.integrate.solve_ivp"
    name = getattr(method, "__name__", method)
    refuse_options(who, dense_output=dense_output, events=events, **options)
    if name not in METHODS:
        raise unliftable(f"{who}(method={method!r}) is not lifted", f"one of {', '.join(METHODS)}")
    if len(np.shape(as_jax(y0))) != 1:
        raise ValueError("`y0` must be 1-dimensional.")
    call = in_program(fun, *(args or ()))
    if vectorized:
        call = _by_column(call)
    times = None if t_eval is None else _times(t_eval, t_span)
    found = _solve(who, call, (t_span[0], t_span[1]), y0, METHODS[name], times, rtol, atol, first_step, max_step)
    if found is NotImplemented:
        return found
    start, end, first, solution = found
    # Without t_eval the times are those of the steps, whose number is not known while the program is traced.
    if solution.rows is None:
        t, y = Ends(start, end, who), Ends(first, solution.y, who, axis=1)
    else:
        t, y = wrap(times), wrap(solution.rows.T)
    message = "The solver successfully reached the end of the integration interval."
    return Result(who, t=t, y=y, success=True, status=0, message=message, sol=None, t_events=None, y_events=None)


def _by_column(whole: Callable) -> Callable:
    """A function of a matrix of states, of one state."""

    def single(t: Any, y: Any) -> Any:
        item = session().rules.item
        return session().rules.call(np.ravel, whole(t, item(y, (slice(None), None))))

    return single


def odeint(
    func: Callable,
    y0: Any,
    t: Any,
    args: Any = (),
    Dfun: Any = None,
    col_deriv: Any = 0,
    full_output: Any = 0,
    ml: Any = None,
    mu: Any = None,
    rtol: Any = None,
    atol: Any = None,
    tcrit: Any = None,
    h0: Any = 0.0,
    hmax: Any = 0.0,
    hmin: Any = 0.0,
    ixpr: Any = 0,
    mxstep: Any = 0,
    mxhnil: Any = 0,
    mxordn: Any = 12,
    mxords: Any = 5,
    printmessg: Any = 0,
    tfirst: Any = False,
) -> Any:
    """By the Radau method: LSODA's, which changes from method to method, has no counterpart."""
    who = "scipy.integrate.odeint"
    refuse_options(who, full_output=full_output or None, tcrit=tcrit)
    args = args if isinstance(args, tuple) else (args,)
    call = in_program(func, *args)
    times = as_jax(t)
    rule = call if tfirst else lambda t, y: call(y, t)
    start = real(y0, who).reshape(-1)
    default = 1.49012e-8
    # LSODA's convention: 0 stands for "as you like".
    first, longest = (x if x else None for x in (raw(h0), raw(hmax)))
    longest = np.inf if longest is None else longest
    rtol, atol = (default if x is None else x for x in (rtol, atol))
    span = session().rules.item(wrap(times), 0), session().rules.item(wrap(times), -1)
    known = not has_unknown((t, y0))
    found = _solve(who, rule, span, start, METHODS["LSODA"], times, rtol, atol, first, longest, known)
    return found if found is NotImplemented else wrap(found[3].rows)


def _times(t_eval: Any, t_span: Any) -> jax.Array:
    times = as_jax(t_eval)
    if times.ndim != 1:
        raise ValueError("`t_eval` must be 1-dimensional.")
    start, end = as_jax(t_span[0]), as_jax(t_span[1])
    low, high = jnp.minimum(start, end), jnp.maximum(start, end)
    who, steps = "scipy.integrate.solve_ivp", jnp.sign(end - start) * jnp.diff(times)
    for failed, problem in (
        (jnp.any((times < low) | (times > high)), "values in t_eval are not within t_span"),
        (jnp.any(steps <= 0), "values in t_eval are not properly sorted"),
    ):
        session().check(failed, f"{who}: {problem}", line(), "times in the order of t_span, and inside it")
    return times


def _solve(
    who: str,
    call: Callable,
    span: tuple[Any, Any],
    y0: Any,
    method: Method,
    times: jax.Array | None,
    rtol: Any,
    atol: Any,
    first: Any,
    longest: Any,
    known: bool = True,
) -> Any:
    y = real(y0, who)
    dtype = jnp.result_type(y, *(real(x, who).dtype for x in span))
    y, start, end = (as_jax(x, dtype) for x in (y, *span))
    f = Given(lambda t, v: jnp.broadcast_to(as_jax(call(t, v)).astype(dtype), y.shape), who, [start, y])
    if known and not f.depends and not has_unknown((span, y0, times, rtol, atol, first, longest)):
        return NotImplemented
    eps = jnp.finfo(dtype).eps
    # SciPy's own lower bound.
    tolerance = jnp.maximum(as_jax(rtol, dtype), 100 * eps)
    problem = Problem(f, f.still, *map(jax.lax.stop_gradient, (tolerance, as_jax(atol, dtype), as_jax(longest, dtype))))
    first = None if first is None else as_jax(first, dtype)
    times = None if times is None else times.astype(dtype)
    bound = session().max_iterations
    solution = integrate(method, problem, (start, end), y, times, first, bound)
    _check(who, solution, bound)
    return start, end, y, solution


def _check(who: str, solution: Solution, bound: int) -> None:
    session().check(
        solution.small | ~jnp.all(jnp.isfinite(solution.y)),
        f"{who}: the step became as small as rounding: the solution grows without bound, jumps, or is NaN",
        line(),
        "a shorter span",
        "method='Radau', where it is stiff",
        "a function that neither jumps nor fails",
    )
    session().check(
        solution.unfinished,
        f"{who} took {bound} steps, and had not reached the end",
        line(),
        "sx.lift(f, max_iterations=...)",
        "method='Radau', where it is stiff, or looser tolerances",
    )


class Ends:
    """The first and the last of steps whose number depends on the arguments; along `axis`, of rows where that is 1."""

    def __init__(self, first: jax.Array, last: jax.Array, who: str, axis: int = 0):
        self.first, self.last, self.who, self.axis = first, last, who, axis

    @property
    def T(self) -> Ends:  # noqa: N802  # NumPy's name
        return Ends(self.first, self.last, self.who, 1 - self.axis if self.first.ndim else 0)

    def __len__(self) -> int:
        if self.axis == 0:
            raise self.refusal()
        return len(self.first)

    def __iter__(self) -> Iterator:
        return iter([self[i] for i in range(len(self))])

    def __getitem__(self, index: Any) -> Any:
        parts = list(index) if isinstance(index, tuple) else [index]
        if len(parts) <= self.axis:  # rows
            rows = raw(parts[0])
            return Ends(self.first[rows], self.last[rows], self.who, 0 if isinstance(rows, (int, np.integer)) else 1)
        # The first and the last are known, whatever the number of steps is.
        place = parts.pop(self.axis)
        if is_unknown(place) or not isinstance(raw(place), (int, np.integer)) or raw(place) not in (0, -1):
            raise self.refusal()
        chosen = self.last if raw(place) == -1 else self.first
        rows = wrap(chosen)
        return session().rules.item(rows, raw(parts[0])) if parts else rows

    def refusal(self) -> Exception:
        return unliftable(
            f"how many steps {self.who} takes depends on the arguments: only the first and the last are known",
            "t_eval=np.linspace(t0, t1, n)",
            "sol.y[:, -1]",
        )

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise self.refusal()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self.refusal()


def _refuse(self: Ends, *others: Any) -> Any:
    raise self.refusal()


for _name in "add sub mul truediv floordiv mod pow matmul".split():
    setattr(Ends, f"__{_name}__", _refuse)
    setattr(Ends, f"__r{_name}__", _refuse)
for _name in "neg pos abs lt le gt ge eq ne bool float array_ufunc array_function".split():
    setattr(Ends, f"__{_name}__", _refuse)

RULES = {"integrate.solve_ivp": solve_ivp, "integrate.odeint": odeint}
