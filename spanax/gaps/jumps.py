"""`find_jumps`: does the value of a program really jump? Measured along random lines."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from .._checks import check_key, is_number, is_whole
from .._errors import SpanaxError
from .._functions import at_many_points, join_keywords, with_key
from .._jaxprs import evaluate_jaxpr
from .._layout import WIDTH, filled, table
from .._math.directions import gaussian, moved, norm
from .find import Analysis, analyse
from .flips import Flips
from .report import Gap, finite

POINTS = 129  # a line
CANDIDATES = 24  # intervals of a line that are looked into


@dataclasses.dataclass(frozen=True)
class Jump:
    """The value jumps by `size` (the largest change of any result) at distance `at` from the arguments along `line`.

    `point`: the floating-point leaves of the differentiated arguments there. `gap`: the first gap, in program order, whose
    value changes at the jump; None if none does. `gaps`: all of them.

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> step = lambda x: jnp.where(x > 0, 1.0, 0.0)
    >>> report = sx.find_jumps(step, 0.3, key=jax.random.key(0), radius=1.0, lines=3)
    >>> jump = report.jumps[0]
    >>> round(jump.size, 3), round(jump.at, 3), jump.gap.operation
    (1.0, 0.3, 'comparison')
    """

    size: float
    at: float
    line: int
    point: tuple[np.ndarray, ...]
    gap: Gap | None
    gaps: tuple[Gap, ...]


@dataclasses.dataclass(frozen=True)
class JumpReport:
    """The jumps that `find_jumps` found, the largest first. It prints as a table.

    `lines`, `radius`: what was searched. `jumping_lines`: on how many of them there is a jump.

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> step = lambda x: jnp.where(x > 0, 1.0, 0.0)
    >>> report = sx.find_jumps(step, 0.3, key=jax.random.key(0), radius=1.0, lines=3)
    >>> report.jumping_lines, round(report.largest, 3)
    (3, 1.0)
    """

    jumps: tuple[Jump, ...]
    lines: int
    radius: float
    function: str

    @property
    def jumping_lines(self) -> int:
        return len({jump.line for jump in self.jumps})

    @property
    def largest(self) -> float:
        """The size of the largest jump; 0 where there is none."""
        return max((jump.size for jump in self.jumps), default=0.0)

    def to_text(self, width: int = WIDTH) -> str:
        """What was found, and a table of where, in lines of at most `width` columns."""
        searched = f"{self.lines} lines of length {2 * self.radius:g}"
        if not self.jumps:
            return "\n".join(filled(f"{self.function}: no jump on {searched}", width, "  "))
        found = f"{len(self.jumps)} jumps on {self.jumping_lines} of {searched}; the largest is {self.largest:.4g}"
        rows = [_row(jumps) for jumps in _by_gap(self.jumps)]
        return "\n".join(
            [*filled(f"{self.function}: {found}", width, "  "), "", *table(_COLUMNS, rows, width, right=(2, 3))]
        )

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__

    def to_json(self) -> str:
        """One JSON object with the fields of this class, and `largest` and `jumping_lines`."""
        fields = dataclasses.asdict(self)
        for jump in fields["jumps"]:
            jump["point"] = [np.asarray(x, float).tolist() for x in jump["point"]]
        whole = {**fields, "largest": self.largest, "jumping_lines": self.jumping_lines}
        return json.dumps(finite(whole), indent=2, allow_nan=False)


_COLUMNS = "where", "operation", "jumps", "largest", "source"


def _by_gap(jumps: Sequence[Jump]) -> list[list[Jump]]:
    groups: dict[Gap | None, list[Jump]] = {}
    for jump in jumps:
        groups.setdefault(jump.gap, []).append(jump)
    return list(groups.values())


def _row(jumps: Sequence[Jump]) -> tuple[str, ...]:
    gap, largest = jumps[0].gap, f"{max(j.size for j in jumps):.4g}"
    if gap is None:
        return "?", "no gap changes there", str(len(jumps)), largest, ""
    return gap.place, gap.operation, str(len(jumps)), largest, gap.source


def find_jumps(
    f: Callable[..., Any],
    *args: Any,
    key: Key[Array, ""],
    radius: float,
    lines: int = 20,
    argnums: int | Sequence[int] = 0,
    kwargs: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> JumpReport:
    """Measures where the value of `f` jumps, along random straight lines through the arguments `argnums`.

    Where neighbouring values on a line differ most, bisection closes in on the difference. It is a jump if it is more than 8
    times what the function changes just beside it, over 8 units in the last place of the arguments, and more than 64 of the
    results'. Missed are jumps much smaller than the change of the smooth part between two of the 129 points of a line, pairs of
    jumps closer than that which cancel, and all but 24 on a line.

    f runs at points that the caller did not choose: a while loop must end there, a callback must answer.

    **Arguments:**

    - `f`: a JAX function.
    - `*args`: its positional arguments, arrays.
    - `key`: a PRNG key for the directions. If f takes a `key`, it gets the same one at all points.
    - `radius`: each line goes from -`radius` to `radius`, as a Euclidean distance over all floating-point leaves of `argnums`.
    - `lines`: how many.
    - `argnums`: the argument to differentiate by, or several in a tuple, as in `jax.grad`: every floating-point leaf of it.
    - `kwargs`: f's keyword arguments whose names are options here, such as `{"argnums": ...}`.
    - `**keywords`: f's other keyword arguments. They are held fixed.

    **Returns:**

    A `spanax.gaps.JumpReport`: each jump with its size, its place, and the gaps that flip there.

    **Raises:**

    - `SpanaxError`: arguments are given by shape only; radius or lines is not positive.

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> find = lambda f: sx.find_jumps(f, 0.3, key=jax.random.key(0), radius=1.0, lines=3)
    >>> find(lambda x: jnp.where(x > 0, x, 0.0)).largest
    0.0
    >>> jump = find(lambda x: jnp.where(x > 0, x + 1.0, x)).jumps[0]
    >>> round(jump.size, 3), jump.gap.operation
    (1.0, 'comparison')
    """
    check_key(key)
    if not (is_whole(lines, 1) and is_number(radius) and radius > 0):
        raise SpanaxError(
            f"find_jumps(radius={radius!r}, lines={lines!r})", "a positive radius, in the arguments' units"
        )
    analysis = analyse(f, args, with_key(f, jax.random.fold_in(key, 1), args, join_keywords(keywords, kwargs)), argnums)
    start = analysis.program.concrete()
    directions = [_direction(k, start) for k in jax.random.split(key, lines)]
    search = _Search(analysis, start, directions, float(radius))
    found = [search.describe(*jump) for jump in search.jumps()]
    return JumpReport(tuple(sorted(found, key=lambda jump: -jump.size)), lines, float(radius), analysis.report.function)


def _direction(key: Key[Array, ""], like: Sequence[Array]) -> list[Array]:
    direction = gaussian(key, like)
    return moved([jnp.zeros_like(x) for x in direction], direction, 1.0 / norm(direction))


class _Search:
    def __init__(
        self, analysis: Analysis, start: Sequence[Array], directions: Sequence[Sequence[Array]], radius: float
    ):
        self.analysis, self.start, self.radius = analysis, start, radius
        self.lines = len(directions)
        self.stacked = [jnp.stack(of_all) for of_all in zip(*directions, strict=True)]
        self.dtype = jnp.result_type(*start)
        self.run = jax.jit(functools.partial(at_many_points, self.results))
        # Vmapped over as many points as memory allows.
        self.at_once = max(1, NUMBERS // max(1, sum(x.size for x in start)))
        self.flips = Flips(analysis)
        self.records = jax.jit(lambda line, t: self.flips.records(*self.point(line, t)))
        size = max(float(jnp.max(jnp.abs(x), initial=0.0)) for x in start) + radius
        self.step = 4 * float(jnp.finfo(self.dtype).eps) * size  # so far apart, the arguments surely differ

    def point(self, line: Array | int, t: Array) -> list[Array]:
        return moved(self.start, [d[line] for d in self.stacked], t)

    def results(self, line: Array, t: Array) -> list[Array]:
        program = self.analysis.program
        return evaluate_jaxpr(program.closed.jaxpr, program.closed.consts, *self.point(line, t))

    def values(self, line: np.ndarray, t: np.ndarray) -> np.ndarray:
        """All results at these points, one after the other, in double precision; NaN where they are no numbers."""
        parts = []
        for k in range(0, len(t), self.at_once):
            some = slice(k, k + self.at_once)
            outs = self.run(jnp.asarray(line[some]), jnp.asarray(t[some], self.dtype))
            parts.append(np.concatenate([_real(x).reshape(len(x), -1) for x in outs] or [np.zeros((1, 0))], 1))
        return np.concatenate(parts)

    def noise(self) -> np.ndarray:
        """Of each result: 64 units in the last place, relative."""
        outs = self.analysis.program.closed.out_avals
        return np.concatenate([np.full(_width(a), 64 * _eps(a.dtype)) for a in outs] or [np.zeros(0)])

    def jumps(self) -> list[tuple[int, float, float, float]]:
        """(line, lower end, upper end, size) of each jump."""
        t = np.linspace(-self.radius, self.radius, POINTS)
        at, which = np.tile(t, self.lines), np.repeat(np.arange(self.lines), POINTS)
        y = self.values(which, at).reshape(self.lines, POINTS, -1)
        if not y.shape[-1]:
            return []
        with np.errstate(all="ignore"):
            # A jump is an interval whose difference quotient stands out from those beside it. A steep smooth function
            # has steep neighbours.
            slope = np.nan_to_num(np.diff(y, axis=1) / np.diff(t)[:, None], posinf=0.0, neginf=0.0)
            around = _neighbours(slope)
            unusual = np.abs(slope - around)
            unusual = (unusual / np.maximum(unusual.max((0, 1)), np.finfo(float).tiny)).max(
                -1
            )  # each result in its own size
            chosen = np.argsort(-unusual, axis=1)[:, :CANDIDATES]
            which, k = np.repeat(np.arange(self.lines), chosen.shape[1]), chosen.ravel()
            keep = unusual[which, k] > 0
            which, k = which[keep], k[keep]
            if not len(k):
                return []
            low, high = self.bisect(which, t[k], t[k + 1], y[which, k], y[which, k + 1], around[which, k])
            size = self.sizes(which, 0.5 * (low + high))
        return _distinct(which[size > 0], low[size > 0], high[size > 0], size[size > 0])

    def bisect(self, which, low, high, y_low, y_high, slope):
        """The half that changes more than the smooth part does, again and again."""
        for _ in range(200):
            middle = np.asarray(jnp.asarray(0.5 * (low + high), self.dtype), float)
            inside = (middle > low) & (middle < high)
            if not inside.any():
                break
            y = self.values(which, middle)
            # Of each half, what the smooth part with its slope does not explain.
            left = _largest(y - y_low - slope * (middle - low)[:, None])
            right = _largest(y_high - y - slope * (high - middle)[:, None])
            go_left, go_right = inside & (left >= right), inside & ~(left >= right)
            high, y_high = np.where(go_left, middle, high), np.where(go_left[:, None], y, y_high)
            low, y_low = np.where(go_right, middle, low), np.where(go_right[:, None], y, y_low)
        return low, high

    def sizes(self, which: np.ndarray, t: np.ndarray) -> np.ndarray:
        """How far the value jumps there; 0 where it only changes as it does beside, or as rounding does."""
        # Looked at over two distances, 1 and 3 steps: a jump has the same size over both, a steep slope three times
        # the size.
        near, far = (self.change(which, t, self.step * k, ratio) for k, ratio in ((1, 8), (3, 4)))
        return np.where((near > 0) & (far > 0), near, 0.0).max(-1)

    def change(self, which: np.ndarray, t: np.ndarray, step: float, ratio: float) -> np.ndarray:
        """Of each result across t; 0 where it is no more than `ratio` times that beside, or than its rounding."""
        # Four points: the change across t, and the changes just before and just after it, which are the smooth
        # part's.
        before2, before, after, after2 = (self.values(which, t + k * step) for k in (-3, -1, 1, 3))
        change = np.abs(after - before)
        beside = np.maximum(np.abs(before - before2), np.abs(after2 - after))
        floor = self.noise() * np.maximum(np.abs(after), np.abs(before))
        real = np.isfinite(change) & (change > ratio * np.nan_to_num(beside, nan=np.inf)) & (change > floor)
        return np.where(real, change, 0.0)

    def describe(self, line: int, low: float, high: float, size: float) -> Jump:
        # A little outside the interval, so that both ends are surely on their own side of the jump.
        ends = (low - self.step, high + self.step)
        before, after = (self.records(line, jnp.asarray(t, self.dtype)) for t in ends)
        gaps = self.flips.between(before, after)
        point = tuple(np.asarray(x) for x in self.point(line, jnp.asarray(low, self.dtype)))
        return Jump(size, low, line, point, gaps[0] if gaps else None, gaps)


NUMBERS = 1 << 22  # how many numbers of arguments to hold at once


def _real(x: Array) -> np.ndarray:
    """Numbers in double precision, a complex one as two; keys and the like as none."""
    if jnp.issubdtype(x.dtype, jax.dtypes.extended):
        return np.zeros((len(x), 0))
    if jnp.iscomplexobj(x):
        return np.stack([np.asarray(x.real, float), np.asarray(x.imag, float)], -1)
    return np.asarray(x, float)


def _width(a: Any) -> int:
    if jnp.issubdtype(a.dtype, jax.dtypes.extended):
        return 0
    return int(np.prod(a.shape)) * (2 if jnp.issubdtype(a.dtype, jnp.complexfloating) else 1)


def _eps(dtype: Any) -> float:
    return float(jnp.finfo(dtype).eps) if jnp.issubdtype(dtype, jnp.inexact) else 0.0


def _largest(change: np.ndarray) -> np.ndarray:
    return np.nan_to_num(np.abs(change), nan=0.0, posinf=0.0).max(-1)


def _neighbours(slope: np.ndarray) -> np.ndarray:
    """For each interval of a line, that of the two beside it whose slope is the smaller: the smooth part's."""
    before = np.concatenate([slope[:, 1:2], slope[:, :-1]], 1)
    after = np.concatenate([slope[:, 1:], slope[:, -2:-1]], 1)
    return np.where(np.abs(before) < np.abs(after), before, after)


def _distinct(which, low, high, size) -> list[tuple[int, float, float, float]]:
    """Neighbouring intervals may close in on the same jump, at their common end."""
    found: list[tuple[int, float, float, float]] = []
    for jump in sorted(zip(which.tolist(), low.tolist(), high.tolist(), size.tolist(), strict=True)):
        # Sorted by line and place, so the same jump from two intervals is adjacent.
        if found and found[-1][0] == jump[0] and jump[1] <= found[-1][2]:
            found[-1] = max(found[-1], jump, key=lambda one: one[3])
        else:
            found.append(jump)
    return found
