"""Directions along which a gradient is compared with differences."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from ..._math.directions import widest
from .objective import Objective

OWN, RANDOM = "the mean gradient", "a random direction"


class Lines(eqx.Module):
    """k directions, of length 1 in units of the leaves' sizes, in one vector over all elements of all leaves.

    Line j moves element i along `weights[j, owner[i]] * bases[base[j], i]`: the directions of single leaves are parts of one
    base, so that 1,000 of them take no more memory than one.
    """

    bases: Float[Array, "bases size"]
    base: Int[Array, " k"]
    weights: Float[Array, "k leaves"]
    owner: Int[Array, " size"]  # the position of its leaf
    names: tuple[str, ...] = eqx.field(static=True)
    of_leaves: int = eqx.field(static=True)  # so many of the last ones move one leaf, or a few

    def move(self, leaves: Sequence[Array], line: Int[Array, ""], step: Float[Array, ""]) -> list[Array]:
        along = self.weights[line][self.owner] * self.bases[self.base[line]]
        point = _flat(leaves, self.bases.dtype) + step.astype(along.dtype) * along
        ends = np.cumsum([x.size for x in leaves]).tolist()
        return [point[end - x.size : end].reshape(x.shape).astype(x.dtype) for x, end in zip(leaves, ends, strict=True)]

    def slopes(self, gradient: Sequence[Array]) -> Float[Array, " k"]:
        """Of the gradient along each line."""
        products = (self.bases * _flat(gradient, self.bases.dtype)[None]).T
        by_leaf = jax.ops.segment_sum(products, self.owner, len(gradient), indices_are_sorted=True).T
        return jnp.sum(self.weights * by_leaf[self.base], -1)


def _flat(leaves: Sequence[Array], dtype) -> Float[Array, " size"]:
    return jnp.concatenate([x.ravel().astype(dtype) for x in leaves])


def lines(program: Objective, gradient: Sequence[np.ndarray], key: Key[Array, ""], count: int, leaves: int) -> Lines:
    """The mean gradient, where there is one, and random directions: `count` together; then single leaves.

    An error of the gradient stands out most along the gradient itself, where all of its elements help and its noise does not add
    up; and one in a small leaf, along that leaf. Of more leaves than `leaves`, those whose gradients are of about the same size
    are moved together: a large one does not hide a small one there.
    """
    # What is drawn here, in this order, fixes the directions of a key: parts of it elsewhere would hide that.
    scales, every = [_size(x) for x in program.leaves], len(program.leaves)
    scaled = [g * s for g, s in zip(gradient, scales, strict=True)]
    draw = np.random.default_rng(np.asarray(jax.random.bits(key, (4,))))
    count = min(count, sum(x.size for x in program.leaves))
    vectors, has_own = _of_all_leaves(draw, program, scaled, count)
    parts = _parts([float(np.sqrt(np.sum(g**2))) for g in scaled], leaves) if every > 1 else []
    # The directions of single leaves share one base, which holds a direction for each of them.
    if parts:
        vectors.append([_along(draw, g) for g in scaled])
    weights = [np.ones(every)] * count + [_weights_of(part, every) for part in parts]
    dtype = widest(program.leaves)
    return Lines(
        jnp.asarray(_bases(vectors, program, scales), dtype),
        jnp.asarray([*range(count), *[count] * len(parts)]),
        jnp.asarray(np.stack(weights), dtype),
        jnp.asarray(np.repeat(np.arange(every), [x.size for x in program.leaves])),
        (*_names(program, count, has_own), *(_name_of(program, part) for part in parts)),
        len(parts),
    )


def _of_all_leaves(
    draw: np.random.Generator, program: Objective, scaled: Sequence[np.ndarray], count: int
) -> tuple[list[list[np.ndarray]], bool]:
    """`count` directions that move every leaf, and whether the first of them is the gradient's own."""
    # An error of the gradient is largest along the gradient, and there its noise does not add up over elements.
    own = _unit(scaled)
    vectors = [] if own is None else [own]
    return [*vectors, *(_random(draw, program.leaves) for _ in range(count - len(vectors)))], own is not None


def _weights_of(part: np.ndarray, leaves: int) -> np.ndarray:
    """Of a direction that moves these leaves only: each by as much, and by 1 together."""
    return np.isin(np.arange(leaves), part) / np.sqrt(len(part))


def _bases(vectors: Sequence[Sequence[np.ndarray]], program: Objective, scales: Sequence[float]) -> np.ndarray:
    """One row each, in units of the leaves' sizes."""
    units = np.concatenate([np.full(x.size, scale) for x, scale in zip(program.leaves, scales, strict=True)])
    return np.stack([np.concatenate([v.ravel() for v in vector]) for vector in vectors]) * units


def _names(program: Objective, count: int, has_own: bool) -> list[str]:
    """Of the directions of all leaves together; of a single leaf, its name."""
    other = RANDOM if len(program.leaves) > 1 else program.names[0]
    return [OWN] * has_own + [other] * (count - has_own)


def _parts(sizes: Sequence[float], most: int) -> list[np.ndarray]:
    """The positions of the leaves, each by itself, or those of about the same size together, in at most so many parts."""
    if len(sizes) <= most:
        return [np.array([i]) for i in range(len(sizes))]
    # Sorted by size before they are split, so that a part holds leaves of about the same size.
    order = np.argsort(sizes, kind="stable")
    return [np.sort(part) for part in np.array_split(order, most)]


def _random(draw: np.random.Generator, leaves: Sequence[Array]) -> list[np.ndarray]:
    normal = [draw.normal(size=x.shape) for x in leaves]
    return _unit(normal) or normal


def _along(draw: np.random.Generator, g: np.ndarray) -> np.ndarray:
    """Of one leaf: halfway between its mean gradient and a random direction, as it may be wrong in size or elsewhere."""
    (random,) = _unit([draw.normal(size=g.shape)]) or [np.ones(g.shape)]
    own = _unit([g])
    if own is None:
        return random
    # Halfway: the gradient's own direction finds an error in size, the random one an error elsewhere; the sign keeps
    # them from cancelling.
    (mixed,) = _unit([own[0] + np.copysign(1.0, np.sum(own[0] * random)) * random]) or own
    return mixed


def _name_of(program: Objective, part: np.ndarray) -> str:
    names = [program.names[i] for i in part]
    return ", ".join(names) if len(names) <= 2 else f"{names[0]}, {names[1]} and {len(names) - 2} more"


def _size(x: Array) -> float:
    """max(1, root mean square)"""
    return max(1.0, float(np.sqrt(np.mean(np.asarray(x, np.float64) ** 2))))


def _unit(v: Sequence[np.ndarray]) -> list[np.ndarray] | None:
    length = np.sqrt(sum(np.sum(x**2) for x in v))
    return [x / length for x in v] if 0 < length < np.inf else None
