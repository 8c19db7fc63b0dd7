"""The bisect module on sorted sequences of numbers that depend on the arguments: by `np.searchsorted`."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from typing import Any

import numpy as np

from .._numpy.creation import asarray
from .._session import session, unliftable
from .._values.cells import note_write
from .._values.trees import has_unknown, unwrap
from .._values.values import Number, Value, as_jax, canonical, is_unknown


def _place(function: Callable, side: str) -> Callable:
    def bisect_rule(a: Any, x: Any, lo: Any = 0, hi: Any = None, *, key: Any = None) -> Any:
        if not has_unknown((list(a) if not isinstance(a, Value) else a, x, lo, hi)) and key is None:
            return function(unwrap(a), unwrap(x), lo, hi)
        if has_unknown((lo, hi)):
            raise unliftable("bisect between bounds that depend on the arguments", "np.searchsorted on the array")
        part = list(a)[lo:hi] if not isinstance(a, Value) else a[lo:hi]  # type: ignore[index]
        if key is not None:
            part = [session().rules.call(key, v) for v in part]
        # An empty list has no dtype to compare in.
        if not len(part):
            return lo
        place = session().rules.function(np.searchsorted, (asarray(part), x, side), {})
        # The place has a known range, so that indexing a list of this length needs no check of bounds.
        return Number(as_jax(place).astype(canonical(int)), int, (0, len(part))) + lo

    return bisect_rule


def _insert(place: Callable) -> Callable:
    def insort_rule(a: list, x: Any, lo: int = 0, hi: int | None = None, *, key: Any = None) -> None:
        at = place(a, x if key is None else session().rules.call(key, x), lo, hi, key=key)
        note_write(a)
        if not is_unknown(at):
            a.insert(at, x)
            return
        # The list grows by one whatever the place: element i is the old element i, x, or the old element i - 1.
        old, n = list(a), len(a)
        a[:] = [np.where(i < at, old[min(i, n - 1)], np.where(at < i, old[max(i - 1, 0)], x)) for i in range(n + 1)]

    return insort_rule


_LEFT, _RIGHT = _place(bisect.bisect_left, "left"), _place(bisect.bisect_right, "right")
BISECTING: dict[Any, Callable] = {
    bisect.bisect_left: _LEFT,
    bisect.bisect_right: _RIGHT,
    bisect.insort_left: _insert(_LEFT),
    bisect.insort_right: _insert(_RIGHT),
}
