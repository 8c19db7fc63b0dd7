"""A policy to start with: a small network. Any callable Equinox module will do."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..._errors import SpanaxError
from ..._sealed_file import UnfitError, dtypes_of, read_arrays, read_sealed, seal, write_arrays
from ...bridges import Drawing, Step, StraightThrough
from ...hard.choice import argmax
from ...hard.comparisons import greater
from ...stochastic.sampling import sample
from ..env import Box, Discrete, Env
from ._portable import MLP, arrays_of, bridge_of, describe_bridge, function_of, name_of, with_arrays

if TYPE_CHECKING:
    from numpyro.distributions import Distribution


FORMAT = b"spanax.policy.1\n"
_WHAT = "a file that MLPPolicy.save wrote"


class MLPPolicy(eqx.Module):
    """A multilayer perceptron from observations to actions.

    - Continuous actions (`Box`, bounded): `policy(observation)` is the centre of the box plus its half-width times tanh of the
      network's output. `distribution(observation)`: normal around that, independently, its standard deviations learned;
    - discrete actions (`Discrete(n)`): the network gives logits (for n = 2 one, of action 1). With `via=None` or a bridge for
      draws, `policy(observation, key=key)` is a draw named "action", differentiated by `via`, and without a key the likeliest
      action. With a bridge for hard operations, such as `StraightThrough(Soft(0.5))`, it is always the likeliest action, and its
      derivative the bridge's.

    Of n = 2 an action is a float, 0 or 1; of more an integer, or where the bridge makes weights of it (`GumbelSoftmax`,
    `StraightThrough`) one weight for each action.

    **Arguments:**

    - `env`: whose `observation_space` and `action_space` the network fits;
    - `key`: for the first weights. The last layer starts at a tenth of the usual size, so that all actions are near the middle;
    - `width`, `depth`: of the hidden layers, and how many there are; `activation`: between them;
    - `via`: the bridge of discrete actions, see above;
    - `scale`: a number, or one for each element of an observation, by which observations are multiplied first.

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
        self.space, self.via = env.action_space, via
        (size,) = env.observation_space.shape or (1,)
        # NumPy, so that it is a constant and no parameter: `train` changes arrays of JAX.
        self.scale = np.broadcast_to(np.asarray(scale, float), (size,))
        # exp(-0.5), 0.6 of the half-width: wide enough to explore, with most draws inside the box.
        self.log_std = jnp.full(self.space.shape, -0.5) if isinstance(self.space, Box) else jnp.zeros(())
        _check(self.space, via)
        # An action at the edge of the box has no derivative by tanh, so the first policy stays away from there.
        network = eqx.nn.MLP(size, self._outputs, width, depth, activation, key=key)
        self.network = eqx.tree_at(lambda n: n.layers[-1].weight, network, 0.1 * network.layers[-1].weight)

    def __reduce__(self):
        # A compiled activation does not pickle: the network goes as its sizes, the activation's name and its weights.
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return _unpickle, (type(self), fields | {"network": MLP.of(self.network) or self.network})

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
        arrays = arrays_of(self)
        head = {
            "sizes": network.sizes,
            "activation": name_of(self.network.activation),
            "via": _describe_via(self.via),
            "dtypes": dtypes_of(arrays),
            **_describe_space(self.space),
        }
        try:
            seal(Path(path), FORMAT, head, write_arrays(arrays))
        except OSError as error:
            problem = f"the policy cannot be written to {os.fspath(path)!r}: {error.strerror or error}"
            raise SpanaxError(problem, "a folder that exists, is writable, and has room") from error

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
        try:
            head, rest = read_sealed(Path(path), FORMAT, _WHAT)
            skeleton, arrays = _skeleton(head, activation, via), read_arrays(rest, head["dtypes"])
            if [x.shape for x in arrays_of(skeleton)] != [x.shape for x in arrays]:
                raise UnfitError("its arrays have other shapes than its sizes say", "the `via` that it was saved with")
        # A head with a right checksum that no version of this class has written.
        except (KeyError, TypeError, ValueError) as error:
            problem = f"no policy can be loaded from {os.fspath(path)!r}: {type(error).__name__}: {error}"
            raise SpanaxError(problem, "the version of Spanax that wrote it") from error
        except UnfitError as error:
            problem = f"no policy can be loaded from {os.fspath(path)!r}: {error.why}"
            raise SpanaxError(problem, *error.remedies) from None
        return with_arrays(skeleton, arrays)

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
        if key is not None and not _is_hard(self.via):
            return sample(key, self.distribution(observation), via=self.via, name="action")
        if self.space.n == 2:
            # One logit is enough for two actions.
            return greater(out[0], jnp.zeros((), out.dtype), via=self.via if _is_hard(self.via) else None)
        return argmax(out, via=self.via) if _is_hard(self.via) else jnp.argmax(out)

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
        return self.network(x * self.scale.astype(x.dtype))

    def _mean(self, out: Array) -> Array:
        assert isinstance(self.space, Box)
        # Every action lies inside the box, and the derivative vanishes only towards its edge: a clip would lose it
        # beyond.
        centre = jnp.asarray((self.space.high + self.space.low) / 2, out.dtype)
        return centre + _half(self.space, out.dtype) * jnp.tanh(out).reshape(self.space.shape)


def _unpickle(kind: type[MLPPolicy], fields: dict[str, Any]) -> MLPPolicy:
    # As Equinox itself makes modules of leaves: the constructor would draw new weights.
    policy = object.__new__(kind)
    for name, value in fields.items():
        object.__setattr__(policy, name, value.network() if isinstance(value, MLP) else value)
    return policy


def _describe_space(space: Box | Discrete) -> dict[str, Any]:
    return {"n": space.n} if isinstance(space, Discrete) else {"low": space.low.tolist(), "high": space.high.tolist()}


def _describe_via(via: Any) -> Any:
    try:
        return describe_bridge(via)
    except TypeError:
        return {"repr": repr(via)}


def _skeleton(head: dict[str, Any], activation: Any, via: Any) -> MLPPolicy:
    """A policy like the one that was saved, without its numbers."""
    if activation is None:
        activation = function_of(head["activation"] or "")
    if activation is None:
        raise UnfitError("its activation is not in the file", "MLPPolicy.load(path, activation=...)")
    size, outputs, width, depth = head["sizes"]
    space = Discrete(head["n"]) if "n" in head else Box(head["low"], head["high"])
    policy = _unpickle(
        MLPPolicy,
        {
            "network": MLP((size, outputs, width, depth), activation, ()).skeleton(),
            "scale": np.zeros(size),
            "log_std": jax.ShapeDtypeStruct(space.shape, float),
            "space": space,
            "via": _bridge_in(head["via"]) if via is None else via,
        },
    )
    _check(space, policy.via)
    if policy._outputs != outputs:
        raise UnfitError("its network does not fit its actions", "the version of Spanax that wrote it")
    return policy


def _bridge_in(description: Any) -> Any:
    # A policy with another derivative than the one that was saved would train otherwise: it is asked for.
    if isinstance(description, dict) and "repr" in description:
        raise UnfitError(f"its bridge is not in the file, {description['repr']}", "MLPPolicy.load(path, via=...)")
    try:
        return bridge_of(description)
    except (TypeError, KeyError, SpanaxError) as error:
        why = f"its bridge is not one of this version of spanax.bridges ({error})"
        raise UnfitError(why, "MLPPolicy.load(path, via=...)") from error


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
