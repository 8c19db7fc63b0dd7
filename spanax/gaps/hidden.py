"""`hidden_gradient`: how much of a smoothed slope does automatic differentiation miss?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from .._checks import check_key
from .._errors import SpanaxError
from .._functions import at_many_points, with_key
from .._jaxprs import evaluate_jaxpr, here
from .._math.directions import gaussian, moved, norm
from .find import analysed


@dataclasses.dataclass(frozen=True)
class HiddenGradient:
    """`share`: 1 - seen/smoothed, the part of the smoothed directional derivative that automatic differentiation misses.

    0 for a function without jumps, 1 where every derivative is zero; negative or above 1 where it points elsewhere; NaN where
    the smoothed slope is not told from 0. `standard_error`: of `share`. `smoothed`: d/dt E[f(x + sigma u + t v)] in the
    direction v of the smoothed gradient; `seen`: the mean of the derivative that JAX gives there, in the same direction.
    """

    share: float
    standard_error: float
    smoothed: float
    seen: float
    sigma: float
    function: str

    def __str__(self) -> str:
        if np.isnan(self.share):
            return f"{self.function} at sigma = {self.sigma:g}: no smoothed slope to speak of ({self.smoothed:.2g})"
        hides = f"hides {100 * self.share:.0f}% (+- {100 * self.standard_error:.0f}%) of the gradient"
        return (
            f"{self.function} at sigma = {self.sigma:g}: {hides} (smoothed {self.smoothed:.4g}, seen {self.seen:.4g})"
        )

    __repr__ = __str__


def hidden_gradient(
    f: Callable[..., Any],
    *args: Any,
    key: Key[Array, ""],
    sigma: float,
    pairs: int = 512,
    argnums: int | Sequence[int] = 0,
    **kwargs: Any,
) -> HiddenGradient:
    """The share of the smoothed slope of `f` that its own derivative does not see.

    The smoothed function is E[f(x + sigma u)], u standard normal over all floating-point leaves of `argnums` (several results
    are summed); `sigma` is in the arguments' units. Its slope is measured from values alone, by antithetic `pairs`; where f
    has no jump it equals the mean of f's own derivative (Stein's lemma), so what is missing is what jumps contribute. The
    direction is that of the smoothed gradient, from the other half of the pairs, so that the slope is not overstated. f runs
    2 pairs times, and as many times with a forward-mode derivative; where it takes a `key`, with the same one.

    Raises `SpanaxError` where sigma is not positive, pairs is below 4, or arguments are given by shape only. Where f cannot
    be differentiated at all, JAX sees nothing and the share is 1.

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> step = lambda x: jnp.sin(x) + jnp.where(x > 0, 1.0, 0.0)
    >>> round(sx.hidden_gradient(jnp.sin, 0.1, key=jax.random.key(0), sigma=0.2).share, 1) + 0.0
    0.0
    >>> sx.hidden_gradient(step, 0.1, key=jax.random.key(0), sigma=0.2).share > 0.5
    True
    """
    where = here()
    check_key(key, where=where)
    if not (isinstance(sigma, int | float) and 0 < sigma < np.inf and isinstance(pairs, int) and pairs >= 4):
        raise SpanaxError(
            f"hidden_gradient(sigma={sigma!r}, pairs={pairs!r})",
            "sigma > 0, in the arguments' units",
            "pairs=512",
            where=where,
        )
    analysis = analysed(f, args, with_key(f, jax.random.fold_in(key, 1), args, kwargs), argnums)
    program, x = analysis.program, analysis.program.concrete()
    dtype = jnp.result_type(float, *x)

    def total(leaves):
        outs = evaluate_jaxpr(program.closed.jaxpr, program.closed.consts, *leaves)
        return sum((jnp.sum(out).astype(dtype) for out in outs), jnp.zeros((), dtype))

    def slope_along(key):
        """(f(x + sigma u) - f(x - sigma u)) / (2 sigma), and u."""
        u = gaussian(key, x)
        return (total(moved(x, u, sigma)) - total(moved(x, u, -sigma))) / (2 * sigma), u

    def own_slope(key, *v):
        u = gaussian(key, x)
        slopes = [jax.jvp(lambda *leaves: total(leaves), tuple(moved(x, u, s)), v)[1] for s in (sigma, -sigma)]
        return (slopes[0] + slopes[1]) / 2

    changes, alongs, seen = [], [], []
    keys = jax.random.split(key, 2 * (pairs // 2)).reshape(2, pairs // 2, *key.shape)
    halves = [jax.jit(lambda keys: at_many_points(slope_along, keys))(half) for half in keys]
    for mine, other in ((0, 1), (1, 0)):
        change, u = halves[other]
        v = [jnp.tensordot(change.astype(float), d.astype(float), 1).astype(d.dtype) / len(change) for d in u]
        length = norm(v)
        v = [jnp.where(length > 0, d / length.astype(d.dtype), d) for d in v]
        change, u = halves[mine]
        along = sum(
            d.reshape(len(change), -1).astype(dtype) @ w.ravel().astype(dtype) for d, w in zip(u, v, strict=True)
        )
        changes.append(change)
        alongs.append(along)
        seen.append(_seen(own_slope, keys[mine], v))
    change, along, own = (np.concatenate([np.asarray(x, float) for x in each]) for each in (changes, alongs, seen))
    return _shared(change, along, own, float(sigma), analysis.report.function)


def _seen(own_slope: Callable, keys: Array, v: Sequence[Array]) -> np.ndarray:
    try:
        return np.asarray(jax.jit(jax.vmap(lambda key: own_slope(key, *v)))(keys))
    except (ValueError, NotImplementedError, SpanaxError):  # no rule: differentiating raises, and so JAX sees nothing
        return np.zeros(len(keys))


def _shared(change: np.ndarray, along: np.ndarray, seen: np.ndarray, sigma: float, function: str) -> HiddenGradient:
    """The smoothed slope by least squares, E[change along] / E[along^2]; the error by the delta method."""
    square = max(float(np.mean(along**2)), float(np.finfo(float).tiny))
    total, own = float(np.mean(change * along) / square), float(seen.mean())
    error = float(np.std(change * along - total * along**2) / square / np.sqrt(len(along)))
    if abs(total) <= 3 * error or abs(total) < 1e-6 * float(np.sqrt(np.mean(change**2))):
        return HiddenGradient(float("nan"), float("nan"), total, own, sigma, function)
    ratio = own / total
    influence = (seen - own - ratio * (change * along - total * along**2) / square) / total
    return HiddenGradient(1 - ratio, float(np.std(influence) / np.sqrt(len(seen))), total, own, sigma, function)
