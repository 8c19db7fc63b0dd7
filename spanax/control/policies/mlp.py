"""A policy to start with: a small network. Any callable Equinox module will do."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..._errors import SpanaxError
from ..._sealed_file import UnfitError
from ...bridges import Drawing, Soft, Step, StraightThrough
from ...hard.choice import argmax
from ...hard.comparisons import greater
from ...stochastic.sampling import sample
from ..env import Box, Discrete, Env
from ._file import (
    FORMAT as FORMAT,
    Given,
    describe_mirror,
    describe_space,
    describe_via,
    mirror_like,
    read,
    space_of,
    write,
)
from ._mirror import Mirror
from ._portable import MLP, name_of, pickled, unpickled
from ._scale import scale_of

if TYPE_CHECKING:
    from numpyro.distributions import Distribution

_WHAT = "a file that MLPPolicy.save wrote"


class MLPPolicy(eqx.Module):
    """A multilayer perceptron from observations to actions.

    - Continuous actions (`Box`, bounded): `policy(observation)` is the centre of the box plus its half-width times tanh of the
      network's output. `distribution(observation)`: normal around that, independently, its standard deviations learned;
    - discrete actions (`Discrete(n)`): the network gives logits (for n = 2 one, of action 1). With a bridge for hard operations
      it is always the likeliest action, and its derivative the bridge's. With a bridge for draws, `policy(observation, key=key)`
      is a draw named "action", differentiated by `via`, and without a key the likeliest action. None: of two actions
      `StraightThrough(Soft(0.5))` (biased, and exact in its value); of more a draw, by the score function (unbiased, and for
      environments that take integers). `distribution(observation)`: what `PolicyGradient` draws from, whatever `via` is.

    Of n = 2 an action is a float, 0 or 1; of more an integer, or where the bridge makes weights of it (`GumbelSoftmax`,
    `StraightThrough`) one weight for each action.

    **Arguments:**

    - `env`: whose `observation_space` and `action_space` the network fits;
    - `key`: for the first weights. The last layer starts at a tenth of the usual size, so that all actions are near the middle;
    - `width`, `depth`: of the hidden layers, and how many there are; `activation`: between them;
    - `via`: the bridge of discrete actions, see above;
    - `scale`: a number, or one for each element of an observation, by which observations are multiplied first. None: 2 over the
      largest bound of the `observation_space`, at most 1, and 1 where it has none.

    **Raises:**

    - `SpanaxError` for a bridge that is neither, and for a `Box` without bounds.

    A policy pickles, and `save` and `load` keep it in a file without pickle.

    >>> import jax
    >>> from spanax import control
    >>> policy = control.MLPPolicy(control.Pendulum(), key=jax.random.key(0))
    >>> policy(jax.numpy.ones(3)).shape, policy.distribution(jax.numpy.ones(3)).event_shape
    ((1,), (1,))
    """

    network: eqx.nn.MLP
    scale: np.ndarray
    log_std: Float[Array, "*shape"]
    space: Box | Discrete = eqx.field(static=True)
    via: Any
    mirror: Mirror | None

    def __init__(
        self,
        env: Env,
        *,
        key: Key[Array, ""],
        width: int = 64,
        depth: int = 2,
        activation: Callable[[Array], Array] = jax.nn.tanh,
        via: Any = None,
        scale: Any = None,
    ):
        self.space, self.via, self.mirror = env.action_space, via, None
        # NumPy, so that it is a constant and no parameter: `train` changes arrays of JAX.
        self.scale = scale_of(env.observation_space, scale)
        # exp(-0.5), 0.6 of the half-width: wide enough to explore, with most draws inside the box.
        self.log_std = jnp.full(self.space.shape, -0.5) if isinstance(self.space, Box) else jnp.zeros(())
        _check(self.space, via)
        # An action at the edge of the box has no derivative by tanh, so the first policy stays away from there.
        network = eqx.nn.MLP(self.scale.size, self._outputs, width, depth, activation, key=key)
        self.network = eqx.tree_at(lambda n: n.layers[-1].weight, network, 0.1 * network.layers[-1].weight)

    def __reduce__(self):
        return unpickled, (type(self), pickled(self))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the policy to a file, without pickle; `MLPPolicy.load` reads it.

        The file holds sizes and weights, the name of the activation, and the bridge with its numbers. An activation that is
        not one of `jax.nn`, and a bridge of your own, are left out: `load` is then given them.

        **Raises:** `SpanaxError` for a subclass, for a network that is not the one this class makes, and where the file cannot be
        written; a file that was there is kept then.
        """
        # A subclass has fields and code that this class knows nothing of.
        network = MLP.of(self.network)
        if type(self) is not MLPPolicy or network is None:
            raise SpanaxError(
                f"{type(self).__name__}.save: only what MLPPolicy makes itself can be made again without code",
                "pickle.dumps(policy)",
                "equinox.tree_serialise_leaves(path, policy), which saves its numbers",
            )
        head = {
            "sizes": network.sizes,
            "activation": name_of(self.network.activation),
            "via": describe_via(self.via),
            "mirror": describe_mirror(self.mirror),
            **describe_space(self.space),
        }
        write(path, head, self)

    @staticmethod
    def load(
        path: str | os.PathLike[str], *, activation: Callable[[Array], Array] | None = None, via: Any = None
    ) -> MLPPolicy:
        """The policy that `save` wrote. It is safe to load a file from somebody else: nothing in it is run.

        `activation`, `via`: those that the file does not have (see `save`); else those in the place of its own.

        **Raises:** `SpanaxError` for a file that is missing, damaged, not one of these or of another version, for one that lacks
        an activation or a bridge that is not given, and for numbers in float64 where JAX has float32.

        >>> import jax, os, tempfile
        >>> from spanax import control
        >>> policy = control.MLPPolicy(control.CartPole(), key=jax.random.key(0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     policy.save(os.path.join(folder, "cartpole.policy"))
        ...     again = control.MLPPolicy.load(os.path.join(folder, "cartpole.policy"))
        >>> bool((again.network.layers[0].weight == policy.network.layers[0].weight).all())
        True
        """
        return read(path, _WHAT, {"MLPPolicy": skeleton}, Given("MLPPolicy.load", activation, via))

    @property
    def _outputs(self) -> int:
        if isinstance(self.space, Box):
            return int(np.prod(self.space.shape))
        return 1 if self.space.n == 2 else self.space.n

    def __call__(self, observation: Float[Array, "*shape"], *, key: Key[Array, ""] | None = None) -> Array:
        """The action; with a `key`, and where it is drawn, a draw."""
        out = self._out(observation)
        if isinstance(self.space, Box):
            return self._mean(out)
        # Of two actions alone: of more the bridge would make weights, which not every environment takes.
        via = StraightThrough(Soft(0.5)) if self.via is None and self.space.n == 2 else self.via
        if key is not None and not _is_hard(via):
            return sample(key, self.distribution(observation), via=via, name="action")
        if self.space.n == 2:
            # One logit is enough for two actions.
            return greater(out[0], jnp.zeros((), out.dtype), via=via if _is_hard(via) else None)
        return argmax(out, via=via) if _is_hard(via) else jnp.argmax(out)

    def distribution(self, observation: Float[Array, "*shape"]) -> Distribution | Any:
        """What actions are drawn from."""
        import numpyro.distributions as dist

        out = self._out(observation)
        if isinstance(self.space, Box):
            # In half-widths of the box: the same first value fits actions of any unit.
            std = jnp.exp(self.log_std).astype(out.dtype) * _half(self.space, out.dtype)
            return dist.Normal(self._mean(out), std).to_event(len(self.space.shape))
        return dist.Bernoulli(logits=out[0]) if self.space.n == 2 else dist.Categorical(logits=out)

    def _out(self, observation: Array) -> Float[Array, " outputs"]:
        x = jnp.reshape(observation, (-1,))
        # In the observation's dtype: a float64 scale would promote a float32 network.
        scale = self.scale.astype(x.dtype)
        if self.mirror is None:
            return self.network(x * scale)
        return self.mirror.average(lambda x: self.network(x * scale), x, self.mirror.output)

    def _mean(self, out: Array) -> Array:
        assert isinstance(self.space, Box)
        # Every action lies inside the box, and the derivative vanishes only towards its edge: a clip would lose it
        # beyond.
        centre = jnp.asarray((self.space.high + self.space.low) / 2, out.dtype)
        return centre + _half(self.space, out.dtype) * jnp.tanh(out).reshape(self.space.shape)


