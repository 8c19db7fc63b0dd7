"""Differences of a noisy function along lines."""
