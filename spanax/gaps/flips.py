"""Which gaps of a program come out otherwise at one point than at another."""

from __future__ import annotations

import numpy as np
from jaxtyping import Array

from ._analysis.record import Recorder, Records
from .find import Analysis
from .report import Gap


class Flips:
    """The gaps of an analysed program, and their values at given leaves."""

    def __init__(self, analysis: Analysis):
        self.analysis = analysis
        # A loop that only forward mode crosses has values like any other program: it is no candidate for a jump.
        watched = [cut for cut, _ in analysis.found if cut.kind != "forward-only"]
        self.recorder = Recorder(analysis.program.closed, watched)

    def records(self, *leaves: Array) -> Records:
        """The values that the gaps cut; it works under jit."""
        return self.recorder(*leaves)

    def between(self, before: Records, after: Records) -> tuple[Gap, ...]:
        """The gaps of the report whose values differ, in program order."""
        changed = {where for where in before if not np.array_equal(before[where], after[where], equal_nan=True)}
        return self.analysis.gaps_that(changed)
