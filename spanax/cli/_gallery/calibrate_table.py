"""What `spanax gallery calibrate` prints at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._tables import console, show_files, show_rows, show_text

if TYPE_CHECKING:
    from ...gallery.calibrate import Method, Result

HEADS = "parameter", "truth", "estimate", "95% interval", "holds it"


def print_calibrate(result: Result) -> None:
    """A table for each method, and what was learnt where all have ended."""
    where = console()
    for one in result.methods:
        show_rows(where, _title(one), HEADS, _rows(one))
        show_text(where, f"Interval: by {one.errors}.")
    if not result.interrupted:
        from ...gallery.calibrate import LEARNT

        for line in LEARNT:
            show_text(where, line)
    show_files(where, result.files)


def _title(one: Method) -> str:
    return f"{one.name}: {one.epidemics:,} epidemics, {one.run:,} of them run now, {one.seconds:.1f} s"


def _rows(one: Method) -> list[tuple[str, ...]]:
    return [
        (name, f"{p.truth:.3g}", f"{p.value:.3g}", f"{p.lower:.3g} to {p.upper:.3g}", "yes" if p.covered else "no")
        for name, p in one.parameters.items()
    ]
