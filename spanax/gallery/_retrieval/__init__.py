"""Documents of Python's standard library, the tasks made of them, the two networks, and their training."""
