"""`trust`: which derivatives of a step are wrong, told from at most 64 evaluations."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import spanax as sx
from spanax import control
from spanax.judge._trust.chords import draw_chords, rounding_of, bias_test
from spanax.judge._trust.step import Step

from .steps import BIASED, RIGHT, WRONG

KEY = jax.random.key(0)


def asked(case, key=KEY, **options):
    return sx.trust(case.step, *case.args, key=key, sigma=case.sigma, **options)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_derivative_is_flagged_with_64_evaluations(name):
    report = asked(WRONG[name])
    assert frozenset(report.flagged) == WRONG[name].wrong
    assert report.evaluations <= 64


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_derivative_passes(name):
    report = asked(RIGHT[name])
    assert not report.flagged
    assert report.evaluations <= 64


@pytest.mark.slow
@pytest.mark.parametrize("seed", (1, 2))
def test_flags_are_the_same_with_other_keys(seed):
    # The benchmark has more of them.
    for name, case in (WRONG | RIGHT).items():
        assert frozenset(asked(case, jax.random.key(seed)).flagged) == case.wrong, name


def test_in_double_precision(x64):
    for case in (WRONG["wall bounce"], WRONG["custom rule"], RIGHT["soft contact"], RIGHT["thin layer"]):
        assert frozenset(asked(case).flagged) == case.wrong


def test_a_bridge_that_is_biased_here_is_flagged():
    assert frozenset(asked(BIASED).flagged) == BIASED.wrong


def test_a_jump_is_found_with_its_line_and_place():
    (output,) = [o for o in asked(WRONG["wall bounce"]).outputs if o.flagged]
    assert output.why == "jump"
    assert "position > 1.0" in output.gaps[0].source
    # Where it jumps: position + 0.05 velocity = 1.
    assert output.point[0] + 0.05 * output.point[1] == pytest.approx(1.0, abs=1e-5)


def test_a_stopped_gradient_is_found_with_its_line():
    (output,) = [o for o in asked(WRONG["stop_gradient"]).outputs if o.flagged]
    assert output.why == "wrong"
    assert "stop_gradient" in output.gaps[0].source


def test_the_ratio_and_the_words():
    @jax.custom_jvp
    def force(x):
        return 2.0 * x

    force.defjvp(lambda primals, tangents: (force(*primals), 5.4 * tangents[0]))
    (output,) = sx.trust(force, 0.3, key=KEY).outputs
    assert output.ratio == pytest.approx(2.7, rel=1e-3)
    assert output.verdict == "wrong by 2.7x"
    assert output.derivative == pytest.approx(2.0, rel=1e-3)


def test_no_wrong_reverse_rule_is_missed():
    @jax.custom_vjp
    def force(x):
        return jnp.sin(x)

    force.defvjp(lambda x: (jnp.sin(x), x), lambda x, ct: (-jnp.cos(x) * ct,))
    assert sx.trust(force, 0.3, key=KEY).flagged


def test_a_while_loop_has_forward_mode():
    def grow(x):
        return jax.lax.while_loop(lambda s: s[1] < 3, lambda s: (s[0] * s[0], s[1] + 1), (x, 0))

    report = sx.trust(grow, jnp.array([1.1, 0.9]), key=KEY)
    assert not report.flagged
    # The counter is not a float: it has no derivative.
    assert report.derivative[1] is None


def test_the_derivative_is_that_of_the_smoothed_step():
    # P(x + sigma u > 0) has the derivative phi(x / sigma) / sigma.
    values = [float(sx.trust(_step_up, 0.05, key=jax.random.key(s), argnums=0).derivative) for s in range(12)]
    exact = np.exp(-0.5 * 0.25) / np.sqrt(2 * np.pi) / 0.1
    error = np.std(values) / np.sqrt(len(values))
    # Least squares of 11 chords has a bias of its own, below a tenth.
    assert abs(np.mean(values) - exact) < 3.5 * error + 0.1 * exact


def _step_up(x):
    return jnp.where(x > 0, 1.0, 0.0)


@pytest.mark.parametrize("name", ["pendulum", "coupled bodies", "sort", "solved event"])
def test_the_mix_is_no_worse_than_its_better_part(name):
    case = RIGHT[name]
    exact = _smoothed(case)
    parts = {"analytic": [], "zeroth_order": [], "derivative": []}
    for seed in range(6):
        report = asked(case, jax.random.key(seed))
        for part, errors in parts.items():
            errors.append(np.stack([getattr(o, part) for o in report.outputs]) - exact)
    size = {part: np.sqrt(np.mean(np.square(errors))) for part, errors in parts.items()}
    # Weights from a few chords are themselves estimates.
    assert size["derivative"] <= 1.1 * min(size["analytic"], size["zeroth_order"]) + 1e-5


def _smoothed(case):
    """The Jacobian of E f(x + sigma u), by 40,000 draws of the derivative, which is right."""
    at, back = jax.flatten_util.ravel_pytree(case.args)
    flat = lambda x: jax.flatten_util.ravel_pytree(case.step(*back(x)))[0]
    noise = jax.random.normal(jax.random.key(99), (20_000, at.size))
    both = jnp.concatenate([noise, -noise])
    return np.asarray(
        jax.jit(lambda u: jnp.mean(jax.vmap(lambda v: jax.jacfwd(flat)(at + case.sigma * v))(u), axis=0))(both)
    )


def test_a_wrong_derivative_does_not_enter_the_mix():
    report = asked(WRONG["ball in fixed steps"])
    assert report.outputs[0].weight == 0
    assert np.allclose(report.derivative, report.outputs[0].zeroth_order)


def test_a_steep_slope_that_few_points_meet_does_not_either():
    (output,) = asked(RIGHT["thin layer"]).outputs
    assert (output.flagged, output.why, output.weight) == (False, "noisy", 0)


def test_nan_is_flagged():
    report = sx.trust(lambda x: jnp.where(x > 0, jnp.sqrt(x), 0.0) + jnp.sqrt(jnp.abs(0 * x)), 0.5, key=KEY)
    assert report.flagged
    assert report.outputs[0].verdict == "NaN or infinite, where the value is finite"
    assert np.isfinite(report.derivative[0])


def test_plain_numpy_is_measured_from_values():
    def step(x):
        return {"x": np.sin(x) if x[0] > 0 else x, "n": 3}

    report = sx.trust(step, np.array([0.5, 1.0]), key=KEY, sigma=1e-3)
    assert report.outputs[0].why == "none"
    assert report.evaluations <= 64
    assert "no derivative" in str(report)
    assert np.allclose(report.derivative["x"][0], np.diag(np.cos([0.5, 1.0])), atol=1e-3)


def test_a_black_box_with_a_bridge():
    box = sx.blackbox(lambda x: np.sin(x), jax.ShapeDtypeStruct((), float), via=sx.FiniteDifference(1e-2))
    assert not sx.trust(lambda x: box(x) * 2.0, 0.5, key=KEY).flagged


def test_a_step_of_an_environment():
    env = control.Pendulum()
    report = sx.trust(env.step, jnp.array([0.5, 0.1]), jnp.array([0.3]), key=KEY)
    assert not report.flagged
    # As jax.jacobian with argnums=(0, 1) gives it.
    (by_state, by_action) = report.derivative
    assert (by_state.shape, by_action.shape) == ((2, 2), (2, 1))


def test_a_step_that_draws_is_tested_in_the_mean_over_keys():
    def bernoulli(x, *, key, via):
        return sx.sample(key, dist.Bernoulli(probs=x), via=via, name="hit") * 2.0

    right = sx.expectation(lambda x, *, key: bernoulli(x, key=key, via=sx.ScoreFunction()))
    wrong = lambda x, *, key: jax.lax.stop_gradient(x) * 2.0 + 0.1 * jax.random.normal(key)
    assert not sx.trust(right, 0.5, key=KEY, sigma=0.05).flagged
    assert sx.trust(wrong, 0.5, key=KEY, sigma=0.05).flagged


def test_false_alarms_of_the_test_alone():
    """The p-values of right steps, without the search that takes flags back: at most 1% below 1%, but for chance."""

    def step(x):
        return jnp.stack([jnp.sin(3 * x[0]) * x[1], jnp.abs(x[0] + 0.02), jnp.exp(x[1]), jnp.maximum(x[0] + x[1], 0.1)])

    program = Step(step, (jnp.array([0.3, -0.2]),), {}, None, "")
    count = 250
    p_values = np.stack([_p_values(program, jax.random.key(seed)) for seed in range(count)])
    alarms = np.sum(p_values < 0.01, axis=0)
    # Of Binomial(250, 0.01), 8 or fewer have a probability of 0.998.
    assert np.all(alarms <= 8)


def _p_values(program, key):
    chords = draw_chords(program, np.array([0.2, 0.2]), 60, key)
    return bias_test(chords, rounding_of(program, chords)).p_values


def test_more_inputs_than_chords():
    report = sx.trust(lambda x: jnp.sum(jnp.where(x > 0, x, 0.0) ** 2), jnp.linspace(-1, 1, 100), key=KEY)
    assert not report.flagged
    assert sx.trust(lambda x: jnp.sum(jnp.round(4 * x)), jnp.linspace(-1, 1, 100), key=KEY).flagged


def test_sigma_of_each_argument():
    report = sx.trust(lambda x, y: x + jnp.floor(y), 0.5, 0.5, key=KEY, sigma=(0.1, 0.01))
    assert not report.flagged  # the next whole number is 50 sigma away
    assert sx.trust(lambda x, y: x + jnp.floor(y), 0.5, 0.5, key=KEY, sigma=(0.1, 1.0)).flagged


def test_what_is_still_is_told():
    report = sx.trust(lambda x: (x * 0.0 + 3.0, x), 0.5, key=KEY)
    assert [o.why for o in report.outputs] == ["still", "right"]


def test_it_prints():
    text = str(asked(WRONG["wall bounce"]))
    assert "1 of 2 outputs is not to be used" in text
    assert "where it jumps" in text
    assert "steps.py" in text


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: sx.trust(jnp.sin, 0.5, key=KEY, sigma=0.0), r"sigma=0.0"),
        (lambda: sx.trust(jnp.sin, 0.5, key=KEY, sigma=(0.1, 0.1)), r"one for each of the 1"),
        (lambda: sx.trust(jnp.sin, 0.5, key=KEY, probes=8), r"probes=8"),
        (lambda: sx.trust(jnp.sin, 0.5, key=0), r"PRNG key"),
        (lambda: sx.trust(jnp.sin, 3, key=KEY), r"no floating-point leaf"),
        (lambda: sx.trust(lambda x: jnp.round(x).astype(int), 0.5, key=KEY), r"returns no floating-point number"),
        (lambda: sx.trust(lambda x: 1 / (0 * x), 0.5, key=KEY), r"not finite within sigma"),
        (lambda: sx.trust(jnp.sin, jax.ShapeDtypeStruct((), float), key=KEY), r"by shape only"),
    ],
)
def test_wrong_arguments_are_refused(call, says):
    with pytest.raises(sx.SpanaxError, match=says):
        call()
