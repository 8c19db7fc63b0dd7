"""The worked environments."""
