"""A fit in words: one line for each parameter, in 80 columns."""

from __future__ import annotations

from typing import Any

import numpy as np

_SHOWN = 0.9  # correlations beyond this are listed
_MOST = 5

_WHY = {
    "tolerance": "converged",
    "noise": "converged, as far as its noise allows",
    "precision": "converged, to rounding",
    "stalled": "NOT converged: no step lowers the cost",
    "steps": "NOT converged: no steps are left",
}


def table(fit: Any) -> str:
    n, p = len(fit.residuals), len(fit.names)
    failed = f", {_count(fit.failures, 'failed step')}" * bool(fit.failures)
    kind = f"estimated, {_count(fit.freedom, 'degree')} of freedom" if fit.is_estimated else "given"
    sigma = f"{fit.sigma:.4g}" if np.ndim(fit.sigma) == 0 else "of each"
    head = [
        f"{_count(n, 'residual')}, {_count(p, 'parameter')}: {_WHY[fit.stopped]}",
        f"{_count(fit.iterations, 'iteration')}, {_count(fit.evaluations, 'evaluation')}{failed}",
        f"cost {fit.cost:.6g}, sigma {sigma} ({kind})",
        "",
    ]
    lower, upper = (fit.form.flatten(end) for end in fit.interval())
    rows = [("parameter", "value", "std. error", "95% interval", "")]
    for name, x, error, low, high in zip(
        fit.names, fit.form.flatten(fit.x), fit.form.flatten(fit.standard_errors), lower, upper, strict=True
    ):
        rows.append((_cut(name), f"{x:.6g}", f"{error:.3g}", f"{low:.6g}", f"{high:.6g}"))
        if name in fit.at_bounds:
            rows[-1] = (*rows[-1][:-1], rows[-1][-1] + "  at its bound")
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}  {e}".rstrip()
        for a, b, c, d, e in rows
    ]
    return "\n".join([*head, *lines, *_correlated(fit)])


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _cut(name: str) -> str:
    # The end of a long path tells more than its beginning.
    return name if len(name) <= 24 else "..." + name[-21:]


def _correlated(fit: Any) -> list[str]:
    """Pairs whose errors go together, the closest first."""
    correlation = np.nan_to_num(fit.correlation)
    pairs = [(abs(correlation[i, j]), i, j) for i in range(len(fit.names)) for j in range(i)]
    found = sorted((pair for pair in pairs if pair[0] > _SHOWN), reverse=True)[:_MOST]
    lines = [f"  {_cut(fit.names[j])}, {_cut(fit.names[i])}: {correlation[i, j]:.3f}" for _, i, j in found]
    return ["", "correlated:", *lines] if lines else []
