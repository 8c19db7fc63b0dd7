"""`scipy.integrate`."""
