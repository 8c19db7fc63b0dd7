"""What the bias is measured against: exact where it can be, and never a wrong gradient in silence."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import spanax as sx
from spanax.judge.compare import compare

KEY = jax.random.key(1)
LOO = {"z": [sx.LeaveOneOut()]}


def coin(theta, *, key):
    return (sx.sample(key, dist.Bernoulli(logits=theta), name="z") - 0.25) ** 2


def wide(theta, *, key):
    """20 coins: 2^20 values are too many to enumerate. E[f] = (sum of p)^2 + sum of p (1 - p)."""
    z = sx.sample(key, dist.Bernoulli(logits=theta).to_event(1), name="z")
    return jnp.sum(z) ** 2


def of_wide(theta):
    p = 1 / (1 + np.exp(-theta))
    return (2 * np.sum(p) + 1 - 2 * p) * p * (1 - p)


WIDE = jnp.linspace(-2.0, 2.0, 20)


def test_too_many_values_are_replaced_by_the_cheapest_unbiased_bridge():
    found = compare(wide, WIDE, key=KEY, vias={"z": [sx.ScoreFunction(), sx.DisARM(), sx.GumbelSoftmax()]}, draws=300)
    assert found.truth.kind == "unbiased bridge"
    assert "1,200 draws of z=DisARM()" in found.truth.how and "1,048,576 runs" in found.truth.how
    apart = np.linalg.norm(np.asarray(found.truth.gradient, float) - of_wide(np.asarray(WIDE, float)))
    disarm = next(row for row in found.rows if row.label == "z=DisARM()")
    assert found.truth.standard_error == pytest.approx(math.sqrt(disarm.variance / 1200), rel=0.2)
    assert apart < 2 * found.truth.standard_error  # |error|^2 has 20 degrees of freedom or so: 1 in 100,000
    verdicts = {row.label: row.verdict for row in found.rows}
    assert verdicts["z=DisARM()"] == "no bias found" and verdicts["z=GumbelSoftmax()"] == "biased"


def test_without_an_unbiased_candidate_the_score_function_is_the_truth():
    found = compare(wide, WIDE, key=KEY, vias={"z": [sx.StraightThrough()]}, draws=300)
    assert "z=ScoreFunction() with 4 samples" in found.truth.how and found.truth.standard_error > 0
    apart = np.linalg.norm(np.asarray(found.truth.gradient, float) - of_wide(np.asarray(WIDE, float)))
    assert apart < 2 * found.truth.standard_error


def test_a_bridge_of_the_users_is_no_truth():
    class Trusting(sx.GumbelSoftmax):
        @property
        def facts(self):
            return sx.LeaveOneOut().facts

    found = compare(wide, WIDE, key=KEY, vias={"z": [Trusting()]}, draws=300)
    assert "ScoreFunction" in found.truth.how and found.rows[0].verdict == "biased"


# -- quadrature


def test_quadrature_beside_enumeration():
    """z ~ Bernoulli(sigmoid(theta)), w ~ Normal(theta z, 1): E[w^2] = 1 + p theta^2."""

    def f(theta, *, key):
        first, second = jax.random.split(key)
        z = sx.sample(first, dist.Bernoulli(logits=theta), name="z")
        return sx.sample(second, dist.Normal(theta * z, 1.0), name="w") ** 2

    theta = 0.6
    p = 1 / (1 + math.exp(-theta))
    found = compare(f, theta, key=KEY, vias=LOO, draws=100)
    assert found.truth.kind == "quadrature" and found.truth.standard_error == 0
    assert float(found.truth.gradient) == pytest.approx(2 * theta * p + p * (1 - p) * theta**2, rel=1e-5)


def test_quadrature_of_two_normals_with_both_parameters():
    """E[exp(a.z)] for z ~ Normal(m, s): exp(a.m + sum a^2 s^2/2)."""

    def f(params, *, key):
        z = sx.sample(key, dist.Normal(params["m"], params["s"]).to_event(1), name="z")
        return jnp.exp(z @ a)

    a, m, s = jnp.array([0.3, -0.2]), np.array([0.1, 0.4]), np.array([0.5, 1.2])
    params = {"m": jnp.asarray(m, jnp.float32), "s": jnp.asarray(s, jnp.float32)}
    found = compare(f, params, key=KEY, vias={"z": [sx.Pathwise()]}, draws=100)
    value = math.exp(float(a @ m) + float(np.sum(np.asarray(a) ** 2 * s**2)) / 2)
    np.testing.assert_allclose(found.truth.gradient["m"], value * np.asarray(a), rtol=2e-5)
    np.testing.assert_allclose(found.truth.gradient["s"], value * np.asarray(a) ** 2 * s, rtol=2e-5)


def test_a_jump_is_no_matter_for_quadrature():
    """Where it does not converge it is not taken; the pathwise gradient of a jump is refused, and left out."""

    def f(theta, *, key):
        return jnp.where(sx.sample(key, dist.Normal(theta, 1.0), name="z") > 0.37, 1.0, 0.0)

    found = compare(f, 0.1, key=KEY, vias={"z": [sx.Pathwise(), sx.ScoreFunction()]}, draws=500)
    true = math.exp(-(0.27**2) / 2) / math.sqrt(2 * math.pi)
    assert found.truth.kind == "unbiased bridge" and "does not converge" in found.truth.how
    assert abs(float(found.truth.gradient) - true) < 4.5 * found.truth.standard_error
    verdicts = {row.label: row.verdict for row in found.rows}
    assert verdicts == {"z=ScoreFunction()": "no bias found"}
    assert any("every path from it to the costs is cut" in text for text in found.warnings)


def test_a_pathwise_truth_says_that_it_was_held_against_the_score_function():
    def f(theta, *, key):
        return jnp.sum(sx.sample(key, dist.Normal(theta, 1.0).to_event(1), name="z") ** 2)

    found = compare(f, jnp.arange(5.0), key=KEY, vias={"z": [sx.Pathwise()]}, draws=200)
    assert "the score function, to within" in found.truth.how and found.truth.how.endswith("does not contradict it")
    assert not any("too noisy" in text for text in found.warnings)


# -- what the user gives


class Module(eqx.Module):
    theta: jax.Array
    activation: object

    def __call__(self, x):
        return x


def test_a_gradient_may_be_given_even_as_a_module_that_can_be_called():
    model = Module(jnp.asarray(0.7), jnp.tanh)
    p = 1 / (1 + math.exp(-0.7))

    def f(model, *, key):
        return coin(model.theta, key=key)

    right = Module(jnp.asarray(p * (1 - p) / 2), None)
    found = compare(f, model, key=KEY, vias=LOO, truth=right, draws=300)
    assert found.truth.kind == "given" and found.rows[0].verdict == "no bias found"
    assert isinstance(found.truth.gradient, Module) and found.truth.gradient.activation is None
    wrong = Module(-right.theta, None)
    assert compare(f, model, key=KEY, vias=LOO, truth=wrong, draws=300).rows[0].verdict == "biased"


def test_a_bridge_or_a_function_may_be_given():
    found = compare(coin, 0.7, key=KEY, vias=LOO, truth=sx.Enumerate(), draws=100)
    assert found.truth.kind == "enumeration" and found.truth.standard_error == 0
    found = compare(coin, 0.7, key=KEY, vias=LOO, truth={"z": sx.DisARM()}, draws=100)
    assert found.truth.kind == "unbiased bridge" and found.truth.standard_error > 0
    found = compare(coin, 0.7, key=KEY, vias=LOO, truth=sx.StraightThrough(), draws=100)
    assert found.truth.kind == "given" and any("biased by its own facts" in text for text in found.warnings)
    found = compare(coin, 0.7, key=KEY, vias=LOO, truth=lambda theta: jax.nn.sigmoid(theta) / 2, draws=100)
    assert found.truth.kind == "given" and found.truth.standard_error == 0 and found.rows[0].verdict == "no bias found"


# -- functions as candidates: what is the truth then?


def test_the_derivative_of_a_program_that_is_cut_is_no_truth():
    def hard(theta):
        return jnp.round(3 * theta) ** 2

    with pytest.raises(
        sx.SpanaxError, match=r"the derivative of .*hard is not the truth: it is dead, cut by round at"
    ) as error:
        compare(hard, 0.7, key=KEY, vias={"identity": lambda theta: (3 * theta) ** 2})
    assert "truth=" in str(error.value)


def test_a_derivative_that_is_zero_for_every_key_is_no_truth():
    def f(theta, *, key):
        return jax.nn.relu(theta * jax.random.uniform(key) - 10.0)

    with pytest.raises(sx.SpanaxError, match="zero for every key"):
        compare(f, 0.7, key=KEY, vias={"f": f})


def test_randomness_that_is_rare_is_no_exactness():
    """The first gradients are alike: what is random is asked of the program, not of a few values."""

    def f(theta, *, key):
        return theta * jnp.where(jax.random.uniform(key) < 0.01, 100.0, 0.0)

    found = compare(f, 2.0, key=KEY, vias={"f": f}, draws=500)
    assert found.truth.kind == "unbiased bridge" and found.truth.standard_error > 0
    assert "taken to be unbiased" in found.truth.how


def test_what_else_is_random_is_averaged_over():
    def f(theta, *, key):
        first, second = jax.random.split(key)
        return sx.sample(first, dist.Bernoulli(logits=theta), name="z") * (1 + jax.random.normal(second))

    found = compare(f, 0.7, key=KEY, vias=LOO, draws=200)
    assert found.truth.kind == "unbiased bridge" and found.truth.standard_error > 0
    assert found.truth.how == "every draw enumerated; the mean of 800 keys for what else is random"


# -- refusals


def test_no_truth_is_made_of_a_biased_unnamed_draw():
    def f(theta, *, key):
        first, second = jax.random.split(key)
        z = sx.sample(first, dist.Bernoulli(logits=theta), name="z")
        return z * sx.sample(second, dist.Bernoulli(logits=theta), via=sx.StraightThrough())

    with pytest.raises(sx.SpanaxError, match=r"no truth to compare with: .*StraightThrough.* unnamed"):
        compare(f, 0.7, key=KEY, vias=LOO)


@pytest.mark.parametrize(
    "truth, said",
    [
        (jnp.zeros(3), "truth= has floating-point leaves of shapes"),
        ("exact", "truth='exact'"),
        (jnp.nan, "not finite"),
        ({"nosuch": sx.Enumerate()}, "names \\['nosuch'\\]"),
    ],
)
def test_truths_that_do_not_fit(truth, said):
    with pytest.raises(sx.SpanaxError, match=said):
        compare(coin, 0.7, key=KEY, vias=LOO, truth=truth, draws=100)


# -- where quadrature is blind, or only nearly right


def test_a_peak_between_the_nodes_is_seen_by_the_score_function():
    """E[z + 100 exp(-((z - .63)/.01)^2)]: both orders of the quadrature step over the peak, and agree."""

    def f(theta, *, key):
        z = sx.sample(key, dist.Normal(theta, 1.0), name="z")
        return z + 100 * jnp.exp(-(((z - 0.63) / 0.01) ** 2))

    found = compare(f, 0.1, key=KEY, vias={"z": [sx.LeaveOneOut(4)]}, draws=1000)
    peak = math.sqrt(math.pi) * math.exp(-(0.53**2) / 2) / math.sqrt(2 * math.pi) * 0.53
    assert found.truth.kind == "unbiased bridge" and "quadrature misses a part of it" in found.truth.how
    assert abs(float(found.truth.gradient) - 1 - peak) < 4.5 * found.truth.standard_error
    assert found.rows[0].verdict == "no bias found"


def test_a_kink_leaves_quadrature_an_error_that_is_no_bias():
    def f(theta, *, key):
        z = sx.sample(key, dist.Normal(theta, 1.0), name="z")
        return 100 * z + 0.5 * jnp.abs(z - 0.37)

    found = compare(f, 0.1, key=KEY, vias={"z": [sx.Pathwise()]}, draws=500)
    row, norm = found.rows[0], abs(float(found.truth.gradient))
    assert "agree to 0.01%" in found.truth.how and row.verdict == "no bias found"
    assert row.bias.high > 2e-4 * norm  # twice that is allowed for, and is in the interval
    assert abs(norm - 100 - 0.5 * math.erf(-0.27 / math.sqrt(2))) < 2e-4 * norm


def test_a_pathwise_truth_that_the_score_function_is_too_noisy_to_confirm_is_doubted():
    def f(theta, *, key):
        first, second = jax.random.split(key)
        z = sx.sample(first, dist.Normal(theta, 1.0).to_event(1), name="z")
        return jnp.sum(z**2) + 1e3 * jax.random.normal(second)

    found = compare(f, jnp.ones(5), key=KEY, vias={"z": [sx.Pathwise()]}, draws=100)
    noisy = "is the truth if the program has no jump: the score function is too noisy to tell"
    assert any(noisy in text for text in found.warnings)


def test_a_gradient_with_other_names_is_no_truth():
    f = lambda p: p["a"] + 2 * p["b"]
    with pytest.raises(sx.SpanaxError, match=r"leaves of shapes \['x'\] \(\), \['y'\] \(\), and the gradient \['a'\]"):
        compare(f, {"a": 1.0, "b": 2.0}, key=KEY, vias={"f": f}, truth={"x": 2.0, "y": 1.0}, draws=100)


def test_a_truth_of_zero_within_its_error_leaves_all_undecided():
    """Its noise is symmetric, and its mean 0: for one key of two its square is below that of its standard error."""
    f = lambda theta, *, key: theta * jnp.where(jax.random.uniform(key) < 0.5, -1.0, 1.0)
    found = [compare(f, 1.0, key=jax.random.key(k), vias={"f": f}, draws=100) for k in range(6)]
    zero = [
        one for one in found if any("the true gradient is 0 here within its error" in text for text in one.warnings)
    ]
    assert zero and all(one.rows[0].verdict == "undecided" for one in zero)
