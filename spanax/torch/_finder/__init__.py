"""How `find_gaps` listens to a PyTorch program: what is recorded, and what follows from it."""
