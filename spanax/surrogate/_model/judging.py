"""The report of a fit, and what is refused: a surrogate whose values, or whose gradient, have nothing to do with fn."""

from __future__ import annotations

import numpy as np

from ..._errors import SpanaxError
from ..surrogate_report import SmoothedJump, SurrogateReport
from .agreement import Agreement, related
from .fitted import Fitted
from .probing import Probes

_CLEAR = 0.5  # a cosine of that much is not refused, however few probes there are


def report_of(fitted: Fitted) -> SurrogateReport:
    held = fitted.data.where(fitted.data.held)
    truth, members = fitted.scale.z(held.Y), fitted.members(held.U)
    predicted = np.mean(members, axis=1)
    evidence, scale = fitted.evidence, fitted.scale
    changes, r2 = _agreement(fitted, evidence.probes), _r2(predicted, truth, scale.constant)
    local = _agreement(fitted, _nearby(fitted)) if evidence.region is not None else None
    several = members.shape[1] > 1
    spread = np.sqrt(np.mean(np.var(members, axis=1, ddof=1), axis=0)) if several else np.full(fitted.form.size, np.nan)
    return SurrogateReport(
        name=fitted.name,
        inputs=fitted.space.names,
        outputs=fitted.form.names,
        evaluations=evidence.evaluations,
        failures=evidence.failures,
        trained=int(np.sum(~fitted.data.held)),
        held_out=len(held.U),
        r2=r2,
        learned=related(predicted, truth) & ~scale.constant,
        constant=scale.constant,
        cosine=changes.cosine,
        cosine_error=changes.error,
        signs=changes.signs,
        probes=len(evidence.probes),
        distance=evidence.probes.distance,
        probed=evidence.probed,
        local_cosine=local.cosine if local else float("nan"),
        local_error=local.error if local else float("nan"),
        spread=np.where(scale.constant, np.nan, spread),
        noise=evidence.noise,
        noise_share=np.where(scale.constant, np.nan, np.minimum((evidence.noise / scale.sd) ** 2, 1.0)),
        jumps=tuple(map(_smoothed(fitted), evidence.jumps)),
    )


def changes_of(fitted: Fitted, probes: Probes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted and measured changes a unit of distance, in standard deviations of y, and the variance of their noise."""
    scale = fitted.scale
    length = np.linalg.norm(probes.move, axis=1)[:, None]
    gain = np.where(scale.constant, 0.0, 1 / scale.sd) / length
    predicted = np.where(scale.constant, 0.0, fitted.along(probes.middle, probes.move) / length)
    return predicted, probes.change * gain, probes.noises[:, None] * (fitted.evidence.noise * gain) ** 2


def _agreement(fitted: Fitted, probes: Probes) -> Agreement:
    # A jackknife needs three of them.
    return Agreement.of(*changes_of(fitted, probes)) if len(probes) > 2 else Agreement(*[float("nan")] * 3)


def _nearby(fitted: Fitted) -> Probes:
    assert fitted.evidence.region is not None
    (low, high), probes = fitted.evidence.region, fitted.evidence.probes
    return probes.where(np.all((probes.middle >= low) & (probes.middle <= high), axis=1))


def _r2(predicted: np.ndarray, truth: np.ndarray, constant: np.ndarray) -> np.ndarray:
    variance = np.mean((truth - np.mean(truth, axis=0)) ** 2, axis=0)
    error = np.mean((predicted - truth) ** 2, axis=0)
    known = ~constant & (variance > 0)
    return np.where(known, 1 - error / np.where(known, variance, 1.0), np.nan)


def _smoothed(fitted: Fitted):
    space = fitted.space

    def smoothed(jump) -> SmoothedJump:
        along = np.abs(jump.above - jump.below)
        unit = along / max(np.linalg.norm(along), 1e-300)
        below, above = space.numbers(jump.below), space.numbers(jump.above)
        name = fitted.form.names[jump.output]
        return SmoothedJump(name, jump.height, below, above, jump.width, jump.width * unit * space.widths)

    return smoothed


def refuse(fitted: Fitted, report: SurrogateReport) -> None:
    """Raises `SpanaxError` for what the surrogate cannot represent.

    White noise is taken for a function in fewer than 1 of 1000 fits; so is a gradient that has nothing to do with fn's.
    """
    if not np.any(report.learned):
        raise SpanaxError(
            f"no surrogate of {fitted.name!r} can be learned from these points: at {report.held_out} held-out points its "
            f"predictions have nothing to do with the values (R^2 {np.nanmax(report.r2):.3f}).\n{report}",
            "more evaluations, or narrower bounds, if it is a function with fine structure",
            "noisy=True and more evaluations, if it is a noisy one: its mean is then what is learned",
            "sx.Smoothing(sigma, pairs), which needs no model of it",
        )
    if not report.probed or np.any(report.noise > 0) or report.jumps or report.cosine >= _CLEAR or not report.probes:
        return
    predicted, measured, _ = changes_of(fitted, fitted.evidence.probes)
    # Where no probe met a change there is nothing to contradict the surrogate: the report says so.
    if np.any(measured) and not np.any(related(predicted, measured)):
        raise SpanaxError(
            f"the surrogate of {fitted.name!r} has a gradient that has nothing to do with how it changes over "
            f"{report.distance:.2g} of the box (cosine {report.cosine:.3f} +- {report.cosine_error:.3f}): it is rough on a "
            f"smaller scale than {report.evaluations} evaluations can show.\n{report}",
            "sx.Smoothing(sigma, pairs) with `sigma` as wide as its roughness",
            "noisy=True, if the roughness is noise: changes are then measured over a distance that rises above it",
            "more evaluations, or narrower bounds",
        )
