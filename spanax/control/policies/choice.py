"""A policy of several heads, one of which a gate chooses at every observation.

The best way to move jumps where two ways are equally good (one swing more, or the other way round), and one network has to be
continuous there. A choice need not be.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from ..._checks import check_whole
from ..._errors import SpanaxError
from ..._primitives import without_derivative
from ..._sealed_file import UnfitError
from ...bridges import Drawing
from ...stochastic.sampling import sample
from ..env import Box, Discrete, Env
from ._file import Given, describe_mirror, describe_space, describe_via, mirror_like, space_of, write
from ._mirror import Mirror, mirror_of
from ._portable import MLP, name_of, pickled, unpickled
from ._scale import scale_of


class ChoicePolicy(eqx.Module):
    """A gate, which chooses among heads by the observation: `control.Choice` trains both.

    A head is a network, or a constant action. `policy(observation)` is the action of the head that the gate likes best;
    `policy(observation, key=key)` that of a head which is drawn from the gate's probabilities, a draw named "choice".

    Of a bounded `Box`, a network's action is the centre plus the half-width times tanh of its output, as in `MLPPolicy`. By
    default the constants are corners of the box, in pairs of opposite ones, as many as there are and leave one head for a
    network: with 3 heads and one action a network, full power, and full power the other way. Of `Discrete(n)`, every action is
    a head.

    **Arguments:**

    - `env`: whose `observation_space` and `action_space` the policy fits;
    - `heads`: how many; of `Discrete(n)`, None: n;
    - `key`: for the first weights, normal with the standard deviation 1/sqrt(inputs) (LeCun et al. 1998);
    - `constants`: actions, one row for each head that is one, in the place of corners; an empty list: all heads are networks;
    - `width`, `depth`: of the hidden layers, and how many there are; `activation`: between those of the heads, and
      `gate_activation`: of the gate;
    - `scale`: a number, or one for each element of an observation, by which observations are multiplied first. None: 2 over the
      largest bound of the `observation_space`, at most 1, and 1 where it has none;
    - `via`: a bridge for the draw of a head, with a key. None: the score function;
    - `symmetric`: where the environment states its mirror image (`env.mirror`), as `Pendulum` does, the policy is `mirrored`.

    **Raises:**

    - `SpanaxError` for actions without bounds, heads of a `Discrete` that are not its actions, constants outside the box, and
      constants of a symmetric policy whose mirror images are not among them.
      The choice by `policy(observation)` jumps: its derivative with respect to the gate raises `SpanaxError` as well, so that
      `BPTT` cannot leave the gate out without a word.

    A policy pickles; `save` and `control.load_policy` keep it in a file without pickle.

    >>> import jax
    >>> from spanax import control
    >>> policy = control.ChoicePolicy(control.Pendulum(), heads=3, key=jax.random.key(0))
    >>> policy.heads, policy.constants.tolist(), policy(jax.numpy.ones(3)).shape
    (3, [[2.0], [-2.0]], (1,))
    """

    networks: tuple[eqx.nn.MLP, ...]
    gate: eqx.nn.MLP
    constants: np.ndarray
    scale: np.ndarray
    space: Box | Discrete = eqx.field(static=True)
    via: Any
    mirror: Mirror | None

    def __init__(
        self,
        env: Env,
        heads: int | None = None,
        *,
        key: Key[Array, ""],
        constants: Any = None,
        width: int = 64,
        depth: int = 2,
        activation: Callable[[Array], Array] = jax.nn.swish,
        gate_activation: Callable[[Array], Array] = jax.nn.relu,
        scale: Any = None,
        via: Any = None,
        symmetric: bool = True,
    ):
        self.space, self.via = env.action_space, via
        heads = (self.space.n if isinstance(self.space, Discrete) else 3) if heads is None else heads
        check_whole("ChoicePolicy(heads", heads, 2)
        _check(self.space, via)
        self.constants = _constants(self.space, heads, constants)
        size = int(np.prod(env.observation_space.shape))
        self.scale = scale_of(env.observation_space, scale)
        outputs, keys = int(np.prod(self.space.shape)), jax.random.split(key, heads + 1)
        networks = range(heads - len(self.constants))
        known = symmetric and env.mirror is not None
        there = mirror_of(env.mirror, None, size, self.space) if known else None
        self.mirror = there and there.with_heads(self.constants, len(networks), self.space)
        self.networks = tuple(_network(size, outputs, width, depth, activation, keys[1 + i]) for i in networks)
        self.gate = _network(size, heads, width, depth, gate_activation, keys[0])

    @property
    def heads(self) -> int:
        """How many: the networks come first, the constants after them."""
        return len(self.networks) + len(self.constants)

    def __call__(self, observation: Float[Array, "*shape"], *, key: Key[Array, ""] | None = None) -> Array:
        """The action of the best head; with a `key`, of one that is drawn."""
        logits = self.logits(observation)
        if key is not None:
            # Lazily: it takes as long to import as the rest of the library.
            import numpyro.distributions as dist

            drawn = sample(key, dist.Categorical(logits=logits), via=self.via, name="choice")
            return self.head(observation, drawn) if drawn.shape == () else self._mixed(observation, drawn)
        best = jnp.argmax(logits)
        if isinstance(self.space, Discrete):
            return self.head(observation, best)
        chosen = without_derivative(
            jax.nn.one_hot(best, self.heads, dtype=logits.dtype),
            (logits,),
            "the derivative of the choice among heads, which jumps",
            "via=control.Choice(), which trains the gate as well",
            "policy(observation, key=key): a draw, which its bridge crosses",
        )
        return self._mixed(observation, chosen)

    def logits(self, observation: Float[Array, "*shape"]) -> Float[Array, " heads"]:
        """What the gate thinks of each head; their softmax are the probabilities."""
        x = jnp.reshape(observation, (-1,))
        return self._mirrored(self.gate, x, None if self.mirror is None else self.mirror.heads)

    def head(self, observation: Float[Array, "*shape"], which: Int[Array, ""]) -> Array:
        """The action of one head."""
        return self.actions(observation)[which]

    def actions(self, observation: Float[Array, "*shape"]) -> Array:
        """Those of all heads, along a leading axis."""
        x = jnp.reshape(observation, (-1,))
        if isinstance(self.space, Discrete):
            # Of two actions a float, as bridges draw it.
            return jnp.asarray(self.constants, x.dtype if self.space.n == 2 else jnp.int32)
        middle, half = (self.space.high + self.space.low) / 2, (self.space.high - self.space.low) / 2
        of = None if self.mirror is None else self.mirror.output
        out = [jnp.tanh(self._mirrored(network, x, of)).reshape(self.space.shape) for network in self.networks]
        moved = [jnp.asarray(middle, x.dtype) + jnp.asarray(half, x.dtype) * u for u in out]
        return jnp.concatenate([jnp.stack(moved), jnp.asarray(self.constants, x.dtype)])

    def _mirrored(self, network: eqx.nn.MLP, x: Array, of: np.ndarray | None) -> Array:
        scale = self.scale.astype(x.dtype)
        if self.mirror is None or of is None:
            return network(x * scale)
        return self.mirror.average(lambda x: network(x * scale), x, of)

    def _mixed(self, observation: Array, weights: Float[Array, " heads"]) -> Array:
        return jnp.tensordot(weights, self.actions(observation).astype(weights.dtype), 1)

    def __reduce__(self):
        return unpickled, (type(self), pickled(self))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the policy to a file, without pickle; `control.load_policy` reads it.

        **Raises:** `SpanaxError` for a subclass, for networks that are not those this class makes, for heads and a gate with
        activations that are not of `jax.nn`, and where the file cannot be written; a file that was there is kept then.
        """
        networks = [MLP.of(network) for network in (self.gate, *self.networks)]
        named = [network and name_of(network.skeleton().activation) for network in networks]
        if type(self) is not ChoicePolicy or not all(named):
            raise SpanaxError(
                f"{type(self).__name__}.save: only what ChoicePolicy makes itself can be made again without code",
                "activations of jax.nn",
                "pickle.dumps(policy)",
                "equinox.tree_serialise_leaves(path, policy), which saves its numbers",
            )
        head = {
            "networks": [[network.sizes, name] for network, name in zip(networks, named, strict=True) if network],
            "constants": len(self.constants),
            "via": describe_via(self.via),
            "mirror": describe_mirror(self.mirror),
            **describe_space(self.space),
        }
        write(path, head, self)


