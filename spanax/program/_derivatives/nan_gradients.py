"""A gradient that is NaN where the value is finite: an error, with the line that makes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._errors import SpanaxError, diagnosis
from ..._jaxprs import defined, is_traced
from ...gaps.not_finite import in_function
from ...gaps.report import NotFinite


class NanGradientError(SpanaxError):
    """A gradient that is NaN where the value is finite."""


_RETURN = 'nan="return", for the gradient as it is'


def check_choice(nan: str) -> None:
    if nan not in ("raise", "return"):
        raise SpanaxError(f"nan={nan!r}", 'nan="raise", or nan="return"')


def without_nan(
    value: Any, gradients: Any, has_nan: Any, f: Callable, again: Callable[[], tuple[Callable, Sequence]]
) -> Any:
    """The gradients, which hold no NaN unless the value is not finite either; under jit by a check when it runs.

    `has_nan`: do they? `value`: None where it was not computed. `again()`: the value as a function of arrays in JAX, and these.
    """
    if is_traced(has_nan):
        return _checked_later(value, gradients, has_nan, f)
    if bool(has_nan):
        found = _looked_for(*again()) if value is None or np.isfinite(np.asarray(value)).all() else None
        if found is not None:
            raise found
    return gradients


def _looked_for(f: Callable, leaves: Sequence) -> NanGradientError | None:
    if not bool(jnp.isfinite(jax.jit(f)(*leaves))):
        return None
    return _error(in_function(f, *leaves))


def _error(found: NotFinite | None) -> NanGradientError:
    problem = "a gradient is NaN where the value is finite"
    if found is None or not found.line:
        return NanGradientError(problem, _RETURN)
    text = f"{problem}: {found.problem}, in `{found.source}`"
    return NanGradientError(text, *found.remedies, _RETURN, where=f"{found.file}:{found.line} ({found.function})")


def _checked_later(value: Any, gradients: Any, has_nan: Any, f: Callable) -> Any:
    wrong = jnp.isfinite(value).all() & has_nan
    text = diagnosis(
        "a gradient is NaN where the value is finite",
        "the same call outside of jit, which names the line",
        _RETURN,
        where=defined(f),
    )
    numbers, rest = eqx.partition(gradients, eqx.is_inexact_array)
    return eqx.combine(eqx.error_if(numbers, wrong, text), rest)
