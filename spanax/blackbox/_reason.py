"""Why an evaluation failed, and whether it will fail again."""

from __future__ import annotations

from typing import NamedTuple

TOO_LONG, DIED = "took longer than", "its process died"


class Reason(NamedTuple):
    """`kind`: what failures are counted by; `lasting`: another attempt fails as well; `remedies`: of this failure itself."""

    kind: str
    text: str
    lasting: bool = False
    remedies: tuple[str, ...] = ()
