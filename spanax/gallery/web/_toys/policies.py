"""The trained policies that come with the page, and how far the trebuchet reaches; `make_weights` makes their files."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from .... import control

WEIGHTS, REACH = Path(__file__).parent / "weights", "reach.json"


@functools.cache
def policy(name: str) -> Any:
    return control.load_policy(WEIGHTS / f"{name}.policy")


@functools.cache
def _reach() -> dict[str, np.ndarray]:
    table = json.loads((WEIGHTS / REACH).read_text(encoding="utf-8"))
    return {field: np.asarray(values) for field, values in table.items()}


def reach(wind: float) -> tuple[float, float]:
    """The nearest and the farthest landing in this wind, in metres, of any angle and weight that the machine can be set to."""
    table = _reach()
    nearest, farthest = (float(np.interp(wind, table["winds"], table[end])) for end in ("nearest", "farthest"))
    return nearest, farthest
