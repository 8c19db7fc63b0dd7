"""The worlds of `rlhf`, the results and their picture."""
