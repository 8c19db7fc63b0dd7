"""The weak start by maximum likelihood, and the training from it, one update after the other so that it can be watched."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from .bleu import corpus_bleu, sentence_bleu
from .numbers import in_words, one_hot_digits, split, text_of, tokens_of
from .writer import Writer, greedy, negative_log_likelihood

FEW, SCORED, HELD_OUT = 150, 4000, 500  # numbers: with their words, with scores only, and to judge by
START_STEPS, START_BATCH, START_RATE = 200, 32, 3e-3
BATCH, RATE = 64, 2e-3
POINTS = 20  # of a curve

# Of a batch: (writer, one-hot digits, numbers or right words, key).
Loss = Callable[[Writer, Float[Array, "n inputs"], Int[Array, "n ..."], Key[Array, ""]], Float[Array, ""]]


@dataclass(frozen=True)
class Numbers:
    """Those of one seed; no number is in two parts."""

    few: Int[np.ndarray, " few"]
    scored: Int[np.ndarray, " scored"]
    held_out: Int[np.ndarray, " held"]

    @classmethod
    def of(cls, seed: int) -> Numbers:
        return cls(*split(seed, FEW, SCORED, HELD_OUT))


@dataclass(frozen=True)
class Judged:
    """What is written for held-out numbers, the most probable word each time.

    `bleu`: the mean of sentence BLEU; `corpus_bleu`: of all sentences together; `exact`: the share without a mistake.
    """

    updates: int
    bleu: float
    corpus_bleu: float
    exact: float
    written: tuple[str, ...]


@eqx.filter_jit
def _written(writer: Writer, digits: Float[Array, "n inputs"]) -> Int[Array, "n longest"]:
    return jax.vmap(greedy, in_axes=(None, 0))(writer, digits)


def judge(writer: Writer, numbers: Int[np.ndarray, " n"], updates: int = 0) -> Judged:
    rows = np.asarray(_written(writer, jnp.asarray(one_hot_digits(numbers))))
    written, right = tuple(map(text_of, rows)), [in_words(int(number)) for number in numbers]
    scores = [sentence_bleu(text, int(number)) for text, number in zip(written, numbers, strict=True)]
    exact = [text == words for text, words in zip(written, right, strict=True)]
    return Judged(updates, float(np.mean(scores)), corpus_bleu(written, right), float(np.mean(exact)), written)


@functools.cache
def _updater(loss: Loss, rate: float) -> Any:
    """One step of Adam. Kept, so that the next seed does not compile it again."""

    @eqx.filter_jit
    def update(writer, state, digits, targets, key):
        gradients = eqx.filter_grad(loss)(writer, digits, targets, key)
        updates, state = optax.adam(rate).update(gradients, state)
        return eqx.apply_updates(writer, updates), state

    return update


def _updates(
    writer: Writer,
    loss: Loss,
    rate: float,
    numbers: Int[np.ndarray, " n"],
    targets: Int[np.ndarray, "n ..."],
    seed: int,
    size: int,
) -> Iterator[Writer]:
    """The writer after each update, without an end. Each batch is drawn from `numbers`."""
    state, update = optax.adam(rate).init(eqx.filter(writer, eqx.is_array)), _updater(loss, rate)
    digits, random, key = one_hot_digits(numbers), np.random.default_rng([seed, size]), jax.random.key(seed)
    while True:
        key, now = jax.random.split(key)
        rows = random.integers(len(numbers), size=size)
        writer, state = update(writer, state, digits[rows], targets[rows].astype(np.int32), now)
        yield writer


def likelihood(
    writer: Writer, digits: Float[Array, "n inputs"], words: Int[Array, "n longest"], key: Key[Array, ""]
) -> Float[Array, ""]:
    """The mean negative log-likelihood of the right words."""
    return jnp.mean(jax.vmap(negative_log_likelihood, in_axes=(None, 0, 0))(writer, digits, words))


def weak_start(seed: int, numbers: Numbers) -> Writer:
    """By maximum likelihood, on so few numbers that most others come out wrong."""
    fresh, few = Writer(jax.random.key(seed)), numbers.few
    updates = _updates(fresh, likelihood, START_RATE, few, tokens_of(few), seed, START_BATCH)
    return [next(updates) for _ in range(START_STEPS)][-1]


@dataclass(frozen=True)
class Outcome:
    """One training: how it was judged from its start on, and its seconds without those of judging and of the first update."""

    name: str
    seed: int
    curve: tuple[Judged, ...]
    seconds: float


def train(name: str, loss: Loss | None, start: Writer, numbers: Numbers, seed: int, updates: int) -> Outcome:
    """`loss`: of scores; None goes on with the likelihood of the few numbers."""
    if loss is None:
        after = _updates(start, likelihood, RATE, numbers.few, tokens_of(numbers.few), seed, BATCH)
    else:
        after = _updates(start, loss, RATE, numbers.scored, numbers.scored, seed, BATCH)
    curve, seconds = [judge(start, numbers.held_out)], 0.0
    every = max(1, updates // POINTS)
    for number in range(1, updates + 1):
        began = time.perf_counter()
        writer = jax.block_until_ready(next(after))
        # The first one compiles.
        seconds += (time.perf_counter() - began) * (number > 1)
        if number % every == 0 or number == updates:
            curve.append(judge(writer, numbers.held_out, number))
    return Outcome(name, seed, tuple(curve), seconds)
