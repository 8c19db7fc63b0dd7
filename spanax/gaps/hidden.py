"""`hidden_gradient`: how much of a smoothed slope does automatic differentiation miss?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from .._checks import check_key, is_number, is_whole
from .._errors import SpanaxError
from .._functions import at_many_points, join_keywords, with_key
from .._jaxprs import evaluate_jaxpr
from .._math.directions import gaussian, moved, norm
from ._analysis.traced import Traced
from .find import analyse


@dataclasses.dataclass(frozen=True)
class HiddenGradient:
    """`share`: 1 - seen/smoothed, the part of the smoothed directional derivative that automatic differentiation misses.

    0 for a function without jumps, 1 where every derivative is zero; negative or above 1 where it points elsewhere; NaN where
    the smoothed slope is not told from 0. `standard_error`: of `share`. `smoothed`: d/dt E[f(x + sigma u + t v)] in the
    direction v of the smoothed gradient; `seen`: the mean of the derivative that JAX gives there, in the same direction.

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> hidden = sx.hidden_gradient(lambda x: jnp.where(x > 0, 1.0, 0.0), 0.1, key=jax.random.key(0), sigma=0.2)
    >>> hidden.share, hidden.seen, hidden.smoothed > 1
    (1.0, 0.0, True)
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
    kwargs: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> HiddenGradient:
    """The share of the smoothed slope of `f` that its own derivative does not see.

    The smoothed function is E[f(x + sigma u)], u standard normal over all floating-point leaves of `argnums` (several results
    are summed). Its slope is measured from values alone, by antithetic pairs. If f has no jump it equals the mean of f's own
    derivative (Stein 1981, lemma 2), so what is missing is what jumps contribute. The direction is that of the smoothed
    gradient, from the other half of the pairs, so that the slope is not overstated. f runs 2 `pairs` times, and as many times
    with a forward-mode derivative. If JAX cannot differentiate f at all, it sees nothing, and the share is 1.

    **Arguments:**

    - `f`: a JAX function. If it takes a `key`, it gets the same one each time.
    - `*args`: its positional arguments, arrays.
    - `key`: a PRNG key for the noise.
    - `sigma`: the standard deviation of the noise, in the arguments' units.
    - `pairs`: how many pairs of points, 4 or more.
    - `argnums`: the argument to differentiate by, or several in a tuple, as in `jax.grad`: every floating-point leaf of it.
    - `kwargs`: f's keyword arguments whose names are options here, such as `{"argnums": ...}`.
    - `**keywords`: f's other keyword arguments. They are held fixed.

    **Returns:**

    A `spanax.gaps.HiddenGradient`: the share with its standard error, and both slopes.

    **Raises:**

    - `SpanaxError`: sigma is not positive, pairs is below 4, or arguments are given by shape only.

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> step = lambda x: jnp.sin(x) + jnp.where(x > 0, 1.0, 0.0)
    >>> round(sx.hidden_gradient(jnp.sin, 0.1, key=jax.random.key(0), sigma=0.2).share, 1) + 0.0
    0.0
    >>> sx.hidden_gradient(step, 0.1, key=jax.random.key(0), sigma=0.2).share > 0.5
    True
    """
    check_key(key)
    if not (is_number(sigma) and sigma > 0 and is_whole(pairs, 4)):
        problem = f"hidden_gradient(sigma={sigma!r}, pairs={pairs!r})"
        raise SpanaxError(problem, "sigma > 0, in the arguments' units", "pairs=512")
    analysis = analyse(f, args, with_key(f, jax.random.fold_in(key, 1), args, join_keywords(keywords, kwargs)), argnums)
    slopes = _Slopes(analysis.program, sigma)
    keys = jax.random.split(key, 2 * (pairs // 2)).reshape(2, pairs // 2, *key.shape)
    halves = [slopes.along_random_directions(half) for half in keys]
    # Cross-fitting: each half is projected on the direction that the other half found. On its own direction the noise of the
    # estimate would count as slope, and the smoothed slope would be overstated.
    projected = [slopes.projected(keys[k], halves[k], halves[1 - k]) for k in (0, 1)]
    change, along, own = (np.concatenate([np.asarray(x, float) for x in each]) for each in zip(*projected, strict=True))
    return share_of(change, along, own, float(sigma), analysis.report.function)


class _Slopes:
    """Slopes of f around x, where the smoothing looks: from values, and from f's own derivative."""

    def __init__(self, program: Traced, sigma: float):
        self.closed, self.x, self.sigma = program.closed, program.concrete(), sigma
        self.dtype = jnp.result_type(float, *self.x)

    def _total(self, leaves: Sequence[Array]) -> Array:
        outs = evaluate_jaxpr(self.closed.jaxpr, self.closed.consts, *leaves)
        return sum((jnp.sum(out).astype(self.dtype) for out in outs), jnp.zeros((), self.dtype))

    def along_random_directions(self, keys: Array) -> tuple[Array, list[Array]]:
        """(f(x + sigma u) - f(x - sigma u)) / (2 sigma), and u, for each key."""

        def of_one(key: Array) -> tuple[Array, list[Array]]:
            # Antithetic: at x + sigma u and x - sigma u, so that the even part of f cancels, and with it most of the
            # noise.
            u, sigma = gaussian(key, self.x), self.sigma
            return (self._total(moved(self.x, u, sigma)) - self._total(moved(self.x, u, -sigma))) / (2 * sigma), u

        return jax.jit(lambda keys: at_many_points(of_one, keys))(keys)

    def projected(self, keys: Array, half: tuple, other: tuple) -> tuple[Any, Any, np.ndarray]:
        """The changes of one half, its directions and f's own slopes along the smoothed gradient that the other half found."""
        change, u = other
        v = [jnp.tensordot(change.astype(float), d.astype(float), 1).astype(d.dtype) / len(change) for d in u]
        # A direction of length 0 stays: then the slope is 0 whatever f is, which is reported as such.
        length = norm(v)
        v = [jnp.where(length > 0, d / length.astype(d.dtype), d) for d in v]
        change, u = half
        parts = (d.reshape(len(change), -1) for d in u)
        along = sum(d.astype(self.dtype) @ w.ravel().astype(self.dtype) for d, w in zip(parts, v, strict=True))
        return change, along, self._own(keys, v)

    def _own(self, keys: Array, v: Sequence[Array]) -> np.ndarray:
        """f's own derivative along v, in the mean over both points of each pair."""

        def of_one(key: Array) -> Array:
            # The same noise as in the values, so that both slopes are means over the same points.
            points = (tuple(moved(self.x, gaussian(key, self.x), s)) for s in (self.sigma, -self.sigma))
            up, down = (jax.jvp(lambda *leaves: self._total(leaves), point, tuple(v))[1] for point in points)
            return (up + down) / 2

        try:
            return np.asarray(jax.jit(jax.vmap(of_one))(keys))
        except (
            ValueError,
            NotImplementedError,
            SpanaxError,
        ):  # no rule: differentiating raises, and so JAX sees nothing
            return np.zeros(len(keys))


def share_of(change: np.ndarray, along: np.ndarray, seen: np.ndarray, sigma: float, function: str) -> HiddenGradient:
    """The smoothed slope by least squares, E[change along] / E[along^2]; the error by the delta method."""
    # Least squares, since the differences are along u and the slope is wanted along v: E[(u.v)^2] = |v|^2.
    square = max(float(np.mean(along**2)), float(np.finfo(float).tiny))
    total, own = float(np.mean(change * along) / square), float(seen.mean())
    error = float(np.std(change * along - total * along**2) / square / np.sqrt(len(along)))
    # Three standard errors: a share of a slope that is not told from 0 would be noise over noise.
    if abs(total) <= 3 * error or abs(total) < 1e-6 * float(np.sqrt(np.mean(change**2))):
        return HiddenGradient(float("nan"), float("nan"), total, own, sigma, function)
    ratio = own / total
    # The share is a ratio of two means: its error is that of the first-order change that each pair makes to it.
    influence = (seen - own - ratio * (change * along - total * along**2) / square) / total
    return HiddenGradient(1 - ratio, float(np.std(influence) / np.sqrt(len(seen))), total, own, sigma, function)
