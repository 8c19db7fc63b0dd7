"""A derivative that the user wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx

from .._errors import SpanaxError
from .base import Bridge
from .facts import Facts


class Manual(Bridge):
    """The user's own derivative of a black box, a function of NumPy arrays that runs on the host: `vjp` or `jvp`, one of them.

    - `vjp(x, y, ct)`: the derivative of <ct, f> at x, a pytree of x's structure and shapes; `y` is f(x), `ct` of y's structure;
    - `jvp(x, y, v)`: the derivative of f at x along v, a pytree of y's structure and shapes; `v` is of x's structure.

    Both are linear in their last argument: that is what a derivative is, and it is not checked. Nor is that it is the derivative
    of f: it is exact if it is, and biased by whatever it is wrong by; `f.check` of a `blackbox` compares it with values of f.

    Raises `SpanaxError` where both or none are given, or what is given cannot be called. By definition, no paper.
    """

    vjp: Callable[[Any, Any, Any], Any] | None = eqx.field(static=True, default=None)
    jvp: Callable[[Any, Any, Any], Any] | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        remedies = "Manual(vjp=lambda x, y, ct: ...)", "Manual(jvp=lambda x, y, v: ...)"
        if (self.vjp is None) == (self.jvp is None):
            given = "neither vjp nor jvp" if self.vjp is None else "both vjp and jvp"
            raise SpanaxError(f"Manual was given {given}, and takes one of them", *remedies)
        name, function = ("vjp", self.vjp) if self.jvp is None else ("jvp", self.jvp)
        if not callable(function):
            raise SpanaxError(f"Manual({name}={function!r}): it cannot be called", *remedies)

    @property
    def facts(self) -> Facts:
        reverse = "1 call of vjp" if self.vjp is not None else "size(x) calls of jvp in reverse mode, 1 in forward mode"
        return Facts(
            unbiased_for="f, if the user's function is its derivative (f.check compares)",
            unbiased=False,
            evaluations=reverse,
            orders=1,
            distributions="none: any function of floats",
            source="by definition",
        )
