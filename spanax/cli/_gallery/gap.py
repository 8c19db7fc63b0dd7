"""`spanax gallery gap`, and the tables that it prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .._options import Traceback
from .._tables import console, show_files, show_rows, show_text
from .options import Out, Quick, Seed
from .running import gallery, run_problem

if TYPE_CHECKING:
    from rich.console import Console

    from ...gallery.gap import Network, Result


@gallery.command()
def gap(
    out: Out = Path("gallery-out/gap"),
    quick: Quick = False,
    seed: Seed = 0,
    show_traceback: Traceback = False,
) -> None:
    """Take a gradient apart by its paths: what autodiff sees of it, what it misses, and what each bridge brings back.

    Ctrl-C ends it early and reports the network that came to its end.
    """
    run_problem("gap", print_gap, "networks", show_traceback, out, quick=quick, seed=seed)


def print_gap(result: Result) -> None:
    where = console()
    for one in result.networks:
        _print(where, one)
    show_files(where, result.files)


def _print(where: Console, one: Network) -> None:
    (gap,) = one.before.gaps
    rows = [
        ("exact", *_sizes(one.exact), "", "", ""),
        ("jax.grad", *_sizes(one.autodiff), f"{one.missing:.0%}", "", ""),
    ]
    for bridge in one.crossings:
        bias = f"{bridge.red_bias:.0%}" if bridge.verdict == "biased" else "-"
        rows.append((bridge.name.replace("temperature=", ""), "", "", bias, f"{bridge.noise:.2f}", bridge.verdict))
    show_rows(where, one.name, ("gradient", "blue", "red", "missing", "noise", "verdict"), rows)
    place = f"{gap.operation} at {Path(gap.file).name}:{gap.line}"
    text = f"find_gaps: {one.before.verdict}, by a {place}; bridged: {one.after.verdict}."
    if any(one.autodiff.values()):
        text += f" What jax.grad returns has a cosine of {one.cosine:.2f} with the exact gradient."
    show_text(where, text)


def _sizes(by_path: dict[str, float]) -> tuple[str, str]:
    return f"{by_path['blue']:.1f}", f"{by_path['red']:.1f}"
