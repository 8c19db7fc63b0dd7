"""The search for the best bridges of a program."""
