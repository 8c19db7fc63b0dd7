"""Measuring gradients: moments, statistics, times, verdicts."""
