"""The points that a surrogate knows, and which of them it was trained on."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from .source import Slopes


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """Points in [-1, 1]^d with their results; `held`: those that nothing is trained on; `slopes` are NaN where there are none."""

    U: Float[np.ndarray, "n d"]
    Y: Float[np.ndarray, "n m"]
    held: Bool[np.ndarray, " n"]
    slope: Float[np.ndarray, "n d"]
    output: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, U: np.ndarray, Y: np.ndarray, held: np.ndarray, slopes: Slopes | None = None) -> Data:
        if slopes is None:
            slopes = Slopes(np.full(U.shape, np.nan), np.zeros(len(U), np.int64))
        return cls(U, Y, held, *slopes)

    def __add__(self, other: Data) -> Data:
        fields = [f.name for f in dataclasses.fields(self)]
        return Data(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in fields))

    def where(self, mask: np.ndarray) -> Data:
        return Data(*(getattr(self, f.name)[mask] for f in dataclasses.fields(self)))


@dataclasses.dataclass(frozen=True, eq=False)
class Scale:
    """Results in units of their own spread: z = (y - mean) / sd. `constant`: those that are the same at all points."""

    mean: Float[np.ndarray, " m"]
    sd: Float[np.ndarray, " m"]
    constant: Bool[np.ndarray, " m"]

    @classmethod
    def of(cls, Y: Float[np.ndarray, "n m"], dtypes: tuple[str, ...], sizes: tuple[int, ...]) -> Scale:
        eps = np.repeat([float(np.finfo(dtype).eps) for dtype in dtypes], sizes)
        # Differences of a few units in the last place are rounding: a network trained on them would learn nothing else.
        constant = np.ptp(Y, axis=0) <= 4 * eps * np.max(abs(Y), axis=0)
        return cls(np.mean(Y, axis=0), np.where(constant, 1.0, np.std(Y, axis=0)), constant)

    def z(self, Y: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n m"]:
        return np.where(self.constant, 0.0, (Y - self.mean) / self.sd)
