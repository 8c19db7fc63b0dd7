"""The epidemic, where it is run, and how its fits are drawn."""
