"""Learned surrogates, and the loops that fit parameters of expensive, noisy programs."""

from .fit_surrogate import fit_surrogate as fit_surrogate
from .surrogate_model import SurrogateModel as SurrogateModel, load_surrogate as load_surrogate
from .surrogate_report import SmoothedJump as SmoothedJump, SurrogateReport as SurrogateReport
