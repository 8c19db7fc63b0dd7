"""What a fitted surrogate consists of: its space, data, network, and the evidence that it can be trusted."""
