"""Python's own functions and calls inside a lifted program."""
