"""What the probing bridges are made of."""
