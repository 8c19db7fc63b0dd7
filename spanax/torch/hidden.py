"""`hidden_gradient`: how much of a loss's slope does autograd miss at each gap of a PyTorch program?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from .._checks import check_whole
from .._errors import SpanaxError
from .._functions import join_keywords
from ..gaps.hidden import HiddenGradient, share_of
from ..gaps.report import Gap
from ._finder.analysis import analyse
from ._finder.describe import gap_of
from ._finder.flow import is_explicit
from ._finder.moving import Moved
from ._finder.program import Program


@dataclasses.dataclass(frozen=True)
class HiddenGap:
    """A gap, and how much of the slope in its input autograd misses.

    `share`, `standard_error`, `smoothed`, `seen`: as in `spanax.gaps.HiddenGradient`. `sigma`: the standard deviation of the
    noise on the value that enters the gap, in that value's units.

    >>> import torch, spanax.torch as st
    >>> layer = torch.nn.Linear(3, 1)
    >>> (hidden,) = st.hidden_gradient(lambda x: layer(x).round().sum(), 3 * torch.randn(8, 3), sigma=1.0)
    >>> hidden.gap.operation, hidden.share, hidden.seen
    ('round', 1.0, 0.0)
    """

    gap: Gap
    share: float
    standard_error: float
    smoothed: float
    seen: float
    sigma: float

    def __str__(self) -> str:
        hidden = HiddenGradient(
            self.share, self.standard_error, self.smoothed, self.seen, self.sigma, self.gap.operation
        )
        return f"{self.gap.place}  {hidden}"

    __repr__ = __str__


def hidden_gradient(
    model: Callable[..., Any],
    *args: Any,
    loss: Callable[[Any], torch.Tensor] | None = None,
    parameters: Mapping[str, torch.Tensor] | None = None,
    sigma: float | None = None,
    pairs: int = 64,
    seed: int = 0,
    kwargs: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> tuple[HiddenGap, ...]:
    """The gaps of a PyTorch program, ranked by what they hide: the share of the loss's slope that autograd misses at each.

    The value v that enters a gap is moved by noise, and the program runs on from there: the slope of E[loss(v + sigma u)], u
    standard normal, is measured from values alone, by antithetic pairs, in the direction of the smoothed gradient that the
    other half of the pairs finds. If the loss has no jump it equals the mean of autograd's own derivative in v (Stein 1981,
    lemma 2), so what is missing is what the gap hides. A value with very many elements takes many pairs: NaN says that the slope
    is not told from 0. The program's own random numbers are the same in every run.

    **Arguments:**

    - `model`: a `torch.nn.Module`, or a function.
    - `*args`: what it is called with.
    - `loss`: a function from its output to one number; as in `find_gaps` if there is none.
    - `parameters`: what to differentiate by, by name.
    - `sigma`: the standard deviation of the noise, in the units of v; by default half of the root mean square of v.
    - `pairs`: how many pairs of runs for each gap, 4 or more.
    - `seed`: of the noise.
    - `kwargs`: the program's keyword arguments whose names are options here, such as `{"loss": ...}`.
    - `**keywords`: its other keyword arguments.

    **Returns:** a `HiddenGap` for each gap that `find_gaps` finds, the largest hidden slope first; not for a `detach` that is
    intended.

    **Raises:**

    - `SpanaxError`: as `find_gaps`; sigma is not positive, pairs is below 4.

    >>> import torch, spanax.torch as st
    >>> layer = torch.nn.Linear(3, 1)
    >>> hidden = st.hidden_gradient(lambda x: (layer(x) > 0).float().mean(), torch.randn(8, 3))
    >>> hidden[0].gap.operation, hidden[0].share
    ('comparison', 1.0)
    """
    check_whole("hidden_gradient(pairs", pairs, 4)
    if sigma is not None and not sigma > 0:
        raise SpanaxError(
            f"hidden_gradient(sigma={sigma!r})", "sigma > 0, in the units of the value that enters the gap"
        )
    program = Program(model, args, join_keywords(keywords, kwargs), loss, parameters)
    analysis = analyse(program)
    found = [
        _measured(gap_of(program, analysis, cut), Moved(program, analysis, cut, sigma, seed), pairs)
        for cut in analysis.cuts
        # What enters a `detach` that is meant is not followed on purpose: only the user knows what it hides.
        if not (is_explicit(cut.step) and cut.verdict == "intended")
    ]
    return tuple(sorted(found, key=lambda hidden: -abs(np.nan_to_num(hidden.smoothed - hidden.seen))))


def _measured(gap: Gap, moved: Moved, pairs: int) -> HiddenGap:
    runs = [moved.pair(number) for number in range(2 * (pairs // 2))]
    halves = [runs[: pairs // 2], runs[pairs // 2 :]]
    # Cross-fitting: on the direction that the same pairs found, the noise of the estimate would count as slope.
    projected = [_projected(halves[k], halves[1 - k]) for k in (0, 1)]
    change, along, seen = (np.concatenate(parts) for parts in zip(*projected, strict=True))
    hidden = share_of(change, along, seen, moved.sigma, gap.operation)
    return HiddenGap(gap, hidden.share, hidden.standard_error, hidden.smoothed, hidden.seen, hidden.sigma)


def _projected(half: list, other: list) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Changes, noise and autograd's own derivative along the smoothed gradient of the other half."""
    direction = np.mean([change * u for change, u, _ in other], axis=0)
    length = float(np.linalg.norm(direction))
    direction = direction / length if length > 0 else direction
    changes = np.array([change for change, _, _ in half])
    return changes, np.array([u @ direction for _, u, _ in half]), np.array([own @ direction for _, _, own in half])
