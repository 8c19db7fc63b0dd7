"""`compare`: bridges, or whole alternatives, measured side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from .._checks import check_key, check_positive, check_whole
from .._functions import join_keywords
from .._jaxprs import here
from .._pytree import PyTree
from ..bridges import Bridge, Drawing
from ._measure.arguments import Arguments
from ._measure.candidates import candidates
from ._measure.groups import groups_of
from ._measure.measure import compare_candidates
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
    kwargs: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> Comparison:
    """Measures bias, variance and cost of several gradients of one program.

    Each candidate is compiled once, and run for `draws` keys and for its time. Only moments are kept, which take the memory of
    some 200 gradients in float64. The rows are ranked by the time until the mean of independent gradients has a root mean square
    error of `accuracy` times the truth's norm; compilation is not part of it. With bridges for `vias`, this time and the other
    figures of a row are those of the leaves that some draw depends on: for all others the gradient goes through no draw, and its
    noise would hide what the bridges do. With functions, they are those of the leaves that not all candidates have without noise.
    The bias is tested in all leaves. Recommended is a candidate that is biased by its facts only if no other is left, and the
    sentence begins with that.

    The truth's own error is added to every interval and test. A verdict "biased" is at level 1% for each candidate, all of its
    groups together. "no bias found" does not prove that there is none: a bias above `bias.high`, printed as "< 3%" of the truth's
    norm, is excluded with 97.5% confidence, and that is less than half of it. "undecided" says that it is not. What happens in
    fewer than about one in `draws` gradients is not seen.

    A candidate that raises, whatever it is, is left out with a warning. Ctrl-C raises `KeyboardInterrupt` with a note: the table
    of the candidates that had been measured, if any.

    **Arguments:**

    - `f`: f(*args, key=key, **kwargs) returns a floating-point scalar.
    - `*args`: its positional arguments, pytrees.
    - `key`: a PRNG key for all that is random here.
    - `vias`: what is compared. `{site: [bridges]}` for a program with `sx.sample(..., name=site)`: each candidate is
      `sx.expectation(f, via={site: bridge})`, with one sample; of several sites all combinations, at most 64. Or
      `{label: function}`: each function takes the arguments of f, and a `key` if it is random, returns a scalar, and is
      differentiated by `jax.grad`. Of losses of a language policy, `spanax.judge.PolicyAudit` makes such functions.
    - `draws`: gradients of each candidate, 100 or more.
    - `truth`: what the bias is measured against.

        - "auto": the derivative of E[f]. If f has `sx.sample` sites: enumeration of all draws, if their supports are finite and
          together have at most 10,000 values; else Gauss-Hermite quadrature for up to 3 scalar Normals (beside enumerated draws;
          two orders must agree, and the score function must not contradict them); else the mean of 4 `draws` gradients of the
          cheapest unbiased bridge among the candidates, or of the score function with leave-one-out. If it has none and takes a
          `key`: the mean of its own derivative, which is then taken to be unbiased, and that is not checked. If it takes no
          `key`: its own derivative, unless `find_gaps` finds it cut, which raises.
        - A gradient as `jax.grad` returns it; a bridge, or a dictionary of them; a function as in `vias`: taken as right.

    - `argnums`: the argument to differentiate by, or several in a tuple, as in `jax.grad`: every floating-point leaf of it.
    - `accuracy`: the root mean square error that the time is to, as a share of the truth's norm.
    - `groups`: judged by themselves, so that a bias in the leaves of one is not hidden by the large gradient of others: a pytree
      prefix of the differentiated arguments with a name (a string) for each part, equal names for one group, such as
      `{"encoder": "encoder", "decoder": "decoder"}`; with several argnums a tuple of prefixes. None: one group for each
      top-level key, field or item of the differentiated arguments, and one for each that is a bare array.
    - `kwargs`: f's keyword arguments whose names are options here, such as `{"draws": ...}`.
    - `**keywords`: f's other keyword arguments. They are held fixed.

    **Returns:**

    A `spanax.judge.Comparison`. It prints as a table, and has `plot`, `to_html` and `to_json`.

    **Raises:**

    - `SpanaxError`: arguments or `groups` that do not fit; no candidate fits; no truth can be found.

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
    where, kwargs = here(), join_keywords(keywords, kwargs)
    check_key(key)
    _check_numbers(draws, accuracy)
    arguments = Arguments.of(f, args, kwargs, argnums, where)
    judged_by = groups_of(arguments, groups, where)
    # Independent keys: the truth's error and the candidates' are added in the tests as if they were.
    for_truth, for_candidates = jax.random.split(key)
    sites = draws_of(f, args, kwargs, key)
    given, warnings = candidates(f, vias, sites, where)
    # Of whole functions nothing is known before their gradients are: the leaves are found from those.
    of_draws = leaves_of_draws(f, arguments, key) if given[0].via is not None else []
    problem = Problem(f, arguments, sites, for_truth, draws, where, judged_by, of_draws)
    return compare_candidates(given, problem, truth, for_candidates, accuracy, warnings)


def _check_numbers(draws: Any, accuracy: Any) -> None:
    # A NumPy integer is fine, too: numbers of draws often come out of a computation.
    check_whole("compare(draws", int(draws) if isinstance(draws, np.integer) else draws, LEAST)
    check_positive("compare(accuracy", accuracy, "a positive number: a share of the gradient's norm")
