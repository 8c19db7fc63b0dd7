"""What a user's own derivative promises, tried on the function whose derivative it is."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key

from ..._pytree import PyTree
from ...blackbox import blackbox
from ...bridges import Manual
from ..report import NotApplicable, require


def checks(
    bridge: Manual, key: Key[Array, ""], f: Callable[[Any], Any] | None, x: PyTree[Any] | None
) -> dict[str, Callable[[], None]]:
    named = {
        "structure of a derivative": _structure,
        "linear in its last argument": _linear,
        "arguments stay": _arguments_stay,
        "changes of the function": _changes,
    }
    return {name: functools.partial(check, bridge, key, f, x) for name, check in named.items()}


def _linear_part(bridge: Manual, f: Any, x: Any) -> tuple[Callable[[Any], Any], PyTree[np.ndarray], PyTree[np.ndarray]]:
    """The user's function of its last argument alone; an argument for it; and what its result is to look like."""
    if f is None or x is None:
        raise NotApplicable("give check_bridge(bridge, f=..., x=...), the function and a point")
    x = jax.tree.map(np.asarray, x)
    y = jax.tree.map(np.asarray, f(x))
    # Either way of giving a derivative is linear in its last argument, with the others fixed.
    if bridge.vjp is not None:
        return functools.partial(bridge.vjp, x, y), y, x
    assert bridge.jvp is not None
    return functools.partial(bridge.jvp, x, y), x, y


def _some(like: PyTree[np.ndarray], shift: float) -> PyTree[np.ndarray]:
    return jax.tree.map(lambda a: np.sin(shift + np.arange(a.size)).reshape(a.shape).astype(a.dtype), like)


def _structure(bridge, key, f, x):
    function, last, like = _linear_part(bridge, f, x)
    found = function(_some(last, 1.0))
    require(jax.tree.structure(found) == jax.tree.structure(like), f"its structure is {jax.tree.structure(found)}")
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(like), strict=True):
        require(np.shape(a) == b.shape, f"its shape is {np.shape(a)}, not {b.shape}")
        require(np.all(np.isfinite(a)), "it is NaN or infinite")


def _linear(bridge, key, f, x):
    function, last, _ = _linear_part(bridge, f, x)
    v, w = _some(last, 1.0), _some(last, 2.5)
    # One combination tests additivity and scaling together.
    both = function(jax.tree.map(lambda a, b: 2 * a - 3 * b, v, w))
    for a, b, c in zip(*map(jax.tree.leaves, (function(v), function(w), both)), strict=True):
        expected = 2 * np.asarray(a) - 3 * np.asarray(b)
        require(np.allclose(c, expected, rtol=1e-4, atol=1e-5), f"it is {c} where linearity wants {expected}")


def _arguments_stay(bridge, key, f, x):
    function, last, _ = _linear_part(bridge, f, x)
    v = _some(last, 1.0)
    function(v)
    require(all(map(np.array_equal, jax.tree.leaves(v), jax.tree.leaves(_some(last, 1.0)))), "it changes its argument")


def _changes(bridge, key, f, x):
    """As `f.check` of a black box does: within 4 standard errors and 5%."""
    _linear_part(bridge, f, x)
    # The check of a black box compares with differences, for which float32 has too few digits.
    with jax.enable_x64(True):
        shapes = jax.tree.map(lambda y: jax.ShapeDtypeStruct(np.shape(y), np.asarray(y).dtype), f(x))
        found = blackbox(f, shapes, via=bridge).check(x, key=key)
    require(found.agrees, str(found))
