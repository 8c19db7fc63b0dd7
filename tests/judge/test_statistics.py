"""The tests and intervals behind the verdicts: on gradients whose distribution is known."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.stats import binom

import spanax as sx
from spanax.judge._measure.moments import moments
from spanax.judge._measure.statistics import LEVEL, Reference, bias


class Recorded:
    """Gradients that are there already."""

    def __init__(self, rows):
        self.given = np.asarray(rows, np.float64)
        self.arguments = self

    @property
    def size(self):
        return self.given.shape[1]

    def rows(self, key, start, stop):
        return self.given[start:stop].copy()


def of(rows, toward=None):
    return moments(Recorded(rows), None, len(rows), toward, (0,))


def compare_candidates(rows, truth, leaves=None):
    truth = truth if isinstance(truth, Reference) else Reference(np.asarray(truth, np.float64), None)
    size = len(rows[0])
    parts = [slice(j, j + 1) for j in range(size)] if leaves else [slice(0, size)]
    return bias(of(rows), truth, parts, 1e-7)


# -- moments


def test_moments_are_those_of_all_rows_at_once(monkeypatch):
    rows = np.random.default_rng(0).gamma(0.5, size=(1003, 7)) + 1e3
    monkeypatch.setattr("spanax.judge._measure.moments._IN_MEMORY", 7 * 6)  # chunks of 6, within batches of about 20
    toward = np.arange(7.0) - 3
    found = of(rows, toward)
    np.testing.assert_allclose(found.mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.variance, rows.var(0, ddof=1), rtol=1e-10)
    np.testing.assert_allclose(found.third, ((rows - rows.mean(0)) ** 3).mean(0), rtol=1e-9)
    ends = np.linspace(0, 1003, 51).round().astype(int)
    want = [rows[a:b].mean(0) for a, b in itertools.pairwise(ends)]
    np.testing.assert_allclose(found.batches, want, rtol=1e-12)
    cosines = rows @ toward / np.linalg.norm(rows, axis=1) / np.linalg.norm(toward)
    np.testing.assert_allclose(found.cosine, cosines.mean(), rtol=1e-12)
    np.testing.assert_array_equal(found.picked, rows[:, :1])


def test_gradients_that_are_all_alike_have_no_variance():
    found = of(np.full((200, 3), 0.1))
    assert not found.variance.any() and not found.third.any()
    assert np.all(found.mean == 0.1)


def test_gradients_that_are_not_finite_are_counted_and_in_no_mean():
    rows = np.random.default_rng(0).normal(size=(200, 3))
    rows[5, 1], rows[77, 2], rows[150] = np.nan, np.inf, -np.inf
    found = of(rows)
    assert found.not_finite == 3 and found.draws == 200 and found.bad.tolist() == [0, 1, 2]
    rows[150] = 0.0  # in the third element it is the only one now that is not
    rows[5, 1], rows[77, 2] = 1.0, np.nan
    found = of(rows)
    assert found.not_finite == 1 and found.bad.tolist() == [2]
    np.testing.assert_allclose(found.mean[:2], rows[:, :2].mean(0))


# -- the level: an unbiased gradient is called biased at most once in 100 times

SEEDS, DRAWS = 200, 400


def program(theta, *, key, via):
    z = sx.sample(key, dist.Bernoulli(logits=theta).to_event(1), via=via)
    return (z @ jnp.array([1.0, -2.0, 0.5]) - 0.3) ** 2 + jnp.sum(z) * theta[0]


def gradients(via, theta, seed):
    """For all seeds: one compiled program."""
    keys = jax.random.split(jax.random.key(seed), SEEDS * DRAWS)
    slope = jax.grad(sx.expectation(lambda theta, *, key: program(theta, key=key, via=via)))
    rows = jax.jit(jax.vmap(lambda key: slope(theta, key=key)))(keys)
    return np.asarray(rows, np.float64).reshape(SEEDS, DRAWS, 3)


THETA = jnp.array([0.4, -1.0, 3.0])  # the last is 1 in 95 of 100 draws: its gradients are skewed
UNBIASED = [sx.ScoreFunction(), sx.LeaveOneOut(), sx.DisARM()]


@pytest.fixture(scope="module")
def truth():
    exact = sx.expectation(lambda theta, *, key: program(theta, key=key, via=sx.Enumerate()))
    return np.asarray(jax.grad(exact)(THETA, key=jax.random.key(0)), np.float64)


@pytest.mark.few(1)
@pytest.mark.parametrize("via", UNBIASED, ids=repr)
def test_unbiased_bridges_are_called_biased_once_in_100_times(via, truth):
    found = gradients(via, THETA, 0)
    biased = sum(compare_candidates(rows, truth).significant for rows in found)
    assert biased <= binom.ppf(0.9995, SEEDS, LEVEL)  # false alarms of this test: 1 in 2,000
    caught = sum(compare_candidates(rows * 2, truth).significant for rows in found)
    assert caught > 10 * biased + 20  # a factor of two, also through the noise of the score function


def test_a_noisy_truth_raises_no_false_alarms():
    found = gradients(sx.LeaveOneOut(), THETA, 1)
    other = gradients(sx.ScoreFunction(), THETA, 2)
    biased = 0
    for rows, reference in zip(found, other, strict=True):
        known = of(reference)
        biased += compare_candidates(rows, Reference(known.mean, known)).significant
    assert biased <= binom.ppf(0.9995, SEEDS, LEVEL)


# -- the intervals


def coverage(size, of_bias, scale=1.0, noisy=False):
    """How often the interval of |bias| holds it: Gaussian gradients, with one direction of large variance."""
    rng, hits = np.random.default_rng(size), 0
    for _ in range(SEEDS):
        noise = rng.normal(size=(DRAWS, size)) + scale * rng.normal(size=(DRAWS, 1))
        truth = Reference(np.zeros(size), None)
        if noisy:
            known = of(rng.normal(size=(2 * DRAWS, size)))
            truth = Reference(known.mean, known)
        low, high = compare_candidates(noise + of_bias / np.sqrt(size), truth).overall[1:]
        hits += low <= of_bias <= high
    return hits


@pytest.mark.few(3)
@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("of_bias", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("size", [1, 20])
def test_intervals_hold_the_bias_in_95_of_100_times(size, of_bias, noisy):
    assert coverage(size, of_bias, noisy=noisy) >= binom.ppf(0.0005, SEEDS, 0.95)  # false alarms: 1 in 2,000 each


# -- what is found


def test_a_bias_of_one_element_among_many_is_found():
    rows = np.random.default_rng(0).normal(size=(1000, 5000))
    assert not compare_candidates(rows, np.zeros(5000)).significant
    rows[:, 17] += 0.3  # 9 standard errors, and 0.09 of a squared distance whose expectation is 5
    assert compare_candidates(rows, np.zeros(5000)).significant


def test_a_bias_that_is_spread_thin_is_found():
    rows = np.random.default_rng(0).normal(size=(1000, 5000))
    rows += 0.015  # half a standard error of each element
    found = compare_candidates(rows, np.zeros(5000))
    assert found.significant and found.overall.low <= 0.015 * np.sqrt(5000) <= found.overall.high


def test_elements_that_are_seldom_other_than_zero_raise_no_false_alarm():
    """10 events in 1,000 draws are expected of each of 50 elements: Student's t would be wrong in 1 of 3 gradients."""
    rng, rate = np.random.default_rng(0), 0.01
    biased = 0
    for _ in range(SEEDS):
        rows = (rng.random((1000, 50)) < rate).astype(float)
        biased += compare_candidates(rows, np.full(50, rate)).significant
    assert biased <= binom.ppf(0.9995, SEEDS, LEVEL)


