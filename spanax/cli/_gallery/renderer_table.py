"""What `spanax gallery renderer` prints at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._tables import console, show_files, show_rows, show_text

if TYPE_CHECKING:
    from ...gallery.renderer import Fit, Result

LEGEND = (
    "Error: mean absolute difference from the target, in levels of 255, of what the hard renderer shows.",
    "Evaluations: of the renderer, its derivative by hand, or the softened renderer with its gradient. "
    "Seconds: without compiling.",
)


def print_renderer(result: Result) -> None:
    """One row for each way, then what the columns mean and where the files are."""
    where = console()
    if result.fits:
        goal = f"{result.settings.target_error:g}"
        heads = (
            "through",
            f"evaluations\nto error {goal}",
            f"seconds\nto error {goal}",
            "compiling\n(s)",
            "steps",
            "error at\nthe end",
        )
        title = f"Five triangles in 64 by 64 pixels, error {result.start_error:.1f} at the start, seed {result.settings.seed}"
        show_rows(where, title, heads, [_row(fit) for fit in result.fits])
        for line in LEGEND:
            show_text(where, line)
    show_files(where, result.files)


def _row(fit: Fit) -> tuple[str, ...]:
    at = fit.reached
    # A fit that was ended, or is stuck, has not reached it.
    reached = ("not reached", "") if at is None else (f"{fit.evaluations[at]:,}", f"{fit.seconds[at]:.2f}")
    return fit.name, *reached, f"{fit.compile_s:.1f}", f"{len(fit.errors):,}", f"{fit.errors[-1]:.2f}"
