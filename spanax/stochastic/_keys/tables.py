"""Values that are known in every iteration: what an operation makes of tables of numbers.

Constant folding over all iterations at once: a handful of operations, exactly as XLA does them, by NumPy, which costs nothing;
any other by JAX, vmapped over the iterations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from ..._jaxprs import JaxprEqn, aval, computed_now, evaluate
from ..flow import Path
from .counts import LARGE, Dependency, dependencies_of_table


class Table(NamedTuple):
    """A value that is known: the loops it varies with, and its entries, (*iterations of each loop, *shape)."""

    loops: tuple[Path, ...]
    entries: np.ndarray

    def clip(self, last: int) -> Table:
        """As indices into an array whose last index this is."""
        return Table(self.loops, np.clip(self.entries.astype(np.int64), 0, last))

    def determines(self) -> frozenset[Dependency]:
        return dependencies_of_table((*self.loops, *range(self.entries.ndim - len(self.loops))), self.entries)

    def over(self, loops: Sequence[Path], lengths: dict[Path, int]) -> Table:
        """The same table over more loops, in this order."""
        have = [p for p in loops if p in self.loops]
        axes = [self.loops.index(p) for p in have]
        entries = np.transpose(self.entries, [*axes, *range(len(axes), self.entries.ndim)])
        rest = entries.shape[len(axes) :]
        sizes = [entries.shape[have.index(p)] if p in have else lengths[p] for p in loops]
        shape = [n if p in have else 1 for p, n in zip(loops, sizes, strict=True)]
        return Table(tuple(loops), np.broadcast_to(entries.reshape((*shape, *rest)), (*sizes, *rest)))

    def row(self, loop: Path, axis: int) -> Table:
        """The entry along one axis that each iteration of a loop gets."""
        table = Table((loop, *self.loops), np.moveaxis(self.entries, len(self.loops) + axis, 0))
        return table.over(sorted(table.loops), {})

    def stack(self, loop: Path, length: int) -> Table:
        """What the iterations of a loop make, one after the other."""
        others = tuple(p for p in self.loops if p != loop)
        return Table(others, self.over((*others, loop), {loop: length}).entries)

    def reverse(self) -> Table:
        """The first axis in the opposite order."""
        return Table(self.loops, np.flip(self.entries, len(self.loops)))

    def last(self, loop: Path) -> Table:
        """In the last iteration of a loop."""
        if loop not in self.loops:
            return self
        k = self.loops.index(loop)
        return Table((*self.loops[:k], *self.loops[k + 1 :]), np.take(self.entries, -1, axis=k))


def fold_constants(eqn: JaxprEqn, k: int, tables: Sequence[Table], lengths: dict[Path, int | None]) -> Table | None:
    """Result k of an equation of known arguments; None: too much of it, or not a function of them."""
    loops = tuple(sorted(frozenset().union(*(t.loops for t in tables))))
    if not _is_function(eqn):
        return None
    sizes = {p: n for p in loops if (n := lengths[p]) is not None}
    iterations = int(np.prod(list(sizes.values()), dtype=int))
    if len(sizes) < len(loops) or iterations * max(aval(v).size for v in (*eqn.invars, *eqn.outvars)) > LARGE:
        return None
    args = [
        np.asarray(t.over(loops, sizes).entries, aval(v).dtype).reshape((iterations, *aval(v).shape))
        for t, v in zip(tables, eqn.invars, strict=True)
    ]
    with np.errstate(all="ignore"):
        out = _by_numpy(eqn, args)
    if out is None:
        with computed_now():
            # Iterations side by side: one compilation and one call, however many there are.
            out = np.asarray(jax.vmap(lambda *xs: evaluate(eqn, xs)[k], axis_size=iterations)(*args))
    return Table(loops, out.reshape((*sizes.values(), *aval(eqn.outvars[k]).shape)))


def _is_function(eqn: JaxprEqn) -> bool:
    """Is the result one of the arguments alone? Without any that is `iota`, and neither an rng nor an axis index."""
    return not eqn.effects and bool(eqn.invars or eqn.primitive.name == "iota")


def _by_numpy(eqn: JaxprEqn, args: Sequence[np.ndarray]) -> np.ndarray | None:
    """The result for arguments with a leading axis of iterations; None: not one of these operations."""
    shape, dtype = aval(eqn.outvars[0]).shape, aval(eqn.outvars[0]).dtype
    name = eqn.primitive.name
    if name in ("squeeze", "reshape"):
        return args[0].reshape((len(args[0]), *shape))
    if not {np.dtype(aval(v).dtype).kind for v in (*eqn.invars, *eqn.outvars)} <= set("biu"):
        return None  # floats are left to JAX: NumPy rounds some of them in another way
    if name == "convert_element_type":
        return args[0].astype(dtype)
    if name not in _INTEGERS:
        return None
    args = [a if aval(v).shape else a.reshape((-1, *[1] * len(shape))) for a, v in zip(args, eqn.invars, strict=True)]
    if name == "rem" and not args[1].all():  # XLA defines the remainder by zero, NumPy does not
        return None
    return np.broadcast_to(_INTEGERS[name](*args), (len(args[0]), *shape)).astype(dtype)


_INTEGERS: dict[str, Callable[..., np.ndarray]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "neg": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "min": np.minimum,
    "max": np.maximum,
    # With the sign of the dividend, as XLA has it.
    "rem": np.fmod,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "not": np.invert,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "select_n": lambda which, *cases: np.choose(which.astype(np.int64), cases),
}
