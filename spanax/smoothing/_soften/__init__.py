"""The interpreter of softened programs, and its rules."""
