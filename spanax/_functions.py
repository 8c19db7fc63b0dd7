"""A user's function, its arguments, and the floating-point leaves of them that are differentiated.

Three questions that every part asks the same way: must f be given a `key`; which leaves of its arguments are differentiated, and
what are they called; did f return a floating-point scalar.
"""

from __future__ import annotations

import functools
import inspect
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Key

from ._errors import SpanaxError
from ._foreign_arrays import refuse_foreign

# -- keys


def takes_key(f: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Must f, called with these arguments, also be given a keyword `key`?

    The one rule, for every function that is given to Spanax:

    - yes, if f has a parameter named `key`, without a default or with the default None, that is not among the arguments;
    - f keeps a key that it already has: by another default, or bound by `functools.partial`;
    - behind `**kwargs`, or where the signature cannot be read: if the call without a key raises because it lacks one. The call
      is traced to find out, and once more with a key: f wants one if it raises only without;
    - a positional-only `key` cannot be given by name.

    Raises what f raises, if that is not because it lacks a key.
    """
    if "key" in kwargs:
        return False
    named = _names_key(f)
    if named is None:
        return _asks_for_key(f, args, kwargs)
    return named and not _is_bound(f, args, kwargs)


def may_take_key(f: Callable[..., Any]) -> bool:
    """Can f be given a `key` for some arguments? The answer of `takes_key` is known only with the arguments."""
    return _names_key(f) is not False


def needs_key(f: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Does f take a key, and raise without one?"""
    if "key" in kwargs or not may_take_key(f) or _is_bound(f, args, kwargs):
        return False
    # A required `key` raises for want of one: no need to trace the call.
    named = parameters(f).get("key")
    required = named is not None and named.kind is not named.VAR_KEYWORD and named.default is named.empty
    return required or _asks_for_key(f, args, kwargs)


def with_key(f: Callable[..., Any], key: Key[Array, ""] | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict:
    """The keyword arguments of f, with this key if f takes one."""
    return {**kwargs, "key": key} if takes_key(f, args, kwargs) else dict(kwargs)


def _names_key(f: Callable) -> bool | None:
    """Does the signature ask for a `key`? None if it leaves that open."""
    layers = list(_layers(f))
    if any(isinstance(layer, functools.partial) and "key" in layer.keywords for layer in layers):
        return False
    certain = True
    for layer in layers:
        own = _own_parameters(layer)
        if own is not None and _is_by_name(own.get("key")):
            return _is_unset(own["key"])
        # A layer without **kwargs stops a key, whatever the layers inside it would take.
        if own is not None and not _takes_any_keyword(own):
            return False if certain else None
        certain = False
    return None


def _is_by_name(parameter: inspect.Parameter | None) -> bool:
    """Is there such a parameter, and can it be given by name?"""
    return parameter is not None and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)


def _takes_any_keyword(own: Mapping[str, inspect.Parameter]) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in own.values())


def _is_unset(parameter: inspect.Parameter) -> bool:
    """A default other than None is a key that f has already."""
    return parameter.default is parameter.empty or parameter.default is None


def _layers(f: Any) -> Iterator[Any]:
    """f, and what it wraps, from the outside inwards: a layer that lets no `key` through hides those within."""
    # Bounded, because a function may wrap itself.
    for _ in range(100):
        if isinstance(f, eqx.Partial):
            f = functools.partial(f.func, *f.args, **f.keywords)
        yield f
        plain = inspect.isroutine(f) or inspect.isclass(f) or isinstance(f, functools.partial)
        wrapped = getattr(f, "__wrapped__", None)
        if wrapped is not None:
            f = wrapped
        elif not plain and inspect.isfunction(getattr(type(f), "__call__", None)):  # noqa: B004, it is read, not asked for
            f = type(f).__call__
        else:
            return


def _own_parameters(layer: Any) -> Mapping[str, inspect.Parameter] | None:
    """The parameters that the layer itself declares; a partial declares those of its function. None if they cannot be read."""
    try:
        return inspect.signature(layer, follow_wrapped=isinstance(layer, functools.partial)).parameters
    except (TypeError, ValueError):
        # Some functions written in C have no signature.
        return None


