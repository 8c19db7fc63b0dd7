"""Which draws share a key: no two draws, iterations of a loop or indices of a vmap may.

A draw's key, and the bits that the draw takes from what it splits its key into, are compared with those of every other
draw by what `values` knows of them. In a loop or a vmap, a key must determine its iteration and its vmap index: two equal ones
are of the same. Either has to be proved; what cannot be is refused. Two draws that jax.random makes may share a key: that
is left to the user. Out of sight: what the caller of an expectation does with its key, or with keys in f's arguments.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

from ..._errors import SpanaxError
from ..._jaxprs import ClosedJaxpr
from ...bridges import Drawing
from ..flow import Path, within
from ..sampling import Site
from .array_parts import REPLICATES, Value
from .collector import Claim, Collector, Use, refuse_one_key_of_a_vmap
from .counts import Coordinate


def check_keys(closed: ClosedJaxpr, replicated: bool, override: Callable[[Site], Drawing | None]) -> None:
    """Raises `SpanaxError` where two draws, two iterations of a loop, or the indices of an inner vmap share a key.

    `replicated`: the program runs for several keys, so every draw must get its key from the program's own.
    `override`: the bridge that is put in the place of a site's own.
    """
    collector = Collector(override)
    collector.collect(closed, replicated)
    for claim in collector.claims:
        _check_claim(collector, claim)
    _check_uses(collector)


# -- two draws


def _check_uses(collector: Collector) -> None:
    # All pairs: there are few draws, and most comparisons end at two different numbers.
    for k, use in enumerate(collector.uses):
        for other in itertools.islice(collector.uses, k):
            if _clash(collector, use, other):
                _refuse(*((use, other) if use.site else (other, use)))


def _clash(collector: Collector, a: Use, b: Use) -> bool:
    # Uses on one path belong to one draw, whose own bits the claim is about.
    if not (a.site or b.site) or a.path == b.path:
        return False
    # In two branches of one cond at most one of the two runs. In a loop both may, in two iterations; but one and the same key
    # in both branches is then a matter of the claim: that the key determines its iteration.
    in_loop = _is_choice_in_loop(collector, a.path, b.path)
    if in_loop is not None and (not in_loop or a.key.number == b.key.number):
        return False
    return collector.values.equality.may_equal(a.key, b.key)


def _is_choice_in_loop(collector: Collector, a: Path, b: Path) -> bool | None:
    """None: the two are not in different branches of one cond. Else: are there loops around it, so that both may run?"""
    choices = collector.choices
    around = [c for c in choices if within(a, c) and within(b, c) and a[len(c)] != b[len(c)]]
    return choices[around[0]] if around else None


def _refuse(use: Use, other: Use) -> None:
    assert use.site
    # One line, two draws: the likeliest reason is that it is run twice.
    again = "draw outside of the jax.checkpoint: a derivative inside f runs it twice"
    raise SpanaxError(
        f"{use.site.label} and another draw (at {other.where}) use the same key, so they are not independent",
        "a key for each draw: key_a, key_b = jax.random.split(key)",
        *([again] if other.where == use.site.where else []),
        where=use.site.where,
    )


# -- one draw in a loop or a vmap


def _check_claim(collector: Collector, claim: Claim) -> None:
    site, key, loops, vmaps = claim
    determined = _determined_by(collector, key, loops)
    # First of all: such a key would make samples=1000 as noisy as samples=1.
    if REPLICATES in loops and REPLICATES not in determined:
        raise SpanaxError(
            f"{site.label} does not get its key from the key of expectation, so all replicates would draw the same",
            "jax.random.split or fold_in of the `key` that f is called with",
            where=site.where,
        )
    if missing := [loop for loop in loops if loop not in determined]:
        _refuse_one_key_of_a_loop(site, any(loop in key.varies_with for loop in missing))
    if not determined >= set(vmaps):
        refuse_one_key_of_a_vmap(site)


def _determined_by(collector: Collector, key: Value, loops: Iterable[Path]) -> frozenset[Coordinate]:
    """The loops whose iteration, and the vmaps whose index, the key determines."""
    # A loop of one iteration has nothing to determine; of a chain, no later iteration comes to this key again.
    once = {loop for loop, length in collector.values.lengths.items() if length == 1}
    return key.closure(once.union(loop for loop in loops if (key.number, loop) in collector.chained))


def _refuse_one_key_of_a_loop(site: Site, varies: bool) -> None:
    same = "may use the same key in two iterations" if varies else "uses the same key in every iteration"
    raise SpanaxError(
        f"{site.label} {same} of its loop, so its draws are not independent",
        "scan over jax.random.split(key, n)",
        "jax.random.fold_in(key, i) of the loop's counter, or carry the key and split it in each iteration",
        where=site.where,
    )
