"""`custom`: a function with a derivative that its author wrote, and a check of it against differences."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.dtypes import float0
from jaxtyping import Array, Key

from .._errors import SpanaxError
from .._foreign_arrays import refuse_foreign
from .._functions import is_float, parameter_names
from .._jaxprs import here
from .._math.directions import gaussian, widest
from .._primitives import undifferentiated
from .check_gradient import GradientCheck, check_gradient


def custom(forward: Callable[..., Any], backward: Callable[..., Any]) -> CustomGradient:
    """A function whose reverse-mode derivative is the one written beside it: for JAX, and by `spanax.torch.to_torch` for PyTorch.

    The derivative is what `backward` says, whatever forward does inside: a gradient that is clipped or reversed, one known in
    closed form where automatic differentiation loses digits or memory, one for an operation that has none. It is biased as far
    as `backward` is not forward's derivative; `check` compares the two.

    It works under `jit`, `grad` and `vmap`. A second derivative differentiates what `backward` does. Forward mode (`jvp`,
    `jacfwd`, and `hessian`, which uses it) raises JAX's error for a function that has a pullback only. What backward returns is
    compared with the arguments in structure, shape and dtype, and an error names what does not fit.

    **Arguments:**

    - `forward`: `forward(*args)`, of pytrees of arrays. What is no array (numbers, strings, None) reaches it as it is. Keyword
      arguments that are not names of positional parameters, such as `key`, go to both functions and have no derivative:
      differentiating by one raises.
    - `backward`: `backward(*args, y, ct)`: the arguments again, forward's result, and its cotangent, a pytree of y's structure
      (None for integers in it). Returns the cotangent of the argument, of its structure, shapes and dtypes, or of several
      arguments a tuple with one for each. Integers and what is no array have none: None stands in their place, or for a whole
      argument of such.

    **Returns:**

    A `spanax.judge.CustomGradient`: called as forward is; `check(*args, key=key)` compares its derivative with differences.

    **Raises:**

    - `SpanaxError`: for what cannot be called; from the function returned, when it is differentiated: for cotangents that do not
      fit.

    Source: Griewank and Walther (2008), Evaluating Derivatives, section 3.2, for pullbacks as such.

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> clipped = sx.custom(lambda x: x**2, lambda x, y, ct: jnp.clip(2 * x * ct, -1.0, 1.0))
    >>> print(jax.vmap(jax.grad(clipped))(jnp.array([0.25, 3.0])))
    [0.5 1. ]
    >>> print(clipped.check(3.0, key=jax.random.key(0)).agrees())
    False
    """
    for name, f in (("forward", forward), ("backward", backward)):
        if not callable(f):
            raise SpanaxError(f"custom({name}={f!r}), which cannot be called", "sx.custom(forward, backward)")
    return CustomGradient(forward, backward)


class CustomGradient:
    """A function with a gradient of its own. Made by `spanax.custom`.

    >>> import jax, spanax as sx
    >>> reversed_gradient = sx.custom(lambda x: x, lambda x, y, ct: -ct)
    >>> print(reversed_gradient(2.0), jax.grad(reversed_gradient)(2.0))
    2.0 -1.0
    """

    def __init__(self, forward: Callable[..., Any], backward: Callable[..., Any]):
        self.forward, self.backward = forward, backward
        # Its name and signature, by which others learn what it takes.
        functools.update_wrapper(self, forward, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """forward's result."""
        refuse_foreign(args, kwargs)
        args, kwargs = _positional(self.forward, args, kwargs)
        arguments = _Arguments.of(args)
        # backward returns nothing for keywords: a derivative by one would be a silent 0.
        guarded = jax.tree.map(lambda x: _undifferentiated(x) if _is_array(x) else x, kwargs)
        return self._with_gradient(arguments, guarded)(*arguments.arrays)

    def check(self, *args: Any, key: Key[Array, ""], draws: int = 1000, **kwargs: Any) -> GradientCheck:
        """Compares the derivative at these arguments with differences of forward, by `check_gradient`.

        Of several results a random combination is looked at, with standard normal weights, in which an error of any of them
        shows. A forward with a `key` is given `draws` different ones; without noise one gradient is compared to rounding.

        **Arguments:** those of forward, without `key`, which is one for all that is random here.

        **Returns:** a `spanax.judge.GradientCheck`: print it, or assert its `agrees()`.

        **Raises:** `SpanaxError` if no argument holds a float.
        """
        args, kwargs = _positional(self.forward, args, kwargs)
        paths = jax.tree_util.tree_flatten_with_path(args)[0]
        argnums = sorted({path[0].idx for path, leaf in paths if is_float(path[1:], leaf)})
        if not argnums:
            raise SpanaxError(f"{_name(self)}.check: no argument holds a floating-point number", "an array of floats")
        # The weights are the same in all evaluations: they are part of the function that is checked.
        for_weights, for_check = jax.random.split(key)

        @functools.wraps(self.forward)
        def weighed(*args, **kwargs):
            return _weighed(self(*args, **kwargs), for_weights)

        return check_gradient(weighed, *args, key=for_check, draws=draws, argnums=argnums, kwargs=kwargs)

    def __repr__(self) -> str:
        return f"custom({_name(self.forward)}, {_name(self.backward)})"

    def _with_gradient(self, arguments: _Arguments, kwargs: dict) -> Callable[..., Any]:
        """A function of the arrays among the arguments."""
        # Made for each call: what is no array is part of the function, since JAX would take it for an operand.
        where = here()

        def value(*arrays):
            return self.forward(*arguments.filled(arrays), **kwargs)

        def forth(*arrays):
            # By the function with its gradient, so that a second derivative finds this gradient in y as well.
            y = with_gradient(*arrays)
            return y, (arrays, y)

        def back(residuals, ct):
            arrays, y = residuals
            # A number of Python's that is differentiated comes back as one, and has a cotangent all the same.
            args = arguments.filled([jnp.asarray(x) for x in arrays])
            # JAX's cotangent of an integer is an array of no type, with which no formula can do anything.
            ct = jax.tree.map(lambda c: None if c.dtype == float0 else c, ct)
            return _cotangents(self, arguments, args, self.backward(*args, y, ct, **kwargs), where)

        with_gradient = jax.custom_vjp(value)
        with_gradient.defvjp(forth, back)
        return with_gradient


