"""Where numbers fall: searchsorted, bincount and histogram.

The noise is on each number by itself. `via` is the bridge: `Soft`, `StraightThrough(Soft(...))` or `Perturbed`, which
needs `key`. Without a bridge the value is exact, and a derivative raises `SpanaxError`.
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
    # The probability of a bin is the difference of two of these: n edges take n cdfs, and the bins sum to 1.
    return kernel.cdf(units(difference(x, jnp.expand_dims(edges, tuple(range(x.ndim - 1)))), softness))


def _without_derivative(edges: Array, name: str) -> Array:
    """The edges, for a value whose derivative with respect to them is not known."""
    # `Perturbed` puts noise on the numbers only, so that its estimate has no share of the edges, and a silent 0 would be wrong.
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
    """Weights over the m = n + 1 places where v would be inserted: one-hot weights of `jnp.searchsorted(a, v, side)`.

    Relaxed: the probability that v + noise belongs there, for either side. A table lookup is `hard.take(table,
    searchsorted(edges, v, via=...))`, with n + 1 entries in the table.

    **Arguments:**

    - `a`: n ascending numbers, on one axis; that they ascend is not checked;
    - `v`: the numbers to insert;
    - `side`: `"left"` or `"right"`: where a number goes that is equal to an entry;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value, whose derivative raises;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    The weights, with the places on a new last axis.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers;
    - `SpanaxError`: for an `a` with another number of axes than one, and for an unknown `side`;
    - `SpanaxError`: if the value via `Perturbed` is differentiated with respect to `a`.

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

    # `hard` takes the edges from outside and `exact` as an argument: noise moves v only, a derivative both.
    def places(a, v):
        return jax.nn.one_hot(jnp.searchsorted(a, v[..., 0], side=side), a.shape[0] + 1, dtype=v.dtype)

    def soft(kernel, v, softness):
        # Below every edge is the whole line, and above every edge nothing.
        above = _above(kernel, v, a, softness)
        above = jnp.concatenate([jnp.ones_like(v), above, jnp.zeros_like(v)], -1)
        return above[..., :-1] - above[..., 1:]

    return apply(
        "searchsorted",
        via,
        key,
        x=v,
        hard=lambda v: places(_without_derivative(a, "searchsorted"), v),
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

    Relaxed: the expected counts for x + noise. Memory n * length.

    **Arguments:**

    - `x`: n numbers, on one axis;
    - `weights`: n weights; None counts each entry as 1;
    - `length`: the number of bins, as in `jnp.bincount`, here always needed;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value, whose derivative raises;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    The counts.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers;
    - `SpanaxError`: if x has not one axis, or `weights` another shape than x.

    >>> import jax.numpy as jnp, spanax as sx
    >>> sx.hard.bincount(jnp.array([0.0, 1.2, 0.9, 7.0]), length=3).tolist()
    [1.0, 2.0, 0.0]
    """
    # A count is the sum of the one-hot weights of its entries, so that noise on an entry moves its own row only.
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
    """Counts (or total weights) in bins, and the edges, like `jnp.histogram`; the last bin includes its upper edge.

    Relaxed: the expected counts for a + noise between fixed edges. Edges that come from the data move with its smallest and
    largest entry, and their derivative is included (`Perturbed` has none, and raises). Memory size * m.

    **Arguments:**

    - `a`: the numbers;
    - `bins`: the number m of equal bins, or m + 1 edges;
    - `range`: the lowest and the highest edge; None for the smallest and largest number;
    - `weights`: a weight for each number; None counts each as 1;
    - `density`: whether the counts are divided by their sum and the widths of the bins;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value, whose derivative raises;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    The counts and the edges.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers;
    - `SpanaxError`: if `weights` has another shape than `a`;
    - `SpanaxError`: if the value via `Perturbed` is differentiated with respect to the edges.

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
    # Edges from the data are differentiated as a minimum and a maximum.
    edges = jnp.histogram_bin_edges(x, bins, range).astype(x.dtype)

    def within(edges, x):
        # As in NumPy, a bin excludes its upper edge, but for the last one.
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
        hard=lambda x: within(_without_derivative(edges, "histogram"), x),
        soft=under_noise(soft),
        rows=True,
        exact=within,
        inputs=(edges, x),
    )
    # Linear in the weights of membership: no gap, and any weights may be differentiated.
    counts = jnp.sum(member, 0) if weights is None else weights.ravel() @ member
    return (counts / (jnp.sum(counts) * jnp.diff(edges)) if density else counts), edges
