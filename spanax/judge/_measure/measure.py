"""From candidates to a comparison: pilots, the truth, the moments of all, their times, and what follows."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from ..._errors import SpanaxError
from ..._progress import progress
from ...stochastic.recording import record_bridges
from .._truth.problem import Problem, WorkingCandidate
from .._truth.reference import find_truth
from ..comparison import Comparison
from ..rows import Truth
from .arguments import Arguments
from .candidates import Candidate, error_line
from .gradients import Gradient, gradient_of
from .moments import Moments, moments
from .statistics import Bias, bias, rounding_of
from .timing import medians
from .verdicts import Standard, rank_rows, recommend_row, row_of, warnings_of

PILOT = 20  # draws of each candidate: does it fit, what does it cost, which coordinates are worth a histogram


class _Pilot(NamedTuple):
    """A compiled candidate after its first few gradients: `price` is variance times seconds."""

    candidate: Candidate
    gradient: Gradient
    mean: Float[np.ndarray, " size"]
    variance: Float[np.ndarray, " size"]
    price: float


class _Measured(NamedTuple):
    """Moments and biases by label, and a warning for each candidate that raised."""

    moments: dict[str, Moments]
    biases: dict[str, Bias]
    failed: list[str]


def compare_candidates(
    given: Sequence[Candidate],
    problem: Problem,
    truth: Any,
    key: Key[Array, ""],
    accuracy: float,
    warnings: Sequence[str],
) -> Comparison:
    """`problem.ranked` is empty where only the measured gradients can say which leaves tell the candidates apart."""
    for_draws, for_pilot = jax.random.split(key)
    pilots, unfit = _pilots(given, problem.arguments, for_pilot, problem.where)
    # Functions say nothing of their draws: which leaves tell them apart shows only in their gradients.
    problem = problem._replace(ranked=problem.ranked or _apart(pilots, problem.arguments))
    # Candidates that ran are compiled: the truth is drawn with one of them where it can be.
    tried = [WorkingCandidate(p.candidate.label, p.candidate.via, p.gradient, p.price) for p in pilots]
    reference, told, doubts = find_truth(truth, problem, tried)
    standard = Standard(reference, problem.arguments, problem.groups, problem.ranked, accuracy)
    chosen = _coordinates(standard, pilots)
    measured = _Measured({}, {}, [])

    def so_far() -> Comparison:
        said_before = [*warnings, *unfit, *measured.failed, *doubts]
        return _as_comparison(pilots, measured, standard, told, chosen, problem.draws, for_pilot, said_before)

    try:
        _measure(pilots, for_draws, problem.draws, standard, chosen, measured)
    except KeyboardInterrupt as interrupt:
        if measured.moments:
            # Hours of draws are not lost with a Ctrl-C: what was measured goes with the exception.
            left = [p.candidate.label for p in pilots if p.candidate.label not in measured.moments]
            interrupt.add_note(f"interrupted before {', '.join(left)} had been measured; of the others:\n\n{so_far()}")
        raise
    if not measured.moments:
        raise SpanaxError(
            f"no candidate ran to the end: {'; '.join(measured.failed)}",
            "jax.grad of one of them, by itself",
            where=problem.where,
        )
    return so_far()


def _pilots(
    given: Sequence[Candidate], arguments: Arguments, key: Key[Array, ""], where: str
) -> tuple[list[_Pilot], list[str]]:
    """Those candidates that run, and a warning for each that does not; raises the last one's error where none does."""
    fit, unfit, last = [], [], None
    for candidate in given:
        gradient = gradient_of(candidate.function, arguments)
        try:
            # While the candidate is traced, its sites say which bridges they really use: a bridge inside a function
            # of the user's counts too.
            with record_bridges() as bridges:
                gradient.rows(key, 0, 1)
            start = time.perf_counter()
            rows = gradient.rows(key, 1, PILOT)
        except Exception as error:  # whatever a user's program raises: the others are still to be judged
            unfit.append(f"{candidate.label} is left out: {error_line(error)}")
            last = error
            continue
        with np.errstate(all="ignore"):
            mean, variance = np.mean(rows, axis=0), np.var(rows, axis=0)
            # Equal rows have variance 0, but their mean may round, which would leave a variance of rounding.
            variance[np.all(rows == rows[0], axis=0)] = 0.0  # no rounding of the mean
        if not all(bridge.facts.unbiased for bridge in bridges):
            candidate = candidate._replace(promises=False)
        price = float(np.sum(variance)) * (time.perf_counter() - start)
        fit.append(_Pilot(candidate, gradient, mean, variance, price))
    if isinstance(last, SpanaxError) and not fit:
        raise SpanaxError(f"no candidate fits: {last.problem}", *last.remedies, where=last.where or where) from last
    if last is not None and not fit:
        raise SpanaxError(
            f"no candidate runs: {error_line(last)}", "jax.grad of one of them, by itself", where=where
        ) from last
    return fit, unfit


