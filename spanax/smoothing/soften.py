"""`soften`: the softened program."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import SpanaxError, SpanaxWarning, diagnosis
from .._foreign_arrays import refuse_foreign
from .._jaxprs import ClosedJaxpr, aval, is_traced, where, without_dead_code
from ._soften import arithmetic, choice, control, indexing, order, steps
from ._soften.interpreter import Interpreter, KeptHard as KeptHard
from ._soften.reach import REACHED, Reach
from ._soften.values import is_float, is_soft, number

RULES = {
    **arithmetic.RULES,
    **choice.RULES,
    **indexing.RULES,
    **order.RULES,
    **steps.RULES,
    **control.RULES,
}


class Softened(eqx.Module):
    """f with its hard operations softened: what `soften` returns."""

    f: Callable[..., Any]
    softness: Float[Array, ""] | float
    straight_through: bool = eqx.field(static=True)
    warns: bool = eqx.field(static=True)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """f's result; its integers and booleans are floats, where a float that f is given reaches them."""
        trace = _Trace(self, args, kwargs)
        if self.warns:
            trace.warn()
        return trace.run()[0]

    def kept_hard(self, *args: Any, **kwargs: Any) -> tuple[KeptHard, ...]:
        """What stays hard for these arguments, in the order of the program: each operation with its `file:line`.

        Comparisons of integers that no float reaches are not listed, nor tests for NaN, nor `stop_gradient`.
        """
        refuse_foreign(args, kwargs)
        kept: list[KeptHard] = []

        def run(args, kwargs):
            out, found = _Trace(self, args, kwargs).run()
            kept[:] = found
            return out

        # Traced, not run: which operations stay hard does not depend on numbers.
        eqx.filter_eval_shape(run, args, kwargs)
        return tuple(kept)

    def __repr__(self) -> str:
        name = getattr(self.f, "__name__", repr(self.f))
        return f"soften({name}, {self.softness}, straight_through={self.straight_through})"


class _Trace:
    """One call of a softened function."""

    def __init__(self, of: Softened, args: tuple, kwargs: dict):
        refuse_foreign(args, kwargs)
        leaves, tree = jax.tree.flatten((args, kwargs))
        # Functions, text and None among the arguments are static.
        given = [k for k, leaf in enumerate(leaves) if eqx.is_array_like(leaf)]
        self.of, self.given = of, [leaves[k] for k in given]

        def f(given_leaves):
            values = list(leaves)
            for k, x in zip(given, given_leaves, strict=True):
                values[k] = x
            args, kwargs = jax.tree.unflatten(tree, values)
            return of.f(*args, **kwargs)

        closed, self.shape = jax.make_jaxpr(f, return_shape=True)(self.given)
        # Operations whose results nothing reads would be listed as kept hard.
        self.closed: ClosedJaxpr = without_dead_code(closed)
        self.bits = [REACHED if is_float(aval(v).dtype) else 0 for v in self.closed.jaxpr.invars]
        self.reach = Reach(frozenset(RULES))

    def run(self) -> tuple[Any, list[KeptHard]]:
        soft = Interpreter(RULES, self.reach, _as_softness(self.of.softness), self.of.straight_through)
        variables = self.closed.jaxpr.invars
        ins = [
            x if not _is_array_dtype(v) else jnp.asarray(x, aval(v).dtype)
            for x, v in zip(self.given, variables, strict=True)
        ]
        outs = soft.run(self.closed, self.bits, ins, "")
        # An integer that a float argument reaches comes back as a float, with its derivative; others stay integers.
        flow = self.reach.of(self.closed, self.bits)
        results = [
            number(x) if is_soft(x) or (b & REACHED and not is_float(aval(v).dtype)) else jnp.asarray(x)
            for x, b, v in zip(outs, flow.outs, self.closed.jaxpr.outvars, strict=True)
        ]
        return jax.tree.unflatten(jax.tree.structure(self.shape), results), list(soft.kept)

    def warn(self) -> None:
        mixed = self.reach.of(self.closed, self.bits).mixed
        if mixed:
            message = diagnosis(
                "a softened choice mixes two states of the loop around it: their mean is not a state of the program, and the "
                "derivative can be far off, in value and in sign",
                "smooth(f, via=Smoothing(sigma)): unbiased for the smoothed gradient, whatever the program does",
                "compare with finite differences of smooth(f) before you trust it",
                where=where(mixed[0]),
            )
            warnings.warn(SpanaxWarning(message), stacklevel=3)


def _is_array_dtype(v: Any) -> bool:
    return not jnp.issubdtype(aval(v).dtype, jax.dtypes.extended)


