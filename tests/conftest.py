import gc
import os

# Tests compile many small programs once: the compiler's optimisations cost more than they save, and so do its emitters of
# fusions by way of MLIR. No fused multiply-add either (AVX has none): without optimisation it is used here and not there, so
# that a loop's condition and its body may round the same number differently, and the loop never end. An XLA_FLAGS that is set
# already is kept: with an empty one, tests compile as users do.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true --xla_cpu_max_isa=AVX "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)

import hypothesis
import jax
import jax.numpy as jnp
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
hypothesis.settings.register_profile("spanax", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("spanax")


def pytest_collection_modifyitems(items):
    """The longest tests first: they are done in young processes, and none is left over for one worker at the end."""
    items.sort(key=lambda item: "tests/testing/" not in item.nodeid)


def pytest_collection_finish():
    """What is imported stays: the garbage collector need not look at it again and again, and seldom at what is traced."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_sessionfinish():
    """Pytest and Python collect several times at the end: once is enough in a large process."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def a_process_that_stays_small():
    """What was compiled takes a megabyte or so each, and with gigabytes of it whatever comes after is a sixth slower."""
    yield
    jax.clear_caches()


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
