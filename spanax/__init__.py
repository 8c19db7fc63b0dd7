"""Gradients across the steps of a program that have none. The public names."""

from . import _interrupts as _interrupts, control as control, hard as hard  # Ctrl-C may come while the rest is imported
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
    Bounded as Bounded,
    Branching as Branching,
    Bridge as Bridge,
    Componentwise as Componentwise,
    DisARM as DisARM,
    Drawing as Drawing,
    Enumerate as Enumerate,
    Facts as Facts,
    FiniteDifference as FiniteDifference,
    GumbelSoftmax as GumbelSoftmax,
    LeaveOneOut as LeaveOneOut,
    Local as Local,
    Manual as Manual,
    MovingAverage as MovingAverage,
    Operation as Operation,
    Pathwise as Pathwise,
    Perturbed as Perturbed,
    Probing as Probing,
    ReinMax as ReinMax,
    Score as Score,
    Scored as Scored,
    ScoreFunction as ScoreFunction,
    Smoothing as Smoothing,
    Soft as Soft,
    Step as Step,
    StraightThrough as StraightThrough,
    Tuned as Tuned,
)
from .gaps import (
    Gap as Gap,
    GapReport as GapReport,
    HiddenGradient as HiddenGradient,
    Jump as Jump,
    JumpReport as JumpReport,
    assert_alive as assert_alive,
    find_gaps as find_gaps,
    find_jumps as find_jumps,
    hidden_gradient as hidden_gradient,
)
from .judge import (
    Comparison as Comparison,
    GradientCheck as GradientCheck,
    Interval as Interval,
    Row as Row,
    Truth as Truth,
    check_gradient as check_gradient,
    compare as compare,
    recommend as recommend,
)
from .program import gradient as gradient, lift as lift, value_and_gradient as value_and_gradient
from .smoothing import Guide as Guide, smooth as smooth, soften as soften
from .stochastic import cost as cost, expect as expect, expectation as expectation, sample as sample

__version__ = "0.1.0"
