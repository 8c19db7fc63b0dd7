"""What is known of a fitted surrogate: how well it predicts values and changes that it was not trained on."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

_SHOWN = 3  # jumps that are printed


@dataclasses.dataclass(frozen=True, eq=False)
class SmoothedJump:
    """A jump of fn that a surrogate makes smooth.

    - `output`: the name of the number of y that jumps, `height`: by how much;
    - `below`, `above`: two points, as the numbers of x, between which it does: upwards along the number of x that differs most;
    - `width`: how far apart the points are between which the surrogate makes that change, in widths of the box; `widths`: the
      same for each number of x, in its own units.

    >>> import jax, numpy as np, spanax as sx
    >>> f = lambda x: np.where(x > 0.3, 1.0, 0.0)
    >>> model = sx.fit_surrogate(f, (-1.0, 1.0), key=jax.random.key(0), evaluations=100)
    >>> [jump] = model.report.jumps
    >>> round(jump.height), bool(abs(jump.below - 0.3) < 0.01), jump.width < 0.3
    (1, True, True)
    """

    output: str
    height: float
    below: Float[np.ndarray, " d"]
    above: Float[np.ndarray, " d"]
    width: float
    widths: Float[np.ndarray, " d"]


@dataclasses.dataclass(frozen=True, eq=False)
class SurrogateReport:
    """How far a surrogate can be trusted. `SurrogateModel.report`; `print` shows it in words.

    - `name`: of fn; `inputs`, `outputs`: the names of the numbers of x and y; arrays below have one entry for each of y;
    - `evaluations`: of fn, in all, its own derivatives and all checks included; `failures`: those left out;
    - `trained`, `held_out`: how many points it was trained on, and how many were kept for the check;
    - `r2`: the share of the variance at held-out points that it predicts; NaN for numbers that are `constant`;
    - `learned`: is what it predicts related to fn at all? By a rank correlation at held-out points, at a level of 1 in 1000;
    - `cosine`, `cosine_error`: between its gradient and independent probes of fn, with its standard error; changes are in
      standard deviations of y, and noise is allowed for. `signs`: the share of the changes, by size, whose sign is right;
    - `probes`: how many; `distance`: how far apart their two points are, in widths of the box. `probed`: whether they were
      evaluated for the purpose; of a store they are differences between points of its table;
    - `local_cosine`, `local_error`: the same of probes near the last x that it was refined around; NaN before;
    - `spread`: the ensemble's standard deviation at held-out points, in those of y (root mean square); NaN for one network;
    - `noise`: the standard deviation of fn's own noise, by repeated evaluations; 0 without noise;
    - `jumps`: found along a few lines: see `SmoothedJump`. There may be others.

    >>> import jax, numpy as np, spanax as sx
    >>> model = sx.fit_surrogate(lambda x: np.sum(x**2), (-np.ones(2), np.ones(2)), key=jax.random.key(0), evaluations=120)
    >>> bool(model.report.r2[0] > 0.99), model.report.cosine > 0.98, model.report.evaluations
    (True, True, 120)
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    evaluations: int
    failures: int
    trained: int
    held_out: int
    r2: Float[np.ndarray, " m"]
    learned: Bool[np.ndarray, " m"]
    constant: Bool[np.ndarray, " m"]
    cosine: float
    cosine_error: float
    signs: float
    probes: int
    distance: float
    probed: bool
    local_cosine: float
    local_error: float
    spread: Float[np.ndarray, " m"]
    noise: Float[np.ndarray, " m"]
    noise_share: Float[np.ndarray, " m"]
    jumps: tuple[SmoothedJump, ...]

    def __str__(self) -> str:
        lines = [
            f"Surrogate of {self.name!r}: {_count(len(self.inputs), 'number')} in, {_count(len(self.outputs), 'number')} out",
            f"  {self.evaluations} evaluations ({self.failures} failed): trained on {self.trained} points, "
            f"{self.held_out} held out",
            f"  values: R^2 {_range(self.r2)} at held-out points{self._unlearned()}",
            f"  gradient: {self._gradient()}",
        ]
        if np.isfinite(self.local_cosine):
            lines.append(f"  near the point refined around: cosine {self.local_cosine:.3f} +- {self.local_error:.3f}")
        if np.any(np.isfinite(self.spread)):
            lines.append(f"  ensemble: its members differ by {_range(self.spread)} of y's standard deviation")
        if np.any(self.noise > 0):
            best = f"no function of x has an R^2 above {_range(1 - self.noise_share)}"
            lines.append(f"  noise: standard deviation {_range(self.noise)}; {best}")
        return "\n".join([*lines, *map(self._jump, self.jumps[:_SHOWN])])

    def _gradient(self) -> str:
        if not self.probes:
            return "not checked: no two points could be compared"
        if np.isnan(self.signs):
            return f"fn does not change at any of {self.probes} probes, over {self.distance:.2g} of the box: cosine 0"
        kind = "independent probes" if self.probed else "differences between points of the table; no probes were made"
        return (
            f"cosine {self.cosine:.3f} +- {self.cosine_error:.3f} with {self.probes} {kind}, over {self.distance:.2g} of the "
            f"box; {self.signs:.0%} of the change has the right sign"
        )

    def _unlearned(self) -> str:
        names = [n for n, ok, same in zip(self.outputs, self.learned, self.constant, strict=True) if not (ok or same)]
        constant = int(np.sum(self.constant))
        text = f"; {_count(constant, 'number')} constant" if constant else ""
        if not names:
            return text
        return f"{text}; NOT LEARNED: {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}"

    def _jump(self, jump: SmoothedJump) -> str:
        at = ", ".join(f"{n}={v:.5g}" for n, v in list(zip(self.inputs, jump.below, strict=True))[:6])
        own = ", ".join(f"{n} {w:.2g}" for n, w in list(zip(self.inputs, jump.widths, strict=True))[:6])
        how = (
            f"smoothed over {jump.width:.2g} of the box ({own})"
            if np.isfinite(jump.width)
            else "not seen by the surrogate"
        )
        return f"  jump: {jump.output} jumps by {jump.height:.4g} at {at}; {how}"


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _range(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    if not len(known):
        return "unknown"
    low, high = (f"{v:.3f}" if abs(v) < 100 else f"{v:.3g}" for v in (np.min(known), np.max(known)))
    return low if low == high else f"{np.median(known):.3f} ({low} to {high})"
