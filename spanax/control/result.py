"""What training gives back."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from .._errors import SpanaxError
from ._training.gradient_check import gradient_check
from ._training.updates import Log, Progress, Training


class Result:
    """A trained policy, and what it took.

    - `policy`: after the last update;
    - `returns`: for each update, the mean return of the episodes that ended in it, NaN where none did;
    - `env_steps`, `episodes`: all steps of the environment, in all episodes that began; `steps_so_far`: after each update;
    - `compile_seconds`: tracing and compiling; `run_seconds`: the updates, since the first one, of resumed trainings as well;
    - `objectives`, `gradient_norms`: for each update, what was minimised and the gradient's Euclidean norm;
    - `interrupted`: Ctrl-C ended it early.
    """

    policy: Any
    returns: Float[np.ndarray, " updates"]
    objectives: Float[np.ndarray, " updates"]
    gradient_norms: Float[np.ndarray, " updates"]
    steps_so_far: Int[np.ndarray, " updates"]
    env_steps: int
    episodes: int
    compile_seconds: float
    run_seconds: float
    interrupted: bool

    def __init__(
        self,
        training: Training,
        first: Progress,
        policy: Any,
        log: Log,
        compile_seconds: float,
        run_seconds: float,
        interrupted: bool,
    ):
        self._training, self._first = training, first
        self.policy, self.compile_seconds, self.run_seconds = policy, compile_seconds, run_seconds
        self.interrupted = interrupted
        seen = log.seen
        with np.errstate(invalid="ignore"):
            self.returns = np.where(seen.ended > 0, seen.earned / np.maximum(seen.ended, 1), np.nan)
        self.objectives, self.gradient_norms = np.asarray(log.objectives), np.asarray(log.norms)
        self.steps_so_far = np.cumsum(seen.steps, dtype=np.int64)
        self.env_steps, self.episodes = int(np.sum(seen.steps, dtype=np.int64)), int(np.sum(seen.episodes))

    @functools.cached_property
    def gradient_check(self) -> float | None:
        """The cosine of the first update's gradient with finite differences of its objective, along 16 random directions.

        1 for a right gradient, up to rounding; less where a bridge is biased, by that much of its direction. Where the policy
        draws, both are means over 64 batches, and noisy. None for a black box, where it would take steps of the environment. It
        is measured when it is first asked for, and then kept.
        """
        return gradient_check(self._training, self._first)

    def __repr__(self):
        known = self.returns[np.isfinite(self.returns)]
        last = f"{np.mean(known[-max(1, len(known) // 10) :]):.4g}" if len(known) else "none yet"
        return (
            f"Result({len(self.returns):,} updates{' (interrupted)' if self.interrupted else ''}, last returns {last}, "
            f"{self.env_steps:,} steps in {self.episodes:,} episodes, "
            f"{self.compile_seconds:.1f} s to compile and {self.run_seconds:.1f} s to run)"
        )

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draws returns and gradient norms against steps into a file (needs matplotlib: `pip install 'spanax[plots]'`)."""
        from ._training.curves import draw

        title = f"{self.env_steps:,} steps in {self.episodes:,} episodes"
        draw(Path(path), title, self.steps_so_far, self.returns, self.gradient_norms)


class TrainingError(SpanaxError):
    """A gradient was no number, or too large. `result`: what was learnt before that update."""

    def __init__(self, result: Result, problem: str, *remedies: str, where: str | None = None):
        super().__init__(problem, *remedies, where=where)
        self.result = result
