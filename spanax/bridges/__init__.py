"""The bridges: one estimator a file."""

from .base import (
    Bounded as Bounded,
    Branching as Branching,
    Bridge as Bridge,
    Drawing as Drawing,
    Learning as Learning,
    Local as Local,
    Probing as Probing,
    Score as Score,
    Scored as Scored,
    Step as Step,
    Tuned as Tuned,
)
from .box import Box as Box
from .componentwise import Componentwise as Componentwise
from .disarm import DisARM as DisARM
from .enumerate import Enumerate as Enumerate
from .facts import Facts as Facts
from .finite_difference import FiniteDifference as FiniteDifference
from .gumbel_softmax import GumbelSoftmax as GumbelSoftmax
from .leave_one_out import LeaveOneOut as LeaveOneOut
from .manual import Manual as Manual
from .moving_average import MovingAverage as MovingAverage
from .operation import Operation as Operation
from .pathwise import Pathwise as Pathwise
from .perturbed import Perturbed as Perturbed
from .reinmax import ReinMax as ReinMax
from .score_function import ScoreFunction as ScoreFunction
from .smoothing import Smoothing as Smoothing
from .soft import Soft as Soft
from .spsa import SPSA as SPSA
from .straight_through import StraightThrough as StraightThrough
from .surrogate import Surrogate as Surrogate
