"""The parts of a descent: its step, its file, and what its noisy values say."""
