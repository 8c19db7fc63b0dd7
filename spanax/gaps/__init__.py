"""Finding the gaps of a program: the lines that cut its gradient."""

from .find import assert_alive as assert_alive, find_gaps as find_gaps
from .hidden import HiddenGradient as HiddenGradient, hidden_gradient as hidden_gradient
from .jumps import Jump as Jump, JumpReport as JumpReport, find_jumps as find_jumps
from .report import Gap as Gap, GapReport as GapReport
