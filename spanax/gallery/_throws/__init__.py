"""The parts of the problems that throw."""
