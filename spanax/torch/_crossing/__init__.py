"""A JAX function among tensors, and a torch module among JAX arrays: arrays, programs, derivatives."""
