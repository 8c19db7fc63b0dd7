"""A function of the user's, its arguments, and the floating-point leaves of them that are differentiated."""

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
    """Is f, called with these arguments, to be given a keyword `key` besides?

    The one rule, for every function that is given to Spanax:

    - yes, if f has a parameter named `key`, without default or with None, that is not among the arguments;
    - a key that f has already is kept: by another default, or bound by `functools.partial`;
    - behind `**kwargs`, or where the signature cannot be read: if the call without it raises for want of it. The call is traced
      for that, to be thrown away, and once more with a key: f wants one if it raises only without;
    - a `key` that is positional-only cannot be given by name.

    Raises what f raises, where that is not for want of a key.
    """
    if "key" in kwargs:
        return False
    named = _names_key(f)
    if named is None:
        return _asks_for_key(f, args, kwargs)
    return named and not _is_bound(f, args, kwargs)


def may_take_key(f: Callable[..., Any]) -> bool:
    """Can f, for any arguments, be given a `key`? What `takes_key` says is known only with them."""
    return _names_key(f) is not False


def needs_key(f: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Does f take a key, and raise without it?"""
    if "key" in kwargs or not may_take_key(f) or _is_bound(f, args, kwargs):
        return False
    named = parameters(f).get("key")
    required = named is not None and named.kind is not named.VAR_KEYWORD and named.default is named.empty
    return required or _asks_for_key(f, args, kwargs)


def with_key(f: Callable[..., Any], key: Key[Array, ""] | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict:
    """The keyword arguments of f, with this key where it takes one."""
    return {**kwargs, "key": key} if takes_key(f, args, kwargs) else dict(kwargs)


def _names_key(f: Callable) -> bool | None:
    """By its signature; None where that leaves it open."""
    doubt, layers = False, list(_layers(f))
    if any(isinstance(layer, functools.partial) and "key" in layer.keywords for layer in layers):
        return False
    for layer in layers:
        own = _own_parameters(layer)
        if own is None:
            doubt = True
            continue
        key = own.get("key")
        if key is not None and key.kind in (key.POSITIONAL_OR_KEYWORD, key.KEYWORD_ONLY):
            return key.default is key.empty or key.default is None
        if not any(p.kind is p.VAR_KEYWORD for p in own.values()):
            return None if doubt else False
        doubt = True
    return None


def _layers(f: Any) -> Iterator[Any]:
    """f, and what it wraps, from the outside inwards: a layer that lets no `key` through hides those within."""
    for _ in range(100):  # a function that wraps itself
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
    """Those that the layer itself declares; those of a partial with what it is a partial of."""
    try:
        return inspect.signature(layer, follow_wrapped=isinstance(layer, functools.partial)).parameters
    except (TypeError, ValueError):  # written in C, some do not tell
        return None


def _is_bound(f: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Is `key` among the positional arguments?"""
    try:
        return "key" in inspect.signature(f).bind_partial(*args, **kwargs).arguments
    except (TypeError, ValueError):  # they do not fit, which f itself will say
        return False


def _asks_for_key(f: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    without = _raised(f, args, kwargs)
    if without is None:
        return False
    with_one = _raised(f, args, {**kwargs, "key": jax.random.key(0)})
    if with_one is not None and (_refuses_key(with_one) or not _is_for_want_of_key(without)):
        raise without
    return True


def _raised(f: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Exception | None:
    """What the call raises, traced with the arguments as they are; those given by shape only are traced as well."""
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
    except Exception as error:  # whatever a user's program raises: it is looked at, or raised again
        return error
    return None


def _is_for_want_of_key(error: Exception) -> bool:
    if isinstance(error, KeyError):
        return error.args == ("key",)
    return isinstance(error, TypeError | SpanaxError) and re.search(r"\bkey\b", str(error)) is not None


def _refuses_key(error: Exception) -> bool:
    return isinstance(error, TypeError) and re.search(r"unexpected keyword argument '?key\b", str(error)) is not None


def canonical(tree: Any) -> Any:
    """The same, with leaves that are given by shape only in the precision that JAX has now."""

    def one(leaf):
        if not isinstance(leaf, jax.ShapeDtypeStruct) or jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
            return leaf
        return leaf.update(dtype=jax.dtypes.canonicalize_dtype(leaf.dtype))

    return jax.tree.map(one, tree)


# -- what is differentiated


class Differentiated(NamedTuple):
    """`(args, kwargs)` of f, flattened, and the floating-point `leaves` of the arguments `nums` with their `names`.

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
    def of(cls, f: Callable, args: tuple, kwargs: dict, argnums: int | Sequence[int], where: str) -> Differentiated:
        """Raises `SpanaxError` for positions that are not there, and where the arguments there hold no float."""
        refuse_foreign(args, kwargs)
        nums = positions(argnums, len(args), where)
        flat, tree = jax.tree_util.tree_flatten_with_path(canonical((args, kwargs)))
        chosen = [k for k, (path, x) in enumerate(flat) if path[0].idx == 0 and path[1].idx in nums]
        chosen = tuple(k for k in chosen if is_float(*flat[k]))
        if not any(np.prod(np.shape(flat[k][1])) for k in chosen):
            raise SpanaxError(
                f"argnums={argnums!r} has no floating-point leaf to differentiate",
                "argnums of an argument with floats, or arrays of floats",
                where=where,
            )
        given = parameter_names(f, len(args))
        return cls(
            tuple(given[flat[k][0][1].idx] + jax.tree_util.keystr(flat[k][0][2:]) for k in chosen),
            tuple(given[flat[k][0][1].idx] + jax.tree_util.keystr(flat[k][0][2:3]) for k in chosen),
            tuple(flat[k][1] for k in chosen),
            nums,
            tuple(leaf for _, leaf in flat),
            chosen,
            tree,
        )

    def rebuilt(self, leaves: Sequence[Any], others: Mapping[int, Any]) -> tuple[tuple, dict]:
        """(args, kwargs) with these leaves, and others by their places in `flat`."""
        flat = list(self.flat)
        for k, x in [*zip(self.chosen, leaves, strict=True), *others.items()]:
            flat[k] = x
        return jax.tree.unflatten(self.tree, flat)


def positions(argnums: Any, count: int, where: str) -> tuple[int, ...]:
    """`argnums` as different positions from 0, of `count`."""
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
    """An array of floats; a Python float too, unless it is an attribute of a module, which is a setting there."""
    dtype = getattr(leaf, "dtype", None)
    if dtype is not None:
        return jnp.issubdtype(dtype, jnp.floating)
    return isinstance(leaf, float) and not any(isinstance(step, jax.tree_util.GetAttrKey) for step in path)


def parameters(f: Callable) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(f).parameters
    except (TypeError, ValueError):  # it has none to read
        return {}


def parameter_names(f: Callable, count: int) -> list[str]:
    """Of the first positional arguments."""
    plain = [p.name for p in parameters(f).values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [plain[i] if i < len(plain) else f"args[{i}]" for i in range(count)]


# -- calling it


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
    """`run` at points along the leading axis: vmapped, or one after the other where it cannot be."""
    try:
        return jax.vmap(run)(*points)
    except (NotImplementedError, ValueError):  # a callback that does not say how it is vmapped
        return lax.map(lambda point: run(*point), points)
