"""Why there is no event: the errors that a user sees outside of jit."""

from __future__ import annotations

from ..._errors import SpanaxError
from ..._jaxprs import is_traced
from .solution import Flags

_INSIDE = "under jax.jit, jax.vmap and lax.scan it is NaN, and event_fired is False"


def refuse(flags: Flags, within: float, direction: str, required: bool) -> None:
    """Raises `SpanaxError` where the flags are known, and say that there is no event, or none with a derivative."""
    # A traced flag has no value yet: there a NaN in the event says it instead.
    if is_traced(flags.fired) or flags.fired:
        return
    time, at_start, at_end = float(flags.time), float(flags.at_start), float(flags.at_end)
    if flags.unsound:
        raise SpanaxError(
            f"the state or the condition is NaN or infinite at the latest at time {time:.6g}; the condition is {at_start:.6g} at"
            " the start",
            "a flow that is finite up to the event",
            "a smaller step",
            _INSIDE,
        )
    if flags.grazing:
        raise SpanaxError(
            "the condition grazes zero: its derivative by time vanishes where it crosses, and with it the derivative of the time",
            "parameters at which it crosses with a slope",
            "a condition that has one, such as x instead of x**3",
            "more checks=, or a smaller step=, where it is larger by orders of magnitude at an end of the step than around zero",
            _INSIDE,
        )
    if required:
        crosses = {"both": "does not cross", "falling": "does not fall through", "rising": "does not rise through"}
        raise SpanaxError(
            f"the condition {crosses[direction]} zero within {within:g}: it is {at_start:.6g} at the start and {at_end:.6g} at"
            " the end",
            "a larger within=",
            "more checks=, or a smaller step=, where it crosses twice between two of them",
            "required=False: then the state at the end, where it does not cross",
            _INSIDE,
        )