def test_rounding_is_no_bias_and_more_is():
    rows = np.full((100, 2), 0.3)
    assert not compare_candidates(rows, [0.3 + 3e-7, 0.3]).significant
    assert compare_candidates(rows, [0.3 + 3e-4, 0.3]).significant
    assert compare_candidates(np.zeros((100, 2)), [1e-3, 0.0]).p_value < 1e-6  # a silent zero
    assert compare_candidates(np.zeros((100, 2)), [0.0, 0.0]).p_value == 1.0


def test_the_bias_of_each_leaf_is_its_own():
    rows = np.random.default_rng(0).normal(size=(1000, 2)) * 0.1
    rows[:, 1] += 1.0
    first, second = compare_candidates(rows, np.zeros(2), leaves=True).by_part
    assert first.low == 0 and first.high < 0.02
    assert second.low < 1 < second.high < 1.05


@pytest.mark.few(1)
@pytest.mark.parametrize("draws, chance", [(100, 0.05), (1000, 0.0025)])
def test_events_that_no_draw_has_shown_raise_no_false_alarm(draws, chance):
    """The score function of saturated coins: in 1 of 10 gradients or more, some of the 20 elements never showed a large value."""
    rng, biased = np.random.default_rng(0), 0
    for _ in range(SEEDS):
        z = rng.random((draws, 20)) < chance
        rows = (z - chance) * (5 + z.sum(1, keepdims=True))  # of E[5 + sum of z]
        found = compare_candidates(rows, np.full(20, chance * (1 - chance)))
        biased += found.significant
    assert biased <= binom.ppf(0.9995, SEEDS, LEVEL)


