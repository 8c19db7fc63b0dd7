"""`find_jumps`: does the value of a program really jump? Measured along random lines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from .._errors import SpanaxError
from .._jaxprs import evaluate_jaxpr, here
from ..bridges._directions import gaussian, moved, norm
from ..stochastic.sampling import check_key
from .find import Analysis, analysed
from .many import many
from .record import Recorder
from .report import WIDTH, Gap, fitted
from .traced import with_key

POINTS = 129  # a line
CANDIDATES = 12  # intervals of a line that are looked into


@dataclasses.dataclass(frozen=True)
class Jump:
    """The value jumps by `size` (the largest change of any result) at distance `at` from the arguments along `line`.

    `point`: the floating-point leaves of the differentiated arguments there. `gap`: the first gap, in program order, whose
    value changes at the jump; None where none does. `gaps`: all of them.
    """

    size: float
    at: float
    line: int
    point: tuple[np.ndarray, ...]
    gap: Gap | None
    gaps: tuple[Gap, ...]


@dataclasses.dataclass(frozen=True)
class JumpReport:
    """`jumps`: the largest first. `lines`, `radius`: what was searched; `jumping_lines`: on how many lines there is one."""

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

    def __str__(self) -> str:
        searched = f"{self.lines} lines of length {2 * self.radius:g}"
        if not self.jumps:
            return f"{self.function}: no jump on {searched}"
        found = f"{len(self.jumps)} jumps on {self.jumping_lines} of {searched}"
        head = f"{self.function}: {found}; the largest is {self.largest:.4g}"
        rows = [("where", "operation", "jumps", "largest", "source"), *map(_row, _by_gap(self.jumps))]
        widths = [max(len(row[k]) for row in rows) for k in range(4)]
        widths.append(WIDTH - sum(widths) - 2 * len(widths))
        return "\n".join([head, "", *("  ".join(map(fitted, row, widths)).rstrip() for row in rows)])

    __repr__ = __str__

    def to_json(self) -> str:
        """One JSON object with the fields of this class, and `largest` and `jumping_lines`."""
        fields = dataclasses.asdict(self)
        for jump in fields["jumps"]:
            jump["point"] = [x.tolist() for x in jump["point"]]
        return json.dumps({**fields, "largest": self.largest, "jumping_lines": self.jumping_lines}, indent=2)


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
    **kwargs: Any,
) -> JumpReport:
    """Measures where the value of `f` jumps, along random straight lines through the arguments `argnums`.

    Each of the `lines` goes from -`radius` to `radius` (Euclidean distance over all floating-point leaves of `argnums`) in
    a random direction. Where neighbouring values differ most, bisection closes in on the difference: at a jump it stays, else
    it vanishes with the interval. A jump much smaller than the change of the smooth part between two of the 129 points of a line
    can be missed; so can a pair of jumps closer than that which cancel, and all but 12 on a line. The report names the gap that
    flips. Where f takes a `key`, it gets the same one at all points.

    f runs at points that the caller did not choose: a while loop must end there, a callback must answer. Raises `SpanaxError`
    where arguments are given by shape only, or radius or lines are not positive.

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> find = lambda f: sx.find_jumps(f, 0.3, key=jax.random.key(0), radius=1.0, lines=3)
    >>> find(lambda x: jnp.where(x > 0, x, 0.0)).largest
    0.0
    >>> jump = find(lambda x: jnp.where(x > 0, x + 1.0, x)).jumps[0]
    >>> round(jump.size, 3), jump.gap.operation
    (1.0, 'comparison')
    """
    where = here()
    check_key(key, where)
    if not radius > 0 or lines < 1:
        raise SpanaxError(
            f"find_jumps(radius={radius!r}, lines={lines!r})", where, "a positive radius, in the arguments' units"
        )
    analysis = analysed(f, args, with_key(f, key, args, kwargs), argnums)
    start = analysis.program.concrete()
    directions = [_direction(k, start) for k in jax.random.split(key, lines)]
    search = _Search(analysis, start, directions, float(radius))
    found = [search.described(*jump) for jump in search.jumps()]
    return JumpReport(tuple(sorted(found, key=lambda jump: -jump.size)), lines, float(radius), analysis.report.function)


def _direction(key: Key[Array, ""], like: Sequence[Array]) -> list[Array]:
    direction = gaussian(key, like)
    return moved([jnp.zeros_like(x) for x in direction], direction, 1.0 / norm(direction))


class _Search:
    def __init__(
        self, analysis: Analysis, start: Sequence[Array], directions: Sequence[Sequence[Array]], radius: float
    ):
        self.analysis, self.start, self.directions, self.radius = analysis, start, directions, radius
        self.stacked = [jnp.stack(of_all) for of_all in zip(*directions, strict=True)]
        self.dtype = jnp.result_type(*start)
        self.values = many(self.value)
        self.recorder = Recorder(
            analysis.program.closed, [cut for cut, _ in analysis.found if cut.kind in ("zero", "no-rule")]
        )
        self.records = jax.jit(lambda line, t: self.recorder(*self.point(line, t)))

    def point(self, line: Array | int, t: Array) -> list[Array]:
        return moved(self.start, [d[line] for d in self.stacked], t)

    def value(self, line: Array, t: Array) -> Array:
        """All results at this point, one after the other."""
        program = self.analysis.program
        outs = evaluate_jaxpr(program.closed.jaxpr, program.closed.consts, *self.point(line, t))
        return jnp.concatenate([jnp.ravel(x).astype(self.dtype) for x in outs] or [jnp.zeros(1, self.dtype)])

    def jumps(self) -> list[tuple[int, float, float, float]]:
        """(line, lower end, upper end, size) of each jump."""
        n = len(self.directions)
        t = np.linspace(-self.radius, self.radius, POINTS)
        at = np.broadcast_to(t, (n, POINTS))
        which = np.repeat(np.arange(n), POINTS)
        y = np.asarray(self.values(which, at.ravel())).reshape(n, POINTS, -1)
        slope = np.diff(y, axis=1) / np.diff(t)[:, None]
        around = _neighbours(slope)
        unusual = np.nan_to_num(np.abs(slope - around).max(-1), posinf=np.inf)  # of each interval
        chosen = np.argsort(-unusual, axis=1)[:, :CANDIDATES]
        which, k = np.repeat(np.arange(n), chosen.shape[1]), chosen.ravel()
        keep = unusual[which, k] > 0
        which, k = which[keep], k[keep]
        if not len(k):
            return []
        low, high, y_low, y_high = self.bisected(which, t[k], t[k + 1], y[which, k], y[which, k + 1], around[which, k])
        size = np.abs(y_high - y_low).max(-1)
        noise = 1e3 * np.finfo(self.dtype).eps * (1 + np.abs(y[which]).max((1, 2)))
        steep = 4 * np.abs(around[which, k]).max(-1) * (high - low)
        real = np.isfinite(size) & (size > noise + steep)
        return _distinct(which[real], low[real], high[real], size[real])

    def bisected(self, which, low, high, y_low, y_high, slope):
        """The half that changes more than the smooth part does, again and again."""
        for _ in range(200):
            middle = 0.5 * (low + high)
            middle = np.asarray(jnp.asarray(middle, self.dtype), float)
            open_ = (middle > low) & (middle < high)
            if not open_.any():
                break
            y = np.asarray(self.values(which, middle))
            left = np.abs(y - y_low - slope * (middle - low)[:, None]).max(-1)
            right = np.abs(y_high - y - slope * (high - middle)[:, None]).max(-1)
            go_left, go_right = open_ & (left >= right), open_ & ~(left >= right)
            high, y_high = np.where(go_left, middle, high), np.where(go_left[:, None], y, y_high)
            low, y_low = np.where(go_right, middle, low), np.where(go_right[:, None], y, y_low)
        return low, high, y_low, y_high

    def described(self, line: int, low: float, high: float, size: float) -> Jump:
        beside = (
            64 * np.finfo(self.dtype).eps * self.radius
        )  # compiled by itself, the program rounds a little differently
        before, after = (self.records(line, jnp.asarray(t, self.dtype)) for t in (low - beside, high + beside))
        changed = {where for where in before if not np.array_equal(before[where], after[where], equal_nan=True)}
        gaps = self.analysis.gaps_that(changed)
        point = tuple(np.asarray(x) for x in self.point(line, jnp.asarray(low, self.dtype)))
        return Jump(size, low, line, point, gaps[0] if gaps else None, gaps)


def _neighbours(slope: np.ndarray) -> np.ndarray:
    """For each interval of a line, that of the two beside it whose slope is the smaller: the smooth part's."""
    before = np.concatenate([slope[:, 1:2], slope[:, :-1]], 1)
    after = np.concatenate([slope[:, 1:], slope[:, -2:-1]], 1)
    return np.where(np.abs(before) < np.abs(after), before, after)


def _distinct(which, low, high, size) -> list[tuple[int, float, float, float]]:
    """Neighbouring intervals may close in on the same jump, at their common end."""
    found: list[tuple[int, float, float, float]] = []
    for jump in sorted(zip(which.tolist(), low.tolist(), high.tolist(), size.tolist(), strict=True)):
        if found and found[-1][0] == jump[0] and jump[1] <= found[-1][2]:
            found[-1] = max(found[-1], jump, key=lambda one: one[3])
        else:
            found.append(jump)
    return found
