"""`compare` on programs whose gradients, biases and variances are known in closed form."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import spanax as sx
from spanax.judge.compare import compare

from .mutants import MUTANTS

KEY = jax.random.key(0)


def rows_of(comparison):
    return {row.label: row for row in comparison.rows}


def close_to_variance(found, values, weights, draws):
    """`found` is the variance of so many draws of a discrete distribution, within 4.5 standard errors (1 in 150,000)."""
    values, weights = np.asarray(values, float), np.asarray(weights, float)
    mean = weights @ values
    second, fourth = (weights @ (values - mean) ** k for k in (2, 4))
    return abs(found - second) <= 4.5 * math.sqrt((fourth - second**2) / draws)


# -- closed forms

THETA = 0.7
P = 1 / (1 + math.exp(-THETA))


def coin(theta, *, key):
    z = sx.sample(key, dist.Bernoulli(logits=theta), name="z")
    return (z - 0.25) ** 2


def normal(theta, *, key):
    return sx.sample(key, dist.Normal(theta, 1.0), name="z") ** 2


def test_variances_on_a_bernoulli_toy():
    bridges = [sx.ScoreFunction(), sx.LeaveOneOut(), sx.DisARM(), sx.Enumerate()]
    found = compare(coin, THETA, key=KEY, vias={"z": bridges})
    rows, step = rows_of(found), 0.75**2 - 0.25**2
    assert found.truth.kind == "enumeration" and found.truth.standard_error == 0
    np.testing.assert_allclose(found.truth.gradient, P * (1 - P) * step, rtol=1e-6)
    score = [0.75**2 * (1 - P), 0.25**2 * -P]
    assert close_to_variance(rows["z=ScoreFunction()"].variance, score, [P, 1 - P], 1000)
    differ = 2 * P * (1 - P)
    assert close_to_variance(rows["z=LeaveOneOut()"].variance, [step / 2, 0], [differ, 1 - differ], 1000)
    differ = 2 * min(P, 1 - P)
    pair = step / 2 * max(P, 1 - P)
    assert close_to_variance(rows["z=DisARM()"].variance, [pair, 0], [differ, 1 - differ], 1000)
    assert rows["z=Enumerate()"].variance == 0
    assert all(row.verdict == "no bias found" for row in found.rows)
    assert [rows[f"z={name}()"].evaluations for name in ("ScoreFunction", "LeaveOneOut", "DisARM", "Enumerate")] == [
        1, 2, 2, 2,
    ]  # fmt: skip


@pytest.mark.slow
def test_variances_on_a_gaussian_toy():
    found = compare(normal, THETA, key=KEY, vias={"z": [sx.Pathwise(), sx.ScoreFunction()]})
    rows = rows_of(found)
    assert found.truth.kind == "quadrature"
    np.testing.assert_allclose(found.truth.gradient, 2 * THETA, rtol=1e-5)
    noise, weights = np.polynomial.hermite_e.hermegauss(30)
    weights = weights / weights.sum()
    assert close_to_variance(rows["z=Pathwise()"].variance, 2 * (THETA + noise), weights, 1000)
    assert close_to_variance(rows["z=ScoreFunction()"].variance, (THETA + noise) ** 2 * noise, weights, 1000)
    assert all(row.verdict == "no bias found" for row in found.rows)
    assert rows["z=Pathwise()"].time_to_accuracy < rows["z=ScoreFunction()"].time_to_accuracy


def test_the_bias_of_a_relaxation_in_closed_form():
    """Straight-through has E[2 (z - 1/4)] p (1 - p) for a gradient of (3/4)^2 - (1/4)^2 = 1/2 times that."""
    found = compare(coin, THETA, key=KEY, vias={"z": [sx.StraightThrough()]})
    row, true, got = found.rows[0], 0.5 * P * (1 - P), 2 * (P - 0.25) * P * (1 - P)
    assert row.verdict == "biased" and row.p_value < 1e-6
    assert row.bias.low <= got - true <= row.bias.high  # 95%; the key is fixed
    assert row.time_to_accuracy == math.inf and any("is biased" in text for text in found.warnings)


# -- planted bugs


def two_parts(params, *, key):
    z = sx.sample(key, dist.Bernoulli(logits=params["theta"]).to_event(1), name="z")
    return (z @ params["w"] - 0.3) ** 2


PARAMS = {"theta": jnp.array([0.4, -1.0, 1.5]), "w": jnp.array([1.0, -2.0, 0.5])}


def test_ten_planted_bugs_are_found():
    found = compare(two_parts, PARAMS, key=KEY, vias={"z": [*MUTANTS, sx.LeaveOneOut(), sx.Enumerate()]})
    verdicts = {label.split("=")[1]: row.verdict for label, row in rows_of(found).items()}
    assert len(MUTANTS) == 10
    assert {name for name, verdict in verdicts.items() if verdict == "biased"} == {repr(m) for m in MUTANTS}
    assert found.recommendation.startswith("z=Enumerate()")
    silent = [text for text in found.warnings if "SILENT ZERO" in text]
    assert len(silent) == 3  # ForgottenScore has one in theta, ForgottenDependence in w, and SilentZero in both
    assert any("SilentZero" in text and "params['theta'], params['w']" in text for text in silent)


def test_a_bug_is_named_by_leaf():
    found = compare(two_parts, PARAMS, key=KEY, vias={"z": [MUTANTS[4], sx.LeaveOneOut()]})
    row = rows_of(found)["z=ForgottenDependence()"]
    assert row.bias_by_leaf["params['theta']"].low == 0
    assert row.bias_by_leaf["params['w']"].low > 1


# -- peers, given as plain functions


def reinforce(theta, *, key):
    p = jax.nn.sigmoid(theta)
    z = (jax.random.uniform(key) < p).astype(theta.dtype)
    cost = (z - 0.25) ** 2
    log_p = z * jnp.log(p) + (1 - z) * jnp.log(1 - p)
    return cost + jax.lax.stop_gradient(cost) * (log_p - jax.lax.stop_gradient(log_p))


def gumbel_softmax(theta, *, key):
    logits = jnp.stack([jnp.zeros_like(theta), theta])
    z = jax.nn.softmax(logits + jax.random.gumbel(key, (2,), theta.dtype))[1]
    return (z - 0.25) ** 2


def exactly(theta):
    p = jax.nn.sigmoid(theta)
    return p * 0.75**2 + (1 - p) * 0.25**2


PEERS = {"by hand": reinforce, "relaxed": gumbel_softmax, "exact": exactly}


@pytest.mark.few(1)
@pytest.mark.parametrize("program", [coin, exactly], ids=["draws", "formula"])
def test_functions_of_others_are_judged(program):
    found = compare(program, jnp.asarray(THETA), key=KEY, vias=PEERS, draws=2000)
    rows = rows_of(found)
    assert {label: row.verdict for label, row in rows.items()} == {
        "by hand": "no bias found",
        "relaxed": "biased",
        "exact": "no bias found",
    }
    assert found.code == "exactly" and rows["exact"].variance == 0
    assert rows["by hand"].evaluations is None
    score = [0.75**2 * (1 - P), 0.25**2 * -P]
    assert close_to_variance(rows["by hand"].variance, score, [P, 1 - P], 2000)


# -- the rest


def test_every_combination_of_two_sites():
    def f(theta, *, key):
        first, second = jax.random.split(key)
        z = sx.sample(first, dist.Bernoulli(logits=theta), name="z")
        return z * sx.sample(second, dist.Normal(theta * z, 1.0), name="w") ** 2

    found = compare(
        f, 0.3, key=KEY, vias={"z": [sx.Enumerate(), sx.DisARM()], "w": [sx.Pathwise(), sx.ScoreFunction()]}, draws=200
    )
    assert set(rows_of(found)) == {
        "z=Enumerate(), w=Pathwise()",
        "z=Enumerate(), w=ScoreFunction()",
        "z=DisARM(), w=Pathwise()",
        "z=DisARM(), w=ScoreFunction()",
    }
    assert found.truth.kind == "quadrature"
    assert found.code.startswith('sx.expectation(f, via={"z": sx.')


def test_labels_leave_defaults_out_and_stay_apart():
    bridges = [sx.LeaveOneOut(), sx.LeaveOneOut(samples=3), sx.LeaveOneOut(), sx.StraightThrough()]
    found = compare(coin, THETA, key=KEY, vias={"z": bridges}, draws=100)
    assert set(rows_of(found)) == {
        "z=LeaveOneOut()",
        "z=LeaveOneOut(samples=3)",
        "z=LeaveOneOut() (2)",
        "z=StraightThrough()",
    }


def test_too_many_combinations_are_cut_with_a_message():
    from spanax.judge._measure.candidates import candidates
    from spanax.judge._measure.sites import draws_of

    sites = draws_of(coin, (THETA,), {}, KEY)
    given, said = candidates(coin, {"z": [sx.LeaveOneOut(k) for k in range(2, 90)]}, sites, "")
    assert len(given) == 64 and said == ["only the first 64 of 88 combinations are compared"]


def test_a_bridge_that_does_not_fit_is_left_out():
    found = compare(coin, THETA, key=KEY, vias={"z": [sx.Pathwise(), sx.LeaveOneOut()]}, draws=100)
    assert set(rows_of(found)) == {"z=LeaveOneOut()"}
    assert any(text.startswith("z=Pathwise() is left out: 'z': Pathwise() needs") for text in found.warnings)


def test_too_few_draws_leave_it_undecided():
    def f(theta, *, key):
        return 100.0 + coin(theta, key=key)

    found = compare(f, THETA, key=KEY, vias={"z": [sx.ScoreFunction()]}, draws=100)
    assert found.rows[0].verdict == "undecided"
    assert any("too few to tell" in text for text in found.warnings)


def test_gradients_that_are_not_finite_are_named():
    def bad(theta, *, key):
        return jnp.where(jax.random.uniform(key) < 0.1, jnp.inf * theta, exactly(theta))

    found = compare(exactly, jnp.asarray(THETA), key=KEY, vias={"bad": bad, "good": reinforce}, draws=200)
    row = rows_of(found)["bad"]
    assert row.verdict == "biased" and math.isnan(row.variance) and row.time_to_accuracy == math.inf
    assert any(
        text.startswith("bad: ") and "of 200 gradients are NaN or infinite (in theta)" in text
        for text in found.warnings
    )
    assert found.code == "reinforce"


def test_one_leaf_that_dominates_is_named():
    def f(params, *, key):
        return sx.sample(key, dist.Normal(params["a"] + 0.01 * jnp.sum(params["b"]), 1.0), name="z") * 10

    params = {"a": jnp.asarray(1.0), "b": jnp.ones(2)}
    found = compare(f, params, key=KEY, vias={"z": [sx.ScoreFunction()]}, draws=200)
    assert found.rows[0].worst_leaf[0] == "params['a']" and found.rows[0].worst_leaf[1] > 0.99
    assert any("of the variance is that of params['a']" in text for text in found.warnings)
    assert set(found.rows[0].bias_by_leaf) == {"params['a']", "params['b']"}


def test_figures_hang_together(dtype):
    theta = jnp.asarray([0.3, -0.5], dtype)

    def f(scale, theta, *, key):
        z = sx.sample(key, dist.Bernoulli(logits=theta).to_event(1), name="z")
        return scale * jnp.sum(z) ** 2  # scale's gradient goes through no draw

    found = compare(
        f, jnp.asarray(2.0, dtype), theta, key=KEY, vias={"z": [sx.LeaveOneOut()]}, argnums=(0, 1), draws=500
    )
    row, true = found.rows[0], found.truth.gradient
    assert [g.dtype for g in true] == [dtype, dtype] and [g.shape for g in true] == [(), (2,)]
    assert found.ranked == ("theta",) and set(row.groups) == {"scale", "theta"}
    norm = float(jnp.linalg.norm(true[1]))
    assert found.truth.norm == pytest.approx(norm, rel=1e-5)
    assert row.snr == pytest.approx(norm / math.sqrt(row.variance), rel=1e-5)
    needed = max(1.0, row.variance / (0.1 * norm) ** 2)
    assert row.time_to_accuracy == pytest.approx(needed * row.microseconds * 1e-6, rel=1e-4)
    draws = found.histograms["draws"]["z=LeaveOneOut()"]
    assert draws.shape == (500, 2) and set(found.histograms["coordinates"]) == {"theta[0]", "theta[1]"}
    gradients = draws[:, [found.histograms["coordinates"].index(f"theta[{j}]") for j in range(2)]]
    assert row.variance == pytest.approx(float(np.sum(np.var(gradients, 0, ddof=1))), rel=1e-6)
    vector = np.asarray(true[1], float)
    cosines = gradients @ vector / np.maximum(np.linalg.norm(gradients, axis=1), 1e-300) / norm
    assert row.cosine == pytest.approx(cosines.mean(), rel=1e-5)


def test_the_same_key_gives_the_same_figures():
    first, second = (compare(coin, THETA, key=KEY, vias={"z": [sx.DisARM()]}, draws=100).rows[0] for _ in range(2))
    assert (first.variance, first.p_value, first.bias) == (second.variance, second.p_value, second.bias)
