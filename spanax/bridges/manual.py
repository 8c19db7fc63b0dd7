"""A derivative that the user wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx

from .._errors import SpanaxError
from .base import Bridge
from .facts import Facts


class Manual(Bridge):
    """The user's own derivative of a black box, a function of NumPy arrays that runs on the host: either `vjp` or `jvp`.

    - `vjp(x, y, ct)`: the derivative of <ct, f> at x, a pytree of x's structure and shapes; `y` is f(x), `ct` of y's structure;
    - `jvp(x, y, v)`: the derivative of f at x along v, a pytree of y's structure and shapes; `v` is of x's structure.

    Both must be linear in their last argument, as derivatives are. That is not checked, and neither is that it is the derivative
    of f: it is biased as far as the user's function is wrong. `f.check` of a `blackbox` compares it with values of f.

    Raises `SpanaxError` if both or none are given, or if what is given cannot be called. By definition, no paper.

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> via = sx.Manual(vjp=lambda x, y, ct: ct * 2 * x)
    >>> f = sx.blackbox(lambda x: x**2, out=jax.ShapeDtypeStruct((), jnp.float32), via=via)
    >>> print(jax.grad(f)(3.0))
    6.0
    """

    vjp: Callable[[Any, Any, Any], Any] | None = eqx.field(static=True, default=None)
    jvp: Callable[[Any, Any, Any], Any] | None = eqx.field(static=True, default=None)

    # Which one decides what is called: with both, a wrong one of them would be used in one mode only, and show there alone.
    def __check_init__(self):
        remedies = "Manual(vjp=lambda x, y, ct: ...)", "Manual(jvp=lambda x, y, v: ...)"
        if (self.vjp is None) == (self.jvp is None):
            what = "neither vjp nor jvp" if self.vjp is None else "both vjp and jvp"
            raise SpanaxError(f"Manual was given {what}, and takes one of them", *remedies)
        name, function = ("vjp", self.vjp) if self.jvp is None else ("jvp", self.jvp)
        if not callable(function):
            raise SpanaxError(f"Manual({name}={function!r}): it cannot be called", *remedies)

    @property
    def facts(self) -> Facts:
        # A jvp gives one column at a time; reverse mode needs all of them.
        reverse = "1 call of vjp" if self.vjp is not None else "size(x) calls of jvp in reverse mode, 1 in forward mode"
        return Facts(
            unbiased_for="f, if the user's function is its derivative (f.check compares)",
            unbiased=False,
            evaluations=reverse,
            orders=1,
            distributions="none: any function of floats",
            source="by definition",
        )
