"""The gradient that a bias is measured against."""
