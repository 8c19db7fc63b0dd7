"""The picture of a comparison: the bias-variance plane, and the gradients against the truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import SpanaxError, installing
from ._show.histograms import draw_histograms
from ._show.key import draw_key
from ._show.plane import draw_plane

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")
SHOWN = 12  # candidates of a large comparison that are drawn, from the best one on
_ROW = 0.52  # inches


def draw(comparison: Any, path: str | Path) -> None:
    """Writes the picture of a `Comparison` to `path`, a .png, .pdf or .svg.

    Above, the bias-variance plane: the squared bias against the variance that is left after one second of gradients
    (variance times seconds a gradient), with lines of equal time to accuracy. Below, the histograms of single gradients in
    up to 4 coordinates, with the truth. The first 12 candidates are drawn; markers and line styles tell what is what, and no
    colour is needed.

    Raises `SpanaxError` for another suffix, and where matplotlib is not installed.
    """
    check(path)
    figure_of(comparison).savefig(path, dpi=150)


def check(path: str | Path) -> None:
    """Raises what `draw` would, before the long work that a picture comes after."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise SpanaxError(f"a picture {str(path)!r}", *(f"{Path(path).stem}{suffix}" for suffix in SUFFIXES))
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise SpanaxError("a picture needs matplotlib", *installing("plots")) from error


def figure_of(comparison: Any) -> Figure:
    """The picture as a matplotlib figure, that no `pyplot` knows of."""
    from matplotlib.figure import Figure

    # More would be too small to read; the table and the JSON have all of them.
    rows = comparison.rows[:SHOWN]
    drawn = [row.label for row in rows if row.label in comparison.histograms["draws"]]
    coordinates = len(comparison.histograms["coordinates"]) if drawn else 0
    below = 0.7 + _ROW * len(drawn) if coordinates else 0.0
    # matplotlib.figure without pyplot: no global state, no window, no backend of the user's is touched.
    figure = Figure(figsize=(9.0, 4.8 + below), layout="constrained", facecolor="white")
    figure.suptitle(_title(comparison, len(rows)), fontsize=10)
    parts = figure.subfigures(
        1 + bool(coordinates), 1, height_ratios=[4.4, below][: 1 + bool(coordinates)], squeeze=False
    )
    plane, key = parts[0, 0].subplots(1, 2, width_ratios=[5, 3])
    draw_plane(plane, comparison, rows)
    draw_key(key, comparison, rows)
    if coordinates:
        draw_histograms(parts[1, 0], comparison.histograms, drawn)
    return figure


def _title(comparison: Any, shown: int) -> str:
    total = len(comparison.rows)
    candidates = f"{total} candidates" if shown == total else f"the {shown} best of {total} candidates"
    return f"Bias, variance and cost of {candidates}; {comparison.draws:,} draws each; truth: {comparison.truth.kind}"
