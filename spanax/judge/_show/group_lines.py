"""The groups of one candidate, as a reader wants them: all of a few, and the worst of many."""

from __future__ import annotations

from collections.abc import Sequence

from .._numbers import verdict_in_words
from ..rows import Group, Row

SHOWN = 8
_ORDER = {"biased": 0, "undecided": 1, "no bias found": 2}


def group_lines(row: Row) -> list[tuple[str, str]]:
    """(name, verdict with the bias) of each; none where there is one group, which is the whole."""
    if len(row.groups) < 2:
        return []
    # Of many groups the worst ones decide; the others are summed up by their worst, which bounds them.
    shown = worst(row)[: SHOWN if len(row.groups) <= SHOWN else SHOWN - 1]
    lines = [(name, _of(group)) for name, group in row.groups.items() if name in shown]
    left = [name for name in worst(row) if name not in shown]
    if left:
        lines.append((f"{len(left)} more, the worst of them", _of(row.groups[left[0]])))
    return lines


def worst(row: Row) -> Sequence[str]:
    """The groups by their verdicts, the biased first, and by the bias that there is or may be, as a share of their truth."""

    def rank(name: str) -> tuple[int, float]:
        group = row.groups[name]
        size = group.bias.estimate if group.verdict == "biased" else group.bias.high
        return _ORDER[group.verdict], -(size / group.norm if group.norm else size)

    return sorted(row.groups, key=rank)


def _of(group: Group) -> str:
    return verdict_in_words(group.bias, group.verdict, group.norm)
