"""Learned surrogates, and the loops that fit parameters of expensive, noisy programs."""

from .fit import Fit as Fit
from .least_squares import least_squares as least_squares
