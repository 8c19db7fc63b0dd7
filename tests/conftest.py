import os

# Tests compile many small programs once: the compiler's optimisations cost more than they save.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

import hypothesis
import jax
import jax.numpy as jnp
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
hypothesis.settings.register_profile("spanax", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("spanax")


@pytest.fixture
def key():
    return jax.random.key(2026)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """Both precisions: float64 needs x64 for the length of the test."""
    if request.param == "float32":
        yield jnp.float32
    else:
        with jax.enable_x64(True):
            yield jnp.float64


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield
