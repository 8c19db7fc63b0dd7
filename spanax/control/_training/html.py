"""A training as HTML for a notebook: its counts, and the curve of its returns as inline SVG. No script, no network."""

from __future__ import annotations

import html
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from .curves import smooth

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 480, 160, 70, 34  # pixels; the last two leave room for the axes' numbers
_MOST = 400  # points of a line: a notebook keeps the text of every output


def training_html(
    title: str, counts: Mapping[str, str], steps: Int[np.ndarray, " updates"], returns: Float[np.ndarray, " updates"]
) -> str:
    """A table of the counts, and the mean return against the steps, where at least two updates ended episodes."""
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>" for name, text in counts.items()
    )
    ended = np.isfinite(returns)
    curve = _curve(*smooth(steps[ended], returns[ended])) if np.count_nonzero(ended) > 1 else ""
    return f"<div><p><b>{html.escape(title)}</b></p><table><tbody>{rows}</tbody></table>{curve}</div>"


def _curve(x: np.ndarray, y: np.ndarray) -> str:
    # Points that no pixel shows are left out.
    every = np.unique(np.linspace(0, len(x) - 1, min(len(x), _MOST)).round().astype(int))
    low, high = float(y.min()), float(y.max())
    across = _LEFT + (_WIDTH - _LEFT - 10) * _share(x, float(x.min()), float(x.max()))
    up = 10 + (_HEIGHT - _BOTTOM - 10) * (1 - _share(y, low, high))
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across[every], up[every], strict=True))
    floor, middle = _HEIGHT - _BOTTOM, (_LEFT + _WIDTH - 10) // 2
    # In the text's own colour, so that it can be read on light and on dark.
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="11" fill="currentColor">'
        f"<title>return of an episode against steps of the environment</title>"
        f'<path d="M{_LEFT} 10V{floor}H{_WIDTH - 10}" fill="none" stroke="currentColor" stroke-opacity="0.4"/>'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.5"/>'
        f'<text x="{_LEFT - 6}" y="14" text-anchor="end">{high:.4g}</text>'
        f'<text x="{_LEFT - 6}" y="{floor}" text-anchor="end">{low:.4g}</text>'
        f'<text x="{_LEFT}" y="{floor + 15}">{x.min():,.0f}</text>'
        f'<text x="{_WIDTH - 10}" y="{floor + 15}" text-anchor="end">{x.max():,.0f} steps</text>'
        f'<text x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle">mean return of an episode</text>'
        f"</svg>"
    )


def _share(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Where each lies between the two, 0 to 1; in the middle where they are the same."""
    return (values - low) / (high - low) if high > low else np.full(len(values), 0.5)
