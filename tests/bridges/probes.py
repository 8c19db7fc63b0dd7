"""What the tests of the probing bridges share: functions with known derivatives, and one whole call of a bridge."""

import jax
import jax.numpy as jnp
import numpy as np

from spanax.bridges import Tuned


def estimate(bridge, f, x, ct=1.0, key=None, kept=None):
    """The derivative as a black box would get it, with f evaluated by `jax.vmap` at all points."""
    y = f(x)
    if isinstance(bridge, Tuned) and (P := bridge.pilot(x, key)) is not None:
        bridge = bridge.fitted(x, P, jax.vmap(f)(P), y)
    X = bridge.points(x, key)
    return bridge.combine(x, X, jax.vmap(f)(X), ct, y=y, kept=kept)


def many(bridge, f, x, ct, key, count, kept=None):
    """`count` independent estimates, each flattened, in float64; `kept(key)` makes the mask of one."""

    def one(key):
        mask = None if kept is None else kept(jax.random.fold_in(key, 1))
        estimated = estimate(bridge, f, x, ct, key, mask)
        return jnp.concatenate([leaf.ravel().astype(jnp.result_type(float)) for leaf in jax.tree.leaves(estimated)])

    return np.asarray(jax.jit(jax.vmap(one))(jax.random.split(key, count)), float)


def agree(found, expected, errors=4.0):
    """The mean of the rows is `expected` within so many standard errors, and the error is small enough to tell."""
    expected = np.asarray(expected, float)
    error = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(0) - expected) <= errors * error + 1e-6 * (1 + np.abs(expected)))
    assert np.all(error < 0.1 * np.linalg.norm(expected) + 1e-6), "too few draws to tell"
