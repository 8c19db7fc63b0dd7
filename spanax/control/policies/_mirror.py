"""The mirror image of a problem: linear maps of observations and of actions that undo themselves when they are applied twice.

A policy is equivariant if the mirror image of an observation gets the mirror image of the action. A network's output f becomes
that by averaging over both images, (f(x) + A f(M x)) / 2, with M the map of observations and A that of the output.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..._errors import SpanaxError
from ..env import Box, Discrete


class Mirror(eqx.Module):
    """Matrices; NumPy's, so that they are constants, which training leaves alone.

    - `observation`: of an observation, flattened;
    - `output`: of a network's output: the offset of a continuous action from the middle of its box, or logits;
    - `heads`: of the logits of a choice among heads, where there is one.
    """

    observation: np.ndarray
    output: np.ndarray
    heads: np.ndarray | None = None

    def average(self, function: Callable[[Array], Array], x: Float[Array, " size"], of: np.ndarray) -> Array:
        """(f(x) + A f(M x)) / 2, with A the matrix `of` the output."""
        # In full precision: an accelerator would round signs times numbers, and the image would not be exact.
        image = jnp.matmul(jnp.asarray(self.observation, x.dtype), x, precision="highest")
        out, other = function(x), function(image)
        return (out + jnp.matmul(jnp.asarray(of, out.dtype), other, precision="highest")) / 2

    def with_heads(self, constants: np.ndarray, networks: int, space: Box | Discrete) -> Mirror:
        """And which head is the mirror image of which: a network its own, a constant another constant, or itself."""
        rows = constants.reshape(len(constants), int(np.prod(space.shape)))
        same = np.all(np.isclose(self._images(rows, space)[:, None], rows[None]), -1)
        if not np.array_equal(same.sum(1), np.ones(len(rows))):
            raise SpanaxError(
                f"the mirror image of a constant head is not another one: {constants.tolist()}",
                "constants in pairs, as ChoicePolicy(env, heads=3, key=key) has them",
                "ChoicePolicy(..., symmetric=False)",
            )
        heads = np.eye(networks + len(rows))
        heads[networks:, networks:] = same
        return Mirror(self.observation, self.output, heads)

    def _images(self, constants: np.ndarray, space: Box | Discrete) -> np.ndarray:
        if isinstance(space, Box):
            middle = ((space.high + space.low) / 2).reshape(-1)
            return middle + (constants - middle) @ self.output.T
        if space.n == 2:
            return 1 - constants if self.output[0, 0] < 0 else constants
        return np.argmax(self.output, 1)[:, None]


def mirror_of(observation: Any, action: Any, size: int, space: Box | Discrete) -> Mirror:
    """From what a user says of observations of `size` numbers and of actions; raises `SpanaxError` for what is not a mirror."""
    there = _involution("observation", -1.0 if observation is None else observation, size)
    if isinstance(space, Box):
        return Mirror(there, _involution("action", -1.0 if action is None else action, int(np.prod(space.shape))))
    swap = _permutation(action, space.n)
    # Of two actions there is one logit, which changes its sign.
    return Mirror(there, np.array([[-1.0 if swap[0, 1] else 1.0]]) if space.n == 2 else swap)


def _involution(name: str, what: Any, size: int) -> np.ndarray:
    """A matrix from a sign, signs, a matrix or a function."""
    remedies = (f"signs, {size} of -1 or 1", f"a matrix of {size} by {size}", "a linear function")
    try:
        matrix = _matrix(what, size)
    except Exception as error:
        raise SpanaxError(f"mirrored({name}={what!r}): {error}", *remedies) from error
    if matrix.shape != (size, size):
        raise SpanaxError(f"mirrored({name}={what!r}), of {size} numbers", *remedies)
    # A mirror image of a mirror image is what it was; of another map the policy would be no more than an average.
    if not np.allclose(matrix @ matrix, np.eye(size), atol=1e-5):
        raise SpanaxError(
            f"mirrored({name}={what!r}): applied twice, it does not give back what it was given", *remedies
        )
    return matrix


def _matrix(what: Any, size: int) -> np.ndarray:
    if callable(what):
        columns = np.stack([np.asarray(what(jnp.asarray(row, float)), float).reshape(-1) for row in np.eye(size)], 1)
        # Any function has columns; those of a linear one tell its value everywhere else.
        probe = np.linspace(0.3, 1.7, size) * (-1.0) ** np.arange(size)
        # Of both signs: an absolute value is linear on positive numbers.
        for x in (probe, -probe):
            if np.allclose(np.asarray(what(jnp.asarray(x, float))).reshape(-1), columns @ x, atol=1e-4):
                continue
            raise ValueError("the function is not linear")
        return columns
    array = np.asarray(what, float)
    return array if array.ndim == 2 else np.diag(np.broadcast_to(array, (size,)))


def _permutation(action: Any, n: int) -> np.ndarray:
    """Of n actions; None: in the opposite order."""
    order = range(n)[::-1] if action is None else [action(i) for i in range(n)] if callable(action) else action
    order = np.asarray(order)
    if (
        order.shape != (n,)
        or not np.array_equal(np.sort(order), np.arange(n))
        or not np.array_equal(order[order], np.arange(n))
    ):
        raise SpanaxError(
            f"mirrored(action={action!r}), of {n} discrete actions",
            f"the mirror image of each action, such as {list(range(n))[::-1]}",
        )
    return np.eye(n)[order]
