"""What `train` is made of."""
