"""The two networks: one scores all documents for a query, the other answers questions from one document."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from .tasks import NAMED, WRITTEN, Query, Tasks

WIDTH = 64


class Shelf(NamedTuple):
    """The documents as arrays, which are not trained: the words that each has, and their scores by TF-IDF."""

    has: Float[Array, "documents words"]
    shares: Float[Array, "documents words"]
    tfidf: Float[Array, "words_and_one documents"]

    @classmethod
    def of(cls, tasks: Tasks) -> Shelf:
        has = jnp.asarray(tasks.has)
        typical = jnp.linalg.norm(tasks.rarity) * ((NAMED + WRITTEN) / len(tasks.rarity)) ** 0.5
        return cls(has, has / jnp.sqrt(has.sum(1, keepdims=True)), jnp.asarray(tasks.tfidf()) / typical)


class Retriever(eqx.Module):
    """Scores of all documents: TF-IDF, and a learned part that is 0 at the start."""

    of_query: Float[Array, "words width"]
    of_document: Float[Array, "words width"]
    sharpness: Float[Array, ""]

    def __init__(self, shelf: Shelf, key: Key[Array, ""]):
        words = shelf.has.shape[1]
        self.of_query = jnp.zeros((words, WIDTH))
        self.of_document = jax.random.normal(key, (words, WIDTH)) * 0.5
        self.sharpness = jnp.log(jnp.float32(8))

    def keys(self, shelf: Shelf) -> Float[Array, "documents width"]:
        return shelf.shares @ self.of_document

    def __call__(
        self, shelf: Shelf, keys: Float[Array, "documents width"], words: Int[Array, " words"]
    ) -> Float[Array, " documents"]:
        # The number after the last word's is no word: it adds nothing.
        query = jnp.concatenate([self.of_query, jnp.zeros((1, WIDTH))])[words].sum(0)
        return jnp.exp(self.sharpness) * shelf.tfidf[words].sum(0) + keys @ query


class Reader(eqx.Module):
    """Which of some words stands in a document: it looks them up, and has an idea of what goes with what.

    `trust`: how much a word that it finds counts; `affinity`: how likely a word is beside others; `common`: how likely it is.
    """

    trust: Float[Array, ""]
    affinity: Float[Array, "words width"]
    common: Float[Array, " words"]

    def __init__(self, shelf: Shelf, key: Key[Array, ""]):
        words = shelf.has.shape[1]
        self.trust, self.common = jnp.float32(1), jnp.zeros(words)
        self.affinity = jax.random.normal(key, (words, WIDTH)) / 8

    def gist(self, shelf: Shelf) -> Float[Array, "documents width"]:
        return shelf.shares @ self.affinity

    def __call__(
        self,
        found: Float[Array, "questions options"],
        gist: Float[Array, " width"],
        options: Int[Array, "questions options"],
    ) -> Float[Array, "questions options"]:
        """The log-probability of each option, from whether it was found in the document, and the document's gist."""
        return jax.nn.log_softmax(self.trust * found + self.affinity[options] @ gist + self.common[options])


class Networks(eqx.Module):
    """What is trained."""

    retriever: Retriever
    reader: Reader

    def __init__(self, shelf: Shelf, key: Key[Array, ""]):
        retriever, reader = jax.random.split(key)
        self.retriever, self.reader = Retriever(shelf, retriever), Reader(shelf, reader)


class Desk(NamedTuple):
    """The networks with the documents, each of which they have looked at once for a whole batch of queries."""

    networks: Networks
    shelf: Shelf
    keys: Float[Array, "documents width"]
    gists: Float[Array, "documents width"]

    @classmethod
    def of(cls, networks: Networks, shelf: Shelf) -> Desk:
        return cls(networks, shelf, networks.retriever.keys(shelf), networks.reader.gist(shelf))

    def scores(self, query: Query) -> Float[Array, " documents"]:
        """What the retriever makes of each document."""
        return self.networks.retriever(self.shelf, self.keys, query.words)

    def read(self, document: Int[Array, ""], query: Query) -> Float[Array, "questions options"]:
        """What the reader answers from this document alone: log-probabilities of the options of each question."""
        found = self.shelf.has[document][query.options]
        return self.networks.reader(found, self.gists[document], query.options)

    def read_mixture(self, weights: Float[Array, " documents"], query: Query) -> Float[Array, "questions options"]:
        """The same from one-hot weights, for a bridge that has a derivative by them."""
        found = jnp.einsum("d,dqo->qo", weights, self.shelf.has[:, query.options])
        return self.networks.reader(found, weights @ self.gists, query.options)
