"""Numbers in English words, and as the tokens that a network reads and writes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

DIGITS = 4
MOST = 10**DIGITS
SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
# Token 0 ends a sentence, and fills what is left of it.
WORDS = ("", *SMALL, *TENS, "hundred", "thousand", "and")
TOKENS = {word: token for token, word in enumerate(WORDS)}
LONGEST = 8  # tokens: three thousand three hundred and thirty three, and the end


def in_words(number: int) -> str:
    """British English: 4207 is "four thousand two hundred and seven", without hyphens."""
    if number < 20:
        return SMALL[number]
    if number < 100:
        return _joined(TENS[number // 10 - 2], " ", number % 10)
    if number < 1000:
        return _joined(f"{SMALL[number // 100]} hundred", " and ", number % 100)
    return _joined(f"{in_words(number // 1000)} thousand", " and " if number % 1000 < 100 else " ", number % 1000)


def _joined(first: str, between: str, rest: int) -> str:
    return first + between + in_words(rest) if rest else first


def tokens_of(numbers: Sequence[int] | Int[np.ndarray, " n"]) -> Int[np.ndarray, "n longest"]:
    """The right words of each number, filled up with 0."""
    out = np.zeros((len(numbers), LONGEST), np.int32)
    for row, number in zip(out, numbers, strict=True):
        right = [TOKENS[word] for word in in_words(int(number)).split()]
        row[: len(right)] = right
    return out


def text_of(tokens: Int[np.ndarray, " longest"]) -> str:
    """The words before the first 0."""
    end = np.flatnonzero(tokens == 0)
    return " ".join(WORDS[token] for token in tokens[: end[0] if len(end) else None])


def one_hot_digits(numbers: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n inputs"]:
    """What the network reads: which of ten digits stands in each of `DIGITS` places, with zeros in front."""
    digits = numbers[:, None] // 10 ** np.arange(DIGITS)[::-1] % 10
    return np.eye(10, dtype=np.float32)[digits].reshape(len(numbers), -1)


def split(seed: int, few: int, scored: int, held_out: int) -> tuple[Int[np.ndarray, " n"], ...]:
    """Numbers below 10,000, none of them in two parts: with their words, with scores only, and held out."""
    shuffled = np.random.default_rng(seed).permutation(MOST)
    return tuple(np.split(shuffled, np.cumsum([few, scored, held_out]))[:3])
