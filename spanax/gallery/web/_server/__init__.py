"""What stands between a request and its answer: who may ask, how much, how long, and which files."""
