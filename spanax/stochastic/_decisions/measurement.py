"""Measures a region: it is run on random lines, and each change of a decision is bisected down to neighbouring numbers.

Each thing that is decided in the region must be seen to change, or nothing is known of it. Equal regions, in this program or
another, are measured once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ..._jaxprs import Literal, computed_now
from .flat import Node
from .lines import STEPS, Run, close_in, points_on_lines
from .operations import is_inexact
from .region import ELEMENTS, Region
from .sides import becomes_infinite, differs

BATCHES = 4  # of changes that are looked into, as many in each as there are points
REGIONS = 200  # that are compiled for one program
LINES, BISECTED = 24, 24  # lines; changes of each decision that are looked into
_USUAL = 30.0  # what overflows from larger numbers is a guard's business
_EQUALITIES = frozenset(["eq", "ne"])
_MEMORY = 4096  # measurements that are kept


class Measured(NamedTuple):
    """`unseen`: decisions that never changed; `jumps`: floats that jump where one does; `infinite`: that become infinite."""

    unseen: frozenset[int]  # positions among the decisions
    jumps: frozenset[int]  # positions among the values
    infinite: frozenset[int]  # positions among the values


# Over all programs of the process: an expectation is traced again for every jit and every shape, and its choices stay the same.
_measurements: dict[Hashable, Measured | None] = {}


def measure(region: Region) -> Measured | None:
    """None where nothing could be measured."""
    known = [region.flat.constants.get(v) for v in region.inputs]
    if _is_too_large(region, known):
        return None
    if region.elementwise:  # it is run on single numbers: of a constant array, on some of its entries
        known = [None if x is None or np.shape(x) else x for x in known]
    # Equal regions are common: the same layer in each step of an unrolled loop.
    signature = region.signature(known)
    if signature is None:
        return _measure_alone(region, known)
    if signature not in _measurements:
        # Dropped as a whole: measured again it costs time, and an order of use would cost more bookkeeping than that.
        if len(_measurements) >= _MEMORY:
            _measurements.clear()
        _measurements[signature] = _measure_alone(region, known)
    return _measurements[signature]


def _is_too_large(region: Region, known: Sequence[Any]) -> bool:
    sizes = [region.size, *(np.size(x) for x in known if x is not None)]
    return max(sizes) > ELEMENTS or len(region.flow.runners) >= REGIONS


def _measure_alone(region: Region, known: Sequence[Any]) -> Measured | None:
    """Outside of whatever is traced, and of the user's settings: those are for the program's own run."""
    try:
        with (
            computed_now(),
            jax.numpy_dtype_promotion("standard"),
            jax.numpy_rank_promotion("allow"),
            jax.debug_nans(False),
            jax.debug_infs(False),
        ):
            return _measure(region, known)
    except Exception:  # it cannot be run by itself: nothing is known of it
        return None


def _measure(region: Region, known: Sequence[Any]) -> Measured:
    # Fewer lines for large regions, so that all points together stay within memory.
    lines = int(np.clip((1 << 21) // (len(STEPS) * region.size), 4, LINES))
    random = np.random.default_rng(0)  # always the same: a program must not be refused on one day and not on the next
    points = points_on_lines(region, known, lines, random)
    points = [p.reshape(-1, *p.shape[2:]) for p in points]
    run = _runner(region)
    env = run(points)
    usual = _are_usual(region, points, known).reshape(lines, -1)
    jobs, unseen = _find_changes(region, env, usual, random)
    # Nothing changed anywhere on the lines: either nothing decides, or all of it is unseen.
    if not jobs:
        return Measured(frozenset(unseen), frozenset(), frozenset())
    # Too many elements to look into each: then it is as if nothing had been seen.
    if len(jobs) > BATCHES * len(points[0]):
        return Measured(frozenset(range(len(region.decisions))), frozenset(), frozenset())
    decisions, sides = _look_at_changes(region, run, np.asarray(jobs), points)
    # Where what is chosen by jumps itself, for another reason, nothing is seen of the choice.
    clean = ~np.any([differs([side[v] for side in sides]) for v in region.operands] or [decisions < 0], 0)
    unseen |= set(decisions) - set(decisions[clean])

    def where(test):
        return frozenset(k for k, v in enumerate(region.values) if np.any(test([side[v] for side in sides]) & clean))

    return Measured(frozenset(unseen), where(differs), where(becomes_infinite))


def _runner(region: Region) -> Run:
    """The region as a function of many points, always as many; compiled once for all choices in it."""
    # Choices that lie close together have the same region; compiling is what a measurement costs.
    key = (region.node.block, region.elementwise, tuple(node.place for node in region.nodes))
    runners: dict[Any, Callable] = region.flow.runners
    if key not in runners:
        runners[key] = jax.jit(jax.vmap(region.run))
    many, outs = runners[key], region.made_inside

    def run(points):
        return dict(zip([*region.inputs, *outs], [*points, *map(np.asarray, many(*points))], strict=True))

    return run


def _are_usual(region: Region, points: Sequence[np.ndarray], known: Sequence[Any]) -> np.ndarray:
    """Which points have no number in them whose exponential is too large for its type?"""
    usual = np.ones(len(points[0]), bool)
    for v, p, x in zip(region.inputs, points, known, strict=True):
        if x is None and is_inexact(region.flat.avals[v].dtype):
            usual &= np.max(np.abs(p.reshape(len(p), -1).astype(float)), -1, initial=0.0) < _USUAL
    return usual


# -- changes of decisions


def _find_changes(
    region: Region, env: Mapping[int, np.ndarray], usual: np.ndarray, random: np.random.Generator
) -> tuple[list[tuple[int, int, int]], set[int]]:
    """(decision, point, element): where a decision differs from the next point's; and the decisions that never do."""
    lines, unseen, stay, jobs = len(usual), set(), set(), []
    decisions = region.decisions_at(env)
    each = max(4, min(BISECTED, usual.size // max(1, len(decisions))))
    for k, (v, d) in enumerate(zip(region.decisions, decisions, strict=True)):
        d = d.reshape(lines, len(STEPS), -1)
        changed = d[:, 1:] != d[:, :-1]
        if asks_for_nan(region.tainted[v]):  # an overflow far out is not what it is there for
            changed &= usual[:, 1:, None] & usual[:, :-1, None]
        changes = random.permutation(np.argwhere(changed))  # (line, step, element)
        if not len(changes):
            if _may_stay(region, v, env, stay):
                stay.add(v)
            else:
                unseen.add(k)
        # Shuffled above, so that they come from all lines and scales.
        chosen = changes[:each]
        if v in region.node.outs:  # each element of it, as they need not be alike
            _, first = np.unique(changes[:, 2], return_index=True)
            chosen = np.concatenate([chosen, changes[first]])
        jobs += [(k, line * len(STEPS) + step, element) for line, step, element in chosen]
    return jobs, unseen


def _look_at_changes(
    region: Region, run: Run, jobs: np.ndarray, points: Sequence[np.ndarray]
) -> tuple[np.ndarray, list[dict[int, np.ndarray]]]:
    """The decision of each change, and what is chosen by and all values at the eight points around it."""
    # In batches of as many as there are points, some twice, so that the compiled function fits.
    batch = len(points[0])
    jobs = np.resize(jobs, (-(-len(jobs) // batch) * batch, 3))
    parts = [
        close_in(region, run, part, [p[part[:, 1]] for p in points], [p[part[:, 1] + 1] for p in points])
        for part in np.split(jobs, len(jobs) // batch)
    ]
    sides = [
        {v: np.concatenate([part[i][v] for part in parts]) for v in (*region.operands, *region.values)}
        for i in range(8)
    ]
    return jobs[:, 0], sides


def asks_for_nan(node: Node) -> bool:
    return node.name == "is_finite" or (node.name == "ne" and node.ins[0] == node.ins[1])


def _guards_a_size(region: Region, v: int, env: Mapping[int, np.ndarray]) -> bool:
    """Does it keep what is never negative away from 0?"""
    size = region.guarded_size(v)
    return size is not None and bool(np.all(env[size] >= 0))


def _compares_with_zero(node: Node) -> bool:
    return isinstance(node.ins[1], Literal) and bool(np.all(node.ins[1].val == 0))


def _may_stay(region: Region, v: int, env: Mapping[int, np.ndarray], stay: set[int]) -> bool:
    """Is it not a decision, if it never changed: an equality, a negative index, or a guard against NaN or numbers near 0?"""
    node = region.tainted[v]
    if asks_for_nan(node) or node.name == "abs":
        return True
    if node.name in _EQUALITIES:
        # Two floats that are computed apart are equal with probability 0; but only if nothing of what they are was cut off.
        return region.whole_before if node is region.node else region.whole
    if node.name == "lt" and not is_inexact(region.flat.aval(node.ins[0]).dtype):
        return _compares_with_zero(node)  # an index counted from the end
    if any(r in stay for r in node.ins if isinstance(r, int)):
        return True
    return _guards_a_size(region, v, env)
