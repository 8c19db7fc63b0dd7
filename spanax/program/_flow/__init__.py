"""Branches and loops of a lifted program."""
