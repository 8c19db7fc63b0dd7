"""Draws and costs inside a program, and the expectation over them."""

from .expectation import expect as expect, expectation as expectation
from .sampling import cost as cost, sample as sample
