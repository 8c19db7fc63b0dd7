"""A comparison as text, page, picture and JSON."""
