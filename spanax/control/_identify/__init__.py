"""What `identify` is made of: data, the problem of least squares, its solution, what it determines, and the residual network."""
