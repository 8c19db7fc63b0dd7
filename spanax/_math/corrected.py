"""NumPyro distributions whose draws and log p belong together: what NumPyro 0.22 gets wrong is replaced, at any depth.

- The discrete families have the log-probabilities of `formulas`, also inside mixtures, zero-inflated and transformed ones.
- Mixtures guard the components whose support does not hold the value.
- A Multinomial or DirichletMultinomial draws as many as its count says, not `total_count_max`, if the count is traced.
- Validation is off: it makes log p -inf if a draw is rounded to the edge of its support, and at the zero of a hurdle.
- Masks are dropped: they say what is scored in an inference, not what is drawn.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints

from .formulas import CONSTANTS, FORMULAS


def correct(distribution: Any) -> Any:
    """The same distribution, and the distributions inside it, corrected; a corrected one stays as it is."""
    if isinstance(distribution, dist.MaskedDistribution):
        return correct(distribution.base_dist)
    cls = _OWN.get(type(distribution), type(distribution))
    # Without `__init__`, which would check and promote the arrays again: they may be traced.
    new = object.__new__(cls)
    for name, value in vars(distribution).items():
        new.__dict__[name] = _correct_field(value)
    new.__dict__["_validate_args"] = False
    return new


def _correct_field(value: Any) -> Any:
    if isinstance(value, dist.Distribution):
        return correct(value)
    if isinstance(value, list | tuple) and any(isinstance(x, dist.Distribution) for x in value):
        return type(value)(map(_correct_field, value))
    return value


def _with_formula(cls: type) -> type:
    formula, constant = FORMULAS[cls.__name__], CONSTANTS.get(cls.__name__)

    def log_prob(self, value, intermediates=None):
        value = jnp.asarray(value)
        log_p = formula(self, value)
        # The formulas leave out what no parameter is in: a user who asks for log p gets all of it, without its derivative.
        return log_p if constant is None else log_p + jax.lax.stop_gradient(constant(self, value))

    return _own(cls, log_prob=log_prob)


def _own(cls: type, **members: Any) -> type:
    # A subclass of the same name: `isinstance` and the tables of families find it as the one that it replaces.
    return type(cls.__name__, (cls,), {"__module__": __name__, **members})


def _with_traced_count(cls: type) -> type:
    """The family with as many draws as an array of counts says, which may be traced."""

    def sample(self, key, sample_shape=()):
        if isinstance(self.total_count, int):
            return cls.sample(self, key, sample_shape)
        shape = (*sample_shape, *self.batch_shape)
        key, probs = _probabilities(self, key, shape)
        count = jnp.broadcast_to(self.total_count, shape)
        if self.total_count_max is None:
            return _by_binomials(key, probs, count)
        return _by_categories(key, probs, count, self.total_count_max)

    base = _with_formula(cls) if cls.__name__ in FORMULAS else cls
    return _own(base, sample=sample)


def _probabilities(d: Any, key: Any, shape: tuple[int, ...]) -> tuple[Any, jax.Array]:
    """The key for the counts, and the probabilities of the categories, of shape (*shape, categories)."""
    if not isinstance(d, dist.DirichletMultinomial):
        return key, jnp.broadcast_to(d.probs, (*shape, jnp.shape(d.probs)[-1]))
    for_probs, key = jax.random.split(key)
    return key, d._dirichlet.sample(for_probs, shape[: len(shape) - len(d.batch_shape)])


def _by_categories(key: Any, probs: jax.Array, count: jax.Array, most: int) -> jax.Array:
    """`most` draws of a category, of which the first `count` are counted."""
    # Shapes must be known under jit: draw for the largest count, and mask.
    each = jax.random.categorical(key, jnp.log(probs)[..., None, :], shape=(*count.shape, most))
    counted = (jnp.arange(most) < count[..., None])[..., None]
    return jnp.sum(jax.nn.one_hot(each, probs.shape[-1], dtype=int) * counted, -2)


def _by_binomials(key: Any, probs: jax.Array, count: jax.Array) -> jax.Array:
    """Category by category, the draw is binomial given those before it."""
    # Of the draws that are left, each falls into this category with probability p_k over the sum of p from k on. This needs no
    # bound on the count, which a mask would.
    rest = jnp.flip(jnp.cumsum(jnp.flip(probs, -1), -1), -1)
    share = jnp.where(rest > 0, probs / jnp.where(rest > 0, rest, 1), 0)

    def step(left, xs):
        key, share = xs
        drawn = jax.random.binomial(key, left, jnp.clip(share, 0, 1), shape=left.shape)
        return left - drawn, drawn

    shares = jnp.moveaxis(share[..., :-1], -1, 0)
    last, drawn = jax.lax.scan(step, count.astype(probs.dtype), (jax.random.split(key, len(shares)), shares))
    return jnp.moveaxis(jnp.concatenate([drawn, last[None]]), 0, -1).astype(int)


# -- mixtures


def mixing_log_weights(d: Any, log_p: jax.Array) -> jax.Array:
    """log sum_k w_k p_k(z) from the components' log_p, on the last axis; right, with its derivative, if a weight is 0."""
    # A logsumexp of log w_k + log p_k would be NaN in its derivative at w_k = 0; w itself is not.
    mixing = d._mixing_distribution
    # The selection gives an impossible component the derivative 0, whatever log p has there.
    log_p = jnp.where(jnp.isneginf(log_p), -jnp.inf, log_p)
    highest = jax.lax.stop_gradient(jnp.max(log_p, -1, keepdims=True))
    highest = jnp.where(jnp.isfinite(highest), highest, 0)
    w = jax.nn.softmax(mixing.logits) if type(mixing).__name__ == "CategoricalLogits" else mixing.probs
    total = jnp.sum(w * jnp.exp(log_p - highest), -1)
    return jnp.log(total) + highest[..., 0] - jnp.log(jnp.sum(w, -1))


