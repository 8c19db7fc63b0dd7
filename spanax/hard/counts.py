"""Where numbers fall: searchsorted, bincount and histogram.

The noise is on each number by itself. `via` is the bridge: `Soft`, `StraightThrough(Soft(...))` or `Perturbed`, which
needs `key`. Without one the value is exact, and a derivative raises `SpanaxError`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import SpanaxError
from .._math.noise import Kernel, units
from .._primitives import undifferentiated
from ._apply import MaybeKey, Via, apply, array, as_float, under_noise
from .choice import one_hot
from .comparisons import difference


def _above(kernel: Kernel, x: Array, edges: Array, softness: Array) -> Array:
    """P(x + noise > each edge): (*s, 1) and (m,) give (*s, m)."""
    return kernel.cdf(units(difference(x, jnp.expand_dims(edges, tuple(range(x.ndim - 1)))), softness))


def _held(edges: Array, name: str) -> Array:
    """The edges, for a value whose derivative with respect to them is not known: the noise is on the numbers only."""
    return undifferentiated(
        edges,
        f"the derivative of {name} with respect to its edges, via Perturbed",
        "via=sx.Soft(0.1) or via=sx.StraightThrough(sx.Soft(0.1)), which have one",
        "edges that do not depend on what is differentiated, such as bins=jnp.linspace(0.0, 1.0, 11) or range=(0.0, 1.0)",
        "jax.lax.stop_gradient around the edges, if they are to be held fixed",
    )


def searchsorted(
    a: Float[Array, " n"], v: Float[Array, "*s"], side: str = "left", *, via: Via = None, key: MaybeKey = None
) -> Float[Array, "*s m"]:
    """Weights over the m = n + 1 places where v would be put in: one-hot weights of `jnp.searchsorted(a, v, side)`.

    a is sorted, which is not checked. Relaxed: the probability that v + noise belongs there, for either side. A table lookup is
    `hard.take(table, searchsorted(edges, v, via=...))`, with n + 1 entries in the table. With `Perturbed` a derivative with
    respect to a raises `SpanaxError`, and so do an `a` that has not one axis and an unknown `side`.

    >>> import jax.numpy as jnp, spanax as sx
    >>> sx.hard.searchsorted(jnp.array([1.0, 2.0]), 1.5).tolist()
    [0.0, 1.0, 0.0]
    """
    a, v = as_float(a), as_float(v)[..., None]
    if a.ndim != 1 or side not in ("left", "right"):
        raise SpanaxError(
            f"searchsorted in a of shape {list(a.shape)}, side={side!r}",
            "a with one axis",
            'side="left" or "right"',
        )

    def places(a, v):
        return jax.nn.one_hot(jnp.searchsorted(a, v[..., 0], side=side), a.shape[0] + 1, dtype=v.dtype)

    def soft(kernel, v, softness):
        above = _above(kernel, v, a, softness)
        above = jnp.concatenate([jnp.ones_like(v), above, jnp.zeros_like(v)], -1)
        return above[..., :-1] - above[..., 1:]

    return apply(
        "searchsorted",
        via,
        key,
        x=v,
        hard=lambda v: places(_held(a, "searchsorted"), v),
        soft=under_noise(soft),
        rows=True,
        exact=places,
        inputs=(a, v),
    )


def bincount(
    x: Float[Array, " n"],
    weights: Float[Array, " n"] | None = None,
    *,
    length: int,
    via: Via = None,
    key: MaybeKey = None,
) -> Float[Array, " length"]:
    """How many entries (or what total weight) round to 0, 1, ..., length - 1; others do not count.

    `length` as in `jnp.bincount`, and needed. Relaxed: the expected counts for x + noise. Memory n * length.
    """
    x = as_float(x)
    weights = jnp.ones_like(x) if weights is None else array(weights, x.dtype)
    if x.ndim != 1 or weights.shape != x.shape:
        raise SpanaxError(
            f"bincount of x {list(x.shape)} and weights {list(weights.shape)}", "one axis, the same for both"
        )
    return weights @ one_hot(x, length, via=via, key=key)


def histogram(
    a: Float[Array, "*s"],
    bins: int | Float[Array, " m+1"] = 10,
    range: tuple[float, float] | None = None,  # the name of jnp.histogram
    weights: Float[Array, "*s"] | None = None,
    density: bool = False,
    *,
    via: Via = None,
    key: MaybeKey = None,
) -> tuple[Float[Array, " m"], Float[Array, " m+1"]]:
    """Counts (or total weights) in bins, and the edges, like `jnp.histogram`; the last bin holds its upper edge.

    Relaxed: the expected counts for a + noise between fixed edges. Edges that come from the data move with its smallest
    and largest entry, and their derivative is counted (`Perturbed` has none, and raises `SpanaxError`). Memory size * m.

    >>> import jax.numpy as jnp, spanax as sx
    >>> sx.hard.histogram(jnp.array([0.1, 0.4, 0.9]), bins=2, range=(0.0, 1.0))[0].tolist()
    [2.0, 1.0]
    """
    x = as_float(a).ravel()[:, None]
    weights = None if weights is None else array(weights, x.dtype)
    if weights is not None and weights.shape != jnp.shape(a):
        raise SpanaxError(
            f"histogram of a {list(jnp.shape(a))} and weights {list(weights.shape)}", "the same shape for both"
        )
    edges = jnp.histogram_bin_edges(x, bins, range).astype(x.dtype)

    def within(edges, x):
        low, high = edges[None, :-1], edges[None, 1:]
        last = (x == edges[-1]) & (jnp.arange(edges.shape[0] - 1) == edges.shape[0] - 2)[None]
        return (((x >= low) & (x < high)) | last).astype(x.dtype)

    def soft(kernel, x, softness):
        above = _above(kernel, x, edges, softness)
        return above[..., :-1] - above[..., 1:]

    member = apply(
        "histogram",
        via,
        key,
        x=x,
        hard=lambda x: within(_held(edges, "histogram"), x),
        soft=under_noise(soft),
        rows=True,
        exact=within,
        inputs=(edges, x),
    )
    counts = jnp.sum(member, 0) if weights is None else weights.ravel() @ member
    return (counts / (jnp.sum(counts) * jnp.diff(edges)) if density else counts), edges