def skeleton(head: dict[str, Any], given: Given) -> ChoicePolicy:
    """A policy like the one that was saved, without its numbers."""
    gate, *networks = (MLP(tuple(sizes), name, ()).skeleton() for sizes, name in _known(head["networks"]))
    space = space_of(head)
    if gate.out_size != len(networks) + head["constants"]:
        raise UnfitError("its gate does not fit its heads", "the version of Spanax that wrote it")
    policy = unpickled(
        ChoicePolicy,
        {
            "networks": tuple(networks),
            "gate": gate,
            "constants": np.zeros((int(head["constants"]), *space.shape)),
            "scale": np.zeros(int(gate.in_size)),
            "space": space,
            "via": given.via(head["via"]),
            "mirror": mirror_like(head["mirror"]),
        },
    )
    _check(space, policy.via)
    return policy


def _known(networks: Any) -> Any:
    """Sizes and the names of activations, which must be those of JAX: a file from somebody else names no other function."""
    for sizes, name in networks:
        Given("load_policy", None, None).activation(name)
        yield sizes, name


def _check(space: Box | Discrete, via: Any) -> None:
    if isinstance(space, Box) and not (np.all(np.isfinite(space.low)) and np.all(np.isfinite(space.high))):
        raise SpanaxError(f"the actions have no bounds: {space!r}", "a Box with finite bounds")
    if not (via is None or isinstance(via, Drawing)):
        raise SpanaxError(
            f"ChoicePolicy(via={via!r})", "a bridge for draws: sx.ScoreFunction(), sx.Enumerate()", "None"
        )


