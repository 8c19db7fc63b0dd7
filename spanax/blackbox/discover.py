"""A black box whose result nobody has declared: its form is that of the first evaluation, or of what the store has."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from .._errors import SpanaxError
from .._pytree import PyTree
from ._host import Host
from ._memory import Memory
from ._points import as_integers
from ._request import VALUE, Request, as_numpy, has_nan
from ._traced.keys import seed_of
from .call import BlackBox, blackbox
from .store.store import Layout, canonical
from .workers._supervisor import BadResult, Done, supervise
from .workers._worker import Call


def discover(
    fn: Callable[..., Any], x: PyTree[Array], *, via: Any, key: Key[Array, ""] | None = None, **options: Any
) -> BlackBox:
    """`blackbox(fn, out, via=via, **options)`, with `out` as fn returns it at x; integers of its result become floats.

    That takes one evaluation, in the same workers, unless the store has one at inputs of this form. It is kept in the store, so
    that the value at x is not evaluated again. A `BlackBox` in place of fn is taken as it is, with the bridge `via`.

    Raises `SpanaxError` if that evaluation fails, after all attempts of `run`, and as `blackbox` does.

    >>> import numpy as np, spanax as sx
    >>> from spanax.blackbox.discover import discover
    >>> f = discover(lambda x: {"level": x**2}, np.array([1.0, 2.0], np.float32), via=sx.FiniteDifference(step=0.5))
    >>> f(np.array([3.0, 4.0], np.float32))
    {'level': Array([ 9., 16.], dtype=float32)}
    """
    if isinstance(fn, BlackBox):
        return BlackBox(via, fn.host)
    # In the precision that JAX has now, in which fn will be called.
    x = jax.tree.map(lambda leaf: np.asarray(jnp.asarray(leaf)), x)
    # Checks all arguments before anything runs. What `out` is, only its host knows, so that it may be said afterwards.
    box = blackbox(fn, lambda shapes: shapes, via=via, **options)
    out = _stored_out(box.host, x)
    box.host.out = _evaluated_out(box.host, x, key) if out is None else out
    return box


def _evaluated_out(host: Host, x: PyTree[np.ndarray], key: Key[Array, ""] | None) -> PyTree[jax.ShapeDtypeStruct]:
    """The form of fn(x), which is evaluated as a point of any call would be, and remembered."""
    seeds = None
    if host.noisy:
        if key is None:
            raise SpanaxError(f"the noisy black box {host.name!r} without a key", "key=jax.random.key(0)")
        seeds = as_integers(np.asarray(seed_of(key))[None])
    rows = jax.tree.map(lambda leaf: np.array(leaf)[None], x)
    args = rows if host.batched else jax.tree.map(np.array, x)
    seed = {"seed": seeds if host.batched else seeds[0]} if host.seeded and seeds else {}
    end = next(iter(supervise(host.run, host.fn, [Call((args,), seed)], _accept)))
    if not isinstance(end, Done):
        problem = f"black box {host.name!r}: the first point failed: {end.reason}"
        raise SpanaxError(f"{problem}\n  its input: x={x!r}", *end.why.remedies)
    host.counter.add(calls=1, evaluations=1, seconds=end.seconds)
    result = jax.tree.map(lambda leaf: leaf[0], end.value) if host.batched else end.value
    out = jax.tree.map(_as_float, result)
    if host.store is not None:
        _remember(host, rows, seeds, out, result, end.seconds)
    return out


def _accept(_: int, raw: Any) -> PyTree[np.ndarray]:
    result = jax.tree.map(as_numpy, raw)
    if not jax.tree.leaves(result):
        raise BadResult("returned no numbers", lasting=True)
    if any(map(has_nan, jax.tree.leaves(result))):
        raise BadResult("returned NaN")
    return result


def _as_float(leaf: np.ndarray) -> jax.ShapeDtypeStruct:
    """Counts have no derivative as integers: what is fitted to data is a float."""
    inexact = jnp.issubdtype(leaf.dtype, jnp.inexact)
    return jax.ShapeDtypeStruct(leaf.shape, jax.dtypes.canonicalize_dtype(leaf.dtype if inexact else float))


def _layout(host: Host, x: PyTree[np.ndarray], out: PyTree[jax.ShapeDtypeStruct]) -> Layout:
    outs, result = jax.tree.flatten(out)
    leaves, tree = jax.tree.flatten(x)
    request = Request(host.fn, VALUE, ("x",), (tree,), result, tuple(outs), "")
    return request.layout(host.identity, [leaf[None] for leaf in leaves])


def _remember(host: Host, rows: Any, seeds: Any, out: Any, result: PyTree[np.ndarray], seconds: float) -> None:
    assert host.store is not None
    ledger = host.store.ledger(_layout(host, jax.tree.map(lambda leaf: leaf[0], rows), out))
    memory = Memory(ledger, jax.tree.leaves(rows), seeds)
    arrays = [np.asarray(leaf, o.dtype)[None] for leaf, o in zip(*map(jax.tree.leaves, (result, out)), strict=True)]
    memory.keep([0], arrays, seconds)
    memory.flush()


def _stored_out(host: Host, x: PyTree[np.ndarray]) -> PyTree[jax.ShapeDtypeStruct] | None:
    """The form of results that the store has for inputs of this form; None where there are none, or it cannot be told."""
    if host.store is None:
        return None
    wanted = canonical(_layout(host, x, jax.ShapeDtypeStruct((), np.float32))).inputs
    known = [each for each in host.store.layouts if each.kind == VALUE and each.inputs == wanted]
    # Two forms: a program that has changed. Which one it returns now, an evaluation tells.
    return structure_of(known[0]) if len(known) == 1 else None


def structure_of(layout: Layout) -> PyTree[jax.ShapeDtypeStruct] | None:
    """The form of a stored result: one array, or dictionaries of them by name; None for others.

    A list and a tuple look alike in a store.
    """
    tree: dict[str, Any] = {}
    for path, dtype, shape in layout.outputs:
        names = [ast.literal_eval(name) for name in re.findall(r"\[('[^']*')\]", path)]
        if path != "y" + "".join(f"[{name!r}]" for name in names):
            return None
        place = tree
        for name in ["y", *names][:-1]:
            place = place.setdefault(name, {})
        place[["y", *names][-1]] = jax.ShapeDtypeStruct(shape, np.dtype(dtype))
    return tree["y"]
