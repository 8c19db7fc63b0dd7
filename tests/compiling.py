"""How the tests compile what runs for longer than it compiles."""

import functools

import jax

# What conftest.py turns off is worth its time here: draws run several times faster.
optimised = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 1})
