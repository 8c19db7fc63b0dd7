"""How many evaluations each task of a fit gets; together they are what the user has allowed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Key

from ..._errors import SpanaxError

ROUNDS = 10  # halvings of a segment, in search of a jump: down to a thousandth of its length
HELD_OUT = 5  # of so many points, one is not trained on
_SEGMENTS = (1, 6)
_PAIRS, _REPEATS, _DESIGN = 10, 6, 40  # at the least


class Plan(NamedTuple):
    """`design`: points to learn from; `pairs`: probes, of two evaluations; `segments`: searched for a jump; `repeats`: at points
    evaluated before, to see the noise."""

    design: int
    pairs: int
    segments: int
    repeats: int

    @classmethod
    def of(cls, evaluations: int, size: int, *, noisy: bool, derivative: int, form: int) -> Plan:
        """`size`: numbers of x; `derivative`: evaluations that the user's own takes; `form`: those for the form of a result.

        Raises `SpanaxError`, with the least number, where there are too few.
        """
        plan = _divide(evaluations, noisy, derivative, form)
        least = _DESIGN + HELD_OUT * (size + 1)
        if plan.design < least:
            enough = next(n for n in range(evaluations, 10**9) if _divide(n, noisy, derivative, form).design >= least)
            raise SpanaxError(
                f"evaluations={evaluations} are too few to fit a surrogate of {size} numbers and to check it",
                f"evaluations={enough}, or more",
            )
        return plan


def _divide(evaluations: int, noisy: bool, derivative: int, form: int) -> Plan:
    segments = int(np.clip(evaluations // 160, *_SEGMENTS))
    pairs = max(_PAIRS, evaluations // 10)
    repeats = min(max(_REPEATS, evaluations // 16), 32) if noisy else 0
    rest = evaluations - form - segments * ROUNDS - 2 * pairs - repeats
    return Plan(design_within(max(rest, 0), derivative), pairs, segments, repeats)


def design_within(evaluations: int, derivative: int) -> int:
    """The most points whose values, and derivatives where they are trained on, take no more evaluations."""
    design = evaluations * HELD_OUT // (HELD_OUT + derivative * (HELD_OUT - 1))
    return design - 1 if design + derivative * (design - design // HELD_OUT) > evaluations else design


def sobol(key: Key, n: int, size: int) -> Float[np.ndarray, "n d"]:
    """Scrambled Sobol points in [-1, 1]^d (Owen 1998, J. Complexity 14, 466), by SciPy, with a seed from the key."""
    import jax
    from scipy.stats import qmc

    if size > qmc.Sobol.MAXDIM:
        raise SpanaxError(f"a surrogate of {size:,} numbers", f"{qmc.Sobol.MAXDIM:,} or fewer", "sx.Smoothing(...)")
    seed = int(jax.random.bits(key, (), "uint32"))
    engine = qmc.Sobol(size, rng=np.random.default_rng(seed))
    # A power of 2, of which the first n are taken: SciPy warns of other counts.
    return 2 * engine.random_base2(max(n - 1, 0).bit_length())[:n] - 1


def held_out(n: int) -> Bool[np.ndarray, " n"]:
    """Every fifth point of a sequence: as evenly spread as the sequence itself."""
    return np.arange(n) % HELD_OUT == HELD_OUT - 1
