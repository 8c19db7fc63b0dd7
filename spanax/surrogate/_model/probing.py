"""Independent probes: how fn really changes along random directions, at points that nothing was trained on."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
from jaxtyping import Float, Key

from .source import Source, split_keys

# Half distances, in [-1, 1]: of a function without noise, and at most. Near, because roughness on a small scale is what a
# surrogate cannot see in its points.
_NEAR, _FAR = 0.002, 0.4


@dataclasses.dataclass(frozen=True, eq=False)
class Probes:
    """Changes of fn between two points: `middle`, (n, d), `move` from one to the other, `change` of y, (n, m).

    `noises`: how many variances of the noise of a value each change holds.
    """

    middle: Float[np.ndarray, "n d"]
    move: Float[np.ndarray, "n d"]
    change: Float[np.ndarray, "n m"]
    noises: Float[np.ndarray, " n"]

    def __add__(self, other: Probes) -> Probes:
        fields = [f.name for f in dataclasses.fields(self)]
        return Probes(*(np.concatenate([getattr(self, n), getattr(other, n)]) for n in fields))

    def where(self, mask: np.ndarray) -> Probes:
        return Probes(self.middle[mask], self.move[mask], self.change[mask], self.noises[mask])

    def __len__(self) -> int:
        return len(self.middle)

    @property
    def distance(self) -> float:
        """How far apart the two points are, in widths of the box, in the mean."""
        return float(np.mean(np.linalg.norm(self.move, axis=1)) / 2) if len(self) else float("nan")


def reach(noise: Float[np.ndarray, " m"], slopes: Float[np.ndarray, "n m"]) -> float:
    """How far to either side fn is probed, in [-1, 1]: so far that the changes are 3 times the noise, if the box has room.

    `noise`: its standard deviation, or that of its rounding; `slopes`: the surrogate's, along random unit directions.
    """
    typical = np.sqrt(np.mean(np.sum(slopes**2, axis=1)))
    wanted = 3 * np.sqrt(2 * np.sum(noise**2)) / (2 * max(typical, 1e-12))
    return float(np.clip(wanted, _NEAR, _FAR))


def directions(key: Key, n: int, size: int) -> Float[np.ndarray, "n d"]:
    v = np.asarray(jax.random.normal(key, (n, size)), np.float64)
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def probe(source: Source, key: Key, middle: np.ndarray, v: np.ndarray, distance: float, seeds: Key) -> Probes:
    """Central differences; the middle is moved inwards where an end would be out of the box."""
    room = np.abs(v) * distance
    middle = np.clip(middle, room - 1, 1 - room)
    # Both ends have one seed: noise that depends on the seed alone cancels.
    keys = split_keys(seeds, len(v))[np.tile(np.arange(len(v)), 2)] if source.box.host.noisy else key
    ends = np.concatenate([middle + distance * v, middle - distance * v])
    U, Y, kept = source.values(ends, keys)
    both = kept[: len(v)] & kept[len(v) :]
    plus, minus = (slice(None, len(v)), slice(len(v), None))
    # What is left of noise under one seed nobody knows. None is allowed for then: the cosine is rather too low than too high.
    noises = np.full(len(v), 0.0 if source.box.host.seeded else 2.0)
    whole = Probes((U[plus] + U[minus]) / 2, U[plus] - U[minus], Y[plus] - Y[minus], noises)
    return whole.where(both)


def neighbours(U: np.ndarray, Y: np.ndarray, held: np.ndarray) -> Probes:
    """Without further evaluations: differences between each held-out point and the nearest point of the table."""
    from scipy.spatial import KDTree

    # The nearest of all points is the point itself; points that were evaluated twice say nothing of a change.
    unique, index = np.unique(U, axis=0, return_index=True)
    wanted = np.intersect1d(np.flatnonzero(held), index)
    order = np.asarray(KDTree(unique).query(U[wanted], k=2)[1])
    near = index[order[:, 1]]
    noises = np.full(len(wanted), 2.0)
    return Probes((U[wanted] + U[near]) / 2, U[wanted] - U[near], Y[wanted] - Y[near], noises)
