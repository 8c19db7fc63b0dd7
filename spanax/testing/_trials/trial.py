"""A bridge of a draw on trial: which distributions it takes, and what it gives there. Each program is compiled and run once."""

from __future__ import annotations

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ...bridges import Drawing
from ..report import NotApplicable
from .families import CURVED, FAMILIES, Family, Numbers
from .programs import draw_weights, one_draw, second_derivative, values_and_gradients


class DrawTrial:
    """`dtype` is "float32" or "float64"; all arrays that come out are NumPy's."""

    def __init__(self, bridge: Drawing, key: Key[Array, ""], draws: int):
        self.bridge, self.keys = bridge, jax.random.split(key, draws)
        # Per object, not per class: many checks ask for the same runs, and a class's cache would keep every bridge alive.
        self.gradients = functools.cache(self._gradients)
        self.weights = functools.cache(self._weights)
        self.refusal = functools.cache(self._refusal)

    @functools.cached_property
    def families(self) -> tuple[Family, ...]:
        """Those that it takes; at least one, or the check does not apply."""
        taken = tuple(family for family in FAMILIES if self.refusal(family, 1) is None)
        if not taken:
            raise NotApplicable("it takes none of the distributions")
        return taken

    def cast(self, dtype: str) -> Drawing:
        """The bridge with its arrays in this precision."""
        return jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, self.bridge)

    def estimate(self, program: Callable, family: Family, *extra, key: Array | None = None) -> Callable:
        """One estimate, as a function of theta."""
        return lambda theta: program(self.bridge, family, theta, *extra, self.keys[0] if key is None else key)

    def _refusal(self, family: Family, order: int) -> Exception | None:
        """What it raises when a draw of this family is differentiated so often, if anything."""
        theta = jnp.asarray(family.theta)
        f = self.estimate(one_draw, family, jnp.asarray(CURVED))
        differentiated = jax.grad(f) if order == 1 else functools.partial(second_derivative, f)
        try:
            # The draw by itself first: a refusal there needs no gradient, and has the clearer message.
            jax.eval_shape(lambda k: self.bridge.draw(k, family.make(theta)), self.keys[0])
            jax.eval_shape(differentiated, theta)
        except Exception as error:
            return error
        return None

    def _gradients(
        self, program: Callable, family: Family, dtype: str = "float64", theta: Numbers | None = None, mix=None
    ) -> tuple[np.ndarray, ...]:
        """Values (n,), gradients (n, d), and in float64 second derivatives (n, d) of `one_draw`, where there are any."""
        # Second derivatives are taken in the same run as the first, and only where the bridge has them.
        second = program is one_draw and dtype == "float64" and self.refusal(family, 2) is None
        with jax.enable_x64(dtype == "float64"):
            at = jnp.asarray(theta or family.theta, dtype)
            extra = () if mix is None else (jnp.asarray(mix, dtype),)
            return tuple(
                map(
                    np.asarray,
                    values_and_gradients(program, self.cast(dtype), family, at, self.keys, *extra, second=second),
                )
            )

    def cost(self, family: Family, dtype: str = "float64", theta: Numbers | None = None, mix: Numbers = CURVED):
        return self.gradients(one_draw, family, dtype, theta, mix)

    def _weights(self, family: Family) -> Float[np.ndarray, "n m"]:
        """The draws themselves, in float64."""
        with jax.enable_x64(True):
            return np.asarray(
                draw_weights(self.cast("float64"), family, jnp.asarray(family.theta, "float64"), self.keys)
            )

    def is_hard(self, family: Family) -> bool:
        """Are its draws values of the distribution (but for the rounding of z + p - p), and not relaxed ones?"""
        weights = self.weights(family)
        return not family.discrete or bool(np.all(np.abs(weights - np.round(weights)) < 1e-12))
