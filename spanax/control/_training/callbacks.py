"""What `train(callback=...)` is told: one call for each update, in order, between two pieces of the compiled program."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..._errors import SpanaxError
from .updates import Log

_REMEDY = "callback(step, metrics, policy)"


class Totals(NamedTuple):
    """Of all updates that were reported."""

    updates: int = 0
    env_steps: int = 0
    episodes: int = 0


class Callbacks:
    """Those of one training, and how far they have been told."""

    def __init__(self, given: Any):
        self.calls = _checked(given)
        self.told = Totals()

    def begin(self, log: Log, seconds: float) -> None:
        """Before the first update. `log`: what a resumed training has done already, which is offered, not reported."""
        history = list(self._rows(log, seconds))
        try:
            for call in self.calls:
                # A callback that keeps a file of its own makes it agree with the checkpoint: neither gaps nor rows twice.
                if hasattr(call, "begin"):
                    call.begin(history)
        except BaseException:
            # Those that have begun have files open.
            self.end()
            raise

    def report(self, log: Log, policy: Any, seconds: float) -> bool:
        """The updates since the last report; False where a callback ends the training."""
        goes_on = True
        for step, metrics in self._rows(log, seconds):
            # All are told of the same updates, though one has ended it. A copy: each may do with it what it likes.
            answers = [call(step, dict(metrics), policy) for call in self.calls]
            if any(map(_is_false, answers)):
                goes_on = False
        return goes_on

    def end(self) -> None:
        for call in self.calls:
            if hasattr(call, "end"):
                call.end()

    def _rows(self, log: Log, seconds: float) -> Iterator[tuple[int, dict[str, float]]]:
        seen = log.seen
        for i in range(self.told.updates, len(log.norms) if self.calls else 0):
            # Counted on the host: a long training has more steps than 32 bits hold.
            _, steps, episodes = self.told
            self.told = Totals(i + 1, steps + int(seen.steps[i]), episodes + int(seen.episodes[i]))
            ended = int(seen.ended[i])
            yield (
                i + 1,
                {
                    "return": float(seen.earned[i]) / ended if ended else float("nan"),
                    "objective": float(log.objectives[i]),
                    "gradient_norm": float(log.norms[i]),
                    "env_steps": float(self.told.env_steps),
                    "episodes": float(self.told.episodes),
                    "seconds": float(seconds),
                    **{name: float(rows[i]) for name, rows in log.metrics.items()},
                },
            )


def _is_false(answer: Any) -> bool:
    """False itself, or that of NumPy or JAX, as a comparison of arrays gives it; None and 0 are no answer."""
    # A Python 0 or an array of numbers is what a callback happens to return.
    return getattr(answer, "dtype", type(answer)) in (bool, np.dtype(bool)) and not np.all(answer)


def _checked(given: Any) -> list[Callable[..., Any]]:
    """A list of callables that take three arguments."""
    calls = [] if given is None else list(given) if isinstance(given, Sequence) else [given]
    for call in calls:
        if not callable(call):
            raise SpanaxError(f"train(callback={call!r})", _REMEDY, "a list of such", "control.CSVLog(path)")
        try:
            inspect.signature(call).bind(1, {}, None)
        except TypeError as error:
            name = getattr(call, "__name__", repr(call))
            raise SpanaxError(
                f"train(callback={name}) cannot be called with three arguments: {error}", _REMEDY
            ) from None
        except ValueError:
            # Some functions written in C have no signature.
            continue
    return calls
