"""The training of both networks toward one goal, in a few pieces so that it can be watched."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key

from .library import load
from .model import Desk, Networks, Shelf
from .tasks import Query, Tasks

BATCH, RATE = 64, 3e-3  # queries of a step, and Adam's rate at the start
POINTS = 10  # of a curve
ASKED = 4  # test queries about each document

# Of one query: what is to be small.
Loss = Callable[[Desk, Query, Key[Array, ""]], Float[Array, ""]]


@functools.cache
def tasks() -> Tasks:
    return Tasks(load())


@functools.cache
def shelf() -> Shelf:
    return Shelf.of(tasks())


@functools.cache
def test_queries() -> Query:
    """The same for all seeds: words of the docstrings that were never asked for, and never part of a query."""
    return tasks().queries([2], np.tile(np.arange(len(load())), ASKED), test=True)


@dataclass(frozen=True)
class Judged:
    """On the test queries, reading the best document alone: the shares of questions answered right, and of documents found."""

    steps: int
    accuracy: float
    right_document: float
    picked: tuple[int, ...]


@jax.jit
def _answers(networks: Networks, shelf: Shelf, queries: Query) -> tuple[Int[Array, " n"], Bool[Array, "n questions"]]:
    desk = Desk.of(networks, shelf)

    def one(query: Query):
        best = jnp.argmax(desk.scores(query))
        return best, jnp.argmax(desk.read(best, query), -1) == 0

    return jax.vmap(one)(queries)


def judge(networks: Networks, steps: int = 0) -> Judged:
    queries = test_queries()
    picked, right = (np.asarray(one) for one in _answers(networks, shelf(), queries))
    found = picked == queries.document
    return Judged(steps, float(right.mean()), float(found.mean()), tuple(picked.tolist()))


@jax.jit
def _answers_of_all(networks: Networks, shelf: Shelf, queries: Query) -> Bool[Array, "n questions"]:
    desk = Desk.of(networks, shelf)

    def one(query: Query):
        scores = desk.scores(query)
        every = jax.vmap(desk.read, in_axes=(0, None))(jnp.arange(len(scores)), query)
        together = jax.nn.logsumexp(jax.nn.log_softmax(scores)[:, None, None] + every, axis=0)
        return jnp.argmax(together, -1) == 0

    # A few at a time: all documents are read for each.
    return jax.lax.map(one, queries, batch_size=50)


def marginal_accuracy(networks: Networks) -> float:
    """The share of questions answered right by all documents together, each weighted by its probability."""
    return float(np.mean(_answers_of_all(networks, shelf(), test_queries())))


@functools.cache
def _trainer(loss: Loss, steps: int) -> Any:
    """So many steps of Adam, whose rate falls to 0. Kept, so that the next seed does not compile it again."""
    optimizer = optax.adam(optax.cosine_decay_schedule(RATE, steps))

    def mean(networks: Networks, shelf: Shelf, queries: Query, key: Key[Array, ""]) -> Float[Array, ""]:
        desk = Desk.of(networks, shelf)
        # Each query is an expectation of its own, and pays for no other.
        return jnp.mean(jax.vmap(loss, in_axes=(None, 0, 0))(desk, queries, jax.random.split(key, BATCH)))

    @jax.jit
    def piece(networks, state, shelf, queries, keys):
        def step(carry, given):
            networks, state = carry
            gradients = jax.grad(mean)(networks, shelf, *given)
            updates, state = optimizer.update(gradients, state)
            return (optax.apply_updates(networks, updates), state), None

        return jax.lax.scan(step, (networks, state), (queries, keys))[0]

    return optimizer.init, piece


@dataclass(frozen=True)
class Outcome:
    """One training: how it was judged from its start on, and its seconds without those of judging and of compiling.

    `marginal`: what `marginal_accuracy` is at its end.
    """

    name: str
    seed: int
    curve: tuple[Judged, ...]
    marginal: float
    seconds: float


def train(name: str, loss: Loss, seed: int, steps: int) -> Outcome:
    networks = Networks(shelf(), jax.random.key(seed))
    initial, piece = _trainer(loss, steps)
    state, key, curve = initial(networks), jax.random.key(seed), [judge(networks)]
    random, seconds = np.random.default_rng([3, seed]), []
    # Pieces of one length, so that one compilation does for all; what is left over is a piece of its own.
    length = max(1, steps // POINTS)
    lengths = [length] * (steps // length) + [steps % length] * (steps % length > 0)
    for number, length in enumerate(lengths):
        documents = random.integers(len(load()), size=length * BATCH)
        queries = tasks().queries([4, seed, number], documents)
        queries = jax.tree.map(lambda some: some.reshape(-1, BATCH, *some.shape[1:]), queries)
        keys = jax.random.split(jax.random.fold_in(key, number), length)
        began = time.perf_counter()
        networks, state = jax.block_until_ready(piece(networks, state, shelf(), queries, keys))
        seconds.append(time.perf_counter() - began)
        curve.append(judge(networks, sum(lengths[: number + 1])))
    # The first piece compiles, and is counted as the others are.
    trained = sum(seconds[1:]) * len(seconds) / max(1, len(seconds) - 1)
    return Outcome(name, seed, tuple(curve), marginal_accuracy(networks), trained)
