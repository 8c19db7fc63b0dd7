"""`spanax gallery calibrate` as a library call: the simulator against its law, the fits, and what is never run twice."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import spanax as sx
from spanax.gallery import calibrate
from spanax.gallery._calibrate import outbreak
from spanax.gallery._calibrate.curve import counts, curve, logs, rates
from spanax.gallery._calibrate.lab import Lab

from .pictures import check_picture

STAGES = ["first fit", "least_squares", "descend", "fit_surrogate", "drawing"]


def chain_binomial(epidemics, seed):
    """The law of the counts of the agents: each count moves on by a binomial draw. Independent of the simulator."""
    rng, people = np.random.default_rng(seed), outbreak.PEOPLE
    exposed = rng.binomial(people, calibrate.TRUTH["start"], epidemics)
    susceptible, ill = people - exposed, np.zeros(epidemics, int)
    sickening, recovering = 1 - np.exp(-1 / 4), 1 - np.exp(-1 / calibrate.TRUTH["illness"])
    new, still = [], []
    for day in range(98):
        contact = calibrate.TRUTH["open" if day < 21 else "lockdown" if day < 49 else "reopened"]
        infected = rng.binomial(susceptible, 1 - np.exp(-contact * ill / people))
        fell_ill, recovered = rng.binomial(exposed, sickening), rng.binomial(ill, recovering)
        susceptible, exposed, ill = susceptible - infected, exposed + infected - fell_ill, ill + fell_ill - recovered
        new.append(fell_ill)
        still.append(ill)
    weeks = np.reshape(new, (14, 7, epidemics)).sum(1), np.reshape(still, (14, 7, epidemics)).mean(1)
    return np.concatenate(weeks).T


def test_the_agents_follow_the_law_of_their_counts():
    ours = np.array([np.concatenate(outbreak.outbreak(seed, **calibrate.TRUTH)) for seed in range(150)])
    law = chain_binomial(4000, seed=0)
    errors = np.sqrt(ours.var(0) / len(ours) + law.var(0) / len(law))
    # 28 means, each beyond 4.5 standard errors in 1 of 150,000: a false alarm in at most 1 of 5,000.
    assert np.all(np.abs(ours.mean(0) - law.mean(0)) < 4.5 * errors)
    # The ratio of two variances of normal numbers: within [0.6, 1.6] but for 1 in 10,000, for each of 28.
    assert np.all(np.abs(np.log(ours.var(0) / law.var(0))) < 0.55)


def test_the_same_seed_is_the_same_luck():
    x = logs(calibrate.TRUTH)
    np.testing.assert_array_equal(curve(x, 5), curve(x, 5))
    nearby = {**x, "open": x["open"] + np.float32(0.02)}
    same = np.array([curve(nearby, seed) - curve(x, seed) for seed in range(20)])
    other = np.array([curve(nearby, seed + 100) - curve(x, seed) for seed in range(20)])
    assert same.var(0).sum() < 0.3 * other.var(0).sum()


def test_logarithms_and_counts_and_back():
    again = rates(logs(calibrate.TRUTH))
    np.testing.assert_allclose(list(again.values()), list(calibrate.TRUTH.values()), rtol=1e-6)
    np.testing.assert_allclose(counts(np.sqrt(np.array([0.0, 7.5]) + 3 / 8)), [0.0, 7.5], atol=1e-12)
    assert counts(np.array([-1.0])) == 0


@pytest.fixture(scope="module")
def problem():
    return calibrate.pose(Lab(calibrate.BOUNDS), calibrate.observe(3), jax.random.key(0))


def test_the_scatter_is_that_of_epidemics_at_the_truth(problem):
    true = chain_binomial(4000, seed=1)
    want = np.cov(np.sqrt(true + 3 / 8).T)
    # 250 epidemics at a fit, not at the truth: a standard deviation is some 5% off for the first reason, and more for the second.
    ratio = np.sqrt(np.diag(problem.scatter) / np.diag(want))
    assert np.all((ratio > 0.6) & (ratio < 1.7))
    # Neighbouring weeks go together, which independent errors would not show.
    errors = np.sqrt(np.diag(problem.scatter))
    correlation = problem.scatter / np.outer(errors, errors)
    assert correlation[10, 11] > 0.6 and correlation[10, 24] > 0.6


def test_least_squares_finds_the_truth_within_its_errors(problem):
    found = calibrate.by_least_squares(problem, jax.random.key(1))
    for name, true in logs(calibrate.TRUTH).items():
        error = (found.upper[name] - found.lower[name]) / (2 * 1.96)
        assert abs(found.x[name] - true) < 4 * error  # 1 in 3,000 for five
        assert 0.005 < error < 0.5


@pytest.mark.slow
def test_a_descent_ends_where_least_squares_does(problem):
    fit = calibrate.by_least_squares(problem, jax.random.key(1))
    found = calibrate.by_descent(problem, jax.random.key(2), steps=80)
    for name in calibrate.TRUTH:
        assert abs(found.x[name] - fit.x[name]) < (found.upper[name] - found.lower[name]) / 2
        np.testing.assert_allclose((found.upper[name] + found.lower[name]) / 2, found.x[name], rtol=1e-5)


def test_ctrl_c_before_the_first_fit_writes_only_the_report(tmp_path):
    def press(stage):
        raise KeyboardInterrupt

    result = calibrate.run(tmp_path, on_stage=press)
    assert result.interrupted and result.methods == ()
    assert json.loads((tmp_path / "result.json").read_text())["interrupted"] is True
    assert not (tmp_path / "calibrate.png").exists()


@pytest.mark.slow
def test_ctrl_c_in_a_descent_keeps_the_fit_before_it(tmp_path, monkeypatch):
    def press(*args, **options):
        return dataclasses.make_dataclass("Cut", ["stopped"])("interrupted")

    monkeypatch.setattr(sx, "descend", press)
    result = calibrate.run(tmp_path, quick=True)
    assert result.interrupted and [method.name for method in result.methods] == ["least_squares"]
    check_picture(tmp_path / "calibrate.png")


@pytest.mark.slow
def test_a_second_run_costs_nothing_and_is_the_same(tmp_path):
    stages = []
    first = calibrate.run(tmp_path, quick=True, on_stage=stages.append)
    assert stages == STAGES and not first.interrupted
    assert [method.name for method in first.methods] == STAGES[1:4]
    assert all(method.run > 0 for method in first.methods)
    check_picture(tmp_path / "calibrate.png")
    content = json.loads((tmp_path / "result.json").read_text())
    assert content["settings"] == {"seed": 0, "workers": 2, "steps": 80, "designs": calibrate.QUICK_DESIGNS}
    for written, method in zip(content["methods"], first.methods, strict=True):
        assert written["parameters"]["open"]["value"] == method.parameters["open"].value
    second = calibrate.run(tmp_path, quick=True)
    for one, other in zip(first.methods, second.methods, strict=True):
        assert other.run == 0 and other.epidemics == one.epidemics
        assert other.parameters == one.parameters
    # What least squares asks for is the least; it uses all numbers of a curve where the others see one, or all of the bounds.
    assert first.methods[0].epidemics < first.methods[1].epidemics
