"""The step of finite differences, from values on a line: how noisy f is, and at which scale it begins to curve."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..._math.directions import widest
from ..._pytree import PyTree
from .probes import both_ways, concatenate_rows, split

_SCALES = 12
EVALUATIONS = 2 * _SCALES
# So many scales are meant to lie below the one where rounding and curvature are balanced: noise is estimated there.
_QUIET = 4
# Shares of the largest step: the scale of f that is always looked for, and the smallest that is ever looked for.
_NARROW, _NARROWEST = 0.03, 1e-6
# The last scale but one, as a power of 2: what noise may hide beyond it limits the step to about a half.
_COARSE = -2
_RESOLUTION = 16  # spacings of floats at x
# Standard deviations of noise beyond which a change is curvature (see `_first_loud`); and the same if noise is estimated from
# 0, 2, ... 8 values only.
_SURE, _LIKELY = 12.0, 6.0
_FEW = (np.inf, 1000.0, 60.0, 25.0, 15.0)
# Values that begin to change below this scale were rounded; above it, f is flat.
_ROUNDED = 0.04


def pilot_points(x: PyTree[Array], largest: list[Array]) -> PyTree[Array]:
    """x + t_j v for the 12 scales t_j from the smallest to 1, then x - t_j v."""
    leaves, tree = jax.tree.flatten(x)
    t, v = _scales(leaves, largest), split(_direction(leaves, largest)[None], leaves)
    stacked = []
    for leaf, direction in zip(leaves, v, strict=True):
        move = t.astype(leaf.dtype).reshape((-1,) + (1,) * leaf.ndim) * direction.astype(leaf.dtype)
        stacked.append(both_ways(leaf, move))
    return jax.tree.unflatten(tree, stacked)


def best_step(
    x: PyTree[Array], values: PyTree[Array], y: PyTree[Array], largest: list[Array], order: int
) -> PyTree[Array]:
    """A step for each number in x: t `largest`, with the t that balances noise and curvature.

    The scales are those of the difference tables of Moré and Wild 2011 (SIAM J. Sci. Comput. 33, 1292), made geometric
    so that one set of values shows noise of any size; the balance is that of Moré and Wild 2012 (ACM TOMS 38, article 19) and
    Shi et al. 2022 (SIAM J. Sci. Comput. 44, A2302), section 2.
    """
    # With the odd part g_j = (f(x + t_j v) - f(x - t_j v))/2 and t_{j+1} = r t_j, the change a_j = g_{j+1} - r g_j has the
    # variance (1 + r^2)/2 eps^2 from noise of variance eps^2, and the mean T (r^3 - r) t_j^3, T = f'''/6 along v; so with the
    # even part, whose differences of second order are free of f''. eps is the root mean square of both up to the first scale
    # where a_j is far beyond it, and T is read off there (f'' of the even part for order 1).
    #
    # Then the mean square error of a central difference, eps^2/(2 t^2) + T^2 t^4, is least for t^3 = eps/(2 T), that of a
    # forward one (order 1), 2 eps^2/t^2 + S^2 t^2, S = f''/2, for t^2 = sqrt(2) eps/S. Over several outputs eps^2 and T^2 are
    # summed, each in units of its largest change. If f changes by less than 16 units in its last place on the whole line, the
    # step is the longest.
    #
    # T along v is taken as sqrt(d) times that along a coordinate, which is right if the coordinates act by themselves; if they
    # act together it is more, and the step shorter than the best.
    leaves = jax.tree.leaves(x)
    dtype = widest([*leaves, *jax.tree.leaves(values)])
    t = _scales(leaves, largest).astype(dtype)
    w = (_direction(leaves, largest) / concatenate_rows([each[None] for each in largest], widest(leaves))[0]).astype(
        dtype
    )
    at = concatenate_rows([leaf[None] for leaf in jax.tree.leaves(y)], dtype)
    change = concatenate_rows(jax.tree.leaves(values), dtype) - at
    resolution = concatenate_rows(
        [jnp.full((1, leaf.size), jnp.finfo(leaf.dtype).eps) for leaf in jax.tree.leaves(y)], dtype
    )[0]
    noise, third, second = _noise_and_curvature(change, t, _floor(change, at, t, resolution))
    weight = _weights(change)
    bend = third / jnp.sqrt(jnp.sum(w**6)) if order == 2 else second / jnp.sqrt(jnp.sum(w**4))
    ratio = jnp.linalg.norm(weight * noise) / jnp.linalg.norm(weight * bend)  # infinite where nothing bends
    best = jnp.cbrt(ratio / 2) if order == 2 else jnp.sqrt(jnp.sqrt(2.0).astype(dtype) * ratio)
    fraction = jnp.where(jnp.any((weight > 0) & (bend > 0)), jnp.clip(best, t[0], 1), 1)
    fraction = jnp.maximum(fraction, _visible(change, at, t, resolution))
    least = [_RESOLUTION * jnp.finfo(leaf.dtype).eps * jnp.abs(leaf) for leaf in leaves]
    steps = [
        jnp.maximum(fraction.astype(leaf.dtype) * reach, low)
        for leaf, reach, low in zip(leaves, largest, least, strict=True)
    ]
    return jax.tree.unflatten(jax.tree.structure(x), steps)


def _direction(leaves: list[Array], largest: list[Array]) -> Float[Array, " size"]:
    """v: in each coordinate a quarter to the whole of `largest`."""
    # Spread by the golden ratio, so that equal terms of f do not cancel along v. Its numbers have few bits, and the scales are
    # powers of 2: x + t v is not rounded, which would look like noise of f.
    dtype = widest(leaves)
    n = np.arange(sum(map(jnp.size, leaves)))
    signs = np.where((n * np.sqrt(2)) % 1 > 0.5, -1, 1)
    w = signs * (16 - np.floor(8 * ((n * (np.sqrt(5) - 1) / 2) % 1))) / 16
    reach = concatenate_rows([each[None] for each in largest], dtype)[0]
    significand, _ = jnp.frexp(reach)
    return jnp.asarray(w, dtype) * (reach / (2 * significand))


def _scales(leaves: list[Array], largest: list[Array]) -> Float[Array, " scales"]:
    """t_0 ... t_11 = 1, geometric: 4 of them below half the cube root of the spacing of floats, for the narrowest scale of f."""
    # f may vary on the scale of x, or of 1, or of `largest`: the narrowest of them counts.
    dtype = widest(leaves)
    narrow, low = jnp.full((), _NARROW, dtype), jnp.zeros((), dtype)
    for leaf, reach in zip(leaves, largest, strict=True):
        if leaf.size:
            size, reach = jnp.sqrt(jnp.mean(jnp.square(leaf.astype(dtype)))), reach.astype(dtype)
            narrow = jnp.minimum(narrow, jnp.min(jnp.minimum(jnp.where(size > 0, size, 1), 1) / reach))
            low = jnp.maximum(
                low, _RESOLUTION * jnp.finfo(leaf.dtype).eps * jnp.max(jnp.abs(leaf.astype(dtype)) / reach)
            )
    balanced = 0.5 * jnp.cbrt(jnp.finfo(dtype).eps) * jnp.maximum(narrow, _NARROWEST)
    first = jnp.log2(jnp.maximum(balanced ** ((_SCALES - 1) / (_SCALES - _QUIET)), low))
    powers = jnp.ceil(_COARSE + (first - _COARSE) * jnp.linspace(1, 0, _SCALES - 1, dtype=dtype))
    return jnp.ldexp(jnp.ones(_SCALES, dtype), jnp.append(powers, 0).astype(jnp.int32))


def _noise_and_curvature(
    change: Float[Array, "points outputs"], t: Float[Array, " scales"], floor: Float[Array, " outputs"]
) -> tuple[Float[Array, " outputs"], Float[Array, " outputs"], Float[Array, " outputs"]]:
    """For each output the standard deviation of its noise, |f'''|/6 and |f''|/2 along v."""
    plus, minus = jnp.split(change, 2)
    odd, even = (plus - minus) / 2, (plus + minus) / 2
    r, rise, square = (t[1:] / t[:-1])[:, None], even[1:] - even[:-1], jnp.diff(t**2)
    q = (square[:-1] / square[1:])[:, None]
    a = jnp.abs(odd[1:] - r * odd[:-1]) / jnp.sqrt((1 + r**2) / 2)
    c = jnp.abs(rise[:-1] - q * rise[1:]) / jnp.sqrt((1 + (1 + q) ** 2 + q**2) / 2)
    noise = _noise(a, jnp.concatenate([c, a[-1:]]), floor)
    third = _curvature(a, (jnp.sqrt((1 + r**2) / 2) / (r**3 - r))[:, 0] / t[:-1] ** 3, noise)
    second = _curvature(jnp.abs(even), 1 / t**2, noise)
    return noise, third, second


def _noise(a, c, floor: Float[Array, " outputs"]) -> Float[Array, " outputs"]:
    """The root mean square of both up to the first row where one is beyond that of the rows before."""
    count = 2.0 * jnp.arange(1, len(a) + 1, dtype=a.dtype)[:, None]
    upto = jnp.maximum(jnp.sqrt(jnp.cumsum(a**2 + c**2, axis=0) / count), floor[None])
    before = jnp.concatenate([upto[:1], upto[:-1]])
    k, found = _first_loud(jnp.maximum(a, c), before, few=_FEW)
    return jnp.where(found, _row(before, k), upto[-1])


def _curvature(size, factor: Float[Array, " rows"], noise: Float[Array, " outputs"]) -> Float[Array, " outputs"]:
    """size * factor at the first row that is beyond the noise; if there is none, what noise may hide in the last row."""
    k, found = _first_loud(size, jnp.broadcast_to(noise, size.shape))
    k = jnp.where(found, k, len(size) - 1)
    bend = jnp.where(found, _row(size, k), jnp.maximum(size[-1], noise))
    # Where f is not finite, the step has to stay below: count it as curvature that is just seen.
    bend = jnp.where(jnp.isfinite(bend), bend, _SURE * noise)
    return bend * factor[k]


def _first_loud(size, noise, few: Sequence[float] = ()):
    """For each column the first row that is beyond the noise, and whether there is one; `few`: by how much in the first rows."""
    # That is 12 standard deviations, or 6 if 12 follow: noise that is large once falls back, and curvature goes on growing.
    sure, likely = np.full((len(size), 1), _SURE), np.full((len(size), 1), _LIKELY)
    sure[: len(few), 0], likely[: len(few)] = few, np.inf
    beyond, perhaps = (~(size <= limit.astype(size.dtype) * noise) for limit in (sure, likely))
    then = jnp.concatenate([~(size[1:] <= _SURE * noise[:-1]), jnp.zeros_like(beyond[:1])])
    loud = beyond | (perhaps & then)
    return jnp.argmax(loud, axis=0), jnp.any(loud, axis=0)


def _row(rows: Float[Array, "rows outputs"], k) -> Float[Array, " outputs"]:
    return jnp.take_along_axis(rows, k[None], axis=0)[0]


def _floor(change, at, t, resolution) -> Float[Array, " outputs"]:
    """The noise of rounding: of floats, and of values that are equal to f(x) at small scales and then jump."""
    size = jnp.abs(change)
    # A batch may compute f in another order, which changes its last bits.
    same = size <= 4 * resolution[None] * jnp.abs(at)
    equal = jnp.all(same.reshape(2, _SCALES, -1), axis=0)
    begins = jnp.sum(jnp.cumprod(equal, axis=0), axis=0)
    least = jnp.min(jnp.where(same, jnp.inf, size), axis=0)
    rounded = (begins > 0) & (jnp.append(t, jnp.inf)[begins] <= _ROUNDED)
    unit = jnp.where(rounded, least, 0) + resolution * (jnp.abs(at[0]) + jnp.max(size[::_SCALES], axis=0))
    # The standard deviation of a number that is uniform within one unit.
    return unit / np.sqrt(12)


def _visible(change, at, t, resolution) -> Float[Array, ""]:
    """The largest t with finite values if f changes by less than 16 units in the last place on the whole line; else 0."""
    units = jnp.abs(change) / jnp.maximum(
        resolution[None] * (jnp.abs(at) + jnp.abs(change)), jnp.finfo(change.dtype).tiny
    )
    finite = jnp.isfinite(change)
    farthest = jnp.max(jnp.where(jnp.all(finite.reshape(2, _SCALES, -1), axis=(0, 2)), t, 0))
    return jnp.where(jnp.max(jnp.where(finite, units, 0)) < 16, farthest, 0)


def _weights(change: Float[Array, "points outputs"]) -> Float[Array, " outputs"]:
    """1/(largest change); 0 for an output that does not change."""
    largest = jnp.max(jnp.where(jnp.isfinite(change), jnp.abs(change), 0), axis=0)
    return jnp.where(largest > 0, 1 / jnp.where(largest > 0, largest, 1), 0)
