"""Which probe? Cosines on the problem in 100 dimensions; the whole table is printed by benchmarks/probes.py.

Mean cosines of 60 problems, the same for all rows; a difference is allowed 3 standard errors of the paired differences: 20
comparisons of rows that differ by far more or are equal, a false alarm in 35 keys at the most, and the keys are fixed.
"""

import functools

import numpy as np
import pytest

from .submanifold import CHOSEN, ROWS, cosines

COUNT, NOISES = 60, (0.0, 1.0)


@functools.cache
def cosine(name, n):
    return cosines(ROWS[name](n), NOISES, COUNT)


@functools.cache
def chosen(name):
    return cosines(CHOSEN[name][1], NOISES, COUNT).mean(1)


@pytest.mark.slow
@pytest.mark.parametrize("n", [200, 400])
def test_orthogonal_is_no_worse_than_any_other_fixed_width(n):
    for name in ROWS:
        ahead = cosine(name, n) - cosine("orthogonal", n)
        assert np.all(ahead.mean(1) < 3 * ahead.std(1, ddof=1) / np.sqrt(COUNT) + 0.01), name


def test_a_chosen_step_where_the_fixed_one_is_lost_in_noise():
    assert abs(cosine("FD, step 1e-3", 200)[1].mean()) < 0.05
    assert all(chosen(name)[1] > 0.5 for name in CHOSEN)


def test_without_noise_orthogonal_directions_and_differences_are_exact():
    """As many orthogonal directions as dimensions: the lengths of the directions are all that is random."""
    assert cosine("orthogonal", 200)[0].mean() > 0.98
    assert all(chosen(name)[0] > 0.999 for name in CHOSEN)