def _constants(space: Box | Discrete, heads: int, constants: Any) -> np.ndarray:
    if isinstance(space, Discrete):
        # Nothing is between two of these actions: a network has nothing to learn.
        if heads != space.n or constants is not None:
            raise SpanaxError(f"ChoicePolicy(heads={heads}) of {space!r}", f"heads={space.n}: every action is one")
        return np.arange(space.n)
    if constants is None:
        return _corners(space, heads)
    found = np.asarray(constants, float).reshape(-1, *space.shape)
    if len(found) > heads or np.any((found < space.low) | (found > space.high)):
        raise SpanaxError(
            f"ChoicePolicy(heads={heads}, constants={constants!r})", f"at most {heads} actions of {space!r}"
        )
    return found


def _corners(box: Box, heads: int) -> np.ndarray:
    """Corners of the box, in pairs of opposite ones: as many as leave one head for a network."""
    size = int(np.prod(box.shape))
    # The first number is at its high end in one of each pair; an even number of them, so that no side is preferred.
    signs = itertools.islice(itertools.product((1.0,), *((1.0, -1.0),) * (size - 1)), (heads - 1) // 2)
    rows = [row for sign in signs for row in (np.reshape(sign, box.shape), -np.reshape(sign, box.shape))]
    return (box.high + box.low) / 2 + (box.high - box.low) / 2 * np.reshape(rows, (-1, *box.shape))


def _network(size: int, outputs: int, width: int, depth: int, activation: Any, key: Any) -> eqx.nn.MLP:
    """Weights normal with the standard deviation 1/sqrt(inputs), biases 0."""
    network = eqx.nn.MLP(size, outputs, width, depth, activation, key=key)
    arrays, rest = eqx.partition(network, eqx.is_inexact_array)
    leaves, tree = jax.tree.flatten(arrays)
    keys = jax.random.split(key, len(leaves))
    drawn = [
        jax.random.normal(k, x.shape, x.dtype) / x.shape[1] ** 0.5 if x.ndim == 2 else jnp.zeros_like(x)
        for k, x in zip(keys, leaves, strict=True)
    ]
    return eqx.combine(jax.tree.unflatten(tree, drawn), rest)
