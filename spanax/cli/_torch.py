"""A PyTorch program that a command is to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._errors import SpanaxError
from ._calls import load_function
from ._messages import explain_failure

if TYPE_CHECKING:
    from ..gaps import GapReport

MADE = "a function that returns (model, args) or (model, args, loss)"


def torch_gaps(name: str) -> GapReport:
    """The report on what `package.module:make` makes."""
    make = load_function(name)
    with explain_failure(f"calling {name}() failed"):
        made = make()
    model, args, loss = _parts(name, made)
    from ..torch import find_gaps  # here: it imports torch

    with explain_failure(f"{name} cannot be looked at"):
        return find_gaps(model, *args, loss=loss)


def _parts(name: str, made: Any) -> tuple[Any, tuple, Any]:
    if not isinstance(made, tuple) or len(made) not in (2, 3):
        raise SpanaxError(
            f"{name}() returned {type(made).__name__}, and has to be {MADE}", "return model, (x,), loss", where=""
        )
    model, args, *loss = made
    if not isinstance(args, tuple | list):
        args = (args,)
    return model, tuple(args), loss[0] if loss else None
