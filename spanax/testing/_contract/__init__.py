"""The contract of bridges, kind by kind."""
