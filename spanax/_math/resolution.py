"""Do the values at a bridge's points differ by more than their last digits? If not, the derivative would be made of rounding.

The unit in the last place of a value is the spacing of floats at its size, or a larger one: of float32 numbers held in float64,
and of numbers that a program printed with a few digits. A spread of at most FEW such units over all points is taken for rounding.
"""

from __future__ import annotations

import decimal
import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

# If points miss what f depends on with a probability below this, they are not taken to have missed it.
UNLUCKY = 1 / 16
FEW = 4  # units in the last place: a smaller difference is taken for rounding
_ENOUGH = 32  # units, for the remedy: a difference of so many is known to a few percent
# By the size of a float in bytes: a number with so many decimal digits was printed. Fewer digits may be a round number, more are
# as many as the float has.
_PRINTED = {4: (6, 6), 8: (6, 12)}
_BELIEVED = 63  # calls between two looks at how many digits a function's values have
_VISIBLE = 1e-5  # of a value: a unit in its last place is not larger, in float32 or with six digits


class Found(NamedTuple):
    """One number of the result, at one vmap index (`lane`).

    `spread`: the spread of its values over all points; `quantum`: a unit in their last place.
    """

    lane: int
    value: float
    spread: float
    quantum: float
    digits: str


class Glance:
    """A quick look at functions of one number: do two of the values already differ by more than a few units in the last place?"""

    # Whether numbers were printed, or are float32 in float64, is a property of the function, not of a call: after a close look
    # has found all digits, the next calls skip it, at first 1, then 3, up to 63.

    def __init__(self):
        self.left = self.believed = 0  # calls
        self.dtype: np.dtype | None = None
        self.least = 0.0  # of that dtype

    def __reduce__(self):
        return Glance, ()

    def sees(self, values: np.ndarray, reference: float) -> bool:
        """Do two of the values show a difference?"""
        # No unit is larger than the spacing of floats at twice the larger of two values: what differs by more is not rounding.
        if values.dtype is not self.dtype:
            self.dtype, self.least, self.left = values.dtype, 2 * FEW * _limits(values.dtype)[0], 0
        for i in (-1, len(values) // 2):
            value = float(values[i])
            change, size = abs(value - reference), max(abs(value), abs(reference))
            if change > self.least * size:
                if self.left:
                    self.left -= 1
                    return True
                if change > 2 * FEW * _VISIBLE * size:
                    return True
                if not _is_short(values.dtype, value, change, size):
                    self.has_all_digits()
                    return True
        return False

    def has_all_digits(self) -> None:
        self.believed = self.left = min(2 * self.believed + 1, _BELIEVED)


def _is_short(dtype: np.dtype, value: float, change: float, size: float) -> bool:
    """May the number have so few digits that a unit in its last place is about as large as the change?"""
    digits = math.ceil(math.log10(2 * FEW * size / change)) + 1
    if dtype.itemsize == 8:
        single = change <= 2 * FEW * 2e-7 * size and float(np.float32(value)) == value
        return single or float(f"{value:.{digits}g}") == value
    return dtype.itemsize < 4 or float(np.float32(f"{value:.{digits}g}")) == value


class _Leaf:
    """One array of the result: the least and largest value of each number, and the unit in the last place.

    `table`: (vmap indices, points, numbers), NaN where a point was dropped; `reference`: (vmap indices, numbers), the value at x.
    """

    def __init__(self, table: np.ndarray, reference: np.ndarray):
        self.table, self.reference = table, reference
        real = [np.real(table), np.real(reference)] if np.iscomplexobj(table) else [table, reference]
        if real[0].dtype.itemsize < 4:
            # NumPy cannot compute with bfloat16 and narrower: keep its dtype for the spacing, and widen the numbers.
            self.dtype, real = real[0].dtype, [part.astype(np.float32) for part in real]
        else:
            self.dtype = real[0].dtype
        self.low = np.fmin(np.fmin.reduce(real[0], axis=1), real[1]).astype(np.float64)
        self.high = np.fmax(np.fmax.reduce(real[0], axis=1), real[1]).astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            self.spread = self.high - self.low
        self.size = np.maximum(abs(self.low), abs(self.high))
        self.quantum = _float_spacing(self.size, self.dtype)
        self.digits: dict[tuple[int, int], str] = {}
        self.looked = False
        if table.dtype.kind == "f" and table.dtype.itemsize in _PRINTED:
            self._look_for_short_numbers()

    def _look_for_short_numbers(self) -> None:
        """Finds float32 numbers held in float64, and printed numbers: their last digit is not that of their dtype."""
        # Only where the values nearly agree does it matter, and looking at decimals costs time.
        near = (self.spread > 0) & (self.spread <= FEW * _VISIBLE * self.size)
        for lane, k in np.argwhere(near).tolist():
            self.looked = True
            values = np.append(self.table[lane, :, k], self.reference[lane, k])
            values, size = np.unique(values[~np.isnan(values)]), self.size[lane, k]
            for quantum, digits in (_of_single(values, size), _of_print(values, size)):
                if self.quantum[lane, k] < quantum and self.spread[lane, k] <= FEW * quantum:
                    self.quantum[lane, k], self.digits[lane, k] = quantum, digits

    @functools.cached_property
    def is_hidden(self) -> np.ndarray:
        """For each number: does it change by a few units in the last place at most?"""
        return self.spread <= FEW * self.quantum

    def describe(self, lane: int, k: int) -> Found:
        value = max(self.low[lane, k], self.high[lane, k], key=abs)
        digits = self.digits.get((lane, k), np.dtype(self.dtype).name)
        return Found(lane, float(value), float(self.spread[lane, k]), float(self.quantum[lane, k]), digits)


class Resolution:
    """How the results of a batch change over the points of each vmap index, as far as they have a derivative.

    `results`: floats, or complex numbers at complex points, a row for each point, `lane` rows for each index; `references`: f(x),
    a row for each index, unless it is the first point of each.
    """

    def __init__(self, results: Sequence[np.ndarray], references: Sequence[np.ndarray], lane: int):
        tables = [array.reshape(len(array) // lane, lane, math.prod(array.shape[1:])) for array in results]
        first = [table[:, 0] for table in tables]
        given = [array.reshape(len(array), math.prod(array.shape[1:])) for array in references] or first
        self.leaves = [_Leaf(*pair) for pair in zip(tables, given, strict=True) if pair[0].size]

    def flat(self) -> Found | None:
        """If no number changes at any index: the number of the first one that could hide the largest change. Else None."""
        if not self.leaves or any(np.any(leaf.spread != 0) for leaf in self.leaves):
            return None
        # A complex step has its derivative in the imaginary parts, exact however small they are.
        if any(np.iscomplexobj(leaf.table) and np.nan_to_num(np.imag(leaf.table)).any() for leaf in self.leaves):
            return None
        return max((leaf.describe(0, int(np.argmax(leaf.quantum[0]))) for leaf in self.leaves), key=lambda f: f.quantum)

    def rounded(self) -> Found | None:
        """A number that changes in its last digits only, if nothing else at its index changes by more than that. Else None."""
        if any(np.iscomplexobj(leaf.table) for leaf in self.leaves):
            return None
        if not any(leaf.is_hidden.any() for leaf in self.leaves):
            return None
        # A spread that is not finite gives a derivative that is not, which nobody takes for right.
        visible = [np.where(leaf.is_hidden, 0, np.nan_to_num(leaf.spread, nan=np.inf)) for leaf in self.leaves]
        most = np.max([spread.max(1) for spread in visible], 0)
        for leaf in self.leaves:
            bad = np.argwhere(leaf.is_hidden & (leaf.spread > 0) & (FEW * leaf.quantum > most[:, None]))
            if len(bad):
                return leaf.describe(*bad[0].tolist())
        return None

    @property
    def has_all_digits(self) -> bool:
        """Were some numbers near each other, and on a close look none of them short of digits?"""
        return any(leaf.looked for leaf in self.leaves) and not any(leaf.digits for leaf in self.leaves)

    def flatten(self) -> None:
        """Sets numbers that change in their last digits only to the value at x, in place."""
        for leaf in self.leaves:
            hidden = leaf.is_hidden[:, None] & ~np.isnan(leaf.table)
            np.copyto(leaf.table, np.broadcast_to(leaf.reference[:, None], leaf.table.shape), where=hidden)


def problem(found: Found, points: int) -> str:
    if found.spread == 0:
        change = (
            f"its values at all {points} points are the same, {found.value:.9g}: "
            f"a change below {found.quantum:.3g} does not show"
        )
    else:
        units = round(found.spread / found.quantum)
        change = (
            f"its values at {points} points change by {found.spread:.3g} at most, {units} in the last digit of "
            f"{found.value:.9g}, which counts {found.quantum:.3g}"
        )
    return f"{change} ({found.digits})"


def remedies(found: Found, lever: str) -> list[str]:
    """What would make the differences visible."""
    enough = _ENOUGH * found.quantum
    if found.spread:
        wider = (
            f"{lever} {math.ceil(enough / found.spread)} times as large, for results that change by about {enough:.3g}"
        )
    else:
        wider = f"a larger {lever}, for results that change by {enough:.3g}: {enough / 2:.3g} where the slope is 1"
    return [
        wider,
        "results with more digits: less a constant near them (inside fn), in float64 (jax.enable_x64), printed in full",
    ]


@functools.cache
def _limits(dtype: np.dtype) -> tuple[float, float]:
    finfo = jnp.finfo(dtype)
    return float(finfo.eps), float(finfo.smallest_subnormal)


def _float_spacing(size: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The distance of neighbouring floats of this dtype at this size."""
    # `np.spacing` gives that of the array's own dtype; the sizes are float64, whatever the values were.
    eps, least = _limits(np.dtype(dtype))
    _, exponent = np.frexp(np.where(np.isfinite(size), size, 0))
    return np.maximum(np.ldexp(eps, exponent - 1), least)


def _of_single(values: np.ndarray, size: float) -> tuple[float, str]:
    """The unit of float64 numbers that are all float32 numbers; 0 if they are not."""
    if values.dtype != np.float64 or np.any(values.astype(np.float32) != values):
        return 0.0, ""
    return float(_float_spacing(np.asarray(size), np.dtype(np.float32))), "float32 numbers, held in float64"


def _of_print(values: np.ndarray, size: float) -> tuple[float, str]:
    """The unit of decimals with a few digits; 0 if they are not, or are whole numbers."""
    # Whole numbers are counts: their last digit is exact.
    exponent = min(_last_place(value) for value in values)
    digits = math.floor(math.log10(size)) - exponent + 1
    least, most = _PRINTED[values.dtype.itemsize]
    return (10.0**exponent, f"numbers of {digits} digits") if exponent < 0 and least <= digits <= most else (0.0, "")


def _last_place(value: np.floating) -> int:
    """The power of ten of the last digit of the shortest decimal that is this float."""
    exponent = decimal.Decimal(str(value)).normalize().as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0
