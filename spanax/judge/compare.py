"""`compare`: bridges, or whole alternatives, measured side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from .._checks import check_key
from .._errors import SpanaxError
from .._jaxprs import here
from .._pytree import PyTree
from ..bridges import Bridge, Drawing
from ._measure.arguments import Arguments
from ._measure.candidates import candidates
from ._measure.groups import groups_of
from ._measure.measure import judged
from ._measure.sites import draws_of, leaves_of_draws
from ._truth.problem import Problem
from .comparison import Comparison

LEAST = 100  # draws


def compare(
    f: Callable[..., Any],
    *args: Any,
    key: Key[Array, ""],
    vias: Mapping[str, Sequence[Drawing]] | Mapping[str, Callable[..., Float[Array, ""]]],
    draws: int = 1000,
    truth: str | PyTree | Bridge | Mapping[str, Drawing] | Callable[..., Float[Array, ""]] = "auto",
    argnums: int | Sequence[int] = 0,
    accuracy: float = 0.1,
    groups: PyTree[str] | None = None,
    **kwargs: Any,
) -> Comparison:
    """Measures bias, variance and cost of several gradients of one program.

    What is compared, `vias`, is either

    - `{site: [bridges]}`: f is a program with `sx.sample(..., name=site)`, `f(*args, key=key, **kwargs) -> scalar`, and each
      candidate is `sx.expectation(f, via={site: bridge})`, with one sample; of several sites all combinations, at most 64;
    - `{label: function}`: each function takes the arguments of f, and a `key` if it is random, returns a scalar, and is
      differentiated by `jax.grad`.

    The gradient is that of `argnums`: every floating-point leaf there. Each candidate is compiled once, and run for `draws` keys
    (at least 100) and for its time; only moments are kept, which take the memory of some 200 gradients in float64.

    `truth` is what the bias is measured against:

    - "auto": the derivative of E[f]. If f has `sx.sample` sites: enumeration of all draws where their supports are finite and
      together have at most 10,000 values, else Gauss-Hermite quadrature for up to 3 scalar Normals (beside enumerated
      draws; two orders must agree, and the score function must not contradict them), else the mean of 4 `draws` gradients of
      the cheapest unbiased bridge among the candidates, or of the score function with leave-one-out. If it has none and takes
      a `key`: the mean of its own derivative, which is then taken to be unbiased, and that is not checked. If it takes no
      `key`: its own derivative, unless `find_gaps` finds it cut, which raises;
    - a gradient as `jax.grad` returns it; a bridge, or a dictionary of them; a function as in `vias`: taken as right.

    A candidate that raises, whatever it is, is left out with a warning. Ctrl-C raises `KeyboardInterrupt` with a note: the table
    of the candidates that had been measured, if any.

    `groups` are judged by themselves, so that a bias in the leaves of one is not hidden by the large gradient of others: a pytree
    prefix of the differentiated arguments with a name (a string) for each part, equal names for one group, such as
    `{"encoder": "encoder", "decoder": "decoder"}`; with several argnums a tuple of prefixes. None: one group for each top-level
    key, field or item of the differentiated arguments, and one for each that is a bare array.

    The truth's own error is added to every interval and test. A verdict "biased" is at level 1% for each candidate, all of its
    groups together. "no bias found" is no proof that there is none: a bias above `bias.high`, printed as "< 3%" of the truth's
    norm, is excluded with 97.5% confidence, and that is less than half of it. "undecided" says that it is not.

    The rows are ranked by the time until the mean of independent gradients has a root mean square error of `accuracy` times the
    truth's norm; compilation is no part of it. With bridges for `vias`, this time and the other figures of a row are those of the
    leaves that some draw depends on: for all others the gradient goes through no draw, and its noise would hide what the bridges
    do. With functions, they are those of the leaves that not all candidates have without noise. The bias is tested in all leaves.
    Recommended is a candidate that is biased by its facts only where no other is left, and the sentence begins with that. What
    happens in fewer than about one in `draws` gradients is not seen.

    Raises `SpanaxError` for arguments and `groups` that do not fit, where no candidate fits, and where no truth can be had.

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> def f(theta, *, key):
    ...     z = sx.sample(key, dist.Bernoulli(logits=theta), name="z")
    ...     return (z - 0.25) ** 2
    >>> bridges = [sx.LeaveOneOut(), sx.StraightThrough()]
    >>> found = compare(f, 0.0, key=jax.random.key(0), vias={"z": bridges}, draws=200)
    >>> sorted((row.label, row.verdict) for row in found.rows)  # found.rows has the cheapest first
    [('z=LeaveOneOut()', 'no bias found'), ('z=StraightThrough()', 'no bias found')]
    >>> found.code
    'sx.expectation(f, via={"z": sx.LeaveOneOut()})'
    >>> found.truth.how
    'every draw enumerated'
    """
    where = here()
    check_key(key, where=where)
    _check_numbers(draws, accuracy, where)
    arguments = Arguments.of(f, args, kwargs, argnums, where)
    judged_by = groups_of(arguments, groups, where)
    for_truth, for_candidates = jax.random.split(key)
    sites = draws_of(f, args, kwargs, key)
    given, warnings = candidates(f, vias, sites, where)
    of_draws = leaves_of_draws(f, arguments, key) if given[0].via is not None else []
    problem = Problem(f, arguments, sites, for_truth, draws, where, judged_by, of_draws)
    return judged(given, problem, truth, for_candidates, accuracy, warnings)


def _check_numbers(draws: Any, accuracy: Any, where: str) -> None:
    if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < LEAST:
        raise SpanaxError(f"compare(draws={draws!r})", f"an integer, {LEAST} or more", where=where)
    if isinstance(accuracy, bool) or not isinstance(accuracy, int | float) or not 0 < accuracy < np.inf:
        raise SpanaxError(
            f"compare(accuracy={accuracy!r})", "accuracy=0.1, a share of the gradient's norm", where=where
        )
