"""Which function answers which request: `POST /api/<toy>/<action>`, a JSON object in and a JSON object out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from . import bench, cartpole, pendulum, training, trebuchet

Action = Callable[[dict[str, Any]], dict[str, Any]]
Stream = Callable[[dict[str, Any], Callable[[], bool]], Iterator[dict[str, Any]]]

ACTIONS: dict[str, Action] = {
    "trebuchet/shoot": trebuchet.shoot,
    "trebuchet/own": training.shoot,
    "cartpole/balance": cartpole.balance,
    "pendulum/swing": pendulum.swing,
    "bench/measure": bench.measure,
}
# Long work, record by record. Each asks `cancelled()` between two pieces of work, and ends where it says so.
STREAMS: dict[str, Stream] = {"trebuchet/train": training.train}

# What each page asks first.
FIRST: dict[str, dict[str, Any]] = {
    "trebuchet/shoot": {"wind": 0.0, "target": 80.0},
    "cartpole/balance": {"x": 0.0, "velocity": 0.0, "angle": 0.0, "rate": 0.0},
    "pendulum/swing": {"angle": 3.1, "velocity": 0.0},
    "bench/measure": {"theta": 0.0, "samples": 2, "baseline": "leave-one-out", "constant": 0.0, "temperature": 0.5},
}


def warm_up(stop: Callable[[], bool] = lambda: False, *, trainings: bool = False) -> None:
    """Compiles what answers first requests, so that the first visitor does not wait; some seconds. `stop` ends it early.

    With `trainings`, then what they run, which takes as long again.
    """
    for name, body in FIRST.items():
        if not stop():
            ACTIONS[name](body)
    if trainings and not stop():
        training.compile_update()
