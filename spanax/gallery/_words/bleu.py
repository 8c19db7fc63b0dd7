"""sacrebleu's sentence BLEU of written words, as a function of NumPy arrays."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from .numbers import in_words, text_of


@functools.cache
def metric() -> Any:
    """Words like "six" have no 4-grams: `effective_order` leaves out the orders that a sentence is too short for."""
    from sacrebleu.metrics.bleu import BLEU

    # Words without punctuation need no tokeniser, and most of a call's time would be spent in it.
    return BLEU(effective_order=True, tokenize="none")


@functools.lru_cache(maxsize=200_000)
def sentence_bleu(written: str, number: int) -> float:
    """From 0 to 100, as sacrebleu computes it. The same words for the same number are not scored twice."""
    return metric().sentence_score(written, [in_words(number)]).score


def rewards(x: tuple[Int[np.ndarray, "n longest"], Int[np.ndarray, " n"]]) -> Float[np.ndarray, " n"]:
    """BLEU / 100 of many sentences: what the black box runs."""
    written, numbers = x
    scores = [sentence_bleu(text_of(row), int(number)) for row, number in zip(written, numbers, strict=True)]
    return np.array(scores, np.float32) / 100


def corpus_bleu(written: Sequence[str], right: Sequence[str]) -> float:
    """Of all sentences together, as results of translation are reported."""
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize="none").corpus_score(list(written), [list(right)]).score
