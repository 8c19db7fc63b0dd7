"""The page `find`: a program that was pasted, looked at in a process of its own that may do next to nothing."""
