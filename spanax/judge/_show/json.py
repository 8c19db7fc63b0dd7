"""A comparison as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..rows import Interval, Row, Truth

BINS = 40


def to_json(
    rows: Sequence[Row],
    truth: Truth,
    draws: int,
    accuracy: float,
    ranked: Sequence[str],
    notes: Sequence[tuple[str, str]],
    histograms: Mapping[str, Any],
) -> str:
    by_kind = dict(notes)
    return json.dumps(
        _plain(
            {
                "format": "spanax.comparison",
                "version": 2,
                "draws": draws,
                "accuracy": accuracy,
                "ranked": list(ranked),
                "truth": {
                    "kind": truth.kind,
                    "how": truth.how,
                    "norm": truth.norm,
                    "standard_error": truth.standard_error,
                },
                "recommendation": by_kind.get("recommended", ""),
                "code": by_kind.get("code", ""),
                "warnings": [text for what, text in notes if what == "warning"],
                "rows": [_row(row) for row in rows],
                "histograms": _count_histograms(histograms),
            }
        ),
        indent=2,
        allow_nan=False,
    )


def _row(row: Row) -> dict[str, Any]:
    out = dict(vars(row))
    out |= {"bias": _interval(row.bias), "scale": _interval(row.scale), "across": _interval(row.across)}
    out["bias_by_leaf"] = {leaf: _interval(bias) for leaf, bias in row.bias_by_leaf.items()}
    out["groups"] = {name: {**vars(group), "bias": _interval(group.bias)} for name, group in row.groups.items()}
    out["worst_leaf"] = {"leaf": row.worst_leaf[0], "share": row.worst_leaf[1]}
    return out


def _interval(bias: Interval) -> dict[str, float]:
    return bias._asdict()


def _count_histograms(histograms: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each coordinate its name, its truth with the standard error, the edges of the bins, and the counts by label."""
    out = []
    for j, name in enumerate(histograms.get("coordinates", ())):
        draws = {label: np.asarray(x)[:, j] for label, x in histograms["draws"].items()}
        finite = {label: x[np.isfinite(x)] for label, x in draws.items()}
        # One set of bins for all candidates, with the truth inside, so that counts can be compared.
        everything = np.concatenate([*finite.values(), [histograms["truth"][j]]])
        edges = np.histogram_bin_edges(everything, BINS, _ends(everything))
        counts = {label: np.histogram(x, edges)[0].tolist() for label, x in finite.items()}
        out.append(
            {
                "coordinate": name,
                "truth": float(histograms["truth"][j]),
                "standard_error": float(histograms["standard_errors"][j]),
                "edges": edges.tolist(),
                "counts": counts,
            }
        )
    return out


def _ends(x: np.ndarray) -> tuple[float, float]:
    """The least and the largest, apart by enough for bins that differ."""
    low, high = float(np.min(x)), float(np.max(x))
    least = 1e-12 * max(abs(low), abs(high))
    return (low - least, high + least) if high - low < least else (low, high)


def _plain(x: Any) -> Any:
    """NaN as null, infinities as strings."""
    match x:
        case dict():
            return {str(k): _plain(v) for k, v in x.items()}
        case list() | tuple():
            return [_plain(v) for v in x]
        # JSON has neither: a parser that is strict would refuse the whole file.
        case float() if not math.isfinite(x):
            return None if math.isnan(x) else "inf" if x > 0 else "-inf"
        case bool() | float() | int() | str() | None:
            return x
    return float(x)
