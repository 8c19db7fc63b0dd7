"""Learned surrogates, and the loops that fit parameters of expensive, noisy programs."""
