"""The page that shows a folder of results."""
