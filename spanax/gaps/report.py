"""What `find_gaps` found: the gaps, the verdict, and how they are shown."""

from __future__ import annotations

import dataclasses
import html
import json
import math
import os
from collections.abc import Sequence
from typing import Any, Literal

from .._layout import WIDTH, filled, table

Verdict = Literal["alive", "piecewise", "partial", "dead", "independent"]
Kind = Literal["zero", "no-rule", "forward-only", "saturated", "intended", "piecewise", "bridged", "unused"]

MEANING = {
    "alive": "the gradient flows",
    "piecewise": "the gradient flows; gaps only steer branches or indices",
    "partial": "the gradient flows, and a part of it is cut",
    "dead": "the gradient is zero everywhere, or taking it raises",
    "independent": "the result does not depend on the argument",
}

ALARMING = frozenset(("zero", "no-rule", "forward-only", "saturated"))

FLAT = "0 at and around these arguments"
ASLEEP = "0 at these weights, and not after a step"
NOT_COMPUTED = "the program is long or large, or it holds a while loop, a callback or another effect"


def overall(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict on a program, of those on its leaves."""
    # An argument that nothing depends on is not a cut, unless all are like that.
    kinds = set(verdicts) - {"independent"}
    if not kinds:
        return "independent"
    if "dead" in kinds and len(kinds) > 1:
        return "partial"
    return next(v for v in ("dead", "partial", "piecewise", "alive") if v in kinds)


@dataclasses.dataclass(frozen=True)
class Gap:
    """One step without a useful derivative.

    `operation`: as the user would say it. `file`, `line`, `source`: the user's line, and its text. `kind`: `zero` (its
    derivative is 0), `no-rule` (differentiating it raises), `forward-only` (reverse mode raises), `saturated` (its derivative is
    0 here and nearby), `intended` (a stop_gradient, or a cut that the same value also flows around), `piecewise` (it only
    steers, and nothing learns less by it), `unused` (a parameter that reaches no result; it has no line), `bridged` (a `sample`
    site, with its bridge in `via`). `route`: how it reaches the result: value, branch, index, or several of them joined by "+".
    `leaf`: the leaves of the arguments, or the parameters, that it cuts. `remedies`: code to paste.

    >>> import jax.numpy as jnp, spanax as sx
    >>> gap = sx.find_gaps(lambda x: jnp.floor(x) * x, 0.7).gaps[0]
    >>> gap.operation, gap.kind, gap.route, gap.leaf
    ('floor', 'zero', 'value', ('x',))
    """

    operation: str
    file: str
    line: int
    source: str
    kind: Kind
    route: str
    leaf: tuple[str, ...]
    remedies: tuple[str, ...] = ()
    via: str = ""
    note: str = ""

    @property
    def place(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}" if self.file else "no line"


@dataclasses.dataclass(frozen=True)
class NotFinite:
    """The operation that makes NaN or an infinity of finite numbers.

    `of`: of the "value", or of the "derivative" alone, where the value is finite. `makes`: "nan" or "inf"; NaN may come of an
    infinity later, and what made that is named. `operation`, `file`, `line`, `source`: as in `Gap`; `function`: that the line is
    in. `rounds`: in which rounds of the loops around it, from 0, the outermost first. `remedies`: what to do about it.
    """

    of: str
    makes: str
    operation: str
    file: str
    line: int
    source: str
    rounds: tuple[int, ...]
    remedies: tuple[str, ...]
    function: str = ""

    @property
    def place(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"

    @property
    def problem(self) -> str:
        """In words."""
        what = {"nan": "NaN", "inf": "infinite"}[self.makes]
        inside = f" in round {', '.join(map(str, self.rounds))} of the loops around it" if self.rounds else ""
        inside = inside.replace("the loops", "the loop") if len(self.rounds) == 1 else inside
        if self.of == "value":
            return f"the value of `{self.operation}` is {what}, at finite arguments{inside}"
        return f"the derivative of `{self.operation}` is {what}, where its value is finite{inside}"


@dataclasses.dataclass(frozen=True)
class GapReport:
    """The verdict on a function, and its gaps in program order.

    `verdict`: `alive`; `piecewise` (only branches and indices are steered by gaps); `partial` (a path of values is cut);
    `dead` (the gradient is zero everywhere, or taking it raises); `independent` (nothing flows from the argument to the
    result). `per_leaf`: the same for each floating-point leaf. `bridged`: the `sample` sites. `checked`: was the gradient
    computed as well? `flat`: the leaves whose gradient flows, but is exactly 0 at and around the given arguments; these are
    looked for where it was computed, and no argument was given by shape only, and no draw is bridged. `starved`: of a PyTorch
    program, the parameters whose gradient is None or 0. `not_finite`: what makes
    the value or the derivative NaN or infinite, where that was asked for (`nan=True`).

    >>> import jax.numpy as jnp, spanax as sx
    >>> report = sx.find_gaps(lambda x, y: jnp.floor(x) * y, 0.7, 2.0, argnums=(0, 1))
    >>> report.verdict, report.per_leaf
    ('partial', {'x': 'dead', 'y': 'alive'})
    """

    verdict: Verdict
    per_leaf: dict[str, Verdict]
    gaps: tuple[Gap, ...]
    bridged: tuple[Gap, ...]
    checked: bool
    function: str
    flat: tuple[str, ...] = ()
    not_finite: NotFinite | None = None
    starved: tuple[str, ...] = ()

    @property
    def alarms(self) -> tuple[Gap, ...]:
        """The gaps by which a leaf gets no gradient, or not the whole: not those that are intended, piecewise or unused."""
        return tuple(gap for gap in self.gaps if gap.kind in ALARMING and self._is_cut(gap))

    @property
    def asleep(self) -> tuple[str, ...]:
        """Those of the starved parameters that get a gradient as soon as others have moved: behind a gate that begins at 0."""
        awake = ("alive", "piecewise")
        return tuple(n for n in self.starved if n not in self.flat and self.per_leaf.get(n) in awake)

    def _is_cut(self, gap: Gap) -> bool:
        # A comparison in a JAX program has the kind "zero" where it only steers: its leaves are then piecewise.
        return not gap.leaf or any(self.per_leaf.get(leaf) in ("dead", "partial") for leaf in gap.leaf)

    @property
    def _verdict_in_words(self) -> str:
        """The verdict in words."""
        live = [leaf for leaf, verdict in self.per_leaf.items() if verdict not in ("dead", "independent")]
        but = f", but {FLAT}" if self.flat and set(live) <= set(self.flat) else ""
        return f"{self.verdict}{but} ({'elsewhere ' if but else ''}{MEANING[self.verdict]})"

    def to_text(self, width: int = WIDTH) -> str:
        """The verdict, the table of gaps and the remedies, in lines of at most `width` columns."""
        lines = filled(f"{self.function}: {self._verdict_in_words}", width, "  ")
        for text in (*self._leaves_in_words(), *self._doubts_in_words()):
            lines += filled(f"  {text}", width, "    ")
        if self.not_finite is not None:
            found = self.not_finite
            lines += filled(f"  {found.problem}: {found.place}  {found.source}", width, "    ")
            lines += _lettered(found.remedies, width)
        if self.gaps or self.bridged:
            lines += ["", *table(_COLUMNS, [_row(gap) for gap in [*self.gaps, *self.bridged]], width)]
        for remedies, gaps in self._by_remedies():
            lines += ["", *filled(f"{gaps}:", width, "  "), *_lettered(remedies, width)]
        return "\n".join(lines)

    def _leaves_in_words(self) -> list[str]:
        """Which leaf has which verdict, where they differ, and which have a gradient of 0 here."""
        verdicts = MEANING if len(set(self.per_leaf.values())) > 1 else ()
        # In the order of MEANING: from alive to independent.
        by_verdict = ((v, [leaf for leaf, verdict in self.per_leaf.items() if verdict == v]) for v in verdicts)
        texts = [f"{verdict}: {', '.join(leaves)}" for verdict, leaves in by_verdict if leaves]
        if self.asleep:
            texts.append(f"{ASLEEP}: {', '.join(self.asleep)}")
        return [*texts, f"{FLAT}: {', '.join(self.flat)}"] if self.flat and len(self.per_leaf) > 1 else texts

    def _doubts_in_words(self) -> list[str]:
        """What the verdict rests on, where it does not rest on gaps that are listed below."""
        if not self.checked and self.verdict in ("alive", "piecewise"):
            return [f"not computed at these arguments: {NOT_COMPUTED}"]
        if self.verdict == "dead" and not self.gaps:
            return ["no operation cuts it: it was 0 at the arguments and at all random points that were tried"]
        return []

    def __str__(self) -> str:
        return self.to_text()

    def _by_remedies(self) -> list[tuple[tuple[str, ...], str]]:
        """Each set of remedies with the gaps that it is for."""
        # The same remedies are printed once, for all gaps that they fit.
        groups: dict[tuple[str, ...], list[str]] = {}
        for gap in self.gaps:
            if gap.remedies:
                groups.setdefault(gap.remedies, []).append(f"{gap.operation} at {gap.place}")
        return [(remedies, ", ".join(gaps)) for remedies, gaps in groups.items()]

    __repr__ = __str__

    def _repr_html_(self) -> str:
        notes = [f"<b>{html.escape(self.function)}</b>: {self._verdict_in_words}"]
        if self.not_finite is not None:
            notes.append(html.escape(f"{self.not_finite.problem}: {self.not_finite.place}"))
        if self.flat and len(self.per_leaf) > 1:
            notes.append(f"{FLAT}: {html.escape(', '.join(self.flat))}")
        leaves = [(leaf, verdict, MEANING[verdict]) for leaf, verdict in self.per_leaf.items()]
        by_leaf = _html_table(("leaf", "verdict", ""), leaves) if len(set(self.per_leaf.values())) > 1 else ""
        gaps = _html_table(_COLUMNS, [_row(gap) for gap in [*self.gaps, *self.bridged]])
        remedies = "".join(f"<p>{html.escape(gaps)}</p>{_html_list(lines)}" for lines, gaps in self._by_remedies())
        return f"<div><p>{'; '.join(notes)}</p>{by_leaf}{gaps}{remedies}</div>"

    def to_json(self) -> str:
        """One JSON object with the fields of this class."""
        return json.dumps(dataclasses.asdict(self), indent=2)


def _lettered(remedies: Sequence[str], width: int) -> list[str]:
    lines = []
    for letter, remedy in zip("abcdefgh", remedies, strict=False):
        lines += filled(f"  ({letter}) {remedy}", width, "      ")
    return lines


def _html_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Nothing for no rows."""
    head = "".join(f"<th>{name}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else ""


def _html_list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li><code>{html.escape(line)}</code></li>" for line in lines) + "</ul>"


_COLUMNS = ("line", "operation", "kind", "route", "cuts", "source")


def _row(gap: Gap) -> tuple[str, ...]:
    kind = f"via {gap.via}" if gap.via else gap.kind
    return gap.place, gap.operation, kind, gap.route, ", ".join(gap.leaf), gap.source


def finite(x: Any) -> Any:
    """For JSON, which has no infinities."""
    if isinstance(x, dict):
        return {k: finite(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [finite(v) for v in x]
    return None if isinstance(x, float) and not math.isfinite(x) else x
