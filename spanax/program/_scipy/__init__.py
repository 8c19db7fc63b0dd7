"""SciPy on values of a lifted program: right, or refused by name."""

from .door import apply as apply
