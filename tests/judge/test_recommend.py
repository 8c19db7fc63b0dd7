"""`recommend`: which bridges fit, which are kept, and what is said."""

import importlib
import io
import time

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import spanax as sx
from spanax import SpanaxError
from spanax.judge._measure.arguments import Arguments
from spanax.judge._measure.sites import draws_of
from spanax.judge._search import proposals, search as _search
from spanax.judge._search.halving import FIRST, Trial, halve, rank_trials
from spanax.judge._search.search import Search
from spanax.judge.recommend import recommend

module = importlib.import_module("spanax.judge.recommend")  # beside the function of the same name

LOGITS = jnp.linspace(-1.0, 1.0, 3)


def one(logits, *, key):
    z = sx.sample(key, dist.Bernoulli(logits=logits).to_event(1), name="z")
    return jnp.sum(z * jnp.arange(1.0, 4.0)) ** 2


def two(logits, *, key):
    first, second = jax.random.split(key)
    z = sx.sample(first, dist.Bernoulli(logits=logits).to_event(1), name="z")
    w = sx.sample(second, dist.Categorical(logits=logits), name="w")
    return jnp.sum(z) * w.astype(jnp.float32) ** 2


def jumps(mean, *, key):
    """E = Phi(mean) + mean: pathwise misses the first term."""
    x = sx.sample(key, dist.Normal(mean, 1.0), name="x")
    return jnp.where(x > 0, 1.0, 0.0) + x


def loop(logit, *, key):
    def step(x, key):
        return x + sx.sample(key, dist.Bernoulli(logits=logit), name="z"), None

    return jax.lax.scan(step, 0.0, jax.random.split(key, 5))[0] ** 2


def search_of(f, *args, key):
    return Search(f, Arguments.of(f, args, {}, 0, ""), draws_of(f, args, {}, key), key, accuracy=0.1)


def bridges_that_fit(f, *args, key):
    search = search_of(f, *args, key=key)
    names = dict.fromkeys(draw.name for draw in search.draws)
    return {n: [repr(b) for b in proposals.bridges_that_fit(n, search.draws, search.problem)] for n in names}


def few(monkeypatch, *bridges):
    monkeypatch.setattr(proposals, "PROPOSALS", bridges)


# -- which bridges fit


def test_bernoulli_draws_take_all_but_pathwise_and_what_is_for_mixtures(key):
    everything = {repr(bridge) for bridge in proposals.PROPOSALS}
    assert set(bridges_that_fit(one, LOGITS, key=key)["z"]) == everything - {"Pathwise()", repr(sx.Componentwise())}


@pytest.mark.filterwarnings("ignore:.*the program jumps in it")
def test_normal_draws_take_pathwise_and_the_score_function(key):
    assert bridges_that_fit(jumps, 0.3, key=key)["x"] == [
        "Pathwise()",
        "LeaveOneOut(samples=2)",
        "LeaveOneOut(samples=8)",
        "ScoreFunction(baseline='auto')",
    ]


def test_in_a_loop_the_rest_cannot_be_run_again(key):
    bridges = bridges_that_fit(loop, 0.3, key=key)["z"]
    assert "ScoreFunction(baseline='auto')" in bridges and "ReinMax(temperature=1.0)" in bridges
    assert not any(name in bridge for bridge in bridges for name in ("LeaveOneOut", "DisARM", "Enumerate"))


def test_a_draw_with_many_values_is_not_enumerated(key):
    def f(logits, *, key):
        return jnp.sum(sx.sample(key, dist.Bernoulli(logits=logits).to_event(1), name="z")) ** 2

    assert "Enumerate()" in bridges_that_fit(f, jnp.zeros(10), key=key)["z"]
    assert "Enumerate()" not in bridges_that_fit(f, jnp.zeros(11), key=key)["z"]


def test_where_nothing_fits_the_reason_is_said(key, monkeypatch):
    few(monkeypatch, sx.DisARM(), sx.ScoreFunction())

    def f(x, *, key):
        return sx.sample(key, dist.Uniform(0.0, x), name="u") ** 2

    with pytest.raises(
        SpanaxError, match=r"no bridge fits the draw 'u'; with ScoreFunction\(\): .*bound of its support"
    ):
        recommend(f, 1.0, key=key)


def test_what_a_proposal_says_of_itself(key):
    draws = draws_of(two, (LOGITS,), {}, key)
    exact = proposals.proposal({"z": sx.Enumerate(), "w": sx.Enumerate()}, draws)
    assert exact.code("two") == 'sx.expectation(two, via={"z": sx.Enumerate(), "w": sx.Enumerate()})'
    assert (exact.label, exact.samples, exact.sound) == ("z=Enumerate(), w=Enumerate()", 1, True)
    mixed = proposals.proposal({"w": sx.Enumerate()}, draws)  # z keeps its score function
    assert mixed.samples == 4 and mixed.label == "w=Enumerate(), samples=4"
    assert mixed.code("two") == 'sx.expectation(two, samples=4, via={"w": sx.Enumerate()})'
    assert not proposals.proposal({"z": sx.ReinMax()}, draws).unbiased
    assert proposals.proposal({}, draws).code("two") == "sx.expectation(two)"