def _is_bound(f: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Is `key` among the positional arguments?"""
    try:
        return "key" in inspect.signature(f).bind_partial(*args, **kwargs).arguments
    except (TypeError, ValueError):
        # The arguments do not fit: f itself raises that in its own words.
        return False


def _asks_for_key(f: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Does f raise without a key, and because of that?"""
    without = _error_of_call(f, args, kwargs)
    if without is None:
        return False
    # An error that stays with a key, or a key that is refused, has another cause: the user must see the first error.
    with_one = _error_of_call(f, args, {**kwargs, "key": jax.random.key(0)})
    if with_one is not None and (_refuses_key(with_one) or not _is_for_want_of_key(without)):
        raise without
    return True


def _error_of_call(f: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Exception | None:
    """What the call raises when it is traced, with the arguments as they are; those given only by shape become traced arrays."""
    refuse_foreign(args, kwargs)
    leaves, tree = jax.tree.flatten(canonical((tuple(args), dict(kwargs))))
    shapes = [k for k, leaf in enumerate(leaves) if isinstance(leaf, jax.ShapeDtypeStruct)]

    def run(*arrays):
        values = list(leaves)
        for k, x in zip(shapes, arrays, strict=True):
            values[k] = x
        args, kwargs = jax.tree.unflatten(tree, values)
        f(*args, **kwargs)

    try:
        jax.eval_shape(run, *(leaves[k] for k in shapes))
    except Exception as error:
        # Any error of a user's program: the caller reads it, or raises it again.
        return error
    return None


def _is_for_want_of_key(error: Exception) -> bool:
    if isinstance(error, KeyError):
        return error.args == ("key",)
    return isinstance(error, TypeError | SpanaxError) and re.search(r"\bkey\b", str(error)) is not None


def _refuses_key(error: Exception) -> bool:
    return isinstance(error, TypeError) and re.search(r"unexpected keyword argument '?key\b", str(error)) is not None


def canonical(tree: Any) -> Any:
    """The same tree; leaves that are given only by shape have the precision that JAX has now."""

    def one(leaf):
        if not isinstance(leaf, jax.ShapeDtypeStruct) or jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
            return leaf
        return leaf.update(dtype=jax.dtypes.canonicalize_dtype(leaf.dtype))

    return jax.tree.map(one, tree)


# -- what is differentiated


class Differentiated(NamedTuple):
    """`(args, kwargs)` of f, flattened, and the floating-point `leaves` of the arguments `nums`, with their `names`.

    Leaf i is `flat[chosen[i]]`, and lies below the top-level key `tops[i]`, such as "params['encoder']".
    """

    names: tuple[str, ...]
    tops: tuple[str, ...]
    leaves: tuple[Any, ...]
    nums: tuple[int, ...]
    flat: tuple[Any, ...]
    chosen: tuple[int, ...]
    tree: Any

    @classmethod
    def of(
        cls, f: Callable, args: tuple, kwargs: dict, argnums: int | Sequence[int], where: str | None = None
    ) -> Differentiated:
        """Raises `SpanaxError` for positions that do not exist, and if the arguments there hold no float."""
        refuse_foreign(args, kwargs)
        nums = positions(argnums, len(args), where)
        flat, tree = jax.tree_util.tree_flatten_with_path(canonical((args, kwargs)))
        chosen = _float_leaves(flat, nums)
        if not any(np.prod(np.shape(flat[k][1])) for k in chosen):
            raise SpanaxError(
                f"argnums={argnums!r} has no floating-point leaf to differentiate",
                "argnums of an argument with floats, or arrays of floats",
                where=where,
            )
        # A path is (args or kwargs, the argument, keys inside it, ...).
        parameter, paths = parameter_names(f, len(args)), [flat[k][0] for k in chosen]
        return cls(
            tuple(parameter[path[1].idx] + jax.tree_util.keystr(path[2:]) for path in paths),
            tuple(parameter[path[1].idx] + jax.tree_util.keystr(path[2:3]) for path in paths),
            tuple(flat[k][1] for k in chosen),
            nums,
            tuple(leaf for _, leaf in flat),
            chosen,
            tree,
        )

    def rebuilt(self, leaves: Sequence[Any], others: Mapping[int, Any]) -> tuple[tuple, dict]:
        """(args, kwargs) with these leaves, and with `others` at their places in `flat`."""
        flat = list(self.flat)
        for k, x in [*zip(self.chosen, leaves, strict=True), *others.items()]:
            flat[k] = x
        return jax.tree.unflatten(self.tree, flat)


def _float_leaves(flat: Sequence[tuple[tuple, Any]], nums: Sequence[int]) -> tuple[int, ...]:
    """The places in `flat` of the floating-point leaves of these positional arguments."""
    positional = (k for k, (path, _) in enumerate(flat) if path[0].idx == 0 and path[1].idx in nums)
    return tuple(k for k in positional if is_float(*flat[k]))


def positions(argnums: Any, count: int, where: str | None = None) -> tuple[int, ...]:
    """`argnums` as different positions, counted from 0, among `count` of them."""
    try:
        nums = tuple(map(operator.index, argnums)) if isinstance(argnums, Sequence) else (operator.index(argnums),)
    except TypeError:
        nums = ()
    nums = tuple(n + count if n < 0 else n for n in nums)
    if not nums or len(set(nums)) < len(nums) or any(not 0 <= n < count for n in nums):
        raise SpanaxError(
            f"argnums={argnums!r}, and there are {count} positional arguments",
            "argnums=0, a position, or a tuple of different ones",
            where=where,
        )
    return nums


def is_float(path: tuple, leaf: Any) -> bool:
    """Is it an array of floats, or a Python float? A float that is an attribute of a module is a setting, and is not counted."""
    dtype = getattr(leaf, "dtype", None)
    if dtype is not None:
        return jnp.issubdtype(dtype, jnp.floating)
    return isinstance(leaf, float) and not any(isinstance(step, jax.tree_util.GetAttrKey) for step in path)


def parameters(f: Callable) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(f).parameters
    except (TypeError, ValueError):
        # There is no signature to read.
        return {}


def parameter_names(f: Callable, count: int) -> list[str]:
    """The names of the first `count` positional arguments."""
    # Those behind *args have no name of their own.
    plain = [p.name for p in parameters(f).values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [plain[i] if i < len(plain) else f"args[{i}]" for i in range(count)]


# -- calling it


def join_keywords(keywords: Mapping[str, Any], kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """f's keyword arguments: those given as such, and those in `kwargs={...}`, whose names are taken by options of ours.

    Raises `SpanaxError` where one is given twice.
    """
    if twice := keywords.keys() & (kwargs or {}):
        raise SpanaxError(f"the keyword argument {min(twice)} is given twice", "kwargs={...}, or the keyword itself")
    return {**keywords, **(kwargs or {})}


def check_scalar(who: str, out: Any, where: str, *remedies: str) -> None:
    """Raises `SpanaxError` unless `out`, which `who` returned, is a floating-point scalar, or the shape of one."""
    dtype, shape = getattr(out, "dtype", None), getattr(out, "shape", ())
    floating = isinstance(out, float) or (dtype is not None and jnp.issubdtype(dtype, jnp.floating))
    if not floating or shape != ():
        got = type(out).__name__ if dtype is None else f"{dtype}{list(shape)}"
        raise SpanaxError(
            f"{who} must return a floating-point scalar, and it returned {got}",
            *(remedies or ("jnp.mean or jnp.sum of it",)),
            where=where,
        )


def at_many_points(run: Callable[..., Any], *points: Any) -> Any:
    """`run` at points along the leading axis: vmapped, or one after the other if it cannot be vmapped."""
    try:
        return jax.vmap(run)(*points)
    except (NotImplementedError, ValueError):
        # A callback that does not say how it is vmapped.
        return lax.map(lambda point: run(*point), points)
