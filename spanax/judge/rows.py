"""What is known of one candidate, and what it was held against."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from .._pytree import PyTree

Verdict = Literal["no bias found", "biased", "undecided"]


class Interval(NamedTuple):
    """An estimate and its 95% confidence interval.

    >>> import spanax as sx
    >>> sx.judge.Interval(0.1, low=0.0, high=0.3).high
    0.3
    """

    estimate: float
    low: float
    high: float


_UNKNOWN = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Group:
    """One group of leaves of one candidate.

    - `bias`: of |E[g] - truth| in these leaves; from 0 where none was found;
    - `norm`: |truth| in these leaves, without what its own noise adds;
    - `p_value`: of "there is no bias here", corrected for the number of groups (Bonferroni); NaN where it is not finite;
    - `verdict`: as that of a row.

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> def f(theta, *, key):
    ...     return (sx.sample(key, dist.Bernoulli(logits=theta), name="z") - 0.25) ** 2
    >>> found = sx.compare(f, 0.0, key=jax.random.key(0), vias={"z": [sx.DisARM(), sx.StraightThrough()]}, draws=200)
    >>> sorted(found.rows[0].groups)
    ['theta']
    """

    bias: Interval
    norm: float
    p_value: float
    verdict: Verdict


@dataclass(frozen=True)
class Row:
    """One candidate. Gradients are looked at as one long vector over the ranked leaves, whose norm is Euclidean.

    - `label`: such as "z=DisARM()", or the user's own;
    - `bias`: of |E[g] - truth|; from 0 where none was found;
    - `bias_by_leaf`: the same for each differentiated leaf, by its path, such as "params['w']";
    - `p_value`: of "there is no bias in any leaf", the truth's own error allowed for; NaN where a gradient was not finite;
    - `variance`: the trace of the covariance of one gradient;
    - `worst_leaf`: the leaf with the largest share of that trace, and the share;
    - `snr`: |truth|/sqrt(variance);
    - `cosine`: of one gradient with the truth, the mean over the draws (a gradient of 0 counts as 0);
    - `microseconds`: the median of one gradient, compiled, in rounds that visit all candidates in turn;
    - `evaluations`: runs of the program for one gradient, counted at the last draw; None where that is not known;
    - `time_to_accuracy`: seconds until the mean of as many gradients as that takes has a root mean square error of
      accuracy |truth|; inf where the bias, or that of one group by that group's truth, forbids it;
    - `verdict`: "biased" (at level 1%), "no bias found" (and one of half the truth excluded; what could be there is below
      `bias.high`), or "undecided" (too few draws to tell);
    - `groups`: the same by group of leaves, ranked or not;
    - `unbiased_by_facts`: do its bridges say so of themselves? None where it is not known;
    - `scale`: of the component of E[g] along the truth, in units of the truth: 1 without a bias. A gradient that is off in scale
      only is right with another learning rate; NaN where the truth is 0;
    - `across`: of |E[g] - scale truth|, the bias that no learning rate undoes; from 0 where none was found.

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> def f(theta, *, key):
    ...     return (sx.sample(key, dist.Bernoulli(logits=theta), name="z") - 0.25) ** 2
    >>> found = sx.compare(f, 0.5, key=jax.random.key(0), vias={"z": [sx.DisARM(), sx.StraightThrough()]}, draws=200)
    >>> found.rows[0].unbiased_by_facts, found.rows[0].worst_leaf
    (True, ('theta', 1.0))
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
    groups: dict[str, Group]
    unbiased_by_facts: bool | None
    scale: Interval = _UNKNOWN
    across: Interval = _UNKNOWN


@dataclass(frozen=True)
class Truth:
    """The reference gradient: `how` it was found, in one sentence.

    `gradient` has the structure that `jax.grad` would give, with None for leaves that are not floating-point. Over the ranked
    leaves: `norm`, without what its own noise adds (0 where that is all), and `standard_error`, the norm of its own (0: none).

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> def f(theta, *, key):
    ...     return (sx.sample(key, dist.Bernoulli(logits=theta), name="z") - 0.25) ** 2
    >>> found = sx.compare(f, 0.0, key=jax.random.key(0), vias={"z": [sx.DisARM(), sx.StraightThrough()]}, draws=200)
    >>> found.truth.kind, round(found.truth.norm, 3), found.truth.standard_error
    ('enumeration', 0.125, 0.0)
    """

    kind: Literal["enumeration", "quadrature", "given", "unbiased bridge"]
    how: str
    gradient: PyTree
    standard_error: float
    norm: float