def skeleton(head: dict[str, Any], given: Given) -> MLPPolicy:
    """A policy like the one that was saved, without its numbers."""
    activation = given.activation(head["activation"])
    size, outputs, width, depth = head["sizes"]
    space = space_of(head)
    policy = unpickled(
        MLPPolicy,
        {
            "network": MLP((size, outputs, width, depth), activation, ()).skeleton(),
            "scale": np.zeros(size),
            "log_std": jax.ShapeDtypeStruct(space.shape, float),
            "space": space,
            "via": given.via(head["via"]),
            # Files of earlier versions know of no mirror.
            "mirror": mirror_like(head.get("mirror")),
        },
    )
    _check(space, policy.via)
    if policy._outputs != outputs:
        raise UnfitError("its network does not fit its actions", "the version of Spanax that wrote it")
    return policy


def _half(box: Box, dtype: Any) -> Array:
    return jnp.asarray((box.high - box.low) / 2, dtype)


def _is_hard(via: Any) -> bool:
    """Is it a bridge for hard operations?"""
    # `StraightThrough()` is one as well, but takes an operation for the identity, which an argmax is not: it is for draws.
    return isinstance(via, Step) and not (isinstance(via, StraightThrough) and via.of is None)


def _check(space: Box | Discrete, via: Any) -> None:
    if isinstance(space, Box):
        if via is not None:
            raise SpanaxError(
                f"MLPPolicy(via={via!r}) for continuous actions",
                "no via: they have a derivative, or PolicyGradient draws them",
            )
        if not (np.all(np.isfinite(space.low)) and np.all(np.isfinite(space.high))):
            raise SpanaxError(f"the actions have no bounds: {space!r}", "a policy of your own, an Equinox module")
    elif not (via is None or isinstance(via, Drawing | Step)):
        raise SpanaxError(
            f"MLPPolicy(via={via!r}), which is not a bridge",
            "sx.StraightThrough(sx.Soft(0.5)), or another of a hard operation",
            "sx.GumbelSoftmax(), sx.ScoreFunction(), or another of a draw",
        )
