"""Bridges that learn, inside a traced program: what they have learnt comes from the host, and what they see goes there.

Not through arguments of the program: a function that was compiled before, `jax.jit(simulate)`, is to learn as well. So two
equations call the host: one gives the state that a loop has put there, one takes the evidence of a gradient along.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.core
import numpy as np
from jaxtyping import Array

from ..._batch_axes import fold_axis, unfold_axis
from ..._errors import SpanaxError
from ..._math.hashing import folded_in
from ..._primitives import new_host_primitive, set_batching
from ..._pytree import PyTree
from ...bridges.base import Learning
from .._host import Host


@dataclasses.dataclass(eq=False)
class Pupil:
    """One bridge at one place, static in the equations. `empty`: its state before it has learnt anything.

    `state`: what the loop that runs the program has put here; `evidence`: what was seen since then, None where nobody asks.
    """

    host: Host
    via: Learning
    empty: PyTree[np.ndarray]
    state: PyTree[np.ndarray] | None = None
    evidence: list[PyTree[np.ndarray]] | None = None
    form: Any = None
    others: set[int] = dataclasses.field(default_factory=set)

    @property
    def name(self) -> str:
        return self.host.name

    def take(self, leaves: Sequence[np.ndarray], other: int) -> None:
        """The evidence of one gradient. `other`: the bits of all that is not differentiated."""
        if self.evidence is None:
            return
        self.others.add(other)
        # One model of several functions averages them: a control variate is none the worse, a gradient is another one.
        if len(self.others) > 1 and getattr(self.via, "trust", "") == "direct":
            problem = f"the black box {self.name!r} is called with different values of what is not differentiated"
            self.host.problem = SpanaxError(
                f'{problem}: trust="direct" would take them for one function',
                'trust="control-variate"',
                "a black box of its own for each of them",
            )
            raise self.host.problem
        self.evidence.append(jax.tree.unflatten(self.form, [np.array(leaf) for leaf in leaves]))


def taught(host: Host, via: Learning, point: PyTree[Array], outs: Sequence[Any]) -> tuple[Learning, Pupil]:
    """The bridge with what it has learnt so far."""
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), point)
    pupil = Pupil(host, via, via.untrained(shapes, list(outs)))
    leaves, tree = jax.tree.flatten(pupil.empty)
    return via.holding(jax.tree.unflatten(tree, state_p.bind(pupil=pupil) if leaves else [])), pupil


def tell(pupil: Pupil, via: Any, values: tuple, others: Sequence[Array]) -> list[Array]:
    """The values Y as they are, whose evidence goes to the host on the way. `others`: leaves of x that stay as they are."""
    point, X, Y, y, kept = values
    leaves, pupil.form = jax.tree.flatten(_evidence(via, point, X, Y, y, kept))
    # The first operands come back: an equation whose results nothing needs would be dropped, and the evidence with it.
    other = jax.random.key_data(folded_in(jax.random.key(0), others))[-1]
    rows = _evidence_p.bind(*(leaf[None] for leaf in (*Y, *leaves, other)), pupil=pupil, values=len(Y))
    return [row[0] for row in rows]


@eqx.filter_jit
def _evidence(via: Learning, point, X, Y, y, kept) -> PyTree[Array]:
    return via.evidence(point, X, Y, y=y, kept=kept)


def _give(*, pupil: Pupil) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(pupil.empty if pupil.state is None else pupil.state)]


def _state_avals(*, pupil: Pupil) -> list[Any]:
    return [jax.core.ShapedArray(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(pupil.empty)]


def _take(*arrays: np.ndarray, pupil: Pupil, values: int) -> list[np.ndarray]:
    for *leaves, other in zip(*arrays[values:], strict=True):
        pupil.take(leaves, int(other))
    return [np.asarray(array) for array in arrays[:values]]


def _evidence_avals(*arrays, pupil: Pupil, values: int) -> list[Any]:
    return [jax.core.ShapedArray(array.shape, array.dtype) for array in arrays[:values]]


def _batching_rule(args, dims, *, pupil: Pupil, values: int):
    sizes, folded = fold_axis(args, dims)
    return unfold_axis(sizes, _evidence_p.bind(*folded, pupil=pupil, values=values))


state_p = new_host_primitive("spanax_learnt", _give, _state_avals)
_evidence_p = new_host_primitive("spanax_evidence", _take, _evidence_avals)
set_batching(_evidence_p, _batching_rule)
