"""The baselines of score-function bridges: what is subtracted from the costs that depend on a draw.

E[grad log p] = 0, so that subtracting a number b that is independent of the draw leaves the mean of (cost - b) grad log p as it
is, and its variance is least near b = E[cost] (Williams 1992; leave-one-out: Kool et al. 2019).
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import SpanaxError
from .moving_average import MovingAverage


class LeaveOneOutMean(eqx.Module):
    """The baseline "auto": the mean over the other replicates."""

    def __repr__(self):
        return "'auto'"


def as_baseline(baseline: Any) -> Any:
    """The baseline that a user's argument means. Raises `SpanaxError` if it means none."""
    if isinstance(baseline, str):
        if baseline == "auto":
            return LeaveOneOutMean()
        raise SpanaxError(
            f"baseline={baseline!r} is not known", 'baseline="auto", None, a scalar, or sx.MovingAverage(...)'
        )
    if baseline is None or isinstance(baseline, LeaveOneOutMean | MovingAverage):
        return baseline
    if callable(baseline):
        raise SpanaxError(
            f"baseline={baseline!r} is a function",
            "its value: ScoreFunction(baseline=critic(x)), which must not depend on the draw",
        )
    value = jnp.asarray(baseline, jnp.result_type(float, baseline))
    if value.shape:
        raise _not_one_number(value.shape)
    return value


def less_baseline(
    baseline: Any, togo: Float[Array, "*loops"], others: Float[Array, "*loops"] | None
) -> Float[Array, "*loops"]:
    """The costs to go less the baseline; `others` is their mean over the other replicates, or None."""
    value = baseline.value if isinstance(baseline, MovingAverage) else baseline
    if isinstance(value, LeaveOneOutMean):
        value = others
    # With one replicate there are no others, and "auto" means no baseline.
    if value is None:
        return togo
    # Fields of a bridge arrive with the axes of the loops around the site: anything beyond is a batch, and would broadcast.
    value = jnp.asarray(value, togo.dtype)
    if value.shape not in ((), togo.shape):
        raise _not_one_number(value.shape[togo.ndim :])
    return togo - value


def _not_one_number(shape: tuple[int, ...]) -> SpanaxError:
    return SpanaxError(
        f"a baseline is one number for each draw, and this one has shape {list(shape)}",
        "jax.vmap(expectation(f)) with the baselines as a mapped argument",
        "a scalar",
    )
