"""The commands of `spanax gallery`, a file for each problem or a few of one kind, and the tables that they print."""
