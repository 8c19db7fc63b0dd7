"""Learned surrogates, and the loops that fit parameters of expensive, noisy programs."""

from .descend import descend as descend
from .descent import Descent as Descent, DescentError as DescentError, Iterate as Iterate
