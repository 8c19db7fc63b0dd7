"""Which keys may be shared, against the bits of the keys that are really drawn from.

The check looks at the traced program only. The truth is found apart: for the idioms by running them step by step and
noting the bits of each key, for random index functions by a table of their values, for random programs of keys by a plain
Python interpreter, in which a key is the path that leads to it.
"""

import random

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import spanax as sx
from spanax.stochastic._keys.keys import check_keys

from . import random_keys
from .key_idioms import IDIOMS, data


def flip(key):
    return sx.sample(key, dist.Bernoulli(logits=jnp.float32(0.3)))


def refused(program, key, replicated):
    """Does the check of keys refuse it? `expectation` makes it of the traced program, before anything is run."""
    try:
        check_keys(jax.make_jaxpr(program)(key), replicated, lambda site: None)
    except sx.SpanaxError as error:
        assert "(a)" in str(error) and ".py:" in error.where
        return True
    return False


def of_data(idiom, key, replicated):
    """The same, where the data are traced."""
    found = []

    def program(u):
        found.append(refused(lambda key: idiom(flip, key, u), key, replicated))
        return 0.0

    jax.make_jaxpr(program)(data())
    return found[0]


def keys_drawn_from(idiom, key):
    seen = []

    def draw(key):
        bits = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
        jax.debug.callback(lambda b: seen.append(np.asarray(b).tobytes()), bits, ordered=False)
        return jnp.float32(0.5)

    with jax.disable_jit():
        idiom(draw, key, data())
        jax.effects_barrier()
    return seen


@pytest.mark.few(12)
@pytest.mark.parametrize("name", IDIOMS)
def test_an_idiom(name):
    idiom, verdict = IDIOMS[name]
    seen = keys_drawn_from(idiom, jax.random.key(0))
    assert len(seen) > 0
    assert (len(set(seen)) == len(seen)) == (verdict != "shared")
    for key, replicated in ((jax.random.key(0), True), (jax.random.PRNGKey(0), False)):
        assert of_data(idiom, key, replicated) == (verdict != "distinct")


@pytest.mark.slow
def test_random_functions_of_counters():
    """No shared key goes through. In 540 others, tried once: none either, and none refused whose keys are distinct."""
    refusals = []
    for seed in range(40):
        spec = random_keys.indexed(random.Random(seed))
        key = jax.random.key(0) if seed % 2 else jax.random.PRNGKey(0)
        got = refused(random_keys.indexed_program(spec, flip), key, seed % 3 == 0)
        if random_keys.collides(spec):
            assert got, spec
        else:
            refusals.append(got)
    assert len(refusals) > 5 and sum(refusals) <= 1


def test_random_programs_of_keys():
    """No shared key goes through. In 900 others, tried once: none either, and 3 in 100 refused whose keys are distinct."""
    refusals = []
    for seed in range(120):
        block = random_keys.block(seed)
        drawn = random_keys.paths_drawn_from(block)
        if not drawn[0]:
            continue
        key = jax.random.key(0) if seed % 2 else jax.random.PRNGKey(0)
        got = refused(random_keys.block_program(block, flip), key, seed % 4 < 2)
        if any(len(set(keys)) < len(keys) for keys in drawn):
            assert got, block
        else:
            refusals.append(got)
    assert len(refusals) > 50 and np.mean(refusals) < 0.06
