"""Which cases of a parametrised test `make test` runs: the others are marked `slow`, and run with `make test-all`."""

from __future__ import annotations

import collections
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import pytest

_GOLDEN = (5**0.5 - 1) / 2  # whose multiples, modulo 1, are spread evenly, however many there are


def mark_slow(items: Iterable[Any]) -> None:
    """Marks every case that shows nothing new.

    Of each parametrised test `make test` keeps cases that have every value of every parameter between them, but not each value
    with each of another. Where the values themselves are many of a kind, as random programs are, `@pytest.mark.few(n)` keeps n.
    """
    tests: dict[str, list[Any]] = {}
    for item in items:
        if hasattr(item, "callspec") and item.get_closest_marker("slow") is None:
            tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for cases in tests.values():
        few = cases[0].get_closest_marker("few")
        kept = covering([_values(case) for case in cases], *(few.args if few else ()))
        for number, case in enumerate(cases):
            if number not in kept:
                case.add_marker("slow")


def _values(case: Any) -> tuple[Hashable, ...]:
    """Of each parameter, which value: a row of a table is one value, a parameter of a fixture is one of its own."""
    params = case.callspec.params
    tables = [_names(mark) for mark in case.iter_markers("parametrize")]
    fixtures = [(name,) for name in params if not any(name in names for names in tables)]
    return tuple((names, *(id(params[name]) for name in names)) for names in tables + fixtures)


def _names(mark: pytest.Mark) -> tuple[str, ...]:
    names = mark.args[0]
    return tuple(name.strip() for name in names.split(",")) if isinstance(names, str) else tuple(names)


def covering(cases: Sequence[tuple[Hashable, ...]], most: int | None = None) -> set[int]:
    """The positions of cases that have every value between them, or of `most` with as many values as possible.

    Greedy: next is the case with the most new values, of these the one whose values are the least used, and of these one that is
    far from the others in the order of the cases. Each case holds one value of every parameter.
    """
    used: collections.Counter[Hashable] = collections.Counter()
    left = dict(enumerate(cases))
    kept: set[int] = set()

    def worth(number: int) -> tuple[int, int, float]:
        values, place = left[number], number * _GOLDEN % 1
        return sum(not used[value] for value in values), -sum(used[value] for value in values), -place

    while left and len(kept) != most:
        best = max(left, key=worth)
        if most is None and not worth(best)[0]:
            break
        kept.add(best)
        used.update(left.pop(best))
    return kept
