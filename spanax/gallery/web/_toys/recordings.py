"""Answers of the toys over a grid of questions, for a copy of the page that nobody computes for."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .bench import SAMPLES
from .registry import ACTIONS

Axes = Mapping[str, Sequence[float | int | str]]


def _steps(low: float, high: float, step: float) -> list[float]:
    # Through the count, so that the last one is there: 0.1 steps do not add up.
    return [round(low + step * i, 6) for i in range(round((high - low) / step) + 1)]


# Of each action, the values that are recorded of each thing that it asks. Together some 5 MB.
GRIDS: dict[str, Axes] = {
    "trebuchet/shoot": {"wind": _steps(-8, 8, 1), "target": _steps(20, 110, 2.5)},
    # A push of a pole at rest: its state has four numbers, and a grid of all would be too large.
    "cartpole/balance": {"x": [0.0], "velocity": [0.0], "angle": [0.0], "rate": _steps(-4, 4, 0.25)},
    "pendulum/swing": {
        "angle": [float(x) for x in np.round(np.linspace(-math.pi, math.pi, 37)[1:-1], 4)] + [3.1415, -3.1415],
        "velocity": _steps(-8, 8, 2),
    },
    "bench/measure": {
        "theta": _steps(-3, 3, 0.5),
        "samples": list(SAMPLES),
        "baseline": ["none", "leave-one-out", "constant"],
        "constant": [0.0, 0.3, 0.6],
        "temperature": [0.1, 0.3, 0.5, 1.0, 2.0],
    },
}


def record(name: str, axes: Axes) -> str:
    """A plain script that holds the answers, for a page that is opened from a file: no fetch works there."""
    answers = ",\n".join(_compact(answer) for answer in _answers(name, axes))
    heads = _compact([[axis, list(values)] for axis, values in axes.items()])
    content = f'{{"{name}": {{"axes": {heads}, "answers": [\n{answers}\n]}}}}'
    return f'"use strict";\nwindow.SpanaxRecorded = Object.assign(window.SpanaxRecorded || {{}}, {content});\n'


def _compact(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _answers(name: str, axes: Axes) -> Iterator[dict[str, Any]]:
    """In the order of the axes, the last one fastest."""
    known: dict[tuple[Any, ...], dict[str, Any]] = {}
    for values in itertools.product(*axes.values()):
        body = dict(zip(axes, values, strict=True))
        # A constant that is no baseline changes nothing: one answer serves all.
        if body.get("baseline") in ("none", "leave-one-out"):
            body["constant"] = 0.0
        question = tuple(body.values())
        if question not in known:
            known[question] = ACTIONS[name](body)
        yield known[question]
