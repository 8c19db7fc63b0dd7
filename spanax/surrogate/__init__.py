"""Learned surrogates, and the loops that fit parameters of expensive, noisy programs."""

from .descend import descend as descend
from .descent import Descent as Descent, DescentError as DescentError, Iterate as Iterate
from .fit import Fit as Fit
from .fit_surrogate import fit_surrogate as fit_surrogate
from .least_squares import least_squares as least_squares
from .quasi_newton import quasi_newton as quasi_newton
from .scipy_objective import ScipyObjective as ScipyObjective, scipy_objective as scipy_objective
from .surrogate_model import SurrogateModel as SurrogateModel, load_surrogate as load_surrogate
from .surrogate_report import SmoothedJump as SmoothedJump, SurrogateReport as SurrogateReport
