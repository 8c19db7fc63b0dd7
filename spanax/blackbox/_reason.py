"""Why an evaluation failed, and whether it will fail again."""

from __future__ import annotations

from typing import NamedTuple

TOO_LONG, DIED = "took longer than", "its process died"


# A tuple of plain values: it crosses the pipe from a worker, which does not import this package.
class Reason(NamedTuple):
    """`kind`: under which failures are counted; `lasting`: another attempt would fail as well; `remedies`: for this failure."""

    kind: str
    text: str
    lasting: bool = False
    remedies: tuple[str, ...] = ()
