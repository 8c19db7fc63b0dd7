"""From the moments of one candidate to its row, and from the rows to what is recommended and warned of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .._numbers import duration, join_names, number, share
from .._show.group_lines import worst
from ..rows import Group, Interval, Row, Verdict
from .arguments import Arguments
from .candidates import Candidate
from .groups import Groups
from .moments import Moments
from .statistics import Bias, Reference, rounding_of, size_of

DOMINATED = 0.9  # share of the variance in one leaf, from which on it is named
_FASTER = 2.0  # times that a biased candidate must be faster to be mentioned beside the recommended one
_UNKNOWN = Interval(math.nan, math.nan, math.nan)


class Standard(NamedTuple):
    """What every candidate is held against: the truth in the leaves, in their groups, and in those that are ranked."""

    truth: Reference
    arguments: Arguments
    groups: Groups
    ranked: Sequence[int]
    accuracy: float

    @property
    def elements(self):
        return self.arguments.elements(self.ranked)

    @property
    def norm(self) -> float:
        return self.norm_in(self.ranked)

    def norm_in(self, leaves: Sequence[int]) -> float:
        return size_of(self.truth, self.arguments.elements(leaves), self.arguments.parts, self.arguments.eps)

    def noise(self, leaves: Sequence[int]) -> float:
        """The norm of the truth's standard error."""
        return math.sqrt(self.truth.squared_error(self.arguments.elements(leaves)))


def row_of(candidate: Candidate, found: Moments, measured: Bias, standard: Standard, seconds: float) -> Row:
    groups = _groups(found, measured, standard)
    by_leaf = dict(zip(standard.arguments.names, measured.by_part, strict=True))
    if found.not_finite:
        return _not_finite(candidate, found, by_leaf, groups, standard, seconds)
    variance, norm = float(np.sum(found.variance[standard.elements])), standard.norm
    known = measured.overall.estimate if measured.in_ranked else 0.0
    # A bias beyond the accuracy in one group forbids the goal, however small that group is in the whole.
    forbidden = any(g.verdict == "biased" and g.bias.estimate > standard.accuracy * g.norm for g in groups.values())
    needed = math.inf if forbidden else _gradients_needed(variance, known, standard.accuracy * norm)
    return Row(
        label=candidate.label,
        bias=measured.overall,
        bias_by_leaf=by_leaf,
        p_value=measured.p_value,
        variance=variance,
        worst_leaf=_worst_leaf(found, standard),
        snr=norm / math.sqrt(variance) if variance else math.inf if norm else math.nan,
        cosine=found.cosine if norm else math.nan,
        microseconds=1e6 * seconds,
        evaluations=candidate.evaluations,
        time_to_accuracy=seconds * needed,
        verdict=_verdict(measured.significant, measured.overall, norm, variance, standard.noise(standard.ranked)),
        groups=groups,
        unbiased_by_facts=candidate.promises,
        scale=measured.scale,
        across=measured.across,
    )


def _groups(found: Moments, measured: Bias, standard: Standard) -> dict[str, Group]:
    groups = {}
    for (name, leaves), of in zip(standard.groups.items(), measured.by_group, strict=True):
        at = standard.arguments.elements(leaves)
        norm, variance = standard.norm_in(leaves), float(np.sum(found.variance[at]))
        if standard.arguments.holds(leaves, found.bad):
            groups[name] = Group(_UNKNOWN, norm, math.nan, "biased")
        else:
            verdict = _verdict(of.significant, of.interval, norm, variance, standard.noise(leaves))
            groups[name] = Group(of.interval, norm, of.p_value, verdict)
    return groups


