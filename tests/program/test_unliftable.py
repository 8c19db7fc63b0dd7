"""Every program that cannot be lifted is an error that names the line, the construct and a remedy."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx

from .unliftable import (
    BEFORE_THE_RUN,
    IN_THE_RUN,
    RESULTS,
    Unliftable,
    asserted,
    index_out_of_range,
    raised,
    zeros_of_a_count,
)


def test_there_are_enough():
    assert len({case.function for case in BEFORE_THE_RUN}) >= 25


def failure(case: Unliftable) -> sx.SpanaxError:
    with pytest.raises(sx.SpanaxError) as caught:
        sx.gradient(case.function, *case.args)
    return caught.value


def speaks(error: sx.SpanaxError, case: Unliftable) -> None:
    assert re.search(case.problem, error.problem, re.IGNORECASE), str(error)
    if case.remedy is not None:
        assert any(re.search(case.remedy, remedy, re.IGNORECASE) for remedy in error.remedies), str(error)
    assert "_sx" not in str(error)  # names that only the rewritten program has


def names_the_line(error: sx.SpanaxError, case: Unliftable) -> None:
    lines = "|".join(map(str, case.lines))
    assert re.search(rf"unliftable\.py:({lines})\b", error.where), f"line {lines} expected in\n{error}"


@pytest.mark.parametrize("case", BEFORE_THE_RUN, ids=lambda case: case.function.__name__)
def test_what_cannot_be_lifted(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = failure(case)
    speaks(error, case)
    names_the_line(error, case)
    assert not list(tmp_path.iterdir())  # refused before it does anything


@pytest.mark.parametrize("case", IN_THE_RUN, ids=lambda case: case.function.__name__)
def test_what_fails_in_the_run(case):
    error = failure(case)
    speaks(error, case)
    names_the_line(error, case)


@pytest.mark.parametrize("case", RESULTS, ids=lambda case: case.function.__name__)
def test_results_without_a_gradient(case):
    """Of a result the place may be that of the call as well."""
    error = failure(case)
    speaks(error, case)
    assert re.search(r"unliftable\.py:\d+", error.where), str(error)


@pytest.mark.parametrize("function, good", [(asserted, 1.0), (index_out_of_range, 1.5), (raised, 2.0)])
def test_the_same_programs_where_nothing_fails(function, good):
    """The checks cost no gradient."""
    value, slope = sx.value_and_gradient(function, good)
    np.testing.assert_allclose(value, function(good), rtol=1e-12)
    np.testing.assert_allclose(slope, (function(good + 1e-5) - function(good - 1e-5)) / 2e-5, rtol=1e-6)


def test_counts_must_be_static_under_jit():
    case = Unliftable(zeros_of_a_count, (3, 1.5), "zeros|shape|length|size|traced", "static")
    with pytest.raises(sx.SpanaxError) as caught:
        jax.jit(sx.lift(zeros_of_a_count))(3, 1.5)
    speaks(caught.value, case)
    names_the_line(caught.value, case)
    assert jax.jit(sx.lift(zeros_of_a_count), static_argnums=0)(3, jnp.asarray(1.5)) == 4.5


def test_a_higher_bound_lifts_the_loop():
    def count(x):
        n = 0.0
        while x < 12_000.5:
            x = x + 1.0
            n = n + x / 1e4
        return n

    with pytest.raises(sx.SpanaxError, match="max_iterations"):
        sx.gradient(count, 0.5)
    with jax.enable_x64(True):
        value = sx.lift(count, max_iterations=20_000)(0.5)
    np.testing.assert_allclose(value, count(0.5), rtol=1e-12)
