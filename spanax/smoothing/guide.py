"""A guide that remembers: the bias-corrected moving average of past gradients."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .._errors import SpanaxError
from .._pytree import PyTree


class Guide(eqx.Module):
    """The mean of past gradients, for `smooth(f, guide=guide)`.

    A small pytree that the caller threads through the optimisation:

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> def step(x, guide, key):
    ...     gradient = jax.grad(sx.smooth(lambda x: jnp.sum(jnp.round(x)), guide=guide))(x, key=key)
    ...     return x - 0.1 * gradient, guide.update(gradient)
    >>> x, guide = jnp.ones(3), sx.Guide(decay=0.9)
    >>> for key in jax.random.split(jax.random.key(0), 5):
    ...     x, guide = step(x, guide, key)

    A guide that was never updated does nothing. The first `update` changes its structure; where that must not change, as in
    a `lax.scan`, begin with `Guide(like=x)`. `decay` weights the past: 0.9 remembers about ten steps. The weighting is that
    of Adam's moments (Kingma and Ba 2015, section 3), so that after one update the value is that gradient; derivatives are
    stopped. A gradient that holds a NaN makes the guide, and every estimate with it, NaN.

    Raises `SpanaxError` for a decay outside [0, 1), and for a gradient of another structure or shape than the ones before.
    """

    decay: float = eqx.field(static=True)
    value: PyTree[Array] | None
    weight: Float[Array, ""]

    def __init__(self, decay: float = 0.9, *, like: PyTree[Array] | None = None):
        if not (isinstance(decay, int | float) and 0 <= decay < 1):
            raise SpanaxError(f"Guide(decay={decay!r})", "0 <= decay < 1, such as 0.9")
        self.decay = decay
        self.value = None if like is None else jax.tree.map(jnp.zeros_like, like)
        self.weight = jnp.zeros(())

    def update(self, gradient: PyTree[Array]) -> Guide:
        """The guide after one more gradient."""
        gradient = jax.tree.map(lambda g: lax.stop_gradient(jnp.asarray(g)), gradient)
        value = jax.tree.map(jnp.zeros_like, gradient) if self.value is None else self.value
        check_same_form(value, gradient, "Guide.update(gradient)", "the gradients before")
        # Bias correction: `weight` is what the decays so far add up to, so the mean of equal gradients is that
        # gradient from the first on.
        weight = self.decay * self.weight + (1 - self.decay)
        # Written as an update of the mean, not as a ratio of sums: the sums of many small gradients would lose
        # digits.
        share = (1 - self.decay) / weight
        mean = jax.tree.map(
            lambda old, new: old + share.astype(old.dtype) * (new.astype(old.dtype) - old), value, gradient
        )
        return eqx.tree_at(lambda g: (g.value, g.weight), self, (mean, weight), is_leaf=lambda node: node is None)


def check_same_form(expected: Any, given: Any, what: str, whose: str) -> None:
    """Raises unless both are pytrees of arrays of the same structure and shapes."""
    forms = [(jax.tree.structure(tree), tuple(map(jnp.shape, jax.tree.leaves(tree)))) for tree in (expected, given)]
    if forms[0] != forms[1]:
        shown = [f"{tree} with shapes {list(shapes)}" for tree, shapes in forms]
        raise SpanaxError(f"{what} is {shown[1]}, and {whose}: {shown[0]}", f"a pytree of the form of {whose}")
