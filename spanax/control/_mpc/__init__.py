"""What `control.MPC` is made of: the problem, its Newton step, the search, and the derivative of its solution."""
