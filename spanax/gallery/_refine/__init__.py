"""The real systems of `spanax gallery refine`, and its pictures."""
