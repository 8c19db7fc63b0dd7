"""One call of a black box: its values at x and at the points of a bridge, in one call of the host.

One call, because a call of the host is a synchronisation of the whole program, and because the workers then have all points
at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from ..._pytree import PyTree
from ...bridges import Box, Bridge
from .._bounds import Bounds, check_room
from .._host import Host
from .._request import COMPLEX, VALUE, Request
from .keys import seed_of
from .primitive import evaluate_rows

MaybeKept = Bool[Array, " n"] | None  # None: all
MaybeKey = Any  # a key, or None where the user gave none


@dataclasses.dataclass(frozen=True, eq=False)
class Crossing:
    """What is static about one call of a black box.

    `tree`: of x; `result`, `outs`: structure, shapes and dtypes of the result; `via`: the bridge without its arrays; `bounds`: of
    each leaf of x, if there are any. Its methods take and give lists of leaves; `active`: which leaves of x are differentiated.
    """

    host: Host
    tree: Any
    result: Any
    outs: tuple[jax.ShapeDtypeStruct, ...]
    via: Bridge
    where: str
    bounds: tuple[Bounds, ...] | None = None

    def box(self, active: Sequence[bool]) -> Box:
        """The bounds as the bridge sees them; see `point`."""
        assert self.bounds is not None
        check_room(self.bounds, active, self.where)
        # Leaves that are not differentiated have no numbers, in the box as in the point.
        low = [jnp.asarray(b.low) if a else jnp.zeros((0,)) for b, a in zip(self.bounds, active, strict=True)]
        high = [jnp.asarray(b.high) if a else jnp.zeros((0,)) for b, a in zip(self.bounds, active, strict=True)]
        return Box(jax.tree.unflatten(self.tree, low), jax.tree.unflatten(self.tree, high))

    def value(self, x: Sequence[Array], key: MaybeKey) -> list[Array]:
        """f(x)."""
        return [result[0] for result in self._evaluate(self._request(), [leaf[None] for leaf in x], key)[0]]

    def values(
        self,
        x: Sequence[Array],
        active: Sequence[bool],
        X: PyTree[Array],
        y: Sequence[Array],
        key: MaybeKey,
        **group: Any,
    ) -> tuple[list[Array], MaybeKept]:
        """f at all points X, and which of the results there are; y: the floats of f(x). `group`: further fields of `Request`."""
        rows = [
            at if a else jnp.broadcast_to(leaf, (len(at), *leaf.shape))
            for leaf, at, a in zip(x, jax.tree.leaves(X), active, strict=True)
        ]
        request = self._request(X, group=len(rows[0]), with_value=False, references=len(y), **group)
        return self._evaluate(request, rows, key, [leaf[None] for leaf in y])

    def value_and_values(
        self, x: Sequence[Array], active: Sequence[bool], X: PyTree[Array], key: MaybeKey, **group: Any
    ) -> tuple[list[Array], list[Array], MaybeKept]:
        """f(x) and `values`, in one call of the host."""
        # The value is the first row. Leaves that are not differentiated stay as they are in every row.
        rows = [
            jnp.concatenate([leaf[None].astype(at.dtype), at])
            if a
            else jnp.broadcast_to(leaf, (1 + len(at), *leaf.shape))
            for leaf, at, a in zip(x, jax.tree.leaves(X), active, strict=True)
        ]
        request = self._request(X, group=len(rows[0]), **group)
        results, kept = self._evaluate(request, rows, key)
        # At a real point the imaginary part is 0, which the host has checked.
        y = [r[0].real if is_float(out) else r[0] for r, out in zip(results, self.outs, strict=True)]
        return y, [r[1:] for r in results], kept if kept is None else kept[1:]

    def rows_request(self, rows: int) -> Request:
        """Values at points that belong to no derivative: each stands for itself, and any number of them may be missing."""
        return self._request(group=rows, with_value=False, usable=np.any)

    def point(self, x: Sequence[Array], active: Sequence[bool]) -> PyTree[Array]:
        """x as the bridge sees it: leaves that are not differentiated have no numbers."""
        return jax.tree.unflatten(
            self.tree, [leaf if a else jnp.zeros((0,)) for leaf, a in zip(x, active, strict=True)]
        )

    def seed_words(self, key: MaybeKey) -> list[Array]:
        """Two 32-bit words, where the function is noisy."""
        return [seed_of(key)] if self.host.noisy else []

    def _request(self, X: PyTree[Array] = (), **group: Any) -> Request:
        """At complex points of real leaves, the results are complex as well."""
        # Their real parts are f(x) to second order in the step; `kind` keeps them apart from values in the store.
        kind, outs = VALUE, self.outs
        # A function that returns complex numbers anyway has no complex step.
        if any(map(jnp.iscomplexobj, jax.tree.leaves(X))) and not any(jnp.iscomplexobj(out) for out in outs):
            kind, outs = COMPLEX, tuple(_as_complex(out) if is_float(out) else out for out in outs)
        return Request(
            self.host.fn,
            kind,
            ("x",),
            (self.tree,),
            self.result,
            outs,
            self.where,
            seeded=self.host.seeded,
            bounds=self.bounds,
            **group,
        )

    def _evaluate(
        self, request: Request, rows: Sequence[Array], key: MaybeKey, references: Sequence[Array] = ()
    ) -> tuple[list[Array], MaybeKept]:
        """All rows of one call have one seed: the derivative is that of the function of x and `key`."""
        seeds = [jnp.broadcast_to(seed, (len(rows[0]), *seed.shape)) for seed in self.seed_words(key)]
        return evaluate_rows(self.host, request, [*rows, *seeds, *references])


def is_float(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jnp.floating)


def _as_complex(out: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(out.shape, jnp.complex128 if out.dtype == jnp.float64 else jnp.complex64)
