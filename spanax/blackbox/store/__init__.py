"""Evaluations of a black box that outlive the process."""

from .store import Store as Store
