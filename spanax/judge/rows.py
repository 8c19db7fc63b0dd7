"""What is known of one candidate, and what it was held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from jaxtyping import PyTree

Verdict = Literal["unbiased", "biased", "undecided"]


class Interval(NamedTuple):
    """An estimate and its 95% confidence interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """One candidate. Gradients are looked at as one long vector, whose norm is Euclidean.

    - `label`: such as "z=DisARM()", or the user's own;
    - `bias`: of |E[g] - truth|; from 0 where none was found;
    - `bias_by_leaf`: the same for each differentiated leaf, by its path, such as "params['w']";
    - `p_value`: of "there is no bias", the truth's own error allowed for; NaN where a gradient was not finite;
    - `variance`: the trace of the covariance of one gradient;
    - `worst_leaf`: the leaf with the largest share of that trace, and the share;
    - `snr`: |truth|/sqrt(variance);
    - `cosine`: of one gradient with the truth, the mean over the draws (a gradient of 0 counts as 0);
    - `microseconds`: the median of one gradient, compiled, in rounds that visit all candidates in turn;
    - `evaluations`: runs of the program for one gradient, counted at the last draw; None where that is not known;
    - `time_to_accuracy`: seconds until the mean of as many gradients as that takes has a root mean square error of
      accuracy |truth|; inf where the bias forbids it;
    - `verdict`: "biased" (at level 1%), "unbiased" (no bias found, and one of half the truth excluded), or "undecided" (too few
      draws to tell).
    """

    label: str
    bias: Interval
    bias_by_leaf: dict[str, Interval]
    p_value: float
    variance: float
    worst_leaf: tuple[str, float]
    snr: float
    cosine: float
    microseconds: float
    evaluations: float | None
    time_to_accuracy: float
    verdict: Verdict


@dataclass(frozen=True)
class Truth:
    """The reference gradient: `how` it was found, in one sentence, and the norm of its `standard_error` (0: exact).

    `gradient` has the structure that `jax.grad` would give, with None for leaves that are not floating-point.
    """

    kind: Literal["enumeration", "quadrature", "given", "unbiased bridge"]
    how: str
    gradient: PyTree
    standard_error: float
