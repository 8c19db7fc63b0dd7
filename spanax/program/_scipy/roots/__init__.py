"""`scipy.optimize`: roots."""
