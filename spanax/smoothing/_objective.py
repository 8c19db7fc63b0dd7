"""f with its arguments, as a function of the point and a key alone: checked, and evaluated at many points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from .._errors import SpanaxError
from .._functions import check_scalar, takes_key
from .._jaxprs import defined, evaluate_jaxpr, is_traced
from .._primitives import undifferentiated
from .._pytree import PyTree


class Objective:
    """f(x, *args, **kwargs) as a function of x and, where f takes one that is not given, of a key.

    It is traced once. What it needs besides x and the key, arguments or variables of enclosing functions, is guarded: a
    derivative with respect to it raises, since values of f at other x do not tell it.
    """

    def __init__(self, f: Callable[..., Any], x: PyTree[Array], key: Key[Array, ""], args: tuple, kwargs: dict):
        self.f, self.args, self.kwargs = f, args, kwargs
        self.takes_key = takes_key(f, (x, *args), kwargs)
        # Traced once and run many times; f's constants, such as variables of enclosing functions, are then known and
        # can be guarded.
        self.closed = jax.make_jaxpr(lambda x, key: _as_scalar(self.source(x, key), f))(x, key)
        self._consts: Any = refuse_derivative(self.closed.consts)

    def source(self, x: PyTree[Array], key: Key[Array, ""]) -> Any:
        """f itself, unguarded, to be traced again."""
        return self.f(x, *self.args, **({**self.kwargs, "key": key} if self.takes_key else self.kwargs))

    def __call__(self, x: PyTree[Array], key: Key[Array, ""]) -> Float[Array, ""]:
        return evaluate_jaxpr(self.closed.jaxpr, self._consts, *jax.tree.leaves((x, key)))[0]


def paired_keys(key: Key[Array, ""], pairs: int) -> Key[Array, " points"]:
    """A key for each of 2 pairs points, the same for the two of a pair."""
    # Common random numbers: f's own noise is the same at both points of a pair, and cancels in their difference.
    keys = jax.random.split(key, pairs)
    return jnp.concatenate([keys, keys])


def refuse_derivative(tree: PyTree[Array]) -> PyTree[Array]:
    return undifferentiated(
        tree,
        "smooth(f) was differentiated with respect to something besides x, which values of f at other x do not tell",
        "put it into x, a pytree, with a sigma of its own",
        "jax.lax.stop_gradient of it",
    )


def check_point(x: Any) -> PyTree[Array]:
    """x as a pytree of floating-point arrays; raises where it is not one, or where it is known to hold a NaN or infinity."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(x):
        dtype = getattr(leaf, "dtype", None) or type(leaf)
        if not (dtype is float or (dtype is not type(leaf) and jnp.issubdtype(dtype, jnp.floating))):
            name = f"x{jax.tree_util.keystr(path)}"
            raise SpanaxError(
                f"{name} is {getattr(dtype, '__name__', dtype)}, and only floating-point numbers can be smoothed",
                f"{name} as floats (x.astype(float)), rounded inside f",
                "an argument after x: smooth(f)(x, other, key=key)",
            )
    x = jax.tree.map(jnp.asarray, x)
    if not sum(leaf.size for leaf in jax.tree.leaves(x)):
        raise SpanaxError("x holds no numbers", "an array, or a pytree of arrays, of floats")
    check_finite(x, "x")
    return x


def check_finite(tree: PyTree[Array], what: str) -> None:
    """Raises where the values are known here and one is not finite."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        fine = jnp.all(jnp.isfinite(leaf))
        # A traced value is not known yet; a NaN then makes the result NaN.
        if not is_traced(fine) and not fine:
            raise SpanaxError(f"{what}{jax.tree_util.keystr(path)} holds a NaN or an infinity", "finite numbers")


def _as_scalar(out: Any, f: Callable[..., Any]) -> Float[Array, ""]:
    remedies = "jnp.mean or jnp.sum of it; .astype(float) of a count", "smooth of each element by itself"
    check_scalar("smooth(f): f", out, defined(f), *remedies)
    return jnp.asarray(out)
