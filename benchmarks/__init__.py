"""Side-by-side timings of Spanax, hand-written JAX and peers. `python -m benchmarks.NAME` from the repository root."""
