"""From the moments of one candidate to its row, and from the rows to what is recommended and warned of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ._arguments import Arguments
from ._candidates import Candidate
from ._moments import Moments
from ._numbers import duration, number, share
from ._statistics import Bias, Reference, rounding_of
from .rows import Interval, Row, Verdict

DOMINATED = 0.9  # share of the variance in one leaf, from which on it is named
_FASTER = 2.0  # times that a biased candidate must be faster to be mentioned beside the recommended one


def row_of(
    candidate: Candidate,
    found: Moments,
    measured: Bias | None,
    truth: Reference,
    arguments: Arguments,
    seconds: float,
    accuracy: float,
) -> Row:
    """`measured` is None where a gradient was not finite."""
    if measured is None:
        return _not_finite(candidate, arguments, seconds)
    variance, norm = float(np.sum(found.variance)), math.sqrt(truth.squared_norm)
    known = measured.overall.estimate if measured.significant else 0.0
    return Row(
        label=candidate.label,
        bias=measured.overall,
        bias_by_leaf=dict(zip(arguments.names, measured.by_part, strict=True)),
        p_value=measured.p_value,
        variance=variance,
        worst_leaf=_worst_leaf(found, arguments),
        snr=norm / math.sqrt(variance) if variance else math.inf if norm else math.nan,
        cosine=found.cosine if norm else math.nan,
        microseconds=1e6 * seconds,
        evaluations=candidate.evaluations,
        time_to_accuracy=seconds * _gradients_needed(variance, known, accuracy * norm),
        verdict=_verdict(measured, norm, variance, truth),
    )


def _not_finite(candidate: Candidate, arguments: Arguments, seconds: float) -> Row:
    """Its mean is not a number: nothing else can be said of it than that, and how long it takes."""
    unknown, nan = Interval(math.nan, math.nan, math.nan), math.nan
    by_leaf = dict.fromkeys(arguments.names, unknown)
    return Row(
        candidate.label, unknown, by_leaf, nan, nan, (arguments.names[0], nan), nan, nan, 1e6 * seconds,
        candidate.evaluations, math.inf, "biased",
    )  # fmt: skip


def _worst_leaf(found: Moments, arguments: Arguments) -> tuple[str, float]:
    by_leaf = [float(np.sum(found.variance[part])) for part in arguments.parts]
    worst = int(np.argmax(by_leaf))
    return arguments.names[worst], by_leaf[worst] / sum(by_leaf) if any(by_leaf) else 0.0


def _gradients_needed(variance: float, bias: float, error: float) -> float:
    """Until the root mean square error of their mean is `error`: variance/n + bias^2 = error^2, and at least one."""
    room = error**2 - bias**2
    if room <= 0:
        return 1.0 if error == bias == variance == 0 else math.inf
    return max(1.0, variance / room)


def _verdict(measured: Bias, norm: float, variance: float, truth: Reference) -> Verdict:
    if measured.significant:
        return "biased"
    if not norm and truth.moments is not None:  # it may have any size below its own error
        return "undecided"
    scale = norm or math.sqrt(variance)  # a truth of 0 has no size of its own
    return "undecided" if measured.overall.high > 0.5 * scale else "unbiased"


def ranked(rows: Sequence[Row]) -> list[Row]:
    """By time to accuracy; where that is infinite or the same, the unbiased first, then by variance times time."""
    order = {"unbiased": 0, "undecided": 1, "biased": 2}
    return sorted(
        rows,
        key=lambda r: (r.time_to_accuracy, order[r.verdict], _or_infinite(r.variance) * r.microseconds, r.microseconds),
    )


def _or_infinite(x: float) -> float:
    return math.inf if math.isnan(x) else x


def recommended(rows: Sequence[Row], accuracy: float) -> tuple[Row | None, str]:
    """Which of the ranked rows to take, if any, and one sentence with the reason."""
    goal = f"an error of {100 * accuracy:.3g}%"
    good = [row for row in rows if row.verdict != "biased"]
    if not good:
        return (
            None,
            f"none: every candidate is biased, and the least time to {goal} is {duration(rows[0].time_to_accuracy)}",
        )
    best = min(
        good, key=lambda row: (row.verdict == "undecided" and math.isfinite(row.time_to_accuracy), rows.index(row))
    )
    reason = "no bias found" if best.verdict == "unbiased" else "no bias found yet, with too few draws to exclude one"
    said = f"{best.label}: {reason}, and {duration(best.time_to_accuracy)} to {goal}"
    if others := [row for row in good if row is not best]:
        said += f", {_against(best, others[0])}"
    if best is not rows[0] and rows[0].time_to_accuracy * _FASTER < best.time_to_accuracy:
        said += f"; {rows[0].label} takes {duration(rows[0].time_to_accuracy)}, but is {rows[0].verdict}"
    return best, said


def _against(best: Row, other: Row) -> str:
    times = other.time_to_accuracy / best.time_to_accuracy if best.time_to_accuracy else math.nan
    if not math.isfinite(times):
        return f"next is {other.label}"
    return f"{number(times)} times faster than {other.label}" if times >= 1.05 else f"about as fast as {other.label}"


def warnings_of(
    rows: Sequence[Row],
    found: Mapping[str, Moments],
    truth: Reference,
    arguments: Arguments,
    draws: int,
    promises: Mapping[str, bool | None],
) -> list[str]:
    """`promises`: are the bridges of a candidate unbiased by their facts?"""
    norm = math.sqrt(truth.squared_norm)
    said = []
    if not norm:
        noise = " within its error" if truth.moments else ""
        said.append(f"the true gradient is 0 here{noise}: an accuracy relative to it means nothing")
    said += _of_small_leaves(truth, arguments)
    for row in rows:
        said += _warnings_of_row(row, found[row.label], truth, arguments, draws, norm, promises[row.label])
    return said


def _of_small_leaves(truth: Reference, arguments: Arguments) -> list[str]:
    """Leaves whose gradient is so much smaller than another's that nothing but rounding might be in it."""
    rounding = rounding_of(truth.mean, arguments.parts, arguments.eps)
    small = [
        name
        for name, part in zip(arguments.names, arguments.parts, strict=True)
        if 0 < np.linalg.norm(truth.mean[part]) <= np.linalg.norm(rounding[part])
    ]
    if not small:
        return []
    return [f"no bias can be seen in {', '.join(small)}: that gradient is below the rounding of the largest one"]


