"""Numbers as a reader wants them: three digits or fewer, with units."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .rows import Interval, Verdict

_UNITS = ((1e-6, "us"), (1e-3, "ms"), (1.0, "s"), (60.0, "min"), (3600.0, "h"), (86400.0, "days"))


def duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "never" if seconds > 0 else "-"
    size, unit = next(((s, u) for s, u in reversed(_UNITS) if seconds >= s), _UNITS[0])
    return f"{number(seconds / size)} {unit}"


def number(x: float) -> str:
    """Three significant digits."""
    if math.isnan(x):
        return "-"
    return f"{x:,.0f}" if 1000 <= abs(x) < 1e5 else f"{x:.3g}"


def share(size: float, norm: float) -> str:
    """A size in units of the truth's norm, as a percentage; plain where the truth is 0."""
    if not norm or math.isnan(size):
        return number(size)
    percent = 100 * size / norm
    return f"{percent:.2g}%" if percent < 10 else f"{percent:.0f}%" if percent < 1e4 else f"{size / norm:.1g}x"


def join_names(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names) if len(names) <= most else f"{', '.join(names[:most])} and {len(names) - most} more"


def verdict_in_words(found: Interval, verdict: Verdict, norm: float) -> str:
    """ "biased: 41% (38-44%)", or what could have been seen: "no bias found (< 3%)"."""
    if math.isnan(found.estimate):
        return "not finite"
    if verdict != "biased":
        return f"{verdict} (< {share(found.high, norm)})"
    if not found.low:  # in one element, or outside of these leaves: its size here is not known
        return f"biased (< {share(found.high, norm)})"
    return f"biased: {share(found.estimate, norm)} ({share(found.low, norm)}-{share(found.high, norm)})"
