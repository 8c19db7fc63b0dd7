"""A policy to start with: a small network. Any callable Equinox module will do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._errors import SpanaxError
from ..bridges import Drawing, Step, StraightThrough
from ..hard.choice import argmax
from ..hard.comparisons import greater
from ..stochastic.sampling import sample
from .env import Box, Discrete, Env

if TYPE_CHECKING:
    from numpyro.distributions import Distribution


class MLPPolicy(eqx.Module):
    """A multilayer perceptron from observations to actions.

    - Continuous actions (`Box`, bounded): `policy(observation)` is the centre of the box plus its half-width times tanh of the
      network's output. `distribution(observation)`: normal around that, independently, its standard deviations learned;
    - discrete actions (`Discrete(n)`): the network gives logits (for n = 2 one, of action 1). With `via=None` or a bridge for
      draws, `policy(observation, key=key)` is a draw named "action", which crosses by `via`, and without a key the likeliest
      action. With a bridge for hard operations, such as `StraightThrough(Soft(0.5))`, it is the likeliest action always, and its
      derivative the bridge's.

    Of n = 2 an action is a float, 0 or 1; of more an integer, or where the bridge makes weights of it (`GumbelSoftmax`,
    `StraightThrough`) one weight for each action.

    Observations are multiplied by `scale` first. The last layer starts at a tenth of the usual size, so that all actions are
    near the middle.

    Raises `SpanaxError` for a bridge that is neither, and for a `Box` without bounds.
    """

    network: eqx.nn.MLP
    scale: np.ndarray
    log_std: Float[Array, "*shape"]
    spec: Box | Discrete = eqx.field(static=True)
    via: Any

    def __init__(
        self,
        env: Env,
        *,
        key: Key[Array, ""],
        width: int = 64,
        depth: int = 2,
        activation: Callable[[Array], Array] = jax.nn.tanh,
        via: Any = None,
        scale: Any = 1.0,
    ):
        self.spec, self.via = env.action_spec, via
        (size,) = env.observation_spec.shape or (1,)
        self.scale = np.broadcast_to(np.asarray(scale, float), (size,))
        self.log_std = jnp.full(self.spec.shape, -0.5) if isinstance(self.spec, Box) else jnp.zeros(())
        _check(self.spec, via)
        network = eqx.nn.MLP(size, self._outputs, width, depth, activation, key=key)
        self.network = eqx.tree_at(lambda n: n.layers[-1].weight, network, 0.1 * network.layers[-1].weight)

    @property
    def _outputs(self) -> int:
        if isinstance(self.spec, Box):
            return int(np.prod(self.spec.shape))
        return 1 if self.spec.n == 2 else self.spec.n

    def __call__(self, observation: Float[Array, "*shape"], *, key: Key[Array, ""] | None = None) -> Array:
        """The action; with a `key`, and where it is drawn, a draw."""
        out = self._out(observation)
        if isinstance(self.spec, Box):
            return self._mean(out)
        if key is not None and not _is_hard(self.via):
            return sample(key, self.distribution(observation), via=self.via, name="action")
        if self.spec.n == 2:
            return greater(out[0], jnp.zeros((), out.dtype), via=self.via if _is_hard(self.via) else None)
        return argmax(out, via=self.via) if _is_hard(self.via) else jnp.argmax(out)

    def distribution(self, observation: Float[Array, "*shape"]) -> Distribution | Any:
        """What actions are drawn from."""
        import numpyro.distributions as dist

        out = self._out(observation)
        if isinstance(self.spec, Box):
            std = jnp.exp(self.log_std).astype(out.dtype) * _half(self.spec, out.dtype)
            return dist.Normal(self._mean(out), std).to_event(len(self.spec.shape))
        return dist.Bernoulli(logits=out[0]) if self.spec.n == 2 else dist.Categorical(logits=out)

    def _out(self, observation: Array) -> Float[Array, " outputs"]:
        x = jnp.reshape(observation, (-1,))
        return self.network(x * self.scale.astype(x.dtype))

    def _mean(self, out: Array) -> Array:
        assert isinstance(self.spec, Box)
        centre = jnp.asarray((self.spec.high + self.spec.low) / 2, out.dtype)
        return centre + _half(self.spec, out.dtype) * jnp.tanh(out).reshape(self.spec.shape)


def _half(box: Box, dtype: Any) -> Array:
    return jnp.asarray((box.high - box.low) / 2, dtype)


def _is_hard(via: Any) -> bool:
    """Is it a bridge for hard operations? `StraightThrough()` is both, and is taken for draws."""
    return isinstance(via, Step) and not (isinstance(via, StraightThrough) and via.of is None)


def _check(spec: Box | Discrete, via: Any) -> None:
    if isinstance(spec, Box):
        if via is not None:
            raise SpanaxError(
                f"MLPPolicy(via={via!r}) for continuous actions",
                "no via: they have a derivative, or PolicyGradient draws them",
            )
        if not (np.all(np.isfinite(spec.low)) and np.all(np.isfinite(spec.high))):
            raise SpanaxError(f"the actions have no bounds: {spec!r}", "a policy of your own, an Equinox module")
    elif not (via is None or isinstance(via, Drawing | Step)):
        raise SpanaxError(
            f"MLPPolicy(via={via!r}) is no bridge",
            "sx.StraightThrough(sx.Soft(0.5)), or another of a hard operation",
            "sx.GumbelSoftmax(), sx.ScoreFunction(), or another of a draw",
        )
