"""The parts of `sorting` that its tutorial does not show."""
