"""A small recurrent network that reads a number's digits and writes words, one after the other."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from .numbers import DIGITS, LONGEST, WORDS

HIDDEN, WIDTH = 96, 32


class Writer(eqx.Module):
    """A GRU: its first state is made from the digits, each further input is the word before."""

    read: eqx.nn.MLP
    embedding: Float[Array, "words width"]
    cell: eqx.nn.GRUCell
    say: eqx.nn.Linear

    def __init__(self, key: Key[Array, ""]):
        read, embedding, cell, say = jax.random.split(key, 4)
        self.read = eqx.nn.MLP(10 * DIGITS, HIDDEN, 128, 1, key=read)
        self.embedding = jax.random.normal(embedding, (len(WORDS), WIDTH)) / 4
        self.cell = eqx.nn.GRUCell(WIDTH, HIDDEN, key=cell)
        self.say = eqx.nn.Linear(HIDDEN, len(WORDS), key=say)

    def next(
        self, state: Float[Array, " hidden"], word: Int[Array, ""]
    ) -> tuple[Float[Array, " hidden"], Float[Array, " words"]]:
        """The state after `word`, and the log-probabilities of the word that follows."""
        state = self.cell(self.embedding[word], state)
        return state, jax.nn.log_softmax(self.say(state))


def write(
    writer: Writer,
    digits: Float[Array, " inputs"],
    choose: Callable[[Float[Array, " words"], Key[Array, ""]], Int[Array, ""]],
    key: Key[Array, ""],
) -> Int[Array, " longest"]:
    """Words chosen by `choose(log_probs, key)`, each of them given those before."""

    def step(carry, key):
        state, word, ended = carry
        state, log_probs = writer.next(state, word)
        # After the end only the end can follow: its probability is 1 and has no slope, so it takes no part of the credit.
        silent = jnp.where(jnp.arange(len(WORDS)) == 0, 0.0, -1e9)
        word = choose(jnp.where(ended, silent, log_probs), key).astype(jnp.int32)
        return (state, word, ended | (word == 0)), word

    start = writer.read(digits), jnp.int32(0), jnp.bool_(False)
    return jax.lax.scan(step, start, jax.random.split(key, LONGEST))[1]


def greedy(writer: Writer, digits: Float[Array, " inputs"]) -> Int[Array, " longest"]:
    """The most probable word each time."""
    return write(writer, digits, lambda log_probs, key: jnp.argmax(log_probs), jax.random.key(0))


def negative_log_likelihood(
    writer: Writer, digits: Float[Array, " inputs"], words: Int[Array, " longest"]
) -> Float[Array, ""]:
    """Of these words and their end."""

    def step(carry, word):
        state, before, ended = carry
        state, log_probs = writer.next(state, before)
        return (state, word, ended | (word == 0)), jnp.where(ended, 0.0, -log_probs[word])

    start = writer.read(digits), jnp.int32(0), jnp.bool_(False)
    return jnp.sum(jax.lax.scan(step, start, words)[1])
