import jax
import pytest


@pytest.fixture(autouse=True, scope="package")
def ordinary_promotion():
    """Optax's Adam and NumPyro's log-probabilities mix types and ranks, which the other tests forbid."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
