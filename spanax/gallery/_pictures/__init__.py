"""The pictures of the environments."""
