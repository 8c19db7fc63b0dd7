"""Is there a jump between the two sides of a change? Eight values along a line are compared, as `lines.close_in` returns them.

0 and 7: the ends of the line's interval, for the usual size of the value; 3 and 4: neighbouring numbers, the decision on one side
and the other; 1, 2 and 5, 6: two steps beyond. A jump is a change from 3 to 4 out of proportion to those beside it: a continuous
value changes by about as much in each of equal steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np


def differs(sides: Sequence[np.ndarray]) -> np.ndarray:
    """At which points is there a jump between the two in the middle? What is not finite is not compared.

    Or between 2 and 5: where two numbers are equal, the value may lie half way, as the derivative of a max does.
    """
    # In float64, so that the comparison does not round a second time.
    low, *inner, high = (np.asarray(x).astype(np.float64) for x in sides)
    eps = float(jnp.finfo(sides[0].dtype).eps)
    with np.errstate(invalid="ignore", over="ignore"):
        ends = np.maximum(np.abs(low), np.abs(high))
        # Over all points: a pole is large beside what the value usually is, not beside itself.
        usual = np.max(np.where(np.isfinite(ends), ends, 0.0), 0)
        jumps = _stands_out(inner[1], inner[2], inner[3], inner[4], ends, usual, eps)
        a, b = inner[1], inner[4]
        half_way = np.minimum(*(np.abs(x - (a + b) / 2) for x in inner[2:4])) < np.abs(b - a) / 4
        jumps |= half_way & _stands_out(inner[0], a, b, inner[5], ends, usual, eps)
        return np.any(jumps.reshape(len(jumps), -1), -1)


def _stands_out(before, a, b, after, ends, usual, eps) -> np.ndarray:
    """Is the change from a to b out of proportion to those beside it, and to rounding?"""
    jump, beside = np.abs(b - a), np.abs(a - before) + np.abs(after - b)
    # Values computed from large ones carry their rounding: eps of the size here or at the ends, whichever is larger.
    scale = np.maximum(ends, np.maximum(np.abs(a), np.abs(b)))
    is_pole = jump > 20 * usual + np.finfo(float).tiny  # as in 1 / x, where the change beside it is as large
    return ((jump > 16 * beside + 256 * eps * scale) | is_pole) & np.isfinite(jump) & np.isfinite(beside)


def becomes_infinite(sides: Sequence[np.ndarray]) -> np.ndarray:
    """At which points is one of the two in the middle a number, and the other infinite?"""
    a, b = (np.asarray(x).astype(np.float64) for x in sides[3:5])
    infinite = (np.isinf(a) & np.isfinite(b)) | (np.isfinite(a) & np.isinf(b))
    return np.any(infinite.reshape(len(infinite), -1), -1)
