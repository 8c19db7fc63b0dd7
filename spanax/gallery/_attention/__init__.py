"""The parts of `attention` that its tutorial does not show."""
