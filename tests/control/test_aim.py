"""Aiming: the throw lands there, by the reference's simulation too; what cannot be reached is said."""

from typing import Any

import jax
import numpy as np
import pytest

from spanax import SpanaxError
from spanax.control.trebuchet.aim import aim, reach

from .throws import reference


@pytest.mark.few(2)
@pytest.mark.parametrize("case", [(90.0, 2.0), (20.0, 0.0), (102.0, 0.0), (50.0, -14.0), (21.0, 13.0)])
def test_the_throw_lands_on_the_target(case):
    target, wind = case
    there = aim(target, wind)
    assert abs(there.error) <= 1e-3 and there.distance - there.error == pytest.approx(target)
    assert 5 <= there.angle <= 90 and 60 <= there.weight <= 500
    assert reference(wind, there.angle, there.weight)[0] == pytest.approx(target, abs=3e-3)
    assert there.iterations < 12


def test_the_start_is_kept_where_it_hits():
    start = aim(82.4, 0.0, angle=45.0, weight=200.0, tolerance=0.05)
    assert (start.angle, start.weight, start.iterations) == (45.0, 200.0, 1)


@pytest.mark.few(1)
@pytest.mark.parametrize(("wind", "heaviest"), [(-10.0, 500.0), (0.0, 500.0), (5.0, 100.0)])
def test_the_reach_is_the_farthest_throw(wind, heaviest):
    farthest = reach(wind, heaviest=heaviest)
    throws = {angle: reference(wind, angle, heaviest)[0] for angle in np.arange(5.0, 90.0, 5.0)}
    assert max(throws.values()) <= farthest.distance + 1e-3
    best = reference(wind, farthest.angle, heaviest)[0]
    assert best == pytest.approx(farthest.distance, abs=2e-3)
    assert all(reference(wind, farthest.angle + d, heaviest)[0] <= best for d in (-0.5, 0.5))


def test_targets_out_of_reach_raise_with_the_reach():
    with pytest.raises(
        SpanaxError, match=r"60 m cannot be hit in wind -15(.|\n)*reach of 500 lb is 58\.1 m(.|\n)*heaviest"
    ):
        aim(60.0, -15.0)
    with pytest.raises(SpanaxError, match=r"nearest throw(.|\n)*is 24\.9 m"):
        aim(5.0, 16.0)
    farther = aim(60.0, -15.0, heaviest=900.0)
    assert abs(farther.error) <= 1e-3


def test_what_is_no_number_or_no_start_raises():
    with pytest.raises(SpanaxError, match="not a start"):
        aim(60.0, 0.0, weight=20.0)
    bad: Any
    for bad in (np.ones(2), float("nan")):
        with pytest.raises(SpanaxError, match="not one number"):
            aim(bad, 0.0)
    with pytest.raises(SpanaxError, match=r"one target(.|\n)*outside jax.jit"):
        jax.jit(lambda target: aim(target, 0.0).angle)(50.0)


def test_a_tolerance_below_rounding_raises():
    with pytest.raises(SpanaxError, match="below the rounding"):
        aim(61.7, 0.3, tolerance=1e-12)
