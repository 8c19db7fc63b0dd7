"""`least_squares` inside: the vector of parameters, the residuals and their Jacobian, the damped step, the loop, the covariance."""
