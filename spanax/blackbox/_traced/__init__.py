"""A black box inside a traced program: its equation, its points, its derivative."""
