"""What the problems in PyTorch share, and their pictures."""
