"""How the tests compile: most of them quickly, and what runs for longer than it compiles with more care."""

import functools
import os
import subprocess
import sys

import jax

# Tests compile many small programs once: the compiler's optimisations cost more than they save, and so do its emitters of
# fusions by way of MLIR. No fused multiply-add either (AVX has none): without optimisation it is used here and not there, so
# that a loop's condition and its body may round the same number differently, and the loop never end.
_QUICK = {
    "xla_backend_optimization_level": "0",
    "xla_llvm_disable_expensive_passes": "true",
    "xla_cpu_max_isa": "AVX",
    "xla_cpu_use_fusion_emitters": "false",
    "xla_cpu_parallel_codegen_split_count": "1",
}


def quick_flags() -> str:
    """For XLA_FLAGS: those that this version of JAX lists. At one that it does not know it would end the process."""
    asked = {**os.environ, "XLA_FLAGS": "--help"}
    told = subprocess.run(
        [sys.executable, "-c", "import jax; jax.devices()"], env=asked, capture_output=True, text=True
    )
    return " ".join(f"--{name}={value}" for name, value in _QUICK.items() if f"--{name}=" in told.stderr)


# What quick_flags turns off is worth its time here: draws run several times faster.
optimised = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 1})
