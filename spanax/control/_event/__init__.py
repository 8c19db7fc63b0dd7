"""Events: a motion until a condition crosses zero, and the derivative of the moment at which it does."""
