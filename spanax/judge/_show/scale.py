"""Axes of the bias-variance plane: logarithmic, with a strip for 0, which a logarithm has no place for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

_DECADES = 9  # of one axis at the most: what lies lower is drawn at the axis


class Scale(NamedTuple):
    """A logarithmic axis from 10**low to 10**high with a strip for 0 before it; positions are in decades."""

    low: int
    high: int

    @property
    def strip(self) -> float:
        """Width of the strip for 0."""
        return 0.28 * (self.high - self.low)

    @property
    def zero(self) -> float:
        return self.low - 0.4 * self.strip

    def at(self, value: float) -> float:
        """The position of a number; of 0, and of all that is too small for the axis, that of 0."""
        return self.zero if value <= 10.0**self.low else math.log10(value)

    @property
    def ends(self) -> tuple[float, float]:
        return self.low - self.strip, float(self.high)

    @property
    def length(self) -> float:
        return self.ends[1] - self.ends[0]


def scale_of(values: Iterable[float]) -> Scale:
    """The decades that hold the positive ones of these values."""
    logs = [math.log10(value) for value in values if 0 < value < math.inf]
    if not logs:
        return Scale(-3, 0)
    # The largest value keeps a third of a decade to the frame, so that its marker and number are whole; two decades
    # at least, or the ticks would be too few to read a factor from.
    high = math.floor(max(logs) + 0.3) + 1
    return Scale(max(min(math.floor(min(logs) - 0.1), high - 2), high - _DECADES), high)


def squared_limit(comparison: Any) -> float:
    """The square of the error that is asked for: (accuracy |truth|)^2."""
    return (comparison.accuracy * comparison.truth.norm) ** 2


def after_one_second(row: Any) -> float:
    """The variance of the mean of as many gradients as one second has."""
    return row.variance * row.microseconds * 1e-6


def ends_of_bias(row: Any) -> list[float]:
    """What of the bias is drawn: estimate and interval where it is biased, else the upper end only."""
    ends = [row.bias.high, row.bias.estimate, row.bias.low]
    return [end for end in (ends if row.verdict == "biased" else ends[:1]) if math.isfinite(end)]
