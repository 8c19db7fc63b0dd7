"""What one fit took, and how near it came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

TARGET = 2.0  # levels of 255: the error that is to be reached


@dataclass(frozen=True)
class Fit:
    """One fit, step by step; its arrays have a row for each step.

    - `scenes`: after the step; `errors`: of their images, mean absolute differences from the target in levels of 255;
    - `evaluations`: of the renderer or its derivative until then; `seconds`: until then, without `compile_s`;
    - `interrupted`: did Ctrl-C end it?
    """

    name: str
    scenes: Any
    errors: Float[np.ndarray, " steps"]
    evaluations: Int[np.ndarray, " steps"]
    seconds: Float[np.ndarray, " steps"]
    compile_s: float
    interrupted: bool

    @classmethod
    def of(
        cls,
        name: str,
        scenes: Any,
        errors: Any,
        seconds: Sequence[float],
        evaluations: Sequence[int],
        interrupted: bool,
    ) -> Fit:
        """`seconds` since the call, compiling included."""
        passed = np.array(seconds)
        # The first step compiles; what it takes beyond an ordinary one is that.
        ordinary = float(np.median(np.diff(passed))) if len(passed) > 1 else 0.0
        compile_s = max(passed[0] - ordinary, 0.0)
        return cls(name, scenes, np.asarray(errors), np.array(evaluations), passed - compile_s, compile_s, interrupted)

    @property
    def reached(self) -> int | None:
        """The first step at which the error is at most `TARGET`; None if there is none."""
        below = np.flatnonzero(self.errors <= TARGET)
        return int(below[0]) if len(below) else None


def report_rows(fits: Sequence[Fit]) -> list[dict[str, Any]]:
    """The fits for result.json."""
    return [
        {
            "name": fit.name,
            "steps": len(fit.errors),
            "target": TARGET,
            "evaluations_to_target": None if fit.reached is None else int(fit.evaluations[fit.reached]),
            "seconds_to_target": None if fit.reached is None else float(fit.seconds[fit.reached]),
            "compile_s": fit.compile_s,
            "error": float(fit.errors[-1]),
            "curve": [[int(n), float(error)] for n, error in zip(fit.evaluations, fit.errors, strict=True)],
        }
        for fit in fits
    ]
