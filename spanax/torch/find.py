"""`find_gaps`: which lines of a PyTorch program cut the gradient, and `assert_alive` for people's own tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch

from .._errors import SpanaxError
from .._functions import join_keywords
from ..gaps.report import GapReport
from ._finder.analysis import analyse
from ._finder.describe import report_of
from ._finder.program import Program


def find_gaps(
    model: Callable[..., Any],
    *args: Any,
    loss: Callable[[Any], torch.Tensor] | None = None,
    parameters: Mapping[str, torch.Tensor] | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    kwargs: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> GapReport:
    """Which lines of a PyTorch program cut the gradient of its loss, and which parameters they starve.

    The program runs a few times, each time from the same state, and every operation that takes a value which depends on a
    parameter is heard, with the user's line. A gap is an operation that a derivative enters and does not leave, and whose result
    reaches the loss. No table says which operations these are: autograd is asked, and goes back through the whole program, with
    new random derivatives behind every gap, so that one gap does not hide another. Values that leave to the host (`.item()`,
    `.numpy()`) are moved in a run of their own: where the loss changes they come back, else they are a log.

    What is meant is listed and is no alarm: a cut is `intended` where the same value also flows around it (straight-through by
    `detach`, the argmin under it, a draw whose log-probability is used), and `piecewise` where it only chooses or indexes and no
    parameter is starved. What never reaches the loss is not listed. A parameter that is used and gets no gradient is always an
    alarm.

    Afterwards weights, buffers, `.grad`, modes and random generators are as they were.

    **Arguments:**

    - `model`: a `torch.nn.Module`, or a function. The modules in a function's closure and arguments are looked at too.
    - `*args`: what it is called with, tensors on any device. On `meta` nothing is computed, so nothing is known of zeros.
    - `loss`: a function from its output to one number. By default the output itself if it is one number, its `.loss` if it has
      one, else a fixed random combination of all that it returns.
    - `parameters`: what to differentiate by, by name. By default the parameters of the modules; of a function without any, its
      floating-point arguments.
    - `optimizer`: parameters that require a gradient and are in none of its groups are named too.
    - `kwargs`: the program's keyword arguments whose names are options here, such as `{"loss": ...}`.
    - `**keywords`: its other keyword arguments.

    **Returns:**

    A `spanax.gaps.GapReport`: the verdict, by parameter as well; the gaps by file and line, with code to paste; `alarms`, those
    that are neither intended nor piecewise; `starved`, the parameters whose gradient is None or 0; `flat`, those of them that
    are 0 only here; `not_finite`, the first operation that makes NaN or an infinity, if the loss or a gradient holds one.

    **Raises:**

    - `SpanaxError`: the program fails, it has nothing to differentiate by, or its loss is not one floating-point number.

    >>> import torch, spanax.torch as st
    >>> layer = torch.nn.Linear(3, 2)
    >>> report = st.find_gaps(lambda x: layer(x).round().sum(), torch.ones(5, 3))
    >>> report.verdict, [(gap.operation, gap.kind, gap.leaf) for gap in report.gaps]
    ('dead', [('round', 'zero', ('weight', 'bias'))])
    """
    if optimizer is not None and not hasattr(optimizer, "param_groups"):
        raise SpanaxError(f"optimizer={optimizer!r}", "optimizer=torch.optim.Adam(model.parameters())")
    program = Program(model, args, join_keywords(keywords, kwargs), loss, parameters)
    return report_of(program, analyse(program), optimizer)


def assert_alive(
    model: Callable[..., Any],
    *args: Any,
    loss: Callable[[Any], torch.Tensor] | None = None,
    parameters: Mapping[str, torch.Tensor] | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    allow: Iterable[str] = (),
    kwargs: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> None:
    """Fails unless every parameter gets its whole gradient: for test suites.

    **Arguments:** as those of `find_gaps`, and `allow`

    - `model`: a `torch.nn.Module`, or a function.
    - `*args`: what it is called with.
    - `loss`: a function from its output to one number.
    - `parameters`: what to differentiate by, by name.
    - `optimizer`: fails too where it does not hold a parameter that requires a gradient.
    - `kwargs`: the program's keyword arguments whose names are options here, such as `{"loss": ...}`.
    - `**keywords`: its other keyword arguments.
    - `allow`: names of parameters that may get none, as patterns: `["head.*"]`.

    **Raises:**

    - `SpanaxError`: an alarm, a starved parameter (but not one that is `asleep`, behind a gate that begins at 0), NaN; the
      message holds the report.

    >>> import torch, spanax.torch as st
    >>> st.assert_alive(torch.nn.Linear(3, 2), torch.ones(5, 3))
    """
    if isinstance(allow, str):  # its letters would be patterns
        raise SpanaxError(f"allow={allow!r}", f"allow=[{allow!r}]")
    report = find_gaps(
        model, *args, loss=loss, parameters=parameters, optimizer=optimizer, kwargs=join_keywords(keywords, kwargs)
    )
    patterns = tuple(allow)

    def is_allowed(name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in patterns)

    cut = [name for gap in report.alarms for name in gap.leaf]
    cut += [name for name in report.starved if name not in report.asleep]
    if bad := [name for name in dict.fromkeys(cut) if not is_allowed(name)]:
        raise SpanaxError(f"no whole gradient reaches {', '.join(bad)}\n{report}", where="")
    if report.not_finite is not None:
        raise SpanaxError(f"the loss or a gradient is not finite\n{report}", where="")