class _Arguments(NamedTuple):
    """Positional arguments, flattened: arrays, and at their places None; `others` are what is no array."""

    arrays: Sequence[Any]
    others: Sequence[Any]
    is_array: Sequence[bool]
    tree: Any

    @classmethod
    def of(cls, args: tuple) -> _Arguments:
        leaves, tree = jax.tree.flatten(args)
        is_array = [_is_array(x) for x in leaves]
        arrays = [x for x, a in zip(leaves, is_array, strict=True) if a]
        return cls(arrays, [None if a else x for x, a in zip(leaves, is_array, strict=True)], is_array, tree)

    def filled(self, arrays: Sequence[Any]) -> tuple:
        given = iter(arrays)
        pairs = zip(self.others, self.is_array, strict=True)
        return jax.tree.unflatten(self.tree, [next(given) if a else x for x, a in pairs])


def _is_array(x: Any) -> bool:
    return isinstance(x, jax.Array | np.ndarray | np.generic)


def _positional(forward: Callable, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """The arguments by position, as far as they have one."""
    if not kwargs:
        return args, kwargs
    try:
        bound = inspect.signature(forward).bind(*args, **kwargs)
    except (TypeError, ValueError):
        # forward itself says what it lacks.
        return args, kwargs
    return bound.args, bound.kwargs


def _undifferentiated(x: Any) -> Any:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return x
    return undifferentiated(
        jnp.asarray(x),
        "the derivative with respect to a keyword argument of sx.custom, of which backward says nothing",
        "a positional parameter of forward",
        "jax.lax.stop_gradient, for a constant",
    )


def _cotangents(f: CustomGradient, arguments: _Arguments, args: tuple, returned: Any, where: str) -> tuple:
    """Of each array, with zeros of no type for integers."""
    if len(args) == 1:
        returned = (returned,)
    if not isinstance(returned, tuple | list) or len(returned) != len(args):
        got = f"a tuple of {len(returned)}" if isinstance(returned, tuple | list) else type(returned).__name__
        raise _wrong(
            f, f"{got}, and forward has {len(args)} arguments", "a tuple with one for each, None for integers", where
        )
    names = parameter_names(f.forward, len(args))
    grads = [g for name, x, g in zip(names, args, returned, strict=True) for g in _leaves(f, name, x, g, where)]
    flags = zip(grads, arguments.is_array, strict=True)
    return tuple(g for g, is_array in flags if is_array)


def _leaves(f: CustomGradient, name: str, x: Any, g: Any, where: str) -> list[Any]:
    """The cotangents of one argument, a leaf for each of its leaves."""
    flat, tree = jax.tree_util.tree_flatten_with_path(x)
    if g is None:
        g = jax.tree.unflatten(tree, [None] * len(flat))
    grads, got = jax.tree.flatten(g, is_leaf=lambda leaf: leaf is None)
    expected = jax.tree.structure(x, is_leaf=lambda leaf: leaf is None)
    if got != expected:
        raise _wrong(f, f"{got} for {name}, which is {expected}", "the same structure, None for integers", where)
    # None stands for an integer of x, or for a None of x itself, which is no leaf.
    owners = jax.tree.leaves(x, is_leaf=lambda leaf: leaf is None)
    kept = [g for g, owner in zip(grads, owners, strict=True) if owner is not None]
    return [
        _leaf(f, name + jax.tree_util.keystr(path), leaf, g, where) for (path, leaf), g in zip(flat, kept, strict=True)
    ]


def _leaf(f: CustomGradient, name: str, x: Any, g: Any, where: str) -> Any:
    if not _is_array(x):
        return None
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return np.zeros(x.shape, float0)
    # Nobody has asked for a zero: a forgotten argument would have one silently.
    if g is None:
        raise _wrong(f, f"None for {name}, a float", f"jnp.zeros_like({name}), if its derivative is 0", where)
    array = jnp.asarray(g)
    # A number without a dtype of its own, such as 2.0, takes that of the argument.
    if not hasattr(g, "dtype"):
        array = array.astype(x.dtype)
    if array.shape != x.shape or array.dtype != x.dtype:
        got, expected = (f"{y.dtype}{list(y.shape)}" for y in (array, x))
        raise _wrong(f, f"{got} for {name}, which is {expected}", f"a cotangent of {name}'s shape and dtype", where)
    return array


def _wrong(f: CustomGradient, what: str, remedy: str, where: str) -> SpanaxError:
    return SpanaxError(f"the backward function of {f!r} returned {what}", remedy, where=where)


def _weighed(y: Any, key: Key[Array, ""]) -> Array:
    """One number for all floating-point results; of a single number that itself."""
    leaves = [leaf for leaf in map(jnp.asarray, jax.tree.leaves(y)) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    if not leaves:
        raise SpanaxError("custom(...).check: forward returns no floating-point number", "a result of floats")
    if len(leaves) == 1 and leaves[0].ndim == 0:
        return leaves[0]
    dtype, weights = widest(leaves), gaussian(key, leaves)
    return sum((jnp.sum((y * w).astype(dtype)) for y, w in zip(leaves, weights, strict=True)), jnp.zeros((), dtype))


def _name(f: Any) -> str:
    return getattr(f, "__name__", None) or type(f).__name__
