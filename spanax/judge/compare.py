"""`compare`: bridges, or whole alternatives, measured side by side."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from .._errors import SpanaxError
from .._jaxprs import here
from ..blackbox._progress import progress
from ..bridges import Bridge, Drawing
from ..stochastic.sampling import check_key
from ._arguments import Arguments
from ._candidates import Candidate, candidates, said
from ._gradients import Gradient
from ._moments import Moments, moments
from ._problem import Problem, Tried
from ._sites import draws_of
from ._statistics import Bias, Reference, bias
from ._timing import medians
from ._verdicts import biased_by_facts, ranked, recommended, row_of, warnings_of
from .comparison import Comparison
from .truth import find_truth

LEAST = 100  # draws
PILOT = 20  # draws of each candidate: does it fit, what does it cost, which coordinates are worth a histogram


def compare(
    f: Callable[..., Any],
    *args: Any,
    key: Key[Array, ""],
    vias: Mapping[str, Sequence[Drawing]] | Mapping[str, Callable[..., Float[Array, ""]]],
    draws: int = 1000,
    truth: str | PyTree | Bridge | Mapping[str, Drawing] | Callable[..., Float[Array, ""]] = "auto",
    argnums: int | Sequence[int] = 0,
    accuracy: float = 0.1,
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

    A candidate that raises, whatever it is, is left out with a warning; Ctrl-C keeps nothing of what was measured.

    The truth's own error is added to every interval and test. A verdict "biased" is at level 1% for each candidate,
    "unbiased" says that no bias was found and that one of half the truth's norm is excluded with 97.5% confidence, "undecided"
    that it is not. The rows are ranked by the time until the mean of independent gradients has a root mean square error of
    `accuracy` times the truth's norm; compilation is no part of it. What happens in fewer than about one in `draws` gradients is
    not seen.

    Raises `SpanaxError` for arguments that do not fit, where no candidate fits, and where no truth can be had.

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> def f(theta, *, key):
    ...     z = sx.sample(key, dist.Bernoulli(logits=theta), name="z")
    ...     return (z - 0.25) ** 2
    >>> bridges = [sx.LeaveOneOut(), sx.StraightThrough()]
    >>> found = compare(f, 0.0, key=jax.random.key(0), vias={"z": bridges}, draws=200)
    >>> {row.label: row.verdict for row in found.rows}
    {'z=LeaveOneOut()': 'unbiased', 'z=StraightThrough()': 'unbiased'}
    >>> found.truth.how
    'every draw enumerated'
    """
    where = here()
    check_key(key, where)
    _check_numbers(draws, accuracy, where)
    arguments = Arguments.of(f, args, kwargs, argnums, where)
    for_draws, for_truth, for_pilot = jax.random.split(key, 3)
    sites = draws_of(f, args, kwargs, key)
    given, warnings = candidates(f, vias, sites, where)
    pilots, unfit = _pilots(given, arguments, for_pilot, where)
    problem = Problem(f, arguments, sites, for_truth, draws, where)
    tried = [Tried(c.label, c.via, p.gradient, p.price) for c, p in pilots]
    reference, told, doubts = find_truth(truth, problem, tried)
    chosen = _coordinates(reference, [p.variance for _, p in pilots])
    found, biases, failed = _measured(pilots, for_draws, draws, reference, chosen)
    _check_some(found, failed, where)
    left = [(c, p) for c, p in pilots if c.label in found]
    seconds = medians({c.label: functools.partial(p.gradient, for_pilot) for c, p in left})
    rows = ranked(
        [
            row_of(c, found[c.label], biases.get(c.label), reference, arguments, seconds[c.label], accuracy)
            for c, _ in left
        ]
    )
    best, sentence = recommended(rows, accuracy)
    promises = {c.label: c.promises for c, _ in left}
    doubts += warnings_of(rows, found, reference, arguments, draws, promises)
    if best and promises[best.label] is False:
        doubts.append(biased_by_facts(best, math.sqrt(reference.squared_norm)))
    return Comparison(
        rows=tuple(rows),
        truth=told,
        draws=draws,
        accuracy=accuracy,
        recommendation=sentence,
        code=next((c.code for c, _ in pilots if best and c.label == best.label), ""),
        warnings=(*warnings, *unfit, *failed, *doubts),
        histograms=_histograms(arguments, reference, chosen, found),
    )


