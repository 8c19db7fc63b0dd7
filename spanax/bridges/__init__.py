"""The bridges: one estimator a file."""

from ._base import Branching as Branching, Bridge as Bridge, Local as Local, Score as Score
from ._facts import Facts as Facts
from .disarm import DisARM as DisARM
from .enumerate import Enumerate as Enumerate
from .gumbel_softmax import GumbelSoftmax as GumbelSoftmax
from .leave_one_out import LeaveOneOut as LeaveOneOut
from .moving_average import MovingAverage as MovingAverage
from .pathwise import Pathwise as Pathwise
from .reinmax import ReinMax as ReinMax
from .score_function import ScoreFunction as ScoreFunction
from .straight_through import StraightThrough as StraightThrough
