"""NumPy's functions on values of a lifted program."""
