"""Functions of the program that SciPy calls: traced once, with what they close over, as functions of JAX arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ..._jaxprs import evaluate_jaxpr, is_traced
from .._derivatives.unreached import careful
from .._session import session, unliftable
from .._values.values import LiftedArray, Number, as_jax


class Given:
    """`function(*args)`, of values of the program, as one of arrays: NaN where the function would end in an error.

    `depends`: does it read numbers that are not known, beside its arguments?
    """

    def __init__(self, function: Callable[..., Any], who: str, examples: Sequence[jax.Array]):
        self.who = who
        # A solver differentiates it by a rule of its own, so that what its selections leave out is seen to here.
        self.program = jax.make_jaxpr(careful(lambda *xs: self._traced(function, xs)))(*examples)
        if self.program.effects:
            raise unliftable(f"the function given to {who} prints or logs", "the same without it")
        self.depends = any(map(is_traced, self.program.consts))
        self.shape = self.program.out_avals[0].shape

    def __call__(self, *xs: jax.Array) -> jax.Array:
        return self.over(self.program.consts, *xs)

    def over(self, consts: Sequence, *xs: jax.Array) -> jax.Array:
        """With other values in the place of what it closes over."""
        return evaluate_jaxpr(self.program.jaxpr, consts, *xs)[0]

    def still(self, *xs: jax.Array) -> jax.Array:
        """Without a derivative."""
        return self.over(list(map(jax.lax.stop_gradient, self.program.consts)), *xs)

    def _traced(self, function: Callable, xs: Sequence[jax.Array]) -> jax.Array:
        now = session()
        with now.block() as writes, now.stage():
            now.record(now.fault, 0)
            # A fault inside is the function's own: it makes its value NaN at that point, and does not end the
            # program.
            now.fault.code = 0
            value = now.rules.hooks.final_result(function(*map(_value, xs)))
            # The solver calls it as often as it likes, so a write from inside would happen an unknown number of
            # times.
            if set(writes.before) - {now.fault.key}:
                raise unliftable(
                    f"the function given to {self.who} writes to what was made outside of it",
                    "a result that it returns",
                    "the same computed again at the solution",
                )
            if value is None:
                raise unliftable(f"the function given to {self.who} returns None", "return its value")
            data = as_jax(value)
            failed = now.fault.code
        data = data if jnp.issubdtype(data.dtype, jnp.inexact) else data.astype(float)
        # A code that is a Python number is known to be 0: no fault is possible.
        return data if isinstance(failed, int) else jnp.where(failed == 0, data, jnp.nan)


def _value(x: jax.Array) -> Any:
    return LiftedArray(x) if x.ndim else Number(x, float)


def in_program(function: Callable, *more: Any) -> Callable:
    """`function(x, *more)`, by the rules of the program."""
    if isinstance(function, Part):
        return lambda *xs: in_program(function.whole, *more)(*xs)[function.index]
    return lambda *xs: session().rules.call(function, *xs, *more)


class Part:
    """One part of what a function of the program returns."""

    def __init__(self, whole: Callable, index: int):
        self.whole, self.index = whole, index

    def __call__(self, *args: Any) -> Any:
        return in_program(self, *args[1:])(args[0])


def real(x: Any, who: str) -> jax.Array:
    """A number or an array of real numbers, in floating point."""
    data = as_jax(x)
    if jnp.issubdtype(data.dtype, jnp.complexfloating):
        raise unliftable(f"{who} of complex numbers", "their real and imaginary parts")
    return data if jnp.issubdtype(data.dtype, jnp.floating) else data.astype(float)


def refuse_options(who: str, **options: Any) -> None:
    """Those that have no counterpart, where they are given."""
    for name, value in options.items():
        if value is not None and value is not False:
            raise unliftable(f"{who}({name}=...) is not lifted", f"the same without {name}", "sx.blackbox around it")


class Result:
    """What a solver returns: the attributes that there are; the others are refused by name."""

    def __init__(self, who: str, **attributes: Any):
        self.who = who
        self.attributes = attributes

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("who", "attributes"):
            raise AttributeError(name)
        if name not in self.attributes:
            raise unliftable(f".{name} of the result of {self.who} is not known in a lifted program", *_HINT)
        return self.attributes[name]

    def __getitem__(self, name: str) -> Any:
        if name not in self.attributes:
            raise unliftable(f"[{name!r}] of the result of {self.who} is not known in a lifted program", *_HINT)
        return self.attributes[name]


_HINT = ("the solution itself", "sx.blackbox around it, with a bridge")
