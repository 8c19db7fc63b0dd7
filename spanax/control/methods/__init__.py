"""The methods of training: what `train(via=...)` takes, one a file."""