def biased_by_facts(row: Row, norm: float) -> str:
    """A warning for a recommended row."""
    return f"{row.label} is biased by its facts; here the bias is below {share(row.bias.high, norm)}"


def _warnings_of_row(
    row: Row, found: Moments, truth: Reference, arguments: Arguments, draws: int, norm: float, promised: bool | None
) -> list[str]:
    if found.not_finite:
        leaves = arguments.names_at(found.bad)
        return [f"{row.label}: {found.not_finite} of {draws:,} gradients are NaN or infinite (in {leaves})"]
    said = []
    if row.verdict == "biased":
        but = "; yet its bridges are unbiased by their facts: the program may jump in a draw, or the truth be wrong"
        said.append(_of_bias(row, found, truth, arguments, draws, norm) + (but if promised else ""))
    if row.verdict == "undecided":
        of = " of the gradient" if norm else ""
        said.append(
            f"{row.label}: {draws:,} draws are too few to tell; the bias may be {share(row.bias.high, norm)}{of}"
        )
    if len(arguments.names) > 1 and row.worst_leaf[1] > DOMINATED:
        said.append(f"{row.label}: {row.worst_leaf[1]:.0%} of the variance is that of {row.worst_leaf[0]}")
    return said


def _of_bias(row: Row, found: Moments, truth: Reference, arguments: Arguments, draws: int, norm: float) -> str:
    zero = [
        name
        for name, part in zip(arguments.names, arguments.parts, strict=True)
        if not (found.mean[part].any() or found.variance[part].any()) and row.bias_by_leaf[name].estimate > 0
    ]  # fmt: skip
    if zero:
        rare = 4.6 / draws  # (1 - rare)^draws = 1%
        return (
            f"{row.label} is biased: a SILENT ZERO in {', '.join(zero)}, where every one of {draws:,} gradients is exactly 0 and "
            f"the truth is not (or what makes it happens in less than {rare:.1g} of the draws)"
        )
    return (
        f"{row.label} is biased, by {share(row.bias.estimate, norm)} of the gradient: no number of draws removes that"
    )
