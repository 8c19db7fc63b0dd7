"""Counts of numbers: `np.bincount`, `np.histogram` and the like.

Counts are piecewise constant in the numbers that are counted: only the weights have a derivative. The number of counts is a
shape, so it must be known while the program is traced.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from .._indexing.views import transpose
from .._session import line, session, unliftable
from .._values.trees import has_unknown, unwrap
from .._values.values import LiftedArray, Value, as_jax, canonical, is_unknown, raw, wrap
from .creation import asarray


def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    """`np.bincount`: as many counts as NumPy returns for known numbers, else `minlength`."""
    values = None if weights is None else as_jax(asarray(weights)).astype(float)
    if not has_unknown(x):
        numbers = np.asarray(unwrap(x))
        length = len(np.bincount(numbers, minlength=minlength))  # with NumPy's error for what it cannot count
        return wrap(jnp.bincount(jnp.asarray(numbers), values, length=length))
    if not minlength:
        raise unliftable(
            "np.bincount: the length of its result depends on the arguments' values", "minlength=n, for numbers below n"
        )
    numbers = as_jax(x)
    if numbers.dtype.kind not in "iub":
        raise TypeError("np.bincount counts integers")
    # NumPy's result grows with the largest number. Ours cannot, and must not ignore numbers.
    session().check(
        jnp.any((numbers >= minlength) | (numbers < 0)),
        f"np.bincount of a number that is negative, or not below minlength={minlength}",
        line(),
    )
    return wrap(jnp.bincount(numbers, values, length=minlength))


def histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """`np.histogram`."""
    edges = as_jax(bins) if is_unknown(bins) else unwrap(bins)
    edges = np.asarray(edges) if isinstance(edges, (list, tuple)) else edges
    masses = None if weights is None else as_jax(weights)
    counts, edges = jnp.histogram(as_jax(a), edges, unwrap(range), masses, density)
    # JAX counts in floats, NumPy in ints.
    return wrap(counts if density or weights is not None else counts.astype(canonical(int))), wrap(edges)


def histogramdd(sample: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """`np.histogramdd`: of points in rows, or of a list of coordinates."""
    points = sample if isinstance(sample, (Value, np.ndarray)) else transpose(asarray(sample))
    edges = [as_jax(b) if np.ndim(raw(b)) or isinstance(b, (LiftedArray, list)) else b for b in _as_list(bins)]
    masses = None if weights is None else as_jax(weights)
    counts, edges = jnp.histogramdd(as_jax(points), edges, unwrap(range), masses, density)
    # NumPy counts in floats here, with or without weights.
    return wrap(counts.astype(canonical(float))), tuple(map(wrap, edges))


def _as_list(bins: Any) -> Any:
    return list(bins) if isinstance(bins, (list, tuple)) else [bins]
