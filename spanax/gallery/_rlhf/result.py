"""What an audit found of one loss, and of the three biases that are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ...judge import Comparison, Interval

_NORMAL = 1.959964  # standard errors from a mean to the end of its 95% interval


@dataclass(frozen=True)
class LossRow:
    """One loss in one world. Sizes are in units of the exact gradient's norm, and errors are standard errors.

    - `bias`: of |E[g] - exact|; `scale`: of E[g] along the exact gradient, 1 without bias; `across`: the bias of a gradient that
      is brought to scale 1, which no learning rate undoes; `direction`: the cosine of E[g] with the exact gradient;
    - `variance`: of one gradient, the trace of its covariance; `noise`: that of a gradient brought to scale 1;
    - `cosine`: of one gradient with the exact one; `verdict`: of `sx.compare`.
    """

    world: str
    loss: str
    bias: float
    bias_error: float
    scale: float
    scale_error: float
    across: float
    across_error: float
    across_found: bool
    direction: float
    variance: float
    noise: float
    cosine: float
    verdict: str
    microseconds: float

    @property
    def biased_in(self) -> str:
        """ "scale" only, or "across" as well; "" where no bias was found."""
        if self.verdict != "biased":
            return "" if self.verdict == "no bias found" else self.verdict
        return "across" if self.across_found else "scale"


def judged(world: str, found: Comparison) -> LossRow:
    """The only row of a comparison."""
    (row,), norm = found.rows, found.truth.norm
    scale, bias = row.scale.estimate, row.bias.estimate / norm
    # |E[g]|^2 of a mean with this bias and this component along the truth.
    size = 2 * scale - 1 + bias**2
    return LossRow(
        world=world,
        loss=row.label,
        bias=bias,
        bias_error=_error(row.bias) / norm,
        scale=scale,
        scale_error=_error(row.scale),
        across=_over(row.across.estimate, norm * scale),
        across_error=_over(_error(row.across), norm * scale),
        across_found=row.across.low > 0,
        direction=max(-1.0, min(1.0, scale / math.sqrt(size))) if size > 0 else math.nan,
        variance=row.variance / norm**2,
        noise=_over(row.variance, (norm * scale) ** 2),
        cosine=row.cosine,
        verdict=row.verdict,
        microseconds=row.microseconds,
    )


def _over(size: float, scale: float) -> float:
    """NaN where a gradient has no part along the exact one: no scale is the right one then."""
    return size / abs(scale) if scale else math.nan


def _error(interval: Interval) -> float:
    return (interval.high - interval.estimate) / _NORMAL


@dataclass(frozen=True)
class KnownBias:
    """A bias that is known of a loss: which figure shows it, and how many standard errors it is from what is right."""

    name: str
    loss: str
    figure: str
    value: float
    error: float
    right: float

    @property
    def sigmas(self) -> float:
        return abs(self.value - self.right) / self.error if self.error else math.inf


def known_biases(rows: Sequence[LossRow]) -> tuple[KnownBias, ...]:
    """Each in the loss that has it alone, as far as these were judged."""
    by_name = {row.loss: row for row in rows if row.world == "language"}
    found = []
    if row := by_name.get("Dr. GRPO"):
        found.append(KnownBias("(G-1)/G", row.loss, "scale", row.scale, row.scale_error, 1.0))
    # These two turn the gradient: their scale alone would be another learning rate.
    for name, loss in (("1/length", "GRPO, no 1/std"), ("1/std", "GRPO, no 1/len")):
        if row := by_name.get(loss):
            found.append(KnownBias(name, loss, "across", row.across, row.across_error, 0.0))
    return tuple(found)


def report_rows(rows: Sequence[LossRow]) -> list[dict[str, Any]]:
    return [{**asdict(row), "biased_in": row.biased_in} for row in rows]


def report_known(known: Sequence[KnownBias]) -> list[dict[str, Any]]:
    return [{**asdict(one), "sigmas": one.sigmas} for one in known]
