"""A surrogate beside Gaussian smoothing: what a model of f knows already does not have to be estimated again.

With F = (1/K) sum_k D_k u_k the estimate of smoothing, D_k = (f(x + sigma u_k) - f(x - sigma u_k)) / 2 sigma, and P_k the same
differences of the model, F - c ((1/K) sum_k P_k u_k - m) has the same mean for every model and every c that does not depend on
the u_k, if m is the mean of P u. It is estimated from fresh draws, at which the model alone is evaluated: m = J + the mean of
(P'_k - J u'_k) u'_k, with J the model's own gradient at x, whose mean is known.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from .._checks import check_whole
from .._errors import SpanaxError
from .._math.directions import widest
from .._math.hashing import folded_in
from .._pytree import PyTree
from ._probing.bounded_directions import BoundedSmoothing
from ._probing.probes import concatenate_rows, keep_rows, like, split
from ._surrogate.local import Local, posterior_slope, told, value
from ._surrogate.trust import Agreement, Moments, agreement, moments
from .base import Learning
from .box import Box
from .facts import Facts
from .smoothing import Smoothing

_FRESH = 8  # points at which the model is evaluated, for each one at which f is
_NUMBERS = 4_000_000  # that are remembered of the results: a function with many keeps fewer slopes
_TRUST = ("control-variate", "direct")


class Learnt(NamedTuple):
    """The state: slopes that the local surrogate was told, and how well its predictions fitted those it had not seen."""

    local: Local
    found: Moments


class _Evidence(NamedTuple):
    centre: Float[Array, " size"]
    u: Float[Array, "k size"]
    slopes: Float[Array, "k outputs"]
    found: Moments


class _Probes(NamedTuple):
    """In units of sigma. `weights`: of the directions, which are 0 for those with a missing point; `spread`: E u_i^2."""

    centre: Float[Array, " size"]
    u: Float[Array, "k size"]
    slopes: Float[Array, "k outputs"]
    weights: Float[Array, " k"]
    whole: Bool[Array, ""] | bool
    spread: Float[Array, " size"]
    sigma: Float[Array, " size"]


class Surrogate(Learning):
    """The derivative of E[f(x + sigma u)], u standard normal, with the help of a model of f that learns along the way.

    `sigma` and `pairs` are those of `Smoothing`: 2 pairs points are evaluated, in orthogonal directions. The model is a local
    one, a Gaussian process that is told the slopes along the last `memory` directions; `sx.descend` trains it from step to
    step. Or it is `model`, a function of x that returns what f returns, such as an `sx.fit_surrogate`, any Equinox
    module, another program: it is not trained.

    - `trust="control-variate"` (recommended): what the model predicts is subtracted and its mean, from fresh draws, is added. The
      estimate stays unbiased for the smoothed function whatever the model does; a good one leaves little noise. How much of
      it is subtracted is fitted on earlier calls and, in two halves, on the other half of the pairs.
    - `trust="direct"`: the gradient is the model's own, after it was told this call's slopes. That is biased, and averages over
      the noise of earlier evaluations, which no control variate can. What the last checks found, slopes that the
      model had not seen beside those it predicted, is in `sx.descend(...).surrogates`.

    A control variate takes away the variance that comes from the directions, not that of noise in the evaluations. It helps
    where `memory` directions, told over small steps, are many more than x has numbers; on short ways, and in 100 dimensions,
    there is little to learn in time, and `Smoothing` with few pairs is as good or better.

    Outside of `sx.descend` nothing is learnt, and without a `model` it is `Smoothing`. For a loop of one's own see
    `sx.bridges.Learning`. If points are dropped, the model is not used for that estimate.

    Raises `SpanaxError` as `Smoothing` does, for an unknown `trust`, and for a model that does not return what f returns; with
    `trust="direct"` also where one local model would have to stand for several functions (other values of what is not
    differentiated).

    Control variates: Glasserman 2003, Monte Carlo Methods in Financial Engineering, section 4.1; the local model: Rasmussen and
    Williams 2006, section 9.4 (observations of derivatives).

    >>> import jax, numpy as np, optax, spanax as sx
    >>> f = sx.blackbox(
    ...     lambda x: np.sum(np.cosh(x)), jax.ShapeDtypeStruct((), float), via=sx.Surrogate(sigma=0.1, pairs=2)
    ... )
    >>> found = sx.descend(f, np.ones(4), optimizer=optax.sgd(0.05), steps=60, key=jax.random.key(0))
    >>> bool(found.value < 4.01), found.surrogates["<lambda>"].cosine > 0.9
    (True, True)
    """

    sigma: PyTree[Float[Array, ""] | float] = 0.1
    pairs: int = eqx.field(static=True, default=16)
    model: Any = None
    trust: Literal["control-variate", "direct"] = eqx.field(static=True, default="control-variate")
    memory: int = eqx.field(static=True, default=128)
    state: Learnt | None = None
    box: Box | None = None

    def __check_init__(self):
        if self.trust not in _TRUST:
            raise SpanaxError(f"Surrogate(trust={self.trust!r})", *map(repr, _TRUST))
        check_whole("Surrogate(memory", self.memory)
        check_whole("Surrogate(pairs", self.pairs)
        if self.model is not None and not callable(self.model):
            raise SpanaxError(f"Surrogate(model={self.model!r})", "a function of x that returns what f returns")
        _ = self._smoothing  # checks sigma

    @property
    def facts(self) -> Facts:
        unbiased_for = self._smoothing.facts.unbiased_for
        if self.trust == "direct":
            unbiased_for = "nothing exactly: biased by the error of the surrogate, which is checked at each call"
        return Facts(
            unbiased_for=unbiased_for,
            unbiased=False,
            evaluations="2 pairs",
            orders=1,
            distributions="none: any function of floats",
            source="control variates; Rasmussen and Williams 2006, section 9.4",
        )

    @property
    def _smoothing(self) -> Smoothing:
        # Two independent blocks: on one of them the coefficient of the other is fitted.
        return Smoothing(self.sigma, self.pairs, blocks=2)

    def within(self, box: Box) -> Surrogate:
        return eqx.tree_at(lambda via: via.box, self, box, is_leaf=lambda node: node is None)

    def points(self, x: PyTree[Array], key: Key[Array, ""] | None) -> PyTree[Array]:
        """x + sigma u_k, then x - sigma u_k, as those of `Smoothing`."""
        if key is None:
            raise SpanaxError("the derivative by Surrogate draws random directions", "f(x, key=key)")
        return self._placed(self._smoothing).points(x, key)

    def combine(
        self,
        x: PyTree[Array],
        X: PyTree[Array],
        Y: PyTree[Array],
        ct: PyTree[Array] | float = 1.0,
        *,
        y: PyTree[Array] | None = None,
        kept: Bool[Array, " n"] | None = None,
    ) -> PyTree[Array]:
        """The estimate of the derivative of <ct, E[f(x + sigma u)]>, of the structure and shapes of x; see `Probing.combine`."""
        if self.model is None and self.state is None and self.trust == "control-variate":
            return self._placed(self._smoothing).combine(x, X, Y, ct, y=y, kept=kept)
        probes = self._probes(x, X, Y, kept)
        weight = _weight(ct, Y, probes.slopes.dtype)
        estimate = (
            self._direct(x, probes, weight, Y) if self.trust == "direct" else self._corrected(x, X, Y, probes, weight)
        )
        return like(x, estimate / probes.sigma)

    def usable(self, kept: np.ndarray) -> bool:
        return self._smoothing.usable(kept)

    # -- learning

    def untrained(self, x: PyTree[Any], y: PyTree[Any]) -> Learnt:
        size, outputs = (sum(int(np.prod(np.shape(leaf))) for leaf in jax.tree.leaves(tree)) for tree in (x, y))
        leaves: Any = [jax.ShapeDtypeStruct(np.shape(v), jnp.result_type(v)) for v in jax.tree.leaves((x, y))]
        dtype = np.dtype(widest(leaves))
        rows = 0 if self.model is not None else max(min(self.memory, _NUMBERS // max(outputs, 1)), 1)
        return Learnt(Local.empty(rows, size, outputs, dtype), Moments.empty(outputs, dtype))

    def holding(self, state: PyTree[Array]) -> Surrogate:
        return eqx.tree_at(lambda via: via.state, self, state, is_leaf=lambda node: node is None)

    def evidence(
        self,
        x: PyTree[Array],
        X: PyTree[Array],
        Y: PyTree[Array],
        *,
        y: PyTree[Array] | None = None,
        kept: Bool[Array, " n"] | None = None,
    ) -> _Evidence:
        probes = self._probes(x, X, Y, kept)
        # The slope at x, without the fresh draws that would tell the mean one: coefficients need not be exact, only independent.
        slope = self._jacobian(x, Y, probes)
        found = moments(probes.u, probes.slopes, self._predictions(x, Y, X, self.pairs), slope)
        # A call with missing points tells slopes, but its directions are not those that the moments are of.
        found = jax.tree.map(lambda new: jnp.where(probes.whole, new, 0), found)
        slopes = jnp.where((probes.weights > 0)[:, None], probes.slopes, jnp.nan)
        return _Evidence(probes.centre, probes.u, slopes, found)

    def learned(self, state: Any, evidence: Sequence[Any]) -> Learnt:
        local, found = state
        # In one order, whatever order the calls of a program came in.
        for each in sorted(evidence, key=lambda e: (np.asarray(e.centre).tobytes(), np.asarray(e.u).tobytes())):
            if self.model is None:
                local = told(local, np.asarray(each.centre), np.asarray(each.u), np.asarray(each.slopes))
            if all(np.isfinite(np.asarray(part)).all() for part in jax.tree.leaves(each.found)):
                total = found.faded().plus(each.found)
                found = jax.tree.map(lambda new, old: np.asarray(new, np.asarray(old).dtype), total, found)
        return Learnt(local, found)

    def agreement(self, state: Any) -> Agreement:
        return agreement(state.found)

    # -- the estimate, in units of sigma

    def _placed(self, smoothing: Smoothing) -> Smoothing | BoundedSmoothing:
        return smoothing if self.box is None else smoothing.within(self.box)

    def _probes(self, x: PyTree[Array], X: PyTree[Array], Y: PyTree[Array], kept: Any) -> _Probes:
        leaves = jax.tree.leaves(x)
        dtype = widest([*leaves, *jax.tree.leaves(Y)])
        centre, u = self._directions(x, X, dtype)
        whole = jnp.ones(len(u), bool) if kept is None else kept[: len(u)] & kept[len(u) :]
        up, down = jnp.split(concatenate_rows([leaf[..., None] for leaf in jax.tree.leaves(Y)], dtype), 2)
        slopes = (keep_rows(whole, up, 0) - keep_rows(whole, down, 0)) / 2
        weights = whole.astype(dtype) * (len(whole) / jnp.sum(whole).astype(dtype))
        sigmas = zip(self._smoothing.sigmas(x), leaves, strict=True)
        sigma = concatenate_rows([jnp.broadcast_to(s, (1, v.size)) for s, v in sigmas], dtype)
        placed = self._placed(self._smoothing)
        spread = placed.spread(x).astype(dtype) if isinstance(placed, BoundedSmoothing) else jnp.ones((), dtype)
        spread = jnp.broadcast_to(spread, sigma[0].shape)
        return _Probes(centre, u, slopes, weights, jnp.all(whole), spread, sigma[0])

    def _directions(self, x: PyTree[Array], X: PyTree[Array], dtype: Any) -> tuple[Array, Array]:
        """The point between all pairs, and half of what is between the two of each, in units of sigma."""
        rows = [at / sigma for at, sigma in zip(jax.tree.leaves(X), self._smoothing.sigmas(x), strict=True)]
        plus, minus = jnp.split(concatenate_rows(rows, dtype), 2)
        return (plus[0] + minus[0]) / 2, (plus - minus) / 2

    def _direct(self, x: PyTree[Array], probes: _Probes, weight: Array, Y: PyTree[Array]) -> Float[Array, " size"]:
        if self.model is not None:
            return _dot(weight, self._means(x, Y, probes, 1, _FRESH * self.pairs)[0]) / probes.spread
        local = self.state.local if self.state is not None else None
        if local is None:
            empty = Local.empty(1, len(probes.centre), probes.slopes.shape[1], probes.slopes.dtype)
            local = Local(*map(jnp.asarray, empty))
        u = jnp.where((probes.weights > 0)[:, None], probes.u, 0)
        return _dot(weight, posterior_slope(local, probes.centre, u, probes.slopes))

    def _corrected(self, x, X, Y, probes: _Probes, weight: Array) -> Float[Array, " size"]:
        predictions, parts = self._predictions(x, Y, X, self.pairs), self._parts(len(probes.centre))
        means = self._means(x, Y, probes, len(parts), _FRESH * self.pairs)
        slopes = [mean / probes.spread[None] for mean in means]
        found = [moments(probes.u[p], probes.slopes[p], predictions[p], s) for p, s in zip(parts, slopes, strict=True)]
        estimate = _dot(_dot(probes.weights[:, None] * probes.slopes, weight), probes.u)
        for i, (part, mean, slope) in enumerate(zip(parts, means, slopes, strict=True)):
            # Never from the part itself, nor from its fresh draws: what they are used on must not have chosen them.
            known = [f for k, f in enumerate(found) if k != i] + ([] if self.state is None else [self.state.found])
            if known:
                both = functools.reduce(Moments.plus, known).coefficients()
                linear, rest = (jnp.where(probes.whole, c, 0) * weight for c in both)
                u, along = probes.u[part], _dot(probes.u[part], slope.T)
                subtracted = _dot(along, linear) + _dot(predictions[part] - along, rest)
                estimate += len(u) * _dot(linear, mean) - _dot(subtracted, u)
        return estimate / self.pairs / probes.spread

    def _parts(self, size: int) -> list[slice]:
        """The pairs in two independent halves; in one where they are one block."""
        block = self._smoothing.block(size)
        middle = -(-self.pairs // block // 2) * block if self.pairs > block else self.pairs
        return [slice(0, middle), *([slice(middle, self.pairs)] if middle < self.pairs else [])]

    def _means(self, x, Y, probes: _Probes, count: int, pairs: int) -> Float[Array, "count outputs size"]:
        """That of P u, `count` times, each from draws of its own: of what is linear in u it is known, of the rest estimated."""
        J = self._jacobian(x, Y, probes)
        # Of a hash of the points' bits, for lack of a key: independent of the points, and new at each call.
        key = folded_in(jax.random.key(0), [probes.u, probes.centre])
        fresh = self._placed(Smoothing(self.sigma, pairs, "gaussian")).points(x, key)
        u = self._directions(x, fresh, probes.u.dtype)[1]
        rest = self._predictions(x, Y, fresh, pairs) - _dot(u, J.T)
        rest, u = (rows.reshape(count, pairs // count, -1) for rows in (rest, u))
        return (J * probes.spread[None])[None] + _dot(jnp.swapaxes(rest, 1, 2), u) / (pairs // count)

    def _predictions(
        self, x: PyTree[Array], Y: PyTree[Array], X: PyTree[Array], pairs: int
    ) -> Float[Array, "k outputs"]:
        """Half the differences of the model at pairs of points."""
        dtype = widest([*jax.tree.leaves(x), *jax.tree.leaves(Y)])
        leaves = jax.tree.leaves(x)
        rows = concatenate_rows(jax.tree.leaves(X), dtype)
        values = jax.vmap(lambda row: self._predict(x, Y, split(row[None], leaves), dtype))(rows)
        # A model that is not finite somewhere is another function, which is 0 there: the mean is of the same one.
        values = jnp.where(jnp.isfinite(values), values, 0)
        return (values[:pairs] - values[pairs:]) / 2

    def _jacobian(self, x: PyTree[Array], Y: PyTree[Array], probes: _Probes) -> Float[Array, "outputs size"]:
        """Of the model at the centre, in units of sigma; 0 where it is not finite: any matrix would do."""
        dtype, leaves = probes.u.dtype, jax.tree.leaves(x)

        def at(z):
            return self._predict(x, Y, split((z * probes.sigma)[None], leaves), dtype)

        found = (
            jax.jacfwd(at)(probes.centre)
            if len(probes.centre) <= probes.slopes.shape[1]
            else jax.jacrev(at)(probes.centre)
        )
        return jnp.where(jnp.all(jnp.isfinite(found)), found, 0)

    def _predict(self, x: PyTree[Array], Y: PyTree[Array], pieces: list[Array], dtype: Any) -> Float[Array, " outputs"]:
        """What the model says of one point, whose leaves have a leading axis of 1."""
        leaves = [piece[0].astype(leaf.dtype) for piece, leaf in zip(pieces, jax.tree.leaves(x), strict=True)]
        if self.model is None:
            assert self.state is not None
            scaled = [leaf[None] / s for leaf, s in zip(leaves, self._smoothing.sigmas(x), strict=True)]
            return value(Local(*self.state.local), concatenate_rows(scaled, dtype)[0])
        result = self.model(jax.tree.unflatten(jax.tree.structure(x), leaves))
        found, wanted = jax.tree.leaves(result), jax.tree.leaves(Y)
        if [jnp.shape(v) for v in found] != [v.shape[1:] for v in wanted]:
            raise SpanaxError(
                f"Surrogate(model=...) returns the shapes {[jnp.shape(v) for v in found]}, and f {[v.shape[1:] for v in wanted]}",
                "a model that returns what f returns",
            )
        return jnp.concatenate([jnp.asarray(v).astype(dtype).ravel() for v in found])


def _weight(ct: PyTree[Array] | float, Y: PyTree[Array], dtype: Any) -> Float[Array, " outputs"]:
    """The cotangent as one vector; a number weights all results alike."""
    weights = ct if jax.tree.structure(ct) == jax.tree.structure(Y) else jax.tree.map(lambda _: ct, Y)
    pairs = zip(jax.tree.leaves(weights), jax.tree.leaves(Y), strict=True)
    return jnp.concatenate([jnp.broadcast_to(jnp.asarray(w).astype(dtype), v.shape[1:]).ravel() for w, v in pairs])


def _dot(a: Array, b: Array) -> Array:
    # A GPU's default rounds the directions to 10 bits, which would bias the estimate.
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
