"""The user's own derivative of a black box, which is a call of the host as well.

It is one primitive, linear in the tangents, with `Manual.jvp` as its forward rule and `Manual.vjp` as its transpose. With a
jvp alone reverse mode is exact too: the Jacobian times every unit vector, and its transpose times the cotangent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..._batch_axes import fold_axis, unfold_axis
from ..._errors import SpanaxError
from ..._primitives import new_primitive, set_batching, set_linear
from ...bridges import Manual
from .._request import JVP, VJP, Request, takes_seed
from .primitive import evaluate_rows

if TYPE_CHECKING:
    from .crossing import Crossing

Shapes = Sequence[jax.ShapeDtypeStruct]


@dataclasses.dataclass(frozen=True, eq=False)
class _Derivative:
    """What is static: the call of the black box, its bridge, the shapes of x, and which of its leaves have a tangent."""

    crossing: Crossing
    via: Manual
    points: Shapes
    moves: Sequence[bool]

    @property
    def floats(self) -> list[bool]:
        return [jnp.issubdtype(out.dtype, jnp.floating) for out in self.crossing.outs]

    def split(self, others: Sequence[Array]) -> tuple[Sequence[Array], Sequence[Array]]:
        """x and y, and the seeds."""
        count = len(self.points) + len(self.crossing.outs)
        return others[:count], others[count:]

    def along(self, v: Sequence[Array], others: Sequence[Array]) -> list[Array]:
        """The result's tangents, of its floating-point leaves."""
        if self.via.jvp is None:
            raise SpanaxError(
                f"forward mode through the black box {self.crossing.host.name!r}, whose derivative is Manual(vjp=...)",
                "reverse mode: jax.grad, jax.vjp, jax.jacrev",
                "Manual(jvp=...), which does for both",
                where=self.crossing.where,
            )
        # The user's function gets a tangent for every leaf, whichever of them are differentiated.
        full = _with_zeros(v, self.points, self.moves)
        of = ("v", self.crossing.tree)
        results = self._call(
            JVP, self.via.jvp, of, full, others, (self.crossing.result, self.crossing.outs), len(full[0])
        )
        return [r for r, f in zip(results, self.floats, strict=True) if f]

    def back(self, ct: Sequence[Array], others: Sequence[Array]) -> list[Array]:
        """The cotangents of the leaves of x that have a tangent."""
        if self.via.vjp is None:
            return self._back_by_columns(ct, others)
        full = _with_zeros(ct, self.crossing.outs, self.floats)
        of = ("ct", self.crossing.result)
        results = self._call(VJP, self.via.vjp, of, full, others, (self.crossing.tree, self.points), 1)
        return [r for r, m in zip(results, self.moves, strict=True) if m]

    def _back_by_columns(self, ct: Sequence[Array], others: Sequence[Array]) -> list[Array]:
        """The whole Jacobian, a direction at a time."""
        indices = len(ct[0])
        shapes = [p for p, m in zip(self.points, self.moves, strict=True) if m]
        ends = np.cumsum([int(np.prod(p.shape)) for p in shapes])
        # Every vmap index needs every unit vector: rows are (index, direction), the direction running fastest.
        basis = [
            jnp.tile(part.reshape(-1, *p.shape).astype(p.dtype), (indices, *(1 for _ in p.shape)))
            for part, p in zip(np.split(np.eye(ends[-1]), ends[:-1], axis=1), shapes, strict=True)
        ]
        columns = self.along(basis, [jnp.repeat(other, ends[-1], axis=0) for other in others])
        slope = sum(
            jnp.einsum("ldi,li->ld", column.reshape(indices, ends[-1], -1), c.reshape(indices, -1), precision="highest")
            for column, c in zip(columns, ct, strict=True)
        )
        parts = jnp.split(jnp.asarray(slope), ends[:-1], axis=1)
        return [part.reshape(indices, *p.shape).astype(p.dtype) for part, p in zip(parts, shapes, strict=True)]

    # A tangent that depends on x and y is a call like any other: it is counted, stored and sent to workers.
    def _call(self, kind: str, fn: Any, of: tuple[str, Any], tangents, others, like: tuple[Any, Shapes], group: int):
        (name, tree), (result, shapes) = of, like
        (xy, seeds), crossing = self.split(others), self.crossing
        request = Request(
            fn,
            kind,
            ("x", "y", name),
            (crossing.tree, crossing.result, tree),
            result,
            tuple(jax.ShapeDtypeStruct(s.shape, _tangent_dtype(s)) for s in shapes),
            crossing.where,
            group,
            with_value=False,
            seeded=crossing.host.noisy and takes_seed(fn),
        )
        return evaluate_rows(crossing.host, request, [*xy, *tangents, *seeds])[0]


def manual_tangents(crossing: Crossing, via: Manual, x, y, seeds, moving: Sequence[Array], moves: Sequence[bool]):
    """The tangents of the floating-point results, linear in those of x: by the user's function, in either mode."""
    points = tuple(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in x)
    derivative = _Derivative(crossing, via, points, tuple(moves))
    # Rows first, as for values: under vmap all tangents are one call.
    rows = [leaf[None] for leaf in (*moving, *x, *y, *seeds)]
    return [out[0] for out in _manual_p.bind(*rows, derivative=derivative)]


def pull_back_rows(crossing: Crossing, via: Manual, x, y, seeds, ct: Sequence[Array]) -> list[Array]:
    """The cotangents of all leaves of x, a row for each row of the arrays."""
    points = tuple(jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype) for leaf in x)
    derivative = _Derivative(crossing, via, points, (True,) * len(points))
    floats = [c for c, f in zip(ct, derivative.floats, strict=True) if f]
    return derivative.back(floats, [*x, *y, *seeds])


def _tangent_dtype(shape: jax.ShapeDtypeStruct) -> Any:
    return shape.dtype if jnp.issubdtype(shape.dtype, jnp.floating) else jnp.result_type(float)


def _with_zeros(tangents: Sequence[Array], shapes: Shapes, has: Sequence[bool]) -> list[Array]:
    """A tangent for each leaf, zeros where there is none."""
    rest, rows = iter(tangents), len(tangents[0])
    return [
        next(rest) if h else jnp.zeros((rows, *s.shape), _tangent_dtype(s)) for s, h in zip(shapes, has, strict=True)
    ]


def _count(derivative: _Derivative) -> int:
    return sum(derivative.moves)


def _push_forward(*args, derivative: _Derivative):
    count = _count(derivative)
    return derivative.along(args[:count], args[count:])


def _avals(*args, derivative: _Derivative):
    outs = zip(derivative.crossing.outs, derivative.floats, strict=True)
    return [jax.core.ShapedArray((args[0].shape[0], *out.shape), out.dtype) for out, f in outs if f]


def _batching_rule(args, dims, *, derivative: _Derivative):
    sizes, folded = fold_axis(args, dims)
    return unfold_axis(sizes, _manual_p.bind(*folded, derivative=derivative))


# The linear arguments come first, so that the rule for transposes knows them by their number.
_manual_p = new_primitive("spanax_manual", _push_forward, _avals)
set_batching(_manual_p, _batching_rule)
set_linear(
    _manual_p, lambda cts, *others, derivative: derivative.back(cts, others), lambda derivative: _count(derivative)
)
