"""The page of `spanax serve`: the gallery's results, toys that the library computes, and `find`."""
