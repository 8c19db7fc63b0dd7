"""`while` and `for` on values that are known only when the program runs: how each loop is run.

Written out, where it is short or computes with known numbers only; as a scan, where its iterations are alike; after some
iterations that are written out, where only the first ones differ; and written out in the end, with a warning, where none of
that works.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax.numpy as jnp

from ..._errors import warn
from .._indexing.masked import Masked
from .._session import session, unliftable
from .._values.cells import note_write
from .._values.values import Number, as_jax, canonical
from .conditionals import Get, Set, if_, truth
from .consuming import check_consumable
from .iterables import Items, UnknownCounts, items_of, zip_items
from .loop import FAILED, Loop

KNOWN = 8  # iterations of a `while` whose test is known, after which it is tried as a loop
PEELED = 3  # first iterations that are written out before the others, which may be alike
UNROLLED = 3000  # most iterations that are written out where a loop cannot stay one
LONG = 200  # iterations that are not written out without a warning


def for_(iterable: Any, going: Callable | None, body: Callable, get: Get, set_: Set, names: Sequence[str]) -> None:
    """`for item in iterable: body(item)`, while `going()` holds."""
    if isinstance(iterable, Masked):
        # x[mask], whose length is not known: all of x, with the body under an `if` of the mask.
        def of_one(pair: Any) -> None:
            if_(pair[0], lambda: body(pair[1]), lambda: None, get, set_, names)

        for_(zip_items(*iterable.pairs()), going, of_one, get, set_, names)
        return
    items = items_of(iterable)
    if items is None:
        check_consumable(iterable)
    loop = Loop(body, going, get, set_, names)
    if items is None:
        _write_out(loop, iterable, 1)
    elif isinstance(items, UnknownCounts):
        _unknown_counts(items, going, body, get, set_, names)
    else:
        _run_items(loop, items)


def _write_out(loop: Loop, items: Iterable, length: int) -> None:
    # Loops inside are traced once for each copy: how many there are decides whether they may be written out as well.
    now = session()
    now.copies *= max(1, length)
    try:
        for item in items:
            if not loop.run_once(item):
                return
    finally:
        now.copies //= max(1, length)


def _run_items(loop: Loop, items: Items) -> None:
    now = session()
    if items.length <= 1 or loop.is_short(items) or loop.is_known(lambda: items.item_at(0)):
        _write_out(loop, items, items.length)
        return
    loop.whole = items.length * now.copies <= UNROLLED
    first, reason = _scan_from(loop, items)
    if first is None:
        return
    rest = items.length - first
    if rest * now.copies > UNROLLED:
        raise unliftable(
            f"a loop of {items.length} iterations, which are not alike: {reason}",
            "iterations that keep shapes and kinds of values, and append to lists at most",
            "a shorter loop, which is written out",
        ) from reason
    if rest * now.copies > LONG and not now.probing:
        warn(
            f"a loop of {items.length} iterations is written out, which takes long to compile: {reason}",
            "iterations that keep shapes and kinds of values, and read no more of a list than its last elements",
            where=loop.where,
        )
    _write_out(loop, itertools.islice(items, first, None), rest)


def _scan_from(loop: Loop, items: Items) -> tuple[int | None, Exception | None]:
    """Runs the loop as a scan, after some iterations that are written out: None. Where its iterations are not alike, the first
    that has not been run, and why.

    The first iterations are peeled, as a program often begins with what later ones have not: an empty list, None, an int.
    """
    now, hint = session(), ("unlike", loop.site)
    first, reason = 0, None
    while first < min(PEELED, items.length) and hint not in now.hints:
        try:
            loop.scan_items(items, first)
            return None, None
        except FAILED as error:
            reason = error
        if not loop.run_once(items.item_at(first)):
            return None, None
        first += 1
    now.hints[hint] = True  # a loop around traces this one again, and need not try again
    return first, reason


def _unknown_counts(
    counts: UnknownCounts, going: Callable | None, body: Callable, get: Get, set_: Set, names: Sequence[str]
) -> None:
    """`for i in range(n)` with an unknown n: a while loop with a counter of its own."""
    step = counts.step
    now = session()
    box = now.note_new([Number(as_jax(counts.start, canonical(int)), int)])

    def test():
        more = box[0] < counts.stop if step > 0 else box[0] > counts.stop
        return more if going is None else Number(as_jax(truth(more)) & as_jax(truth(going())), bool)

    def count():
        index = box[0]
        note_write(box)
        box[0] = index + step
        body(index)

    while_(test, count, get, set_, names)


def while_(test: Callable, body: Callable, get: Get, set_: Set, names: Sequence[str]) -> None:
    """`while test(): body()`."""
    loop = Loop(lambda _: body(), test, get, set_, names)
    iterations, staged = 0, False
    while True:
        going = truth(test())
        if not isinstance(going, bool):
            loop.scan_test(going)
            return
        if not going:
            return
        # A test that is known, such as `while k < 1000`, could be written out to its end. After some iterations it is tried
        # as a loop with a bound, whose test is then traced, which compiles one body instead of hundreds.
        if iterations >= KNOWN and not staged and loop.has_unknown():
            staged = True
            if loop.try_scan_test(jnp.asarray(True)):
                return
        body()
        iterations += 1
        if iterations > session().max_iterations:
            session().check(True, loop.bound_message(), loop.where, *loop.bound_remedies())
