"""`while` and `for` on values that are known only when the program runs."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax.numpy as jnp

from ..._errors import SpanaxWarning, diagnosis
from .._indexing.masked import Masked
from .._session import session, unliftable
from .._values.cells import changing
from .._values.values import Number, as_jax, canonical
from .conditionals import Get, Set, if_, truth
from .consuming import consumed
from .iterables import Items, UnknownCounts, items_of, zipped
from .loop import FAILED, Loop

KNOWN = 8  # rounds of a `while` whose test is known, after which it is tried as a loop
PEELED = 3  # first rounds that are written out before the others, which may be alike
UNROLLED = 3000  # most rounds that are written out where a loop cannot stay one
LONG = 200  # rounds that are not written out without a warning


def for_(iterable: Any, going: Callable | None, body: Callable, get: Get, set_: Set, names: Sequence[str]) -> None:
    """`for item in iterable: body(item)`, while `going()` holds."""
    if isinstance(iterable, Masked):

        def of_one(pair: Any) -> None:
            if_(pair[0], lambda: body(pair[1]), lambda: None, get, set_, names)

        for_(zipped(*iterable.pairs()), going, of_one, get, set_, names)
        return
    items = items_of(iterable)
    if items is None:
        consumed(iterable)
    loop = Loop(body, going, get, set_, names)
    if items is None:
        _written_out(loop, iterable, 1)
    elif isinstance(items, UnknownCounts):
        _unknown_counts(items, going, body, get, set_, names)
    else:
        _through(loop, items)


def _written_out(loop: Loop, items: Iterable, length: int) -> None:
    now = session()
    now.copies *= max(1, length)
    try:
        for item in items:
            if not loop.once(item):
                return
    finally:
        now.copies //= max(1, length)


def _through(loop: Loop, items: Items) -> None:
    now = session()
    if items.length <= 1 or loop.is_short(items) or loop.is_known(lambda: items.known(0)):
        _written_out(loop, items, items.length)
        return
    reason: Exception | None = None
    hint = "unlike", loop.site
    loop.whole = items.length * now.copies <= UNROLLED
    peeled = 0
    while peeled < min(PEELED, items.length) and hint not in now.hints:
        try:
            loop.through(items, peeled)
            return
        except FAILED as error:
            reason = error
        if not loop.once(items.known(peeled)):
            return
        peeled += 1
    now.hints[hint] = True
    rest = range(peeled, items.length)
    if len(rest) * now.copies > UNROLLED:
        raise unliftable(
            f"a loop of {items.length} rounds, which are not alike: {reason}",
            "rounds that keep shapes and kinds of values, and append to lists at most",
            "a shorter loop, which is written out",
        ) from reason
    if len(rest) * now.copies > LONG and not now.probing:
        warnings.warn(
            SpanaxWarning(
                diagnosis(
                    f"a loop of {items.length} rounds is written out, which takes long to compile: {reason}",
                    "rounds that keep shapes and kinds of values, and read no more of a list than its last elements",
                    where=loop.where,
                )
            ),
            stacklevel=2,
        )
    _written_out(loop, itertools.islice(items, peeled, None), len(rest))


def _unknown_counts(
    counts: UnknownCounts, going: Callable | None, body: Callable, get: Get, set_: Set, names: Sequence[str]
) -> None:
    """`for i in range(n)` with an unknown n: a while loop with a counter of its own."""
    step = counts.step
    now = session()
    box = now.born([Number(as_jax(counts.start, canonical(int)), int)])

    def test():
        more = box[0] < counts.stop if step > 0 else box[0] > counts.stop
        return more if going is None else Number(as_jax(truth(more)) & as_jax(truth(going())), bool)

    def count():
        index = box[0]
        changing(box)
        box[0] = index + step
        body(index)

    while_(test, count, get, set_, names)


def while_(test: Callable, body: Callable, get: Get, set_: Set, names: Sequence[str]) -> None:
    """`while test(): body()`."""
    loop = Loop(lambda _: body(), test, get, set_, names)
    rounds, staged = 0, False
    while True:
        going = truth(test())
        if not isinstance(going, bool):
            loop.until(going)
            return
        if not going:
            return
        if rounds >= KNOWN and not staged and loop.has_unknown():
            staged = True
            if loop.tried_until(jnp.asarray(True)):
                return
        body()
        rounds += 1
        if rounds > session().max_iterations:
            session().check(True, loop.bound_message(), loop.where, *loop.bound_remedies())
