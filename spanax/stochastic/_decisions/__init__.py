"""Where a draw decides something, and whether the program jumps there."""
