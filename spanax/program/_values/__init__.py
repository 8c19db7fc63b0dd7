"""The values that a lifted program computes with."""
