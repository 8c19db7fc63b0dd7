"""`least_squares` inside: the vector of parameters, residuals and their Jacobian, the damped step, the loop, the errors."""
