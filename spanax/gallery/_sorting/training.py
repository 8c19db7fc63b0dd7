"""Training a network that gives each picture a score, on groups of pictures, and judging the order of its scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Int, Key

from .._shared.digits import load
from .._shared.fitting import fit
from .groups import Pile
from .result import Judged, Outcome, Shown

WIDTH, RATE = 128, 3e-3
PICTURES = 100  # of a step, whatever the size of its groups: the same work for all sizes
TESTED = 2000  # groups of held-out pictures
SHOWN = 3

# (scores, digits, key) -> the loss of some groups
Loss = Callable[[Float[Array, "groups n"], Int[Array, "groups n"], Key[Array, ""]], Float[Array, ""]]


class Scorer(eqx.Module):
    """A score for each picture of 64 pixels, whoever else is in its group."""

    layers: eqx.nn.MLP

    def __init__(self, key: Key[Array, ""]):
        self.layers = eqx.nn.MLP(64, "scalar", WIDTH, 2, key=key)

    def __call__(self, images: Float[Array, "*pictures 8 8"]) -> Float[Array, "*pictures"]:
        return jax.vmap(self.layers)(images.reshape(-1, 64)).reshape(images.shape[:-2])


# Equal for equal losses, so that the seeds share what is compiled.
@dataclass(frozen=True)
class _BatchLoss:
    loss: Loss

    def __call__(self, scorer: Scorer, pile: Pile, key: Key[Array, ""]) -> Float[Array, ""]:
        pick, noise = jax.random.split(key)
        chosen, digits = pile.draw(pick, PICTURES // pile.orders.shape[-1])
        return self.loss(scorer(pile.images[chosen]), digits, noise)


def train(name: str, loss: Loss, size: int, seed: int, steps: int) -> Outcome:
    """A network trained by a loss on groups of `size` pictures, and how it sorts pictures that were held out."""
    train_pile, held_out = (Pile.of(part, size, seed) for part in load(seed))
    first, train_key, test_key = jax.random.split(jax.random.key(seed), 3)
    # The same groups for every way.
    chosen, digits = map(np.asarray, held_out.draw(test_key, TESTED))

    def scores(scorer: Scorer) -> Float[np.ndarray, " n"]:
        return np.asarray(_scores(scorer, held_out.images))

    def exact_match(scorer: Scorer) -> float:
        return Judged.of(scores(scorer)[chosen], digits).exact_match

    fitted = fit(
        _BatchLoss(loss), exact_match, Scorer(first), train_pile, steps=steps, rate=RATE, key=train_key, points=1
    )
    found = scores(fitted.network)
    order = np.argsort(found[chosen[:SHOWN]], axis=-1)
    as_sorted = np.take_along_axis(chosen[:SHOWN], order, -1)
    labels, images = np.asarray(held_out.labels), np.asarray(held_out.images)
    shown = Shown(found, labels, images[as_sorted], labels[as_sorted])
    (_, seconds, _), judged = fitted.curve[-1], Judged.of(found[chosen], digits)
    return Outcome(name, size, seed, judged, seconds, fitted.compile_seconds, shown)


@eqx.filter_jit
def _scores(scorer: Scorer, images: Float[Array, "n 8 8"]) -> Float[Array, " n"]:
    return scorer(images)
