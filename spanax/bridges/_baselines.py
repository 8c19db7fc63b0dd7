"""The baselines of score-function bridges: what is subtracted from the costs that answer to a draw."""

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


def as_baseline(given: Any) -> Any:
    """The baseline that a user's argument means; raises `SpanaxError` where it means none."""
    if isinstance(given, str):
        if given == "auto":
            return LeaveOneOutMean()
        raise SpanaxError(
            f"baseline={given!r} is not known", 'baseline="auto", None, a scalar, or sx.MovingAverage(...)'
        )
    if given is None or isinstance(given, LeaveOneOutMean | MovingAverage):
        return given
    if callable(given):
        raise SpanaxError(
            f"baseline={given!r} is a function",
            "its value: ScoreFunction(baseline=critic(x)), which must not depend on the draw",
        )
    value = jnp.asarray(given, jnp.result_type(float, given))
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
    if value is None:
        return togo
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
