"""What `trust` is made of."""
