"""The key of the bias-variance plane: what its markers, lines and numbers mean."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .labels import plain
from .plane import ISO, LIMIT, MARKERS, OWN_ERROR, WHISKER
from .scale import after_one_second, squared_limit

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_MEANING = {
    "no bias found": "no bias found: it is below its arrow's end",
    "undecided": "undecided: too few draws to tell",
    "biased": "biased, with the 95% interval",
}
_LAYOUT = {
    "alignment": "left", "loc": "upper left", "fontsize": 7.5, "title_fontsize": 7.5, "frameon": False,
    "handlelength": 3, "borderaxespad": 0, "labelspacing": 0.6,
}  # fmt: skip


def draw_key(ax: Axes, comparison: Any, rows: Sequence[Any]) -> None:
    """Two lists: what the marks mean, then the candidates by their numbers."""
    ax.set_axis_off()
    ax.legend(handles=[*_marks(comparison, rows), *_names(rows)], **_LAYOUT)


def _marks(comparison: Any, rows: Sequence[Any]) -> list[Artist]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    verdicts = [verdict for verdict in MARKERS if any(row.verdict == verdict for row in rows)]
    handles: list[Artist] = [_marker(verdict, _MEANING[verdict]) for verdict in verdicts]
    if any(verdict != "biased" for verdict in verdicts):
        arrow = Line2D([], [], **WHISKER, marker=8, markersize=6, label="upper end of the 95% interval")
        handles.append(arrow)
    if comparison.truth.standard_error:
        text = "below the truth's own standard error, squared"
        handles.append(Patch(facecolor=OWN_ERROR, edgecolor="0.6", linewidth=0.5, label=text))
    goal = f"error of {100 * comparison.accuracy:g}% of |truth|"
    if 0 < squared_limit(comparison) < math.inf:
        handles.append(Line2D([], [], **ISO, label=f"equal time to an {goal}"))
        handles.append(Line2D([], [], **LIMIT, label=f"a bias as large as an {goal}"))
    return handles


def _marker(verdict: str, label: str) -> Artist:
    from matplotlib.lines import Line2D

    marker, face = MARKERS[verdict]
    return Line2D([], [], linestyle="", marker=marker, markerfacecolor=face, markeredgecolor="black", label=label)


def _names(rows: Sequence[Any]) -> list[Artist]:
    from matplotlib.lines import Line2D

    handles: list[Artist] = [Line2D([], [], linestyle="", label="\nCandidates, by their time to accuracy")]
    for number, row in enumerate(rows, 1):
        # What cannot be drawn is named all the same, or it would look forgotten.
        lost = "" if math.isfinite(after_one_second(row)) else " (not finite: not drawn)"
        text = textwrap.fill(plain(row.label) + lost, 40, max_lines=3, placeholder=" …")
        # A digit is filled and has no edge: an edge, which markers have by default, would smear it.
        digits = {"marker": f"${number}$", "color": "black", "markeredgewidth": 0, "markersize": 7 + 2 * (number > 9)}
        handles.append(Line2D([], [], linestyle="", **digits, label=text))
    return handles
