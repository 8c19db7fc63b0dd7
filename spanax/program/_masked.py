"""`x[mask]` with a mask that is not known until the program runs: its elements, without their number."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from ._session import line, session, unliftable
from ._values import SCALARS, Number, Value, as_jax, canonical, is_unknown, wrapped


def is_mask(index: Any, target: Value) -> bool:
    """Is it one boolean array, of the leading axes of the target, whose contents are not known?"""
    if not (isinstance(index, Value) and index.ndim and index.dtype.kind == "b"):
        return False
    return is_unknown(index) and index.shape == target.shape[: index.ndim]


class Masked:
    """The elements of `values` where `mask` holds. Arithmetic, sums and means of it are known; its length is not."""

    __array_priority__ = 2000.0

    def __init__(self, values: Value, mask: Value):
        self.mask = mask
        data = as_jax(values)
        # 1 elsewhere: a number at which most functions have a derivative, so that none of theirs spoils the others'.
        self.values = wrapped(jnp.where(self._over(data), data, jnp.ones_like(data)))

    def spread(self, mask: Value) -> Value:
        """The values in their places, for writing where the same mask holds."""
        ours, theirs = as_jax(self.mask), as_jax(mask)
        if ours.shape != theirs.shape:
            raise unliftable("what one mask chooses is combined with what another does", "one mask for both")
        if ours is not theirs:
            session().check(
                jnp.any(ours != theirs),
                "what one mask chooses is combined with what another does",
                line(),
                "one mask for both",
            )
        return self.values

    def _apply(self, ufunc: np.ufunc, inputs: tuple) -> Masked:
        full = [self._full(x) for x in inputs]
        return Masked(session().rules.ufunc(ufunc, "__call__", tuple(full), {}), self.mask)

    def _full(self, x: Any) -> Any:
        if isinstance(x, Masked):
            return x.spread(self.mask)
        if isinstance(x, SCALARS) or (isinstance(x, Value) and not x.ndim):
            return x
        raise _no_length()

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if method != "__call__" or kwargs:
            raise _no_length()
        return self._apply(ufunc, inputs)

    def __array_function__(self, function, types, args, kwargs):
        name = function.__name__.removeprefix("a") if function in (np.amax, np.amin) else function.__name__
        if name in _REDUCTIONS and args and args[0] is self:
            return self.reduced(name, *args[1:], **kwargs)
        raise _no_length()

    def _over(self, values: Any) -> Any:
        """The mask, of the shape of the values."""
        mask = as_jax(self.mask)
        return jnp.broadcast_to(mask.reshape(*mask.shape, *[1] * (values.ndim - mask.ndim)), values.shape)

    def reduced(self, name: str, axis: int | None = None, **kwargs: Any) -> Any:
        """`self.sum(axis)` and the like; the selection's first axis is that of its elements."""
        data = as_jax(self.values)
        if axis is not None and self.mask.ndim > 1:
            raise unliftable("one axis of a selection by a mask of several axes", "np.where(mask, x, 0).sum(axis)")
        where = self._over(self.values)
        if name == "max":
            return wrapped(jnp.max(data, axis, where=where, initial=_least(data.dtype), **kwargs))
        if name == "min":
            return wrapped(-jnp.max(-data, axis, where=where, initial=_least(data.dtype), **kwargs))
        return wrapped(getattr(jnp, name)(data, axis, where=where, **kwargs))

    @property
    def count(self) -> Number:
        """How many elements the mask chooses: its `len`."""
        return Number(as_jax(self.mask).sum().astype(canonical(int)), int)

    @property
    def size(self) -> Any:
        return self.count * int(np.prod(self.values.shape[self.mask.ndim :], dtype=int))

    @property
    def shape(self) -> tuple:
        return (self.count, *self.values.shape[self.mask.ndim :])

    def copy(self):
        return self

    def __len__(self):
        raise _no_length()

    def __iter__(self):
        raise _no_length()

    def __getitem__(self, index):
        raise _no_length()

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _REDUCTIONS:
            return functools.partial(self.reduced, name)
        raise _no_length()

    def __neg__(self):
        return self._apply(np.negative, (self,))

    def __abs__(self):
        return self._apply(np.absolute, (self,))


def _least(dtype: Any) -> Any:
    return -np.inf if np.dtype(dtype).kind == "f" else np.iinfo(dtype).min


def _no_length() -> Exception:
    return unliftable(
        "a selection by a mask has a length that is not known while the program is traced",
        "np.where(mask, x, other), which keeps the shape",
        "sums by weights: (mask * x).sum()",
    )


def _operator(ufunc: np.ufunc, swapped: bool = False) -> Callable:
    def apply(self, other):
        return self._apply(ufunc, (other, self) if swapped else (self, other))

    return apply


_REDUCTIONS = {"sum", "mean", "prod", "std", "var", "any", "all", "max", "min"}
_OPERATORS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "pow": np.power,
    "mod": np.remainder,
    "floordiv": np.floor_divide,
}
for _name, _ufunc in _OPERATORS.items():
    setattr(Masked, f"__{_name}__", _operator(_ufunc))
    setattr(Masked, f"__r{_name}__", _operator(_ufunc, True))
for _name, _ufunc in {"lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}.items():
    setattr(Masked, f"__{_name}__", _operator(_ufunc))