def _apart(pilots: Sequence[_Pilot], arguments: Arguments) -> list[int]:
    """The leaves of which not all candidates have the same gradient without noise; all of them where there are none."""
    first = pilots[0].mean
    with np.errstate(all="ignore"):  # of gradients that are not finite
        rounding = rounding_of(first, arguments.parts, arguments.eps)
        same = np.all([(p.variance == 0) & (np.abs(p.mean - first) <= rounding) for p in pilots], axis=0)
    found = [i for i, part in enumerate(arguments.parts) if not np.all(same[part])]
    return found or list(range(len(arguments.parts)))


def _measure(
    pilots: Sequence[_Pilot],
    key: Key[Array, ""],
    draws: int,
    standard: Standard,
    chosen: Sequence[int],
    measured: _Measured,
) -> None:
    """Adds the candidates one after the other, so that those that are there are whole when it is interrupted."""
    arguments, groups = standard.arguments, tuple(standard.groups.values())
    with progress(draws * len(pilots), "spanax: comparing") as advance:
        for p in pilots:
            try:
                # The same key for all: differences between candidates are not those of luck.
                found = moments(p.gradient, key, draws, standard.truth.mean, chosen, advance, standard.elements)
            except Exception as error:
                measured.failed.append(f"{p.candidate.label} is left out: {error_line(error)}")
                continue
            of = bias(found, standard.truth, arguments.parts, arguments.eps, groups, standard.ranked)
            measured.biases[p.candidate.label] = of
            measured.moments[p.candidate.label] = found.without_batches()


def _as_comparison(
    pilots: Sequence[_Pilot],
    measured: _Measured,
    standard: Standard,
    truth: Truth,
    chosen: Sequence[int],
    draws: int,
    key: Key[Array, ""],
    warnings: Sequence[str],
) -> Comparison:
    by_label = {p.candidate.label: p for p in pilots if p.candidate.label in measured.moments}
    # Timed together at the end, in turn: drawn times would depend on what else ran in those minutes.
    seconds = medians({label: functools.partial(p.gradient, key) for label, p in by_label.items()})
    rows = rank_rows(
        [
            row_of(p.candidate, measured.moments[label], measured.biases[label], standard, seconds[label])
            for label, p in by_label.items()
        ]
    )
    best, sentence = recommend_row(rows, standard.accuracy, standard.norm)
    names = standard.arguments.names
    return Comparison(
        rows=tuple(rows),
        truth=truth,
        draws=draws,
        accuracy=standard.accuracy,
        ranked=tuple(names[i] for i in standard.ranked),
        recommendation=sentence,
        code=by_label[best.label].candidate.code if best else "",
        warnings=(*warnings, *warnings_of(rows, measured.moments, standard, draws)),
        histograms=_histograms(standard, chosen, measured.moments),
    )


def _coordinates(standard: Standard, pilots: Sequence[_Pilot]) -> list[int]:
    """Up to 4 elements for the histograms: the two of the largest |truth|, then those of the largest variance.

    All are of ranked leaves, and of those the elements that the gap reaches: where the candidates vary or differ. Each leaf has
    one before any has two.
    """
    size = len(standard.truth.mean)
    # Elements that all candidates have alike and without noise say nothing about bridges.
    at = np.arange(size)[standard.elements]
    with np.errstate(all="ignore"):  # of gradients that are not finite: they are worth a look
        still = np.all([(p.variance[at] == 0) & (p.mean[at] == pilots[0].mean[at]) for p in pilots], axis=0)
    if not np.all(still):
        at = at[~still]
    sums = [(p.variance[at], float(np.sum(p.variance[at]))) for p in pilots]
    # Each candidate's variances as shares of its own total, so that a noisy one does not choose all coordinates.
    noisy = sum((v / total for v, total in sums if np.isfinite(total) and total > 0), np.zeros(len(at)))
    # The largest show a bias at its clearest, the most varying ones what the variance is made of.
    large, varying = at[np.argsort(-np.abs(standard.truth.mean[at]))[:2]], at[np.argsort(-noisy)]
    best = np.concatenate([large, varying[~np.isin(varying, large)]])
    leaf = np.searchsorted([part.stop for part in standard.arguments.parts], best, side="right")
    firsts = np.sort(np.unique(leaf, return_index=True)[1])  # where in `best` each leaf has its best element
    others = np.setdiff1d(np.arange(len(best)), firsts)
    return [int(j) for j in best[np.sort(np.concatenate([firsts, others])[:4])]]


def _histograms(standard: Standard, chosen: Sequence[int], found: Mapping[str, Moments]) -> dict[str, Any]:
    truth = standard.truth
    return {
        "coordinates": [standard.arguments.coordinate(j) for j in chosen],
        "truth": [float(truth.mean[j]) for j in chosen],
        "standard_errors": [truth.squared_error(np.array([j])) ** 0.5 for j in chosen],
        "draws": {label: one.picked for label, one in found.items()},
    }
