"""Counts of numbers: `np.bincount`, `np.histogram` and the like."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from .._indexing.views import transpose
from .._session import line, session, unliftable
from .._values.trees import has_unknown, unwrapped
from .._values.values import Array, Value, as_jax, canonical, is_unknown, raw, wrapped
from .creation import asarray


def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    """`np.bincount`: as many counts as known numbers ask for, or as `minlength` says."""
    values = None if weights is None else as_jax(asarray(weights)).astype(float)
    if not has_unknown(x):
        numbers = np.asarray(unwrapped(x))
        length = len(np.bincount(numbers, minlength=minlength))  # with NumPy's error for what it cannot count
        return wrapped(jnp.bincount(jnp.asarray(numbers), values, length=length))
    if not minlength:
        raise unliftable(
            "np.bincount: the length of its result depends on the arguments' values", "minlength=n, for numbers below n"
        )
    numbers = as_jax(x)
    if numbers.dtype.kind not in "iub":
        raise TypeError("np.bincount counts integers")
    session().check(
        jnp.any((numbers >= minlength) | (numbers < 0)),
        f"np.bincount of a number that is negative, or not below minlength={minlength}",
        line(),
    )
    return wrapped(jnp.bincount(numbers, values, length=minlength))


def histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """`np.histogram`."""
    edges = as_jax(bins) if is_unknown(bins) else unwrapped(bins)
    edges = np.asarray(edges) if isinstance(edges, (list, tuple)) else edges
    given = None if weights is None else as_jax(weights)
    counts, found = jnp.histogram(as_jax(a), edges, unwrapped(range), given, density)
    return wrapped(counts if density or weights is not None else counts.astype(canonical(int))), wrapped(found)


def histogramdd(sample: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """`np.histogramdd`: points in rows, or a list of coordinates."""
    points = sample if isinstance(sample, (Value, np.ndarray)) else transpose(asarray(sample))
    edges = [as_jax(b) if np.ndim(raw(b)) or isinstance(b, (Array, list)) else b for b in _listed(bins)]
    given = None if weights is None else as_jax(weights)
    counts, found = jnp.histogramdd(as_jax(points), edges, unwrapped(range), given, density)
    return wrapped(counts.astype(canonical(float))), tuple(map(wrapped, found))


def _listed(bins: Any) -> Any:
    return list(bins) if isinstance(bins, (list, tuple)) else [bins]
