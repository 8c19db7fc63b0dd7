"""What `spanax gallery tour` says, step by step."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console

from ..._layout import filled
from .._messages import columns
from .._tables import WIDTH
from .running import show

if TYPE_CHECKING:
    from ...gallery.tour import Learnt, Result

TASK = (
    "Two handwritten digits: is one of them odd and the other even? A network draws a bit for each digit and answers "
    "whether the bits differ. All it is told is whether the answer was right, so chance is 50%."
)
NEXT = (
    ("spanax find your.module:loss --args your.module:args", "which lines cut your own gradient"),
    ("spanax compare your.module:loss --args your.module:args", "which bridge is right and cheapest for it"),
    ("spanax gallery", "the other worked problems; --all --quick runs them all"),
)


ERASE = "\r\x1b[2K"  # the line that the cursor is in


class Story:
    """Tells each finding when it comes, on `stream`: stdout, as it was before the work began. What is going on goes to stderr."""

    def __init__(self, stream: TextIO):
        self.where = Console(file=stream, width=columns(most=WIDTH), highlight=False)
        self.bridged = self.shown = False

    def begin(self) -> None:
        self._text(TASK)

    def stage(self, text: str) -> None:
        """On a terminal one line, which the next finding takes the place of; a log keeps each."""
        if sys.stderr.isatty():
            self.shown = True
            sys.stderr.write(f"{ERASE}... {text}")
            sys.stderr.flush()
        else:
            show(text)

    def clear(self) -> None:
        if self.shown:
            self.shown = False
            sys.stderr.write(ERASE)
            sys.stderr.flush()

    def tell(self, found: Any) -> None:
        from ...gaps import GapReport
        from ...judge import Comparison

        self.clear()
        match found:
            case GapReport():
                self._head("2. find_gaps says which line")
                self._block(found.to_text(self.where.width))
            case Comparison():
                self._head("3. Two bridges across it; compare says which is right, and cheapest")
                self._block(found.to_text(self.where.width))
            case _:
                self._learnt(found)

    def end(self, result: Result) -> None:
        self.clear()
        self._line()
        for path in result.files:
            self._line(f"Wrote {path}")
        if result.interrupted:
            return
        self._head("Next")
        for command, what in NEXT:
            self._line(f"  {command}")
            self._text(what, "      ")

    def _learnt(self, one: Learnt) -> None:
        (_, first), (steps, _) = one.curve[0], one.curve[-1]
        if not self.bridged:
            self._head("1. A network that does not learn" if one.name == "no bridge" else "4. With a bridge, it learns")
            self.bridged = True
        elif one.name == "straight-through":
            self._head("4. Both trained")
        self._text(
            f"{one.name}: {first:.1%} right, and {one.test_accuracy:.1%} after {steps:,} steps ({one.seconds:.0f} s)"
        )

    def _head(self, text: str) -> None:
        self._line()
        self.where.print(f"[bold]{text}[/bold]", soft_wrap=True)

    def _text(self, text: str, indent: str = "") -> None:
        for line in filled(f"{indent}{text}", self.where.width, indent):
            self._line(line)

    def _block(self, text: str) -> None:
        for line in text.split("\n"):
            self._line(line)

    def _line(self, text: str = "") -> None:
        self.where.print(text, soft_wrap=True, markup=False)
