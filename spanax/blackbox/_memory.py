"""Between a batch of points and the store: what is stored already, what appears twice, what is to be kept.

A row is found again by the bytes of its input and its replicate (the seed of a noisy function), never by comparing floats:
only the very same input may have the stored value.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import jax
import numpy as np

from ._request import is_inexact
from .store.store import Ledger

_CHEAP, _OFTEN = 1e-3, 0.05  # seconds: what took less may wait, for so long, to be written together with others


class Memory:
    """The rows of one batch, as the store knows them: by the bytes of the input, and the replicate."""

    def __init__(self, ledger: Ledger, leaves: Sequence[np.ndarray], seeds: Sequence[int] | None):
        rows = len(leaves[0])
        # -0.0 == 0.0, but their bytes differ: both are to be the same input.
        inputs = _row_bytes([_with_one_zero(leaf) for leaf in leaves], rows)
        self._ledger = ledger
        self._keys = list(zip(inputs, seeds or [0] * rows, strict=True))
        self._places: dict[tuple[bytes, int], list[int]] = {}
        for i, key in enumerate(self._keys):
            self._places.setdefault(key, []).append(i)
        self._waiting: list[tuple[bytes, int, bytes, float]] = []
        self._written = time.monotonic()

    def look_up(self) -> tuple[list[int], list[bytes], list[int]]:
        """Rows that the store has, with their results, and rows to evaluate; of equal ones, the first."""
        outputs = self._ledger.find([data for data, _ in self._places], [replicate for _, replicate in self._places])
        # A batch asks for a point twice where the bridge's points coincide, such as x itself under vmap.
        first = [places[0] for places in self._places.values()]
        hits = [(i, output) for i, output in zip(first, outputs, strict=True) if output is not None]
        missing = [i for i, output in zip(first, outputs, strict=True) if output is None]
        return [i for i, _ in hits], [output for _, output in hits], missing

    def twins(self) -> tuple[list[int], list[int]]:
        """Rows that ask for what an earlier row asks for, and that earlier row."""
        pairs = [(i, places[0]) for places in self._places.values() for i in places[1:]]
        return [i for i, _ in pairs], [first for _, first in pairs]

    def keep(self, rows: Sequence[int], arrays: Sequence[np.ndarray], seconds: float) -> None:
        """Results of some rows, `seconds` each; durable after `flush`, and what was expensive at once."""
        outputs = _row_bytes(arrays, len(rows))
        self._waiting += [(*self._keys[i], output, seconds) for i, output in zip(rows, outputs, strict=True)]
        # A transaction costs about as much as a cheap evaluation; an expensive one is not risked for that.
        if seconds > _CHEAP or time.monotonic() - self._written > _OFTEN:
            self.flush()

    def flush(self) -> None:
        # Emptied first: rows that could not be written wait in the store itself, and would be there twice.
        rows, self._waiting = self._waiting, []
        if rows:
            self._ledger.add(rows)
        self._written = time.monotonic()


def unpack(outputs: Sequence[bytes], outs: Sequence[jax.ShapeDtypeStruct]) -> list[np.ndarray]:
    """The results that the store gave, one array for each leaf, one row for each of `outputs`."""
    # One copy for all rows and leaves, not one for each.
    table = np.frombuffer(b"".join(outputs), np.uint8).reshape(len(outputs), -1)
    ends = np.cumsum([int(np.prod(out.shape)) * np.dtype(out.dtype).itemsize for out in outs])
    parts = np.split(table, ends[:-1], axis=1)
    return [
        np.ascontiguousarray(part).view(out.dtype).reshape(len(outputs), *out.shape)
        for part, out in zip(parts, outs, strict=True)
    ]


def _with_one_zero(leaf: np.ndarray) -> np.ndarray:
    """-0.0 is 0.0: the same input."""
    return leaf + leaf.dtype.type(0) if is_inexact(leaf.dtype) else leaf


def _row_bytes(leaves: Sequence[np.ndarray], rows: int) -> list[bytes]:
    """The bytes of all leaves of a row together."""
    parts = [np.ascontiguousarray(leaf).reshape(rows, -1).view(np.uint8) for leaf in leaves if leaf.size]
    table = np.concatenate(parts, axis=1) if parts else np.zeros((rows, 0), np.uint8)
    return [row.tobytes() for row in table]
