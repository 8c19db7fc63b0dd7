"""Mathematics that several parts share: distributions and their log-probabilities, noise, directions, sorting."""
