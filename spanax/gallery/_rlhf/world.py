"""A language small enough to enumerate: digits that add up to the number in the prompt, and a small network that writes them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ... import judge

END, VOCABULARY, LENGTH = 0, 8, 5  # the tokens are the digits 1 to 7, and 0 ends
SUMS = 5, 11, 20  # the prompts: what the digits are to add up to
WIDTH = 12
START = 1  # seed of the first parameters, from which one prompt becomes easy, one middling, and one stays hard
EARLY, EARLY_RATE = 28, 1.0  # steps until they are
LATE, LATE_RATE = 4, 0.5  # the last steps: policies that many steps behind draw for PPO

Params = dict[str, Float[Array, "..."]]


def logits(params: Params, tokens: Int[Array, " length"], prompt: Int[Array, ""]) -> Float[Array, "length vocabulary"]:
    """Of each token, from the sum of the vectors that stand for the tokens before it."""
    vectors = params["token"][tokens]
    before = jnp.cumsum(vectors, axis=0) - vectors
    hidden = jnp.tanh(before + params["position"] + params["prompt"][prompt][None])
    return hidden @ params["out"] + params["shift"][None]


def reward(tokens: Int[Array, " length"], prompt: Int[Array, ""]) -> Array:
    """Do they add up? What is behind the end is 0."""
    return jnp.sum(tokens) == jnp.asarray(SUMS)[prompt]


def audit(prompts: Int[Array, " prompts"]) -> judge.PolicyAudit:
    return judge.PolicyAudit(logits, reward, vocabulary=VOCABULARY, length=LENGTH, end=END, prompts=prompts)


AUDIT = audit(jnp.arange(len(SUMS)))


def initial() -> Params:
    random = np.random.default_rng(START)
    shapes = {
        "token": (VOCABULARY, WIDTH),
        "position": (LENGTH, WIDTH),
        "prompt": (len(SUMS), WIDTH),
        "out": (WIDTH, VOCABULARY),
        "shift": (VOCABULARY,),
    }
    return {name: jnp.asarray(0.5 * random.normal(size=shape), jnp.float32) for name, shape in shapes.items()}


def learn() -> tuple[list[Params], Params]:
    """The policies of the last steps of exact gradient ascent, the newest first, and the exact gradient at that one."""
    slope = jax.jit(jax.grad(AUDIT.expected_loss))
    found = [initial()]
    for rate in [EARLY_RATE] * EARLY + [LATE_RATE] * LATE:
        found.append(jax.tree.map(lambda p, g, rate=rate: p - rate * g, found[-1], slope(found[-1])))
    return found[: -LATE - 2 : -1], slope(found[-1])


def solved(params: Params) -> list[float]:
    """How often a prompt is answered rightly, for each of them."""
    return [-float(jax.jit(audit(jnp.array([k])).expected_loss)(params)) for k in range(len(SUMS))]
