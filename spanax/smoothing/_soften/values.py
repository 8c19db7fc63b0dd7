"""What stands for a boolean, an integer or a whole float in a softened program.

A value of the hard program that no softened operation reaches stays the array that it is. Else it is one of

- `SoftBool`: its mean alone;
- `Whole`: a rounded number, with the noise before the rounding, so that P(N < c) is exact for every c;
- `Outcomes`: a law over finitely many values, such as an argmax;
- `Either`: one over two values, such as a comparison;
- `Columns`: several of these side by side, as the index vectors of a gather.

The mean is in the default float dtype, or in the variable's own where it is a float that is known to be whole.
"""

from __future__ import annotations

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from . import noise

LARGEST_RANGE = 64  # integers between two bounds, whose clipped mean is summed exactly


class SoftBool(eqx.Module):
    """A boolean (its mean is the chance that it holds) or an integer, by its mean."""

    mean: Float[Array, "*n"]


class Whole(eqx.Module):
    """clip(T(at + scale e) + shift, low, high), e standard normal; T is floor, or truncation towards 0.

    `hard`: T(at) + shift, where values are to be the hard program's; else None.
    """

    at: Float[Array, "*n"]
    scale: Float[Array, "*n"]
    shift: Float[Array, "*n"]
    hard: Float[Array, "*n"] | None = None
    truncates: bool = eqx.field(static=True, default=False)
    fine: bool | None = eqx.field(static=True, default=None)  # is `scale` known to be below .4?
    low: float = eqx.field(static=True, default=-np.inf)
    high: float = eqx.field(static=True, default=np.inf)

    def below(self, c: Array | float) -> Float[Array, "*n"]:
        """P(N < c), for whole c."""
        c = jnp.asarray(c, self.at.dtype)
        edge = c - self.shift
        if self.truncates:
            # Truncation goes towards 0, so that the step at every c <= 0 lies one further down: trunc(x) < 0 means x
            # <= -1.
            edge = jnp.where(edge >= 1, edge, edge - 1)
        p = noise.positive(edge - self.at, self.scale)
        if self.hard is not None:
            p = noise.with_derivative_of((self.hard < c).astype(p.dtype), p)
        return jnp.where(c <= self.low, 0.0, jnp.where(c > self.high, 1.0, p))

    @property
    def mean(self) -> Float[Array, "*n"]:
        # The mean of a clipped number is not the clipped mean. E[N] = low + sum over k of P(N >= k), exact for a
        # bounded N.
        if self.high - self.low <= LARGEST_RANGE:
            steps = (1 - self.below(k) for k in np.arange(self.low + 1, self.high + 1))
            return sum(steps, jnp.full_like(self.at, self.low))
        # Without bounds the sum has a closed form, a Fourier series or a few terms of erf.
        mean = noise.floor(self.at, self.scale, self.fine) + self.shift
        if self.truncates:
            mean = mean + noise.positive(-self.at, self.scale)
        if self.hard is not None:
            mean = noise.with_derivative_of(self.hard, mean)
        return jnp.clip(mean, self.low, self.high)

    def moved(self, by: Array) -> Whole:
        """N + by, for whole `by` and without bounds."""
        hard = None if self.hard is None else self.hard + by
        return Whole(self.at, self.scale, self.shift + by, hard, self.truncates, self.fine)

    def within(self, low: float = -np.inf, high: float = np.inf) -> Whole:
        """clip(N, low, high)."""
        low, high = (float(np.clip(bound, self.low, self.high)) for bound in (low, high))
        return Whole(self.at, self.scale, self.shift, self.hard, self.truncates, self.fine, low, high)


class Outcomes(eqx.Module):
    """P(N = values[..., k]) = weights[..., k]. Two with the same `root` are functions of the same draw."""

    weights: Float[Array, "*n k"]
    values: Shaped[Array, "*n k"]
    root: Any = eqx.field(static=True)

    @property
    def mean(self) -> Float[Array, "*n"]:
        return jnp.sum(self.weights * self.values.astype(self.weights.dtype), -1)


class Either(eqx.Module):
    """`yes` with probability p, else `no`: a truth value, or what follows from one. Of `root`, as of `Outcomes`."""

    p: Float[Array, "*n"]
    no: Shaped[Array, "*n"]
    yes: Shaped[Array, "*n"]
    root: Any = eqx.field(static=True)

    @property
    def mean(self) -> Float[Array, "*n"]:
        no, yes = self.no.astype(self.p.dtype), self.yes.astype(self.p.dtype)
        # Not (1 - p) no + p yes, which rounds differently where both are equal.
        return no + self.p * (yes - no)

    def outcomes(self) -> Outcomes:
        weights, values = jnp.stack([1 - self.p, self.p], -1), jnp.stack([self.no, self.yes], -1)
        return Outcomes(weights, values, self.root)


class Columns(eqx.Module):
    """Arrays and soft values, one after the other along `axis`."""

    parts: tuple[Any, ...]
    axis: int = eqx.field(static=True)

    @property
    def mean(self) -> Float[Array, "*n"]:
        return jnp.concatenate([number(x, default_float()) for x in self.parts], self.axis)


KINDS = (SoftBool, Whole, Outcomes, Either, Columns)


