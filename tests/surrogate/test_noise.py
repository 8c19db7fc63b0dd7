"""Under noise: are the errors right? Over data sets of fixed seeds, with the rate of false alarms of each check."""

import functools

import jax
import numpy as np
import pytest
import scipy.stats

import spanax as sx

from . import noisy_decay
from .noisy_decay import FORM, TRUTH

SETS = 120


CASES = {
    "noisy": {"noise": 0.05, "steps": (0.3, 0.1, 0.2)},
    "common": {"noise": 0.05, "steps": (0.3, 0.1, 0.2), "is_common": True},
    "sigma given": {"noise": 0.05, "steps": (0.3, 0.1, 0.2), "sigma": 0.05},
    "less noisy": {"noise": 0.02, "steps": (0.1, 0.1, 0.1)},
    "none": {"noise": 0.0, "steps": (1e-4, 1e-4, 1e-4)},
}


@functools.cache
def fits_of(case):
    return [noisy_decay.fit(seed, **CASES[case]) for seed in range(SETS)]


@pytest.mark.parametrize(
    "case", [case if case == "noisy" else pytest.param(case, marks=pytest.mark.slow) for case in CASES]
)
def test_standard_errors_and_intervals(case):
    fits = fits_of(case)
    assert all(fit.converged for fit in fits)
    x = np.array([FORM.flatten(fit.x) for fit in fits])
    errors = np.array([FORM.flatten(fit.standard_errors) for fit in fits])
    # The ratio of a variance of 120 draws to its expectation has the standard deviation .13; that the fitted ones scatter as well
    # adds a little. Within 40%, one of the three would be outside by chance once in 200 runs.
    ratio = np.mean(errors**2, 0) / np.mean((x - TRUTH) ** 2, 0)
    np.testing.assert_allclose(ratio, 1.0, atol=0.4)
    # Of 360 intervals 342 should hold the truth; 325 or fewer have the probability 1e-4 if they were independent.
    ends = [fit.interval() for fit in fits]
    held = [(FORM.flatten(low) <= TRUTH) & (FORM.flatten(high) >= TRUTH) for low, high in ends]
    assert np.sum(held) > scipy.stats.binom.ppf(1e-4, 3 * SETS, 0.95)


def test_without_the_correction_errors_would_be_too_small():
    """The noise of the Jacobian makes J'J larger: errors from it are about .8 of what they should be here."""
    fits = fits_of("noisy")
    naive = np.array([fit.sigma**2 * np.diag(np.linalg.inv(fit.jacobian.T @ fit.jacobian)) for fit in fits])
    scatter = np.mean([(FORM.flatten(fit.x) - TRUTH) ** 2 for fit in fits], 0)
    assert np.all(np.mean(naive, 0)[1:] < 0.85 * scatter[1:])
    assert 0.1 < np.mean([fit.jacobian_noise for fit in fits]) < 0.3


def test_a_lucky_value_does_not_stay():
    """The scatter at the end is that of the data and of fresh noise, and not the least of many tries."""
    # Noise of the data, and a quarter of the simulator's in the mean of 4.
    expected = 0.05**2 * (1 + 1 / 4)
    mean = np.mean([fit.sigma**2 for fit in fits_of("noisy")])
    # The standard deviation of the mean of 120 chi-squared variables of 27 degrees of freedom is 2.5%.
    assert abs(mean / expected - 1) < 0.1


def test_each_full_jacobian_has_noise_of_its_own():
    """The same x has another value there, by which the search knows its noise, and ends."""
    fit = noisy_decay.fit(0, **CASES["common"])
    again = fit.history["probed"][1:]
    assert fit.stopped == "noise" and np.any(again)
    assert np.all(fit.history["cost"][1:][again] != fit.history["cost"][:-1][again])


def noisy(x, seed):
    """Of a simulator that draws anew for each x."""
    rng = np.random.default_rng([seed, *np.frombuffer(np.asarray(x["rate"]).tobytes(), np.uint32)])
    return noisy_decay.model([x["height"], x["level"], x["rate"]]) + 0.03 * rng.standard_normal(30) - DATA


DATA = noisy_decay.model(TRUTH) + 0.05 * np.random.default_rng(5).standard_normal(30)
START = {"height": 1.0, "level": 0.0, "rate": 1.0}


@pytest.mark.slow  # the fit that is killed, in test_killed_least_squares.py, is noisy as well
def test_a_noisy_simulator(x64):
    options = {"via": sx.FiniteDifference(step=0.2), "key": jax.random.key(1), "noisy": True}
    fit = sx.least_squares(noisy, START, **options)
    assert fit.stopped == "noise" and fit.converged
    pull = (FORM.flatten(fit.x) - TRUTH) / FORM.flatten(fit.standard_errors)
    assert np.all(np.abs(pull) < 4)
    again = sx.least_squares(noisy, START, **options)
    np.testing.assert_array_equal(again.covariance, fit.covariance)


@pytest.mark.slow
def test_more_repeats_leave_less_of_the_simulators_noise(x64):
    options = {"via": sx.FiniteDifference(step=0.2), "key": jax.random.key(1), "noisy": True, "sigma": 0.05}
    few, many = (sx.least_squares(noisy, START, repeats=n, **options) for n in (2, 32))
    errors = {n: fit.form.flatten(fit.standard_errors) for n, fit in (("few", few), ("many", many))}
    assert np.all(errors["many"] < errors["few"])