def _not_finite(
    candidate: Candidate,
    found: Moments,
    by_leaf: dict[str, Interval],
    groups: dict[str, Group],
    standard: Standard,
    seconds: float,
) -> Row:
    """Its mean is not a number: of the whole nothing else can be said than that, and how long it takes."""
    nan, names = math.nan, standard.arguments.names
    by_leaf |= {name: _UNKNOWN for i, name in enumerate(names) if standard.arguments.holds([i], found.bad)}
    return Row(
        candidate.label, _UNKNOWN, by_leaf, nan, nan, (names[0], nan), nan, nan, 1e6 * seconds,
        candidate.evaluations, math.inf, "biased", groups, candidate.promises,
    )  # fmt: skip


def _worst_leaf(found: Moments, standard: Standard) -> tuple[str, float]:
    by_leaf = {i: float(np.sum(found.variance[standard.arguments.parts[i]])) for i in standard.ranked}
    worst = max(by_leaf, key=lambda i: by_leaf[i])
    total = sum(by_leaf.values())
    return standard.arguments.names[worst], by_leaf[worst] / total if total else 0.0


def _gradients_needed(variance: float, bias: float, error: float) -> float:
    """Until the root mean square error of their mean is `error`: variance/n + bias^2 = error^2, and at least one."""
    # Solved for n. A bias larger than the error leaves no room, whatever n.
    room = error**2 - bias**2
    if room <= 0:
        return 1.0 if error == bias == variance == 0 else math.inf
    return max(1.0, variance / room)


def _verdict(significant: bool, found: Interval, norm: float, variance: float, noise: float) -> Verdict:
    """`noise`: the truth's own."""
    if significant:
        return "biased"
    if not norm and noise:  # it may have any size below its own error
        return "undecided"
    # A truth of 0 has no size of its own: the noise is what a bias can be compared with.
    scale = norm or math.sqrt(variance)
    return "undecided" if scale and found.high > 0.5 * scale else "no bias found"


def rank_rows(rows: Sequence[Row]) -> list[Row]:
    """By time to accuracy; where that is infinite or the same, the unbiased first, then by variance times time."""
    order = {"no bias found": 0, "undecided": 1, "biased": 2}
    return sorted(
        rows,
        key=lambda r: (r.time_to_accuracy, order[r.verdict], _or_infinite(r.variance) * r.microseconds, r.microseconds),
    )


def _or_infinite(x: float) -> float:
    return math.inf if math.isnan(x) else x


def recommend_row(rows: Sequence[Row], accuracy: float, norm: float) -> tuple[Row | None, str]:
    """Which of the ranked rows to take, if any, and one sentence with the reason.

    One that is biased by its facts only where no other is left, and the sentence begins with that: that none was found at these
    arguments says nothing of the next ones.
    """
    # One sentence, and it begins with what speaks against the choice, so that it cannot be cut off.
    goal = f"an error of {100 * accuracy:.3g}%"
    good = [row for row in rows if row.verdict != "biased"]
    if not good:
        least = duration(rows[0].time_to_accuracy)
        return None, f"none: every candidate is biased, and the least time to {goal} is {least}"
    honest = [row for row in good if row.unbiased_by_facts is not False]
    best = min(
        honest or good,
        key=lambda row: (row.verdict == "undecided" and math.isfinite(row.time_to_accuracy), rows.index(row)),
    )
    sentence = f"{best.label}: {_reason(best, norm)}, and {duration(best.time_to_accuracy)} to {goal}"
    if not honest:
        sentence = f"biased by its facts, and so is all else that is left: {sentence}"
    return best, sentence + _others(best, rows, honest, norm)


def _others(best: Row, rows: Sequence[Row], honest: Sequence[Row], norm: float) -> str:
    """The next best one, and why a faster one is not taken."""
    text = ""
    if others := [row for row in honest if row is not best]:
        text = f", {_against(best, others[0])}"
    faster = [row for row in rows[: rows.index(best)] if row.time_to_accuracy * _FASTER < best.time_to_accuracy]
    if faster:
        text += f"; {faster[0].label} takes {duration(faster[0].time_to_accuracy)}, but {_but(faster[0], norm)}"
    return text


