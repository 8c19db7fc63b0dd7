"""Faults to be planted in the package, one at a time: the tests of its part have to catch each. `make mutants` runs them."""
