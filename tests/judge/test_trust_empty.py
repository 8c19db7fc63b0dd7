"""`trust` of a step whose state has parts without elements, such as the activations of a model without muscles."""

import jax.numpy as jnp

import spanax as sx


def test_parts_without_elements(key):
    found = sx.trust(lambda x, none: (jnp.sin(x), none * 2.0), 0.3, jnp.zeros(0), key=key)
    assert [output.why for output in found.outputs] == ["right"]
