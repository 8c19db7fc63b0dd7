"""The gradient of a plain function: which arguments, and by which of three routes."""
