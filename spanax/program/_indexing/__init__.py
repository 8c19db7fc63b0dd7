"""Reading and writing parts of arrays and lists."""
