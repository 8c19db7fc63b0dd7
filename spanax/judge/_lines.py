"""Directions along which a gradient is compared with differences."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from ._program import Program


class Line(eqx.Module):
    """`v`: one array for each leaf, of length 1 in units of the leaves' sizes."""

    v: list[Array]
    name: str = eqx.field(static=True)


def lines(program: Program, gradient: Sequence[np.ndarray], key: Key[Array, ""], count: int) -> list[Line]:
    """The mean gradient, where there is one; then random directions, each of one part of the leaves, in turn.

    An error of the gradient stands out most along the gradient itself, where all of its elements help and its noise
    does not add up; a leaf that has none only along that leaf. No more directions than numbers.
    """
    count = min(count, sum(x.size for x in program.leaves))
    scales = [_size(x) for x in program.leaves]
    own = _unit([g * s for g, s in zip(gradient, scales, strict=True)])
    found = [] if own is None else [("the mean gradient", own)]
    parts = np.array_split(np.arange(len(program.leaves)), min(len(program.leaves), max(1, count - len(found))))
    random = np.random.default_rng(np.asarray(jax.random.bits(key, (4,))))
    for k in range(count - len(found)):
        part = parts[k % len(parts)]
        shapes = [(x.shape if i in part else None) for i, x in enumerate(program.leaves)]
        normal = [
            np.zeros(x.shape) if s is None else random.normal(size=s)
            for s, x in zip(shapes, program.leaves, strict=True)
        ]
        found.append((_called(program, part), _unit(normal) or normal))
    return [
        Line([jnp.asarray(u * s, x.dtype) for u, s, x in zip(v, scales, program.leaves, strict=True)], name)
        for name, v in found
    ]


def _called(program: Program, part: np.ndarray) -> str:
    names = [program.names[i] for i in part]
    return ", ".join(names) if len(names) <= 2 else f"{names[0]}, {names[1]} and {len(names) - 2} more"


def _size(x: Array) -> float:
    """max(1, root mean square)"""
    return max(1.0, float(np.sqrt(np.mean(np.asarray(x, np.float64) ** 2))))


def _unit(v: Sequence[np.ndarray]) -> list[np.ndarray] | None:
    length = np.sqrt(sum(np.sum(x**2) for x in v))
    return [x / length for x in v] if 0 < length < np.inf else None
