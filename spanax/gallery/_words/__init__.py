"""Number words: what they are, who writes them, how they are scored, and the training."""