def _as_softness(softness: Any) -> Any:
    """The softness as an array; NaN, where it is traced and turns out not to be positive."""
    if is_traced(softness):
        s = softness.astype(jnp.result_type(float))
        return jnp.where(s > 0, s, jnp.nan)
    return np.asarray(softness, jnp.result_type(float))


def _check(softness: Any) -> None:
    if is_traced(softness):
        usable = softness.shape == () and jnp.issubdtype(softness.dtype, jnp.floating)
    else:
        try:
            value = np.asarray(softness, float)
        except (TypeError, ValueError):
            value = np.asarray(np.nan)
        usable = value.shape == () and bool(0 < value < np.inf)
    if not usable:
        raise SpanaxError(
            f"softness={softness!r}",
            "a positive number: the standard deviation of noise on each operation's input, in its units",
        )


def softened(f: Callable[..., Any], softness: Float[Array, ""] | float, straight_through: bool = False) -> Softened:
    """`soften`, which does not warn."""
    _check(softness)
    return Softened(f, softness, straight_through, warns=False)


def soften(f: Callable[..., Any], softness: Float[Array, ""] | float, straight_through: bool = False) -> Softened:
    """f with its hard operations softened: a function with f's signature, differentiable where f jumps.

    >>> import jax, jax.numpy as jnp
    >>> f = lambda x: jnp.where(x > 0, jnp.floor(3 * x), -1.0)
    >>> float(jax.grad(f)(0.1)), round(float(jax.grad(soften(f, 0.1))(0.1)), 2)
    (0.0, 2.53)

    f is traced, and its program run with soft values. Each operation without a useful derivative gives its expectation under
    noise on its own input, of standard deviation `softness` in that input's units, independent of all other noise:

    - comparisons give the chance that they hold, and choices (`where`, `select`, `cond`, `switch`) mix what they choose from;
      where one of the cases is infinite or NaN, and both are possible, the likelier one is taken alone;
    - `and`, `or`, `not`, `any`, `all` are those of independent events, exact for functions of one and the same comparison;
    - `floor`, `ceil`, `round`, `trunc`, `sign`, `//`, `%`, casts to integers and `searchsorted` are exact expectations under
      Gaussian noise, and so are comparisons with them and tables read at them, which get no second noise. An index that noise
      takes out of the array is clipped into it;
    - `argmax` and `argmin` are exact under Gumbel noise on each entry, and so are one-hot codes of them and tables read at them;
      what a sort or `top_k` carries along is by SoftSort's weights (Prillo and Eisenschlos 2020), exact under Gumbel noise for
      two entries, and for the first and last of many; they need memory quadratic in the number of entries;
    - integers computed from these are carried as means: sums, and products of independent ones, are exact; comparisons, tables,
      division and remainder are linear between the two integers next to the mean;
    - a == b of two floats is exp(-(a - b)^2 / 2 softness^2); of a float and a number in the program it stays hard, since noise
      never meets that number.

    Continuous operations (`max`, `abs`, `clip`, sorted values) stay as they are, and so does all that does not depend on the
    floating-point arguments of f, or on traced values that it closes over. As softness -> 0 the value tends to f's own, but
    on the jumps themselves: a tie has chance 1/2.

    A result of f that is an integer or a boolean comes as a float, if a floating-point argument reaches it. Functions with a rule
    of their own (`custom_jvp`, `custom_vjp`) keep it, unless something in them is softened: then they are entered, and the
    rule is left behind.

    `soften(f, s).kept_hard(*args)` lists what stays hard, with its line: whole `while` loops whose length depends on the
    arguments (softened, nothing would promise that they end), host callbacks, bits of integers, random keys made from rounded
    numbers, sorts by several keys, unknown operations with an integer result.

    It misleads where a loop carries a mixture: the mean of two states is not a state, and the steps that follow take it for one.
    For a bouncing ball the derivative has the wrong sign; for a thermostat it is right to a few parts in a hundred. Where a
    loop's state depends on a mixture of itself, calling the function warns (`SpanaxWarning`), with the line. `smooth` is
    unbiased for the smoothed gradient, whatever f does.

    The softened program costs about 1 to 6 times f, more where f does nothing but compare. Call it under `jax.jit`.

    **Arguments:**

    - `f`: a JAX function of any arguments.
    - `softness`: the standard deviation of the noise, in the units of each operation's input: a positive number, or a traced
      scalar. Traced and not positive, it makes results NaN.
    - `straight_through`: True keeps f's own values, with the derivatives of the softened operations at these values.

    **Returns:**

    A function with f's signature, which has `kept_hard(*args)` besides.

    **Raises:**

    - `SpanaxError`: softness is known and is not a positive scalar.
    """
    _check(softness)
    return Softened(f, softness, straight_through, warns=True)