def _check_numbers(draws: Any, accuracy: Any, where: str) -> None:
    if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < LEAST:
        raise SpanaxError(f"compare(draws={draws!r})", where, f"an integer, {LEAST} or more")
    if isinstance(accuracy, bool) or not isinstance(accuracy, int | float) or not 0 < accuracy < np.inf:
        raise SpanaxError(f"compare(accuracy={accuracy!r})", where, "accuracy=0.1, a share of the gradient's norm")


class _Pilot(NamedTuple):
    """A compiled candidate after its first few gradients: `price` is variance times seconds."""

    gradient: Gradient
    variance: Float[np.ndarray, " size"]
    price: float


def _pilots(
    given: Sequence[Candidate], arguments: Arguments, key: Key[Array, ""], where: str
) -> tuple[list[tuple[Candidate, _Pilot]], list[str]]:
    """Those candidates that run, and a warning for each that does not; raises the last one's error where none does."""
    fit, unfit, last = [], [], None
    for candidate in given:
        gradient = Gradient(candidate.function, arguments)
        try:
            gradient.rows(key, 0, 1)
            start = time.perf_counter()
            rows = gradient.rows(key, 1, PILOT)
        except Exception as error:  # whatever a user's program raises: the others are still to be judged
            unfit.append(f"{candidate.label} is left out: {said(error)}")
            last = error
            continue
        with np.errstate(all="ignore"):
            variance = np.var(rows, axis=0)
        price = float(np.sum(variance)) * (time.perf_counter() - start)
        fit.append((candidate, _Pilot(gradient, variance, price)))
    if isinstance(last, SpanaxError) and not fit:
        raise SpanaxError(f"no candidate fits: {last.problem}", last.where or where, *last.remedies) from last
    if last is not None and not fit:
        raise SpanaxError(f"no candidate runs: {said(last)}", where, "jax.grad of one of them, by itself") from last
    return fit, unfit


def _check_some(found: Mapping[str, Moments], failed: Sequence[str], where: str) -> None:
    if not found:
        raise SpanaxError(
            f"no candidate ran to the end: {'; '.join(failed)}", where, "jax.grad of one of them, by itself"
        )


def _measured(
    pilots: Sequence[tuple[Candidate, _Pilot]],
    key: Key[Array, ""],
    draws: int,
    reference: Reference,
    chosen: Sequence[int],
) -> tuple[dict[str, Moments], dict[str, Bias], list[str]]:
    """Moments, and biases where all gradients are finite, by label; and a warning for each candidate that raised."""
    found, biases, failed = {}, {}, []
    with progress(draws * len(pilots), "spanax: comparing") as advance:
        for c, p in pilots:
            try:
                of_all = moments(p.gradient, key, draws, reference.mean, chosen, advance)
            except Exception as error:
                failed.append(f"{c.label} is left out: {said(error)}")
                continue
            if not of_all.not_finite:
                biases[c.label] = bias(of_all, reference, p.gradient.arguments.parts, p.gradient.arguments.eps)
            found[c.label] = of_all.without_batches()
    return found, biases, failed


def _coordinates(reference: Reference, variances: Sequence[Float[np.ndarray, " size"]]) -> list[int]:
    """Up to 4 elements for the histograms: the two of the largest |truth|, then those of the largest variance."""
    noisy = sum(v / np.sum(v) for v in variances if np.isfinite(np.sum(v)) and np.sum(v) > 0)
    orders = [np.argsort(-np.abs(reference.mean))[:4], np.argsort(-np.broadcast_to(noisy, reference.mean.shape))[:4]]
    first = [*orders[0][:2], *orders[1], *orders[0][2:]]
    return [int(j) for j in dict.fromkeys(first)][:4]


def _histograms(
    arguments: Arguments, reference: Reference, chosen: Sequence[int], found: Mapping[str, Moments]
) -> dict[str, Any]:
    return {
        "coordinates": [arguments.coordinate(j) for j in chosen],
        "truth": [float(reference.mean[j]) for j in chosen],
        "draws": {label: one.picked for label, one in found.items()},
    }
