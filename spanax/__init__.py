"""Gradients across the steps of a program that have none. The public names.

Functions and bridges are here. The base classes for a bridge of your own are in `sx.bridges`, the records that a report
consists of in the part that returns them: `sx.gaps`, `sx.judge`. The black box's records are here, because `sx.blackbox` is
the function.
"""

from typing import TYPE_CHECKING

from . import (
    _interrupts as _interrupts,  # first: Ctrl-C may come while the rest is imported
    bridges as bridges,
    control as control,
    gaps as gaps,
    hard as hard,
    judge as judge,
    surrogate as surrogate,
)
from ._errors import SpanaxError as SpanaxError, SpanaxWarning as SpanaxWarning
from .blackbox import (
    BlackBox as BlackBox,
    Check as Check,
    Command as Command,
    Output as Output,
    Run as Run,
    Stats as Stats,
    Store as Store,
    blackbox as blackbox,
    command as command,
    processes as processes,
    ray_executor as ray_executor,
)
from .bridges import (
    SPSA as SPSA,
    Componentwise as Componentwise,
    DisARM as DisARM,
    Enumerate as Enumerate,
    FiniteDifference as FiniteDifference,
    GumbelSoftmax as GumbelSoftmax,
    LeaveOneOut as LeaveOneOut,
    Manual as Manual,
    MovingAverage as MovingAverage,
    Pathwise as Pathwise,
    Perturbed as Perturbed,
    ReinMax as ReinMax,
    ScoreFunction as ScoreFunction,
    Smoothing as Smoothing,
    Soft as Soft,
    StraightThrough as StraightThrough,
    Surrogate as Surrogate,
)
from .control import event as event
from .gaps import (
    assert_alive as assert_alive,
    find_gaps as find_gaps,
    find_jumps as find_jumps,
    hidden_gradient as hidden_gradient,
)
from .judge import (
    check_gradient as check_gradient,
    compare as compare,
    custom as custom,
    recommend as recommend,
    trust as trust,
)
from .program import gradient as gradient, lift as lift, value_and_gradient as value_and_gradient
from .smoothing import Guide as Guide, smooth as smooth, soften as soften
from .stochastic import cost as cost, expect as expect, expectation as expectation, sample as sample
from .surrogate import (
    Descent as Descent,
    Fit as Fit,
    ScipyObjective as ScipyObjective,
    SurrogateModel as SurrogateModel,
    descend as descend,
    fit_surrogate as fit_surrogate,
    least_squares as least_squares,
    load_surrogate as load_surrogate,
    quasi_newton as quasi_newton,
    scipy_objective as scipy_objective,
)

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import testing as testing, torch as torch


def __getattr__(name: str) -> object:
    # Imported when they are asked for: programs in production have no use for the one, and many have no PyTorch.
    if name in ("testing", "torch"):
        import importlib

        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
