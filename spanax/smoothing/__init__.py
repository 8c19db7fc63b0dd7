"""Smoothing of whole programs."""

from .guide import Guide as Guide
from .smooth import smooth as smooth
from .soften import soften as soften
