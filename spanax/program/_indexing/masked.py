"""`x[mask]` with a mask that is not known until the program runs, so that the number of its elements is not known either.

A traced program has fixed shapes, and the shape of `x[mask]` depends on values. But most programs only sum such a selection, or
compute with it element by element and write it back. Neither needs the elements side by side. So the selection keeps all values
and the mask, and reductions take `where=mask`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._numpy.creation import asarray
from .._session import line, session, unliftable
from .._values.values import SCALARS, Composite, LiftedArray, Number, Value, as_jax, canonical, is_unknown, raw, wrap


def is_mask(index: Any, target: Value) -> bool:
    """Is it one boolean array, of the leading axes of the target, whose contents are not known?"""
    if not (isinstance(index, Value) and index.ndim and index.dtype.kind == "b"):
        return False
    return is_unknown(index) and index.shape == target.shape[: index.ndim]


class Masked(Composite):
    """The elements of `_values` where `_mask` holds, in order along the first axis, whose length is not known.

    Elementwise operations compute all values; reductions along the first axis leave out those where the mask does not hold.
    Anything else raises, so that no value where the mask does not hold gets out.
    """

    kind = np.ndarray
    __array_priority__ = 2000.0
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: Any, mask: Any):
        data, chosen = as_jax(values), as_jax(mask)
        self._mask = LiftedArray(chosen)
        # 1 elsewhere: most functions have a finite derivative there. Reverse mode multiplies the derivative at a value that is
        # not selected by 0, and 0 * inf (np.sqrt at 0, say) would make the whole gradient NaN.
        self._values = LiftedArray(jnp.where(over(chosen, data), data, jnp.ones_like(data)))

    def spread(self, mask: Any) -> LiftedArray:
        """The values in their places, for writing where the same mask holds."""
        ours, theirs = as_jax(self._mask), as_jax(mask)
        # NumPy only requires the same number of elements, and pairs them by order. Here they are paired by place, which is
        # right only if the two masks are the same.
        if ours.shape != theirs.shape:
            raise unliftable("what one mask chooses is combined with what another does", "one mask for both")
        if ours is not theirs:
            session().check(
                jnp.any(ours != theirs),
                "what one mask chooses is combined with what another does",
                line(),
                "one mask for both",
            )
        return self._values

    # -- what is elementwise

    def elementwise(self, run: Callable[..., Any], inputs: tuple) -> Any:
        """`run(*inputs)`, which goes element by element."""
        result = run(*map(self.full, inputs))
        return tuple(Masked(r, self._mask) for r in result) if isinstance(result, tuple) else Masked(result, self._mask)

    def full(self, x: Any) -> Any:
        """Something that broadcasts against all values as x does against those that are chosen."""
        # NumPy aligns axes from the last one: an array with fewer axes than the selection does not reach the mask's axes.
        if isinstance(x, Masked):
            if x.ndim != self.ndim:
                raise self.refusal()
            return x.spread(self._mask)
        if isinstance(x, SCALARS) or x is None:
            return x
        if isinstance(x, (list, tuple, Value, np.ndarray, jax.Array)):
            form: Any = asarray(x) if isinstance(x, (list, tuple)) else x
            if form.ndim < self.ndim:
                return form
            # One element broadcasts against all. More would have to match a number that is not known.
            if form.ndim == self.ndim and form.shape[0] == 1:
                return form[0]
        raise self.refusal()

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return self.ufunc(ufunc, method, inputs, kwargs)

    def ufunc(self, ufunc: np.ufunc, method: str, inputs: tuple, kwargs: dict) -> Any:
        """A universal function with this selection among its inputs."""
        if ufunc.signature is not None and method in ("__call__", "operator"):  # np.matmul, np.vecdot: not elementwise
            return self.product(inputs, kwargs)
        if method == "reduce" and ufunc in _REDUCTIONS_OF and len(inputs) == 1:
            return self.reduce(_REDUCTIONS_OF[ufunc], **({"axis": 0} | kwargs))
        if method not in ("__call__", "operator") or kwargs.keys() - {"dtype"}:
            raise self.refusal()
        return self.elementwise(lambda *full: session().rules.ufunc(ufunc, method, full, dict(kwargs)), inputs)

    def product(self, inputs: tuple, kwargs: dict) -> Any:
        """The sum of products of two selections of numbers."""
        if kwargs or not all(isinstance(x, Masked) and x.ndim == 1 for x in inputs):
            raise self.refusal()
        return (inputs[0] * inputs[1]).reduce("sum")

    def update(self, ufunc: np.ufunc, other: Any) -> Masked:
        """`self op= other`, in place: other names of the selection see it, as they do in NumPy."""
        new = self.elementwise(lambda *full: session().rules.ufunc(ufunc, "operator", full, {}), (self, other))
        if not np.can_cast(new._values.dtype, self.dtype, "same_kind"):
            raise TypeError(f"cannot cast {new._values.dtype} to {self.dtype} in place")
        self._values.write(as_jax(new._values, self.dtype))
        return self

    # -- what reduces

    def reduce(
        self, name: str, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **kwargs: Any
    ) -> Any:
        """`self.sum(axis)` and the like."""
        if out is not None or kwargs.keys() - {"ddof", "initial"}:
            raise self.refusal()
        axes = self._axes(axis)
        data = as_jax(self._values, dtype)
        within = self._mask.ndim - 1
        # In `_values` the axes of one element come after those of the mask; in the selection, after its first axis.
        if 0 not in axes:  # element by element
            inner = tuple(a + within for a in axes)
            return Masked(getattr(jnp, name)(data, inner, keepdims=bool(keepdims), **kwargs), self._mask)
        reduced = (*range(self._mask.ndim), *(a + within for a in axes if a))
        result = _REDUCED.get(name, functools.partial(_plain, name))(self, data, reduced, **kwargs)
        return wrap(jnp.expand_dims(result, axes) if keepdims else result)

    def _axes(self, axis: Any) -> tuple[int, ...]:
        axes = range(self.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        return tuple(np.lib.array_utils.normalize_axis_index(raw(a), self.ndim) for a in axes)

    def _needs_one(self, name: str) -> None:
        # NumPy raises a ValueError for the extreme of no elements; here the program fails when it runs.
        session().check(
            ~jnp.any(as_jax(self._mask)),
            f"the {name} of a selection by a mask that chooses nothing",
            line(),
            "if mask.any()",
        )

    def quantile(self, q: Any) -> Any:
        """The q-quantile of the selected numbers, by linear interpolation; NaN where there are none."""
        if self.ndim != 1 or np.ndim(raw(q)):
            raise self.refusal()
        data, chosen = as_jax(self._values, float), as_jax(self._mask)
        # Values that are not selected go to the end, past every rank that is read.
        ranked = jnp.sort(jnp.where(chosen, data, jnp.inf).reshape(-1))
        count = chosen.sum()
        place = as_jax(q, data.dtype) * (jnp.maximum(count, 1) - 1)
        low = jnp.floor(place).astype(int)
        first, second = ranked[low], ranked[jnp.minimum(low + 1, jnp.maximum(count, 1) - 1)]
        between = first + (second - first) * (place - low)
        # If nothing is selected, `between` is inf - inf. The inner `where` keeps its NaN derivative out of reverse mode.
        return wrap(jnp.where(count == 0, jnp.nan, jnp.where(count == 0, 0.0, between)))

    def place(self, index: Any) -> Any:
        """The element at this index, which is checked when the program runs."""
        chosen, k = as_jax(self._mask).reshape(-1), as_jax(index)
        count = chosen.sum()
        session().check(
            (k >= count) | (k < -count), "an index is out of bounds for the elements that a mask chooses", line()
        )
        k = jnp.where(k < 0, k + count, k)
        # The k-th selected element is at the first place where the count of selected ones reaches k + 1.
        data = as_jax(self._values)
        return wrap(data.reshape(-1, *data.shape[self._mask.ndim :])[jnp.argmax(jnp.cumsum(chosen) == k + 1)])

    def pairs(self) -> tuple[LiftedArray, LiftedArray]:
        """For a loop: of all values, in order, whether they are selected (the loop skips the others), and the values."""
        mask, data = as_jax(self._mask), as_jax(self._values)
        return LiftedArray(mask.reshape(-1)), LiftedArray(data.reshape(-1, *data.shape[mask.ndim :]))

    # -- its form

    @property
    def length(self) -> Number:
        """How many elements the mask chooses: its `len`."""
        return Number(as_jax(self._mask).sum().astype(canonical(int)), int)

    @property
    def dtype(self) -> np.dtype:
        return self._values.dtype

    @property
    def ndim(self) -> int:
        return 1 + self._values.ndim - self._mask.ndim

    @property
    def shape(self) -> tuple:
        return (self.length, *self._values.shape[self._mask.ndim :])

    @property
    def size(self) -> Any:
        return self.length * int(np.prod(self._values.shape[self._mask.ndim :], dtype=int))

    def copy(self, order: str = "C") -> Masked:
        return Masked(self._values, self._mask)

    def astype(self, dtype: Any, **kwargs: Any) -> Masked:
        return Masked(session().rules.method(self._values, "astype")(dtype), self._mask)

    def item(self, *index: Any) -> Any:
        raise self.refusal()

    def __getitem__(self, index):
        return session().rules.item(self, index)

    def __setitem__(self, index, value):
        session().rules.store(self, index, value)

    def __copy__(self) -> Masked:
        return self.copy()

    def __deepcopy__(self, memo: dict) -> Masked:
        return self.copy()

    def __repr__(self) -> str:
        return "<a selection by a mask that depends on the arguments>"

    def refusal(self) -> Exception:
        return unliftable(
            "a selection by a mask has a length that is not known while the program is traced",
            "np.where(mask, x, other), which keeps the shape",
            "sums by weights: (mask * x).sum()",
            "its sum, mean, max and the like, its len, or elementwise work that is written back: x[mask] = f(x[mask])",
        )

    def __getattr__(self, name: str):
        # Python's protocols probe for private names, and expect an AttributeError.
        if name.startswith("_"):
            raise AttributeError(name)
        if name in REDUCTIONS:
            return functools.partial(self.reduce, name)
        if name in ("T", "real", "imag") and (name != "T" or self.ndim == 1):
            return self if name == "T" else Masked(getattr(self._values, name), self._mask)
        if hasattr(np.ndarray, name) and hasattr(np, name):
            return lambda *args, **kwargs: session().rules.function(getattr(np, name), (self, *args), kwargs)
        raise self.refusal()


def over(mask: jax.Array, values: Any) -> jax.Array:
    """The mask, broadcast to the shape of the values."""
    return jnp.broadcast_to(mask.reshape(*mask.shape, *[1] * (values.ndim - mask.ndim)), values.shape)


# -- reductions of all selected elements


def _plain(name: str, chosen: Masked, data: jax.Array, axes: tuple, **kwargs: Any) -> jax.Array:
    return getattr(jnp, name)(data, axes, where=over(as_jax(chosen._mask), data), **kwargs)


def _max(chosen: Masked, data: jax.Array, axes: tuple, initial: Any = None) -> jax.Array:
    if initial is None:
        chosen._needs_one("largest element")
    # With `where`, jnp.max needs an initial value: the smallest one of the dtype. The user's own is applied afterwards.
    least = -np.inf if data.dtype.kind == "f" else False if data.dtype == bool else np.iinfo(data.dtype).min
    largest = jnp.max(data, axes, where=over(as_jax(chosen._mask), data), initial=least)
    return largest if initial is None else jnp.maximum(largest, as_jax(initial, data.dtype))


def _min(chosen: Masked, data: jax.Array, axes: tuple, initial: Any = None) -> jax.Array:
    if initial is None:
        chosen._needs_one("smallest element")
    most = np.inf if data.dtype.kind == "f" else True if data.dtype == bool else np.iinfo(data.dtype).max
    smallest = jnp.min(data, axes, where=over(as_jax(chosen._mask), data), initial=most)
    return smallest if initial is None else jnp.minimum(smallest, as_jax(initial, data.dtype))


def _ptp(chosen: Masked, data: jax.Array, axes: tuple) -> jax.Array:
    return _max(chosen, data, axes) - _min(chosen, data, axes)


def _place_of(better: Callable) -> Callable:
    """`argmax` and `argmin`: an index among the selected elements."""

    def place_of(chosen: Masked, data: jax.Array, axes: tuple) -> jax.Array:
        mask = as_jax(chosen._mask)
        if chosen.ndim != 1 or data.dtype.kind != "f":
            raise chosen.refusal()
        chosen._needs_one("place of an extreme")
        worst = -jnp.inf if better is jnp.argmax else jnp.inf
        place = better(jnp.where(mask, data, worst).reshape(-1))
        # Its index is the number of elements selected before it.
        return (jnp.cumsum(mask.reshape(-1))[place] - 1).astype(canonical(int))

    return place_of


_REDUCED: dict[str, Callable] = {
    "max": _max,
    "min": _min,
    "ptp": _ptp,
    "argmax": _place_of(jnp.argmax),
    "argmin": _place_of(jnp.argmin),
}
REDUCTIONS = frozenset("sum mean prod std var any all max min ptp argmax argmin".split())
_REDUCTIONS_OF = {
    np.add: "sum",
    np.multiply: "prod",
    np.maximum: "max",
    np.minimum: "min",
    np.logical_and: "all",
    np.logical_or: "any",
}


# -- operators


def _operator(ufunc: np.ufunc, swapped: bool = False) -> Callable:
    def apply(self, other):
        # Let a matrix or a polynomial handle it: its error names the combination.
        if isinstance(other, Composite) and not isinstance(other, Masked):
            return NotImplemented
        return self.ufunc(ufunc, "operator", (other, self) if swapped else (self, other), {})

    return apply


_OPERATORS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "pow": np.power,
    "mod": np.remainder,
    "floordiv": np.floor_divide,
    "matmul": np.matmul,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
    "divmod": np.divmod,
}
_COMPARED = {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}
for _name, _ufunc in _OPERATORS.items():
    setattr(Masked, f"__{_name}__", _operator(_ufunc))
    setattr(Masked, f"__r{_name}__", _operator(_ufunc, True))
    if _name not in ("divmod", "matmul"):
        setattr(Masked, f"__i{_name}__", lambda self, other, _ufunc=_ufunc: self.update(_ufunc, other))
for _name, _ufunc in _COMPARED.items():
    setattr(Masked, f"__{_name}__", _operator(_ufunc))
for _name, _ufunc in {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}.items():
    setattr(Masked, f"__{_name}__", lambda self, _ufunc=_ufunc: self.ufunc(_ufunc, "operator", (self,), {}))


def _refuse(self, *args: Any, **kwargs: Any) -> Any:
    raise self.refusal()


# Special methods that an array has and a selection lacks raise. Without them Python would fall back on others: `iter` would call
# __getitem__ with 0, 1, 2, ... and never reach an end.
_SPECIAL = {n for kind in (np.ndarray, float, list, int) for n in vars(kind) if n.startswith("__")}
for _name in _SPECIAL - set(dir(object)) - set(vars(Masked)) - {"__array_struct__", "__array_interface__"}:
    setattr(Masked, _name, _refuse)
for _name in ("__bool__", "__str__", "__format__", "__iter__", "__imatmul__"):
    setattr(Masked, _name, _refuse)
