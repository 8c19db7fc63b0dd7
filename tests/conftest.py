import gc
import os

import hypothesis
import jax
import jax.numpy as jnp
import pytest

from .compiling import quick_flags
from .selecting import mark_slow

# A value that is set already is kept: with an empty one, tests compile as users do. Workers inherit it, and JAX reads it when
# it first computes.
if "XLA_FLAGS" not in os.environ:
    os.environ["XLA_FLAGS"] = quick_flags()

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
hypothesis.settings.register_profile("spanax", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("spanax")


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items):
    """The longest tests first: they are done in young processes, and none is left over for one worker at the end."""
    mark_slow(items)
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
