"""Derivatives of traced programs that are 0 where the value does not reach the result."""