def _reason(row: Row, norm: float) -> str:
    below = share(row.bias.high, norm)
    if row.verdict == "undecided":
        return f"no bias found yet, with too few draws to exclude one (< {below})"
    return f"no bias found (< {below})"


def _but(row: Row, norm: float) -> str:
    if row.verdict != "biased" and row.unbiased_by_facts is False:
        return f"is biased by its facts ({_reason(row, norm)})"
    return f"is {row.verdict}"


def _against(best: Row, other: Row) -> str:
    times = other.time_to_accuracy / best.time_to_accuracy if best.time_to_accuracy else math.nan
    if not math.isfinite(times):
        return f"next is {other.label}"
    return f"{number(times)} times faster than {other.label}" if times >= 1.05 else f"about as fast as {other.label}"


def warnings_of(rows: Sequence[Row], found: Mapping[str, Moments], standard: Standard, draws: int) -> list[str]:
    norm = standard.norm
    said = []
    if not norm:
        noise = " within its error" if standard.truth.moments else ""
        said.append(f"the true gradient is 0 here{noise}: an accuracy relative to it means nothing")
    said += _of_small_leaves(standard.truth, standard.arguments)
    for row in rows:
        said += _warnings_of_row(row, found[row.label], standard, draws)
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
    return [f"no bias can be seen in {join_names(small)}: that gradient is below the rounding of the largest one"]


def _warnings_of_row(row: Row, found: Moments, standard: Standard, draws: int) -> list[str]:
    norm, arguments = standard.norm, standard.arguments
    if found.not_finite:
        leaves = arguments.names_at(found.bad)
        return [f"{row.label}: {found.not_finite} of {draws:,} gradients are NaN or infinite (in {leaves})"]
    said = []
    if row.verdict == "biased":
        but = "; yet its bridges are unbiased by their facts: the program may jump in a draw, or the truth be wrong"
        said.append(_of_bias(row, found, standard, draws) + (but if row.unbiased_by_facts else ""))
    elif row.unbiased_by_facts is False:
        said.append(f"{row.label} is biased by its facts; {_but_here(row, norm)}")
    if row.verdict == "undecided":
        of = " of the gradient" if norm else ""
        said.append(
            f"{row.label}: {draws:,} draws are too few to tell; the bias may be {share(row.bias.high, norm)}{of}"
        )
    if len(standard.ranked) > 1 and row.worst_leaf[1] > DOMINATED:
        said.append(f"{row.label}: {row.worst_leaf[1]:.0%} of the variance is that of {row.worst_leaf[0]}")
    return said


def _but_here(row: Row, norm: float) -> str:
    where = ""
    if len(row.groups) > 1:
        name = worst(row)[0]
        where = f"; < {share(row.groups[name].bias.high, row.groups[name].norm)} in {name}"
    return f"here {_reason(row, norm).removesuffix(')')}{where})"


def _of_bias(row: Row, found: Moments, standard: Standard, draws: int) -> str:
    arguments = standard.arguments
    zero = [
        name
        for name, part in zip(arguments.names, arguments.parts, strict=True)
        if not (found.mean[part].any() or found.variance[part].any()) and row.bias_by_leaf[name].estimate > 0
    ]  # fmt: skip
    if zero:
        # exp(-4.6) = 1%: an event that rare is missing in all draws in one case of a hundred.
        rare = 4.6 / draws  # (1 - rare)^draws = 1%
        return (
            f"{row.label} is biased: a SILENT ZERO in {join_names(zero)}, where each of {draws:,} gradients is exactly 0 and "
            f"the truth is not (or what makes it happens in less than {rare:.1g} of the draws)"
        )
    of = f"{share(row.bias.estimate, standard.norm)} of the gradient"
    if len(row.groups) > 1:
        name = worst(row)[0]
        of = f"{share(row.groups[name].bias.estimate, row.groups[name].norm)} of the gradient in {name}"
    return f"{row.label} is biased, by {of}: no number of draws removes that"