# -- successive halving, on gradients that are made up


class Gradients:
    """Gaussian gradients with the given mean and standard deviation, which take no time; they count how many were drawn."""

    class arguments:  # noqa: N801
        size = 2

    def __init__(self, mean, spread, seed):
        self.mean, self.spread, self.random = np.asarray(mean, float), spread, np.random.default_rng(seed)

    def __call__(self, key, i):
        return (self.mean + self.spread * self.random.normal(size=2),)


def trial(label, mean=(1.0, 1.0), spread=1.0, unbiased=True, sound=True):
    return Trial(label, Gradients(mean, spread, len(label)), None, unbiased=unbiased, sound=sound)


def drawn(*trials, times=200):
    for t in trials:
        for _ in range(times):
            t.draw()
        t.seconds[:] = [1e-3]
    return list(trials)


def test_moments_are_those_of_numpy():
    (t,) = drawn(trial("t", spread=2.0), times=50)
    again = Gradients((1.0, 1.0), 2.0, 1)
    rows = np.concatenate([again(None, i) for i in range(50)])
    np.testing.assert_allclose(t.mean, rows.mean(0))
    np.testing.assert_allclose(t.variance, rows.var(0, ddof=1).sum())
    np.testing.assert_allclose(t.error, rows.var(0, ddof=1).sum() / 50)


def test_the_rank_is_by_time_to_accuracy():
    trials = drawn(trial("good", spread=0.5), trial("noisy", spread=2.0), trial("slow", spread=0.5))
    trials[2].seconds[:] = [1.0]
    assert [t.label for t in rank_trials(trials[::-1], 0.1)] == ["good", "noisy", "slow"]


def test_a_bias_is_seen_against_the_sound_one_and_nan_is_last():
    biased = trial("biased", mean=(1.5, 1.0), spread=0.01, unbiased=False, sound=False)
    broken = trial("broken", mean=(np.nan, 1.0), spread=0.0)
    trials = drawn(broken, biased, trial("sound", spread=0.5))
    assert [t.label for t in rank_trials(trials, 0.1)] == ["sound", "biased", "broken"]
    near = trial("nearly", mean=(1.01, 1.0), spread=0.01, unbiased=False, sound=False)
    assert [t.label for t in rank_trials(drawn(near, trial("sound", spread=0.5)), 0.1)] == ["nearly", "sound"]


def rounds(trials, **options):
    heard = []
    settings = {"keep": (2, 1), "deadline": time.perf_counter() + 60, "accuracy": 0.1, **options}
    return halve(trials, on_round=lambda *round: heard.append(round), **settings), heard


