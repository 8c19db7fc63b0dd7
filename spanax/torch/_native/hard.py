"""One call of a hard operation: its exact value, crossed by a bridge."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..._checks import is_number
from ..._errors import SpanaxError
from ...bridges import Soft, StraightThrough
from ..straight_through import straight_through
from .checks import in_single
from .kernels import KERNELS, Kernel
from .raising import raising

Via = Soft | StraightThrough | None
Formula = Callable[[Kernel, Tensor, float], Tensor]
WAYS = (
    "via=StraightThrough(Soft(0.1)): the exact value, the derivative of the relaxed operation",
    "via=StraightThrough(): the exact value, the derivative of the identity",
    "via=Soft(0.1): the relaxed value; 0.1 is the standard deviation of noise on the input",
)


def crossed(
    name: str, x: Tensor, via: Any, hard: Callable[[Tensor], Tensor], soft: Formula, has_derivative: bool = False
) -> Tensor:
    """The operation by `via`; `soft(kernel, x, softness)` is its expectation under noise on x.

    Without a bridge it has torch's derivative if it `has_derivative`, and otherwise one that raises.
    """
    if via is None:
        return hard(x) if has_derivative else raising(hard(x.detach()), x, functools.partial(_zero, name))
    if isinstance(via, Soft):
        return _relaxed(name, x, via, soft)
    if not isinstance(via, StraightThrough) or not isinstance(via.of, Soft | None):
        raise SpanaxError(f"{name}(via={via!r})", *WAYS)
    with torch.no_grad():
        value = hard(x.detach())
    smooth = x.expand(value.shape) if via.of is None else _relaxed(name, x, via.of, soft)
    return straight_through(value, smooth)


def _relaxed(name: str, x: Tensor, via: Soft, soft: Formula) -> Tensor:
    # A softness of JAX would be computed with in JAX.
    softness: Any = via.softness
    if not is_number(softness):
        raise SpanaxError(f"{name}(via={via!r})", "Soft(0.1), one positive number of Python")
    return soft(KERNELS[via.kernel or "logistic"], in_single(x), softness).to(x.dtype)


def _zero(name: str) -> SpanaxError:
    # The line that is run now is autograd's, not the user's.
    problem = f"the derivative of {name}, which is zero wherever it exists, without a bridge"
    return SpanaxError(problem, *WAYS, "detach() its input, if a zero is meant", where="")