def _inside(component: Any, value: jax.Array) -> jax.Array:
    """log p of a component, -inf if the value is outside its support, with no NaN in the derivative."""
    # log p is evaluated at a value inside the support even where it is not used: 0 times NaN would reach the derivative.
    support = component.support
    if support in (constraints.real, constraints.real_vector) or isinstance(component, dist.Delta):
        return jnp.asarray(component.log_prob(value))
    within = support(value)
    spread = jnp.reshape(within, (*within.shape, *(1,) * component.event_dim))
    log_p = component.log_prob(jnp.where(spread, value, support.feasible_like(value)))
    return jnp.where(within, log_p, -jnp.inf)


def _same_family_log_prob(self, value, intermediates=None):
    value = jnp.expand_dims(jnp.asarray(value), self.mixture_dim)
    return mixing_log_weights(self, _inside(self._component_distribution, value))


def _general_log_prob(self, value, intermediates=None):
    value = jnp.asarray(value)
    shape = jnp.broadcast_shapes(value.shape[: value.ndim - self.event_dim], self.batch_shape)
    each = [jnp.broadcast_to(_inside(d, value), shape) for d in self._component_distributions]
    return mixing_log_weights(self, jnp.stack(each, -1))


_OWN: dict[type, type] = {
    **{getattr(dist, name): _with_formula(getattr(dist, name)) for name in FORMULAS},
    **{
        cls: _with_traced_count(cls)
        for cls in (dist.MultinomialProbs, dist.MultinomialLogits, dist.DirichletMultinomial)
    },
    dist.MixtureSameFamily: _own(dist.MixtureSameFamily, log_prob=_same_family_log_prob),
    dist.MixtureGeneral: _own(dist.MixtureGeneral, log_prob=_general_log_prob),
    # Its draw is its quantile function of a uniform number, so it is reparametrised, though NumPyro does not list it.
    dist.Levy: _own(dist.Levy, reparametrized_params=["loc", "scale"]),
}