def test_each_round_keeps_the_better_half_and_draws_twice_as_often():
    trials = [trial(f"t{'i' * k}", spread=2.0**k) for k in range(8)]
    best, heard = rounds(trials)
    assert heard == [(1, 8), (2, 4), (3, 2)]
    assert {t.count for t in best} == {7 * FIRST}
    assert sorted(t.count // FIRST for t in trials) == [1, 1, 1, 1, 3, 3, 7, 7]
    assert trials[7].count == FIRST


def test_the_unbiased_compete_among_themselves():
    cheap = [trial(f"b{k}", spread=0.001, unbiased=False, sound=False) for k in range(4)]
    honest = [trial(f"u{'i' * k}", spread=10.0**k) for k in range(4)]
    best, _ = rounds([*cheap, *honest])
    assert [t.label for t in best[:2]] == ["u", "ui"] and len(best) == 3 and best[2] in cheap


def test_a_sound_one_stays_however_noisy_it_is():
    smooth = [trial(f"path{k}", spread=0.01, sound=False) for k in range(4)]
    best, _ = rounds([*smooth, trial("sound", spread=5.0)])
    assert [t.label for t in best][1:] == ["sound"] and len(best) == 2


def test_after_the_deadline_the_first_one_is_tried_and_no_other():
    trials = [trial(f"t{k}") for k in range(3)]
    best, _ = rounds(trials, deadline=0.0)
    assert best == trials[:1] and [t.count > 0 for t in trials] == [True, False, False]


# -- the whole


def test_a_small_support_is_enumerated_and_the_code_runs(key, monkeypatch):
    few(monkeypatch, sx.DisARM(), sx.Enumerate(), sx.LeaveOneOut(8), sx.ScoreFunction(), sx.StraightThrough())
    found = recommend(one, LOGITS, key=key)
    assert found.code == 'sx.expectation(one, via={"z": sx.Enumerate()})'
    assert len(found.rows) == 3 and found.rows[0].label == "z=Enumerate()" and found.rows[0].variance == 0
    assert [row.label for row in found.rows if row.verdict == "biased"] == ["z=StraightThrough()"]
    gradient = jax.grad(eval(found.code))(LOGITS, key=key)
    p, weights = jax.nn.sigmoid(LOGITS), jnp.arange(1.0, 4.0)
    slope = weights**2 + 2 * weights * (jnp.sum(p * weights) - p * weights)  # d E[(w.z)^2] / dp
    np.testing.assert_allclose(gradient, slope * p * (1 - p), rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*the program jumps in it")
def test_a_program_that_jumps_is_not_given_the_pathwise_gradient(key, monkeypatch):
    few(monkeypatch, sx.Pathwise(), sx.LeaveOneOut(8))
    found = recommend(jumps, 0.3, key=key)
    assert {row.label: row.verdict for row in found.rows} == {
        "x=Pathwise()": "biased",
        "x=LeaveOneOut(samples=8)": "no bias found",
    }
    assert found.code == 'sx.expectation(jumps, via={"x": sx.LeaveOneOut(samples=8)})'


@pytest.mark.slow
def test_many_combinations_are_gone_through_name_by_name(key, monkeypatch):
    few(monkeypatch, sx.LeaveOneOut(2), sx.Enumerate())
    monkeypatch.setattr(_search, "COMBINATIONS", 3)
    search = search_of(two, LOGITS, key=key)
    best, trial = search.best(time.perf_counter() + 60)[0]
    assert best.label == "z=Enumerate(), w=Enumerate()" and trial.variance == 0
    assert "z=LeaveOneOut(), w=LeaveOneOut()" not in search._trials and search.warnings(60) == []


def test_a_budget_that_is_too_small_is_said(key, monkeypatch):
    few(monkeypatch, sx.DisARM(), sx.Enumerate())
    found = recommend(one, LOGITS, key=key, budget_seconds=1e-6)
    assert found.code == 'sx.expectation(one, via={"z": sx.DisARM()})' and len(found.rows) == 1
    (told,) = [text for text in found.warnings if "budget_seconds=1e-06 was too little" in text]
    assert "2 of 3 candidates were not tried" in told


def test_draws_without_a_name_keep_their_bridge(key, monkeypatch):
    few(monkeypatch, sx.Enumerate())

    def f(logit, *, key):
        first, second = jax.random.split(key)
        x = sx.sample(first, dist.Normal(logit, 1.0))
        return x * sx.sample(second, dist.Bernoulli(logits=logit), name="z")

    found = recommend(f, 0.3, key=key)
    assert any("without a name keep their bridge" in text and "test_recommend.py" in text for text in found.warnings)
    with pytest.raises(SpanaxError, match="no draw has a name"):
        recommend(lambda x, *, key: sx.sample(key, dist.Normal(x, 1.0)), 0.3, key=key)


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda x: jnp.round(x) * x, r"(?s)hard steps are: round at test_recommend.*sx\.hard\.round\(.*sx\.compare"),
        (lambda x: x**2, r"(?s)the gradient flows.*jax\.grad\(f\)"),
        (lambda x: 1.0, "does not depend on the argument"),
    ],
)
def test_without_draws_the_remedies_for_the_hard_steps_are_said(f, words, key):
    with pytest.raises(SpanaxError, match=words):
        recommend(f, 0.3, key=key)


@pytest.mark.parametrize("budget", [0, -1.0, "long"])
def test_a_budget_is_a_positive_number(budget, key):
    with pytest.raises(SpanaxError, match="budget_seconds"):
        recommend(one, LOGITS, key=key, budget_seconds=budget)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_for_terminals(terminal, monkeypatch):
    stderr = io.StringIO()
    stderr.isatty = lambda: terminal
    monkeypatch.setattr(_search.sys, "stderr", stderr)
    progress = _search.Progress()
    with progress:
        progress.round(2, 4)
    assert ("round 2, 4 candidates" in stderr.getvalue()) == terminal
    assert stderr.getvalue().endswith("\r" if terminal else "")


def test_the_time_that_is_left_says_how_much_is_compared():
    trials = drawn(trial("a"), trial("bb"), trial("ccc"))
    for t in trials:
        t.compiling, t.seconds[:] = 1.0, [1e-3]
    finalists = [(None, t) for t in trials]
    assert module._affordable(finalists, 100.0) == (finalists, 1000)
    assert module._affordable(finalists, 7.5) == (finalists, 500)  # 3 + 1 s of compilation, 3 + 4 gradients a draw
    assert module._affordable(finalists, 4.5) == (finalists[:2], 250)
    assert module._affordable(finalists, 0.0) == (finalists[:1], 200)
