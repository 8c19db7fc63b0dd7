"""What the bridge `Surrogate` learns, and how far it is trusted."""
