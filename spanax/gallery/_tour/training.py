"""Plain minibatch training with Adam, compiled whole, and how often the answer is right on the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from .digits import PAIRS, Pairs

BATCH, CHUNK = 64, 50
RATE = 3e-3  # of Adam: with larger ones the draws are sure of themselves before they are right, and stay so
Loss = Callable[..., Float[Array, ""]]


@dataclass(frozen=True)
class Learnt:
    """One training.

    - `test_accuracy`: the share of held-out pairs that are answered right, over all draws;
    - `curve`: pairs of steps and this share, from 0 steps on;
    - `seconds`: of the training, with its compilation.
    """

    name: str
    test_accuracy: float
    curve: tuple[tuple[int, float], ...]
    seconds: float


def network(key: Key[Array, ""]) -> eqx.nn.MLP:
    """From the 64 pixels of a digit to the logit of its bit."""
    network = eqx.nn.MLP(64, "scalar", 64, 1, key=key)
    # Logits that are spread a little: with every bit drawn as often as not, the gradient of "they differ" vanishes.
    return eqx.tree_at(lambda n: n.layers[-1].weight, network, replace_fn=lambda w: 4 * w)


def chances(network: eqx.nn.MLP, images: Float[Array, "n 2 64"]) -> Float[Array, "n 2"]:
    """That the bit of a digit is drawn as 1."""
    return jax.nn.sigmoid(jax.vmap(jax.vmap(network))(images))


def accuracy(network: eqx.nn.MLP, pairs: Pairs) -> Float[Array, ""]:
    """The probability of the right answer, a mean over the pairs. Nothing is drawn: two bits have four values."""
    one, other = chances(network, pairs.images).T
    differ = one * (1 - other) + other * (1 - one)
    return jnp.mean(jnp.where(pairs.differ == 1, differ, 1 - differ))


def learn(
    name: str, first: eqx.nn.MLP, loss: Loss, train: Pairs, test: Pairs, steps: int, seed: int
) -> tuple[Any, Learnt]:
    """The network after `steps` steps of Adam on `loss(network, images, differ, key=key)`, and how it went."""
    import optax

    start = time.perf_counter()
    optimizer = optax.adam(RATE)
    arrays, rest = eqx.partition(first, eqx.is_array)

    def step(carry, key):
        arrays, state = carry
        for_batch, for_loss = jax.random.split(key)
        chosen = jax.random.randint(for_batch, (BATCH,), 0, PAIRS)
        batch = train.images[chosen], train.differ[chosen]
        slope = jax.grad(lambda arrays: loss(eqx.combine(arrays, rest), *batch, key=for_loss))(arrays)
        updates, state = optimizer.update(slope, state)
        return (optax.apply_updates(arrays, updates), state), None

    @jax.jit
    def chunk(carry, keys):
        carry, _ = jax.lax.scan(step, carry, keys)
        network: Any = eqx.combine(carry[0], rest)
        return carry, accuracy(network, test)

    carry, curve = (arrays, optimizer.init(arrays)), [(0, float(accuracy(first, test)))]
    # By chunks, and not in one call: Ctrl-C is heard between two.
    for number, keys in enumerate(jax.random.split(jax.random.key(seed + 1), (-(-steps // CHUNK), CHUNK)), 1):
        carry, right = chunk(carry, keys)
        curve.append((CHUNK * number, float(right)))
    return eqx.combine(carry[0], rest), Learnt(name, curve[-1][1], tuple(curve), time.perf_counter() - start)
