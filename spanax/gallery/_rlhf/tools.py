"""An assistant that calls tools: two requests of three turns each, and a reward after every turn."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ... import judge

SEARCH, OPEN, COMPUTE, ANSWER = range(4)
TOOLS, START = 4, 4  # before the first call of a request
REQUESTS, TURNS = 2, 3
# What a call earns, by the call before it (the rows) and the call (the columns): a computation pays where a page was opened, and
# an answer is worth most after one.
PAYS = np.array(
    [[-0.2, 0.3, -0.5, 0.2], [-0.2, -0.2, 1.0, 0.5], [-0.2, -0.2, -0.5, 2.0], [0.0, 0.0, 0.0, 0.0], [0.1, -0.2, -0.5, -0.3]],
    np.float32,
)  # fmt: skip


def initial() -> Float[Array, "turns before tools"]:
    """Logits of a call, by the turn of its request and the call before."""
    return jnp.asarray(0.5 * np.random.default_rng(0).normal(size=(TURNS, TOOLS + 1, TOOLS)), jnp.float32)


def logits(params: Float[Array, "turns before tools"], calls: Int[Array, " all"]) -> Float[Array, "all tools"]:
    # A request begins anew: the second one does not see the first.
    turn = jnp.arange(REQUESTS * TURNS) % TURNS
    return params[turn, before(calls)]


def reward(calls: Int[Array, " all"]) -> Float[Array, ""]:
    """Of the whole conversation, as it is for a loss that knows one number for each."""
    return jnp.sum(jnp.asarray(PAYS)[before(calls), calls])


def before(calls: Int[Array, " all"]) -> Int[Array, " all"]:
    """The call before each of them."""
    first = jnp.arange(REQUESTS * TURNS) % TURNS == 0
    return jnp.where(first, START, jnp.roll(calls, 1)).astype(calls.dtype)


AUDIT = judge.PolicyAudit(logits, reward, vocabulary=TOOLS, length=REQUESTS * TURNS)
