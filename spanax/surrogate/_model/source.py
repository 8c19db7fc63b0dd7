"""Where a surrogate's numbers come from: a black box that is evaluated, or the table of a store."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Key

from ..._errors import SpanaxError
from ...blackbox import BlackBox
from .space import Space, number_names


class Form(NamedTuple):
    """Of a result: its `tree`, the `shapes` and `dtypes` of its leaves, and the `names` of its numbers."""

    tree: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, out: Any) -> Form:
        """Raises `SpanaxError` for complex numbers, and for none at all."""
        leaves, tree = jax.tree.flatten(out)
        if any(jnp.issubdtype(leaf.dtype, jnp.complexfloating) for leaf in leaves):
            raise SpanaxError("fn returns complex numbers", "their real and imaginary parts, as two numbers")
        shapes = tuple(tuple(map(int, leaf.shape)) for leaf in leaves)
        names = number_names("y", tree, shapes)
        if not names:
            raise SpanaxError("fn returns no numbers", "a number, or a pytree of arrays")
        return cls(tree, shapes, tuple(_float_name(leaf.dtype) for leaf in leaves), names)

    @property
    def size(self) -> int:
        return len(self.names)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of each leaf."""
        return tuple(int(np.prod(shape)) for shape in self.shapes)

    def flat(self, Y: Any) -> Float[np.ndarray, "n m"]:
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(Y)]
        return np.concatenate([leaf.reshape(len(leaf), -1).astype(np.float64) for leaf in leaves], axis=1)

    def split(self, flat: Any) -> list[Any]:
        """Along the last axis, one array for each leaf."""
        ends = np.cumsum(self.sizes)[:-1].tolist()
        xp = jnp if isinstance(flat, jax.Array) else np
        parts = xp.split(flat, ends, axis=-1)
        return [part.reshape(*flat.shape[:-1], *shape) for part, shape in zip(parts, self.shapes, strict=True)]


class Slopes(NamedTuple):
    """The derivative of one output at each point: `output[i]` along u, NaN where there is none."""

    slope: Float[np.ndarray, "n d"]
    output: Int[np.ndarray, " n"]


@dataclasses.dataclass(eq=False)
class Source:
    """A black box whose points are in [-1, 1]^d, and whose results are vectors.

    `derivative_cost`: evaluations for one derivative; 0: it has none. `asked`, `failed`: points so far.
    """

    box: BlackBox
    space: Space
    form: Form
    derivative_cost: int
    asked: int = 0
    failed: int = 0

    def values(
        self, U: Float[np.ndarray, "n d"], keys: Key
    ) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n m"], Bool[np.ndarray, " n"]]:
        """Where the points lie after rounding, the results, and which of them there are."""
        X, U = self.space.rows(U)
        Y, kept = self.box.evaluate(X, key=keys if self.box.host.noisy else None)
        flat = self.form.flat(Y)
        infinite = kept & ~np.all(np.isfinite(flat), axis=1)
        if np.any(infinite) and not self.box.host.drops:
            k = int(np.argmax(infinite))
            raise SpanaxError(
                f"{self.name} is infinite at {self.space.text(U[k])}",
                "bounds that leave such points out",
                'sx.Run(on_failure="drop"), which leaves them out and counts them',
            )
        kept = kept & ~infinite
        self.asked += len(U)
        self.failed += int(np.sum(~kept))
        return U, flat, kept

    def slopes(self, U: Float[np.ndarray, "n d"], Y: Float[np.ndarray, "n m"], keys: Key) -> Slopes | None:
        """The user's own derivative, where there is one: of one output at each point, each output in turn."""
        if not self.derivative_cost:
            return None
        # One call of the derivative for each point, whatever the size of the result: another output at every point.
        output = np.arange(len(U)) % self.form.size
        ct = np.zeros_like(Y)
        ct[np.arange(len(U)), output] = 1
        X, _ = self.space.rows(U)
        rows = [self._as_leaves(part) for part in (Y, ct)]
        slope = self.box.pull_back(X, *rows, key=keys if self.box.host.noisy else None)
        self.asked += len(U) * self.derivative_cost
        flat = [np.asarray(leaf, np.float64).reshape(len(U), -1) for leaf in jax.tree.leaves(slope)]
        return Slopes(np.concatenate(flat, axis=1) * self.space.widths / 2, output)

    def _as_leaves(self, flat: np.ndarray) -> Any:
        leaves = zip(self.form.split(flat), self.form.dtypes, strict=True)
        return jax.tree.unflatten(self.form.tree, [leaf.astype(dtype) for leaf, dtype in leaves])

    @property
    def name(self) -> str:
        return self.box.host.name


@dataclasses.dataclass(frozen=True)
class FromJacobian:
    """`Manual.vjp` of a function that gives the whole Jacobian, as `jax.jacobian` would: y's structure of x's structures."""

    jacobian: Callable[[Any], Any]

    def __call__(self, x: Any, y: Any, ct: Any) -> Any:
        outer, inner = jax.tree.structure(y), jax.tree.structure(x)
        rows = outer.flatten_up_to(self.jacobian(x))
        slopes = [np.zeros(np.shape(leaf)) for leaf in jax.tree.leaves(x)]
        for row, weight in zip(rows, jax.tree.leaves(ct), strict=True):
            weight = np.asarray(weight, np.float64)
            for k, part in enumerate(inner.flatten_up_to(row)):
                slopes[k] = slopes[k] + np.tensordot(weight, np.asarray(part, np.float64), weight.ndim)
        dtypes = [np.asarray(leaf).dtype for leaf in jax.tree.leaves(x)]
        return jax.tree.unflatten(inner, [s.astype(t) for s, t in zip(slopes, dtypes, strict=True)])


def _float_name(dtype: Any) -> str:
    inexact = jnp.issubdtype(dtype, jnp.inexact)
    return np.dtype(jax.dtypes.canonicalize_dtype(dtype if inexact else float)).name


def split_keys(key: Key, n: int) -> Sequence[Any]:
    return jax.random.split(key, n)