def test_heavy_tails_raise_no_false_alarm_where_a_leaf_shows_them():
    rng = np.random.default_rng(0)
    true = np.full(50, np.exp(1.5**2 / 2))
    biased = sum(compare_candidates(np.exp(1.5 * rng.normal(size=(100, 50))), true).significant for _ in range(SEEDS))
    assert biased <= binom.ppf(0.9995, SEEDS, LEVEL)


def test_what_the_truth_may_be_off_by_is_no_bias():
    rows = np.random.default_rng(0).normal(size=(1000, 1)) * 1e-3 + 1.0
    assert compare_candidates(rows, [1.001]).significant
    found = compare_candidates(rows, Reference(np.array([1.001]), None, 0.002))
    assert not found.significant and found.overall.high > 0.002


# -- along the truth, and across it


def scaled(rng, scale, across, size=40, draws=400):
    """Gradients whose mean is `scale` times the truth and `across` beside it; the truth has norm 2."""
    truth, beside = np.zeros((2, size))
    truth[:4], beside[4:8] = 1.0, 0.5
    noise = rng.normal(size=(draws, size)) * rng.uniform(0.5, 2.0, size)
    return scale * truth + across * beside + noise, truth


def test_the_interval_of_the_scale_holds_it_and_a_scale_is_not_taken_for_another_direction():
    """95% intervals, 200 times: fewer than 177 hits, or more than 9 false alarms at 1%, once in 3,000."""
    rng = np.random.default_rng(5)
    held = turned = 0
    for _ in range(200):
        found = compare_candidates(*scaled(rng, 0.6, 0.0))
        held += found.scale.low <= 0.6 <= found.scale.high
        turned += found.across.low > 0
        assert found.significant
    assert 177 <= held <= 199 and turned <= 9


def test_what_lies_across_the_truth_is_found_whatever_the_scale():
    rng = np.random.default_rng(6)
    for scale in (1.0, -0.5, 3.0):
        found = [compare_candidates(*scaled(rng, scale, 1.0)).across for _ in range(20)]
        # Of norm 1; 20 intervals at 95% hold it less than 15 times once in 3,000.
        assert all(one.low > 0 for one in found) and sum(one.low <= 1 <= one.high for one in found) >= 15


def test_a_truth_with_noise_of_its_own_widens_the_scale():
    """As above; the truth is a mean of as many draws as the gradients are."""
    rng = np.random.default_rng(7)
    held = turned = 0
    for _ in range(200):
        known = of(scaled(rng, 1.0, 0.0)[0])
        found = compare_candidates(scaled(rng, 1.5, 0.0)[0], Reference(known.mean, known))
        held += found.scale.low <= 1.5 <= found.scale.high
        turned += found.across.low > 0
    assert 177 <= held <= 199 and turned <= 9


def test_noise_that_is_projected_into_an_element_without_noise_is_no_bias():
    """200 times at 1%: more than 9 false alarms once in 3,000."""
    rng, truth = np.random.default_rng(8), np.array([1.0, 1.0, 0.0])
    noise = rng.normal(size=(200, 200, 1)) * np.array([0.0, 1.0, 0.0])
    assert sum(compare_candidates(2 * truth + one, truth).across.low > 0 for one in noise) <= 9
    along = rng.normal(size=(200, 200, 1)) * truth + 0.01 * rng.normal(size=(200, 200, 3))
    assert sum(compare_candidates(2 * truth + one, truth).across.low > 0 for one in along) <= 9
    # In one dimension there is nothing across it.
    assert compare_candidates(rng.normal(size=(200, 1)) + 5, [1.0]).across.low == 0


def test_a_gradient_without_noise_has_a_scale_without_noise_and_a_truth_of_0_has_none():
    found = compare_candidates(np.full((100, 2), 3.0), [1.0, 1.0])
    assert found.scale == pytest.approx((3, 3, 3)) and found.across.high < 1e-4
    assert compare_candidates(np.zeros((100, 2)), [1.0, 2.0]).scale == pytest.approx((0, 0, 0))
    assert np.isnan(compare_candidates(np.ones((100, 2)), [0.0, 0.0]).scale).all()
