"""What is asked: a few words that recall a function, and questions about the docstring that was written for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .library import Function

NAMED, WRITTEN = 10, 2  # words that recall a function: from its code, and from its docstring
QUESTIONS, OPTIONS = 4, 4
HELD_OUT = 5  # one in so many of a docstring's words is asked for in the test, and there only
LEAST = 3  # a word is known if it occurs with so many functions


class Query(NamedTuple):
    """One query, or many with a leading axis. Words are numbers.

    - `words`: what recalls the function; where there are fewer, filled up with the number after the last word's;
    - `options`: of each question, words of which the first stands in the right docstring, and no other does;
    - `document`: the right one, which no network sees.
    """

    words: Int[Any, "... words"]
    options: Int[Any, "... questions options"]
    document: Int[Any, ...]


class Tasks:
    """Of a library: its words, which docstring has which of them, and queries about it.

    - `known`: the words; `has`: 1 where a docstring has a word; `rarity`: log of the share of docstrings, inverted;
    - `train`, `test`: of each docstring, the words that are asked for.
    """

    def __init__(self, library: Sequence[Function]):
        self.known = _known(library)
        number = {word: place for place, word in enumerate(self.known)}
        written = [_numbers(one.written, number) for one in library]
        self._named = [_numbers(one.named, number) for one in library]
        self.has = np.zeros((len(library), len(self.known)), np.float32)
        for row, some in zip(self.has, written, strict=True):
            row[some] = 1
        self.rarity = np.log(len(library) / np.maximum(self.has.sum(0), 1)).astype(np.float32)
        halves = [_split(row, some) for row, some in enumerate(written)]
        self.test, self.train = [test for test, _ in halves], [train for _, train in halves]

    def queries(self, seed: Sequence[int], documents: Int[np.ndarray, " n"], *, test: bool = False) -> Query:
        """One about each of these documents."""
        random, asked = np.random.default_rng(seed), self.test if test else self.train
        # Wrong options are words that are asked for elsewhere: how common a word is does not tell whether it is right.
        others = np.concatenate(asked)
        words = np.full((len(documents), NAMED + WRITTEN), len(self.known), np.int32)
        options = np.empty((len(documents), QUESTIONS, OPTIONS), np.int32)
        for row, document in enumerate(documents):
            # The docstring's words in a query are of those that training asks for: never one of the test's answers.
            named, written = random.permutation(self._named[document]), random.permutation(self.train[document])
            recalled = np.concatenate([named[:NAMED], written[:WRITTEN]])
            words[row, : len(recalled)] = recalled
            options[row, :, 0] = random.choice(asked[document], QUESTIONS)
            some = others[random.integers(len(others), size=8 * QUESTIONS * OPTIONS)]
            wrong = some[self.has[document, some] == 0][: QUESTIONS * (OPTIONS - 1)]
            options[row, :, 1:] = wrong.reshape(QUESTIONS, OPTIONS - 1)
        return Query(words, options, documents.astype(np.int32))

    def tfidf(self) -> Float[np.ndarray, "words_and_one documents"]:
        """What each word of a query adds to the score of each document: the cosine of TF-IDF, but for the query's length."""
        weighted = self.has * self.rarity
        unit = weighted / np.linalg.norm(weighted, axis=1, keepdims=True)
        return np.concatenate([(unit * self.rarity).T, np.zeros((1, len(unit)), np.float32)])


def _numbers(words: Sequence[str], number: dict[str, int]) -> Int[np.ndarray, " n"]:
    """Of those words that are known."""
    return np.array([number[word] for word in words if word in number], int)


def _known(library: Sequence[Function]) -> list[str]:
    """The words that several docstrings or names have."""
    occurs = Counter(word for one in library for word in {*one.written, *one.named})
    return sorted(word for word, count in occurs.items() if count >= LEAST)


def _split(row: int, words: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " few"], Int[np.ndarray, " others"]]:
    """The words of a docstring that are asked for in the test, and those in training."""
    # Fixed, whatever the seed of a run: what is held out is held out from all of them.
    mixed = np.random.default_rng([1, row]).permutation(words)
    few = max(1, len(mixed) // HELD_OUT)
    return mixed[:few], mixed[few:]