def is_soft(x: Any) -> bool:
    return isinstance(x, KINDS)


def default_float() -> Any:
    return jnp.result_type(float)


def is_float(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.inexact)


def is_number(dtype: Any) -> bool:
    """A boolean or an integer: no float, no key."""
    return jnp.issubdtype(dtype, jnp.integer) or dtype == jnp.bool_


def is_key(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jax.dtypes.extended)


def shape(x: Any) -> tuple[int, ...]:
    if isinstance(x, Outcomes):
        return x.weights.shape[:-1]
    return np.shape(x.mean if is_soft(x) else x)


def number(x: Any, dtype: Any = None) -> Array:
    """The mean of a soft value, or the array itself, as floats."""
    x = x.mean if is_soft(x) else jnp.asarray(x)
    if dtype is None:
        dtype = x.dtype if is_float(x.dtype) else default_float()
    return x.astype(dtype)


def likeliest(x: Any, dtype: Any) -> Array:
    """The likeliest boolean, the nearest integer; the mean, of what is a float."""
    if not is_soft(x):
        return x
    if is_float(dtype):
        return number(x, dtype)
    if isinstance(x, Either):
        return jnp.where(jax.lax.stop_gradient(x.p) > 0.5, x.yes, x.no)
    if isinstance(x, Outcomes):
        likeliest = jnp.argmax(x.weights, -1, keepdims=True)
        return jnp.take_along_axis(x.values, likeliest, -1)[..., 0].astype(dtype)
    mean = jax.lax.stop_gradient(x.mean)
    return mean > 0.5 if dtype == jnp.bool_ else jnp.round(mean).astype(dtype)


def canonical(x: Any, dtype: Any, soft: bool) -> Any:
    """The form in which a value crosses into a branch's result or a loop's state: an array, or a `SoftBool` mean."""
    if is_float(dtype):
        return number(x, dtype)
    if soft:
        return SoftBool(number(x, default_float()))
    return likeliest(x, dtype) if is_soft(x) or not is_number(dtype) else jnp.asarray(x).astype(dtype)


def law(x: Any, n: int) -> tuple[Array, Float[Array, "*n k"]]:
    """The law of an index into n places, as (values, weights) with the outcomes last; what leaves the places is clipped.

    A `SoftBool` number is one of the two integers next to its mean.
    """
    if isinstance(x, Either):
        x = x.outcomes()
    if isinstance(x, Outcomes):
        return jnp.clip(x.values.astype(jnp.int32), 0, n - 1), x.weights
    if isinstance(x, Whole):
        edges = jax.vmap(x.below, out_axes=-1)(jnp.arange(1, n, dtype=x.at.dtype))
        ends = jnp.zeros((*x.at.shape, 1), x.at.dtype)
        weights = jnp.diff(jnp.concatenate([ends, edges, ends + 1], -1), axis=-1)
        return jnp.broadcast_to(jnp.arange(n, dtype=jnp.int32), weights.shape), weights
    mean = jnp.clip(number(x, default_float()), 0, n - 1)
    first = jnp.floor(mean)
    share = mean - first
    values = jnp.stack([first, jnp.minimum(first + 1, n - 1)], -1).astype(jnp.int32)
    return values, jnp.stack([1 - share, share], -1)


def chances(x: Any, n: int) -> Float[Array, "*n k"]:
    """P(clip(N, 0, n - 1) = k), the k last."""
    if isinstance(x, SoftBool):
        mean = jnp.clip(x.mean, 0, n - 1)
        return jnp.stack([jnp.clip(1 - jnp.abs(mean - k), 0, 1) for k in range(n)], -1)
    values, weights = law(x, n)
    return jnp.sum(jax.nn.one_hot(values, n, dtype=weights.dtype) * weights[..., None], -2)


def mix(weights: list[Array], cases: list[Array]) -> Array:
    """sum_i weights_i cases_i. Where a case with a weight is infinite or NaN, the likeliest case alone."""
    finite = [jnp.isfinite(c) for c in cases]
    usual = functools.reduce(jnp.logical_and, (f | (w == 0) for f, w in zip(finite, weights, strict=True)))
    terms = zip(weights, cases, finite, strict=True)
    mean = functools.reduce(jnp.add, (w.astype(c.dtype) * jnp.where(f, c, 0.0) for w, c, f in terms))
    likeliest, chance = cases[0], weights[0]
    for w, c in zip(weights[1:], cases[1:], strict=True):
        likeliest, chance = jnp.where(w > chance, c, likeliest), jnp.maximum(w, chance)
    return jnp.where(usual, mean, likeliest)


def mean_under(weights: Float[Array, "*n k"], values: Array) -> Array:
    """The same of values[..., k]."""
    weights = jnp.broadcast_to(weights, values.shape)
    finite = jnp.isfinite(values)
    usual = jnp.all(finite | (weights == 0), -1)
    mean = jnp.sum(weights.astype(values.dtype) * jnp.where(finite, values, 0.0), -1)
    likeliest = jnp.argmax(weights, -1)[..., None] == jnp.expand_dims(
        jnp.arange(weights.shape[-1]), tuple(range(weights.ndim - 1))
    )
    return jnp.where(usual, mean, jnp.sum(jnp.where(likeliest, values, 0.0), -1))
