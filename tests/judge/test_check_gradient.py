"""`check_gradient` accepts right gradients at the stated rate and rejects wrong ones.

Keys are fixed. Where a right gradient is judged once, it is at level 1e-4.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import lax

import spanax as sx
from spanax.judge._differences.differences import largest_jumps
from spanax.judge.check_gradient import _p_values, check_gradient

THETA = jnp.array([0.3, -0.2, 1.0])


def bernoullis(via):
    def bernoulli_program(theta, *, key):
        z = sx.sample(key, dist.Bernoulli(logits=theta).to_event(1), via=via)
        return (jnp.sum(z * jnp.array([1.0, -0.5, 2.0])) - 0.3) ** 2 + jnp.sum(theta**2)

    return sx.expectation(bernoulli_program)


def kinks(theta, *, key):
    z = jax.random.normal(key)
    return jnp.abs(theta[0] + z) + jnp.maximum(theta[1] * z, theta[2])


def waves(theta, *, key):
    return jnp.sin(6 * theta[0] + jax.random.normal(key) * theta[1]) * jnp.exp(theta[2])


def altered(f, change):
    """The value of f, and `change(gradient, ...)` with respect to the first argument for its gradient."""

    def wrong(x, *others, key):
        value, gradient = jax.value_and_grad(f)(jax.tree.map(lax.stop_gradient, x), key=key)
        seen = jax.tree.map(lambda g: change(g, *others), gradient)
        moved = jax.tree.map(lambda g, x: jnp.sum(g * (x - lax.stop_gradient(x))), seen, x)
        return lax.stop_gradient(value) + sum(jax.tree.leaves(moved))

    return wrong


RIGHT = {
    "score function": bernoullis(sx.ScoreFunction()),
    "DisARM": bernoullis(sx.DisARM()),
    "enumerated": bernoullis(sx.Enumerate()),
    "relaxed, of the relaxed program": bernoullis(sx.GumbelSoftmax(0.5)),
    "kinks": kinks,
    "waves": waves,
}


@pytest.mark.few(1)
@pytest.mark.parametrize("name", ["waves", "kinks", "score function"])
def test_a_right_gradient_is_called_wrong_no_more_often_than_stated(name):
    """200 keys at level .05: more than 21 have a chance of 1e-3 if the rate is .05; the rate may be lower."""
    checks = [check_gradient(RIGHT[name], THETA, key=jax.random.key(k), draws=300) for k in range(200)]
    assert sum(check.p_value < 0.05 for check in checks) <= 21
    assert sum(check.p_value < 0.01 for check in checks) <= 8  # as rare if the rate is .01
    assert sum(check.decided for check in checks) > 180


@pytest.mark.few(3)
@pytest.mark.parametrize("name", RIGHT)
def test_right_gradients_agree(name, key):
    check = check_gradient(RIGHT[name], THETA, key=key)
    assert check.agrees(1e-4) and "no difference found" in str(check) and "would have been found" in str(check)


FACTORS = {
    "sign": [-1.0, -1.0, -1.0],
    "factor 2": [2.0, 2.0, 2.0],
    "silent zero": [0.0, 0.0, 0.0],
    "half": [0.5, 0.5, 0.5],
    "forgotten dependence": [1.0, 1.0, 0.0],
}


@pytest.mark.few(2)
@pytest.mark.parametrize("name", RIGHT)
def test_wrong_gradients_are_found(name, key):
    """With the right factors it agrees: what is found is what was changed."""
    f, draws = altered(RIGHT[name], jnp.multiply), 4000 if name in ("score function", "DisARM") else 1000
    assert check_gradient(f, THETA, jnp.ones(3), key=key, draws=draws).agrees(1e-4)
    for what, factors in FACTORS.items():
        check = check_gradient(f, THETA, jnp.array(factors), key=key, draws=draws)
        assert not check.agrees() and check.p_value < 1e-4 and "NOT" in str(check), what


def test_a_biased_bridge_is_found_and_so_is_a_jump_that_the_gradient_does_not_see(key):
    straight = lambda via: lambda theta, *, key: jnp.sin(3 * sx.sample(key, dist.Bernoulli(logits=theta), via=via))
    assert not check_gradient(sx.expectation(straight(sx.StraightThrough())), 0.4, key=key).agrees()
    jump = lambda x, *, key: jnp.where(jax.random.uniform(key) < x, 1.0, 0.0)
    check = check_gradient(jump, 0.3, key=key)
    assert check.slopes[0] == 0 and abs(abs(check.changes[0]) - 1) < 5 * check.standard_errors[0] and not check.agrees()


def test_slopes_and_changes_are_those_along_the_directions(key):
    """Of sum_i c_i x_i + noise: the gradient is c, and along itself its slope is |c|."""
    c = np.array([1.0, -2.0, 0.5])
    check = check_gradient(lambda x, *, key: jnp.sum(x * c.astype(np.float32)) + jax.random.normal(key), THETA, key=key)
    assert check.directions[0] == "the mean gradient" and check.directions[1:] == ("x", "x")
    np.testing.assert_allclose(check.slopes[0], np.linalg.norm(c), rtol=1e-5)
    np.testing.assert_allclose(check.slopes, check.changes, rtol=1e-3, atol=1e-3)
    assert check.draws == 1000 and check.evaluations == 2 * 3 * (3 * 1000 + 16 * 200)


def test_the_direction_of_a_leaf_that_is_forgotten_is_named(key):
    params = {"w": THETA, "b": jnp.float32(0.3)}

    def forgetful(params, *, key):
        return (
            jnp.sum(params["w"] * jax.random.normal(key)) + jnp.sum(params["w"]) + lax.stop_gradient(params["b"]) ** 2
        )

    check = check_gradient(forgetful, params, key=key)
    assert check.directions[check.worst] == "params['b']" and not check.agrees()
    assert "along params['b']" in str(check)


def test_argnums_keyword_arguments_and_others(key):
    def f(n, x, y, *, key, power):
        return jnp.sum(x**power) * n + jnp.sum(y) * jax.random.normal(key)

    check = lambda **more: check_gradient(f, 2, THETA, THETA, key=key, power=3, **more)
    assert check(argnums=1).agrees() and check(argnums=(1, 2)).agrees() and check(argnums=-1, directions=1).agrees()
    several = check(argnums=(1, 2))
    assert several.directions == ("the mean gradient", *["a random direction"] * 3, "x", "y") and several.leaves == 2


class Model(eqx.Module):
    weight: jax.Array
    scale: float = 2.0

    def __call__(self, x):
        return jnp.sum(jnp.tanh(self.weight * x)) * self.scale


def test_modules(key, dtype):
    model = Model(jnp.asarray([0.3, -0.4], dtype))
    f = lambda model, *, key: model(jax.random.normal(key, (2,), dtype))
    check = check_gradient(lambda m, *, key: f(m, key=key) * m.weight[0], model, key=key)
    assert check.agrees() and set(check.directions[1:]) == {"m.weight"} and check.leaves == 0


SMOOTH = {
    "sine": (lambda x: jnp.sum(jnp.sin(x)), THETA),
    "a small scale": (lambda x: jnp.tanh(x / 1e-3), jnp.float32(2e-4)),
    "near the edge": (lambda x: jnp.log(x), jnp.float32(1e-3)),
    "a large one": (lambda x: jnp.log(x), jnp.float32(1e5)),
    "a black box": (
        sx.blackbox(
            lambda x: np.sum(x**2), jax.ShapeDtypeStruct((), np.float32), via=sx.Manual(vjp=lambda x, y, ct: 2 * x * ct)
        ),
        THETA,
    ),
}


@pytest.mark.few(3)
@pytest.mark.parametrize("name", SMOOTH)
def test_without_noise_it_is_equality_to_rounding(name, key):
    f, x = SMOOTH[name]
    check = check_gradient(f, x, key=key)
    assert check.p_value == 1 and check.agrees()
    assert np.max(check.tolerances) < 0.01 * np.max(np.abs(check.changes))
    if not isinstance(f, sx.BlackBox):
        wrong = altered(lambda x, *, key: f(x), lambda g: 1.05 * g)
        assert check_gradient(wrong, x, key=key).p_value == 0


def test_a_constant_is_decided(key):
    check = check_gradient(lambda x: jnp.float32(3.0) + 0 * x, 0.3, key=key)
    assert check.agrees() and check.p_value == 1


def test_too_noisy_is_no_agreement(key):
    noisy = lambda x, *, key: 1e-3 * x + x**2 * jax.random.normal(key)
    check = check_gradient(altered(noisy, lambda g: 0 * g), 1.0, key=key, draws=100)
    assert check.p_value > 0.01 and not check.decided and not check.agrees() and "too noisy" in str(check)


def test_gradients_that_are_nan_are_counted(key):
    def sometimes(x, *, key):
        z = jax.random.normal(key)
        return x + jnp.sqrt(x * jnp.where(z > 0, 1.0, 0.0))  # the derivative of the square root at 0, times 0

    check = check_gradient(sometimes, 0.3, key=key)
    assert 400 < check.not_finite < 600 and check.p_value == 0 and not check.agrees()
    assert f"{check.not_finite} of 1000 gradients are NaN" in str(check)


def test_what_cannot_be_vmapped_is_evaluated_in_turn(key):
    def host(x, *, key):
        shape = jax.ShapeDtypeStruct((), np.float32)
        noise = jax.pure_callback(lambda u: np.float32(np.sin(u)), shape, jax.random.uniform(key))
        return x**2 * (1 + noise)

    assert check_gradient(host, jnp.float32(0.7), key=key, draws=100).agrees()


def test_double_precision(key, x64):
    check = check_gradient(lambda x: jnp.sum(jnp.exp(x)), jnp.asarray([0.3, -1.0]), key=key)
    assert check.agrees() and np.max(check.tolerances) < 1e-8


ERRORS = {
    "draws=10": lambda key: check_gradient(waves, THETA, key=key, draws=10),
    "leaves=0": lambda key: check_gradient(waves, THETA, key=key, leaves=0),
    "directions=0": lambda key: check_gradient(waves, THETA, key=key, directions=0),
    "argnums=1, and there are 1": lambda key: check_gradient(waves, THETA, key=key, argnums=1),
    "argnums='x'": lambda key: check_gradient(waves, THETA, key=key, argnums="x"),  # pyright: ignore[reportArgumentType]
    "no floating-point leaf": lambda key: check_gradient(lambda n: n * 1.0, 3, key=key),
    "a floating-point scalar": lambda key: check_gradient(lambda x: x, THETA, key=key),
    "one PRNG key": lambda key: check_gradient(waves, THETA, key=3),  # pyright: ignore[reportArgumentType]
    "NaN or infinite at its arguments": lambda key: check_gradient(lambda x: jnp.log(x), -1.0, key=key),
}


@pytest.mark.parametrize("words", ERRORS)
def test_errors(words, key):
    with pytest.raises(sx.SpanaxError, match=words) as error:
        ERRORS[words](key)
    assert "test_check_gradient.py" in error.value.where and error.value.remedies


def test_p_values():
    """Student's t with 99 and 499 degrees of freedom; but what no draw showed may be there."""
    for t, draws, p in ((1.0, 100, 0.3197479), (2.6264055, 100, 0.01), (3.3914, 100, 0.001), (2.5857, 500, 0.01)):
        assert _p_values(np.array([t]), 1.0, 0.0, 0.0, draws)[0] == pytest.approx(p, rel=1e-3)
    assert _p_values(np.array([1.0]), 0.01, 0.5, 50.0, 100)[0] == pytest.approx(np.exp(-1.0))
    assert list(_p_values(np.array([0.0, 1.0]), 0.0, 0.5, 0.0, 1)) == [1.0, 0.0]


# -- single leaves, and what could have been seen


SEEN = {f"w{i:02}": jnp.full(2, 0.1 * i) for i in range(5)} | {"small": jnp.float32(0.4), "zero": jnp.zeros((0, 3))}


def hidden(params, factor, *, key):
    """20,000 times the last leaf's gradient, with noise, in the others; that of `small` is off by a factor."""
    first, second = jax.random.split(key)
    noise = 1 + jax.random.normal(first, (5,))
    large = sum(jnp.sum(params[f"w{i:02}"]) * noise[i] for i in range(5))
    small = jnp.sin(params["small"]) * (1 + 0.1 * jax.random.normal(second))
    return 1e4 * large + lax.stop_gradient(small * (1 - factor)) + factor * small


def test_an_error_in_a_small_leaf_is_not_hidden_by_large_ones(key):
    check = lambda factor, **more: check_gradient(hidden, SEEN, factor, key=key, draws=300, **more)
    right = check(jnp.float32(1.0))
    assert right.agrees(1e-4) and right.leaves == 6 and "in a single leaf over" in str(right)
    found = check(jnp.float32(0.5))
    assert found.p_value < 1e-6 and found.directions[found.worst] == "params['small']"
    assert right.visible[right.directions.index("params['small']")] < 0.5
    grouped = check(jnp.float32(0.5), leaves=3)  # that of about its own size: none of the large ones
    assert grouped.leaves == 3 and grouped.p_value < 1e-6 and "params['small']" in grouped.directions[grouped.worst]


def noisy_slope(x, factor, *, key):
    """The value x, and a gradient of mean `factor` with a standard deviation of 3."""
    still = lax.stop_gradient(x)
    return still + (x - still) * (factor + 3 * jax.random.normal(key))


def test_the_size_that_would_have_been_found_is_that(key):
    """2 + 2.6 standard errors: half as much again is found with a chance of 1 - 1e-5, and a seventh of it with one of 3%."""
    size = check_gradient(noisy_slope, 1.0, 1.0, key=key).visible[0]
    assert size == pytest.approx((2 + 2.58) * 3 / np.sqrt(1000), rel=0.15)
    for times, fewest, most in ((1.5, 20, 20), (0.15, 0, 4)):
        found = [
            check_gradient(noisy_slope, 1.0, jnp.float32(1 + times * size), key=k).p_value < 0.01
            for k in jax.random.split(key, 20)
        ]
        assert fewest <= sum(found) <= most


@pytest.mark.slow
def test_jumps_too_rare_for_the_draws_of_one_leaf_raise_no_false_alarm():
    """Saturated coins, whose jumps are large: 100 keys, each of 8 directions. Without what is unseen, 1 in 8 was called wrong.

    More than 5 have a chance of 1e-3 at a rate of 1%.
    """
    f = sx.expectation(rare)
    checks = [check_gradient(f, RARE, key=jax.random.key(k), draws=100) for k in range(100)]
    assert sum(check.p_value < 0.01 for check in checks) <= 5
    wrong = sx.expectation(lambda params, *, key: rare({**params, "b": lax.stop_gradient(params["b"])}, key=key))
    check = check_gradient(wrong, RARE, key=jax.random.key(0), draws=300)  # where f does not jump, no jump is feared
    assert check.p_value < 1e-6 and check.directions[check.worst] == "params['b']"


RARE = {"v": jnp.full(2, -0.5), "w": jnp.full(2, -0.4), "x": jnp.full(2, 0.2), "b": jnp.float32(0.2)}


def rare(params, *, key):
    first, second = jax.random.split(key)
    logits = 1.5 * jnp.sum(params["v"]) + jnp.sum(params["w"]) + 0.1 * params["x"]
    z = sx.sample(first, dist.Bernoulli(logits=logits).to_event(1))
    return 50 * jnp.sum(z) ** 2 + jnp.sin(params["b"]) * (1 + 0.1 * jax.random.normal(second))


def test_jumps_are_told_from_curvature_and_kinks():
    steps = 0.83 / 2.0 ** np.arange(16)

    def found(f, x, used=1.0):
        return largest_jumps((f(x + steps) - f(x - steps))[None, None], steps, np.array([used]))[0]

    assert found(lambda x: 3.0 * (x > 0.1) + np.sin(5 * x), 0.0) == pytest.approx(3.0, rel=0.1)
    for f in (np.sin, np.exp, lambda x: np.sin(30 * x), lambda x: x**2, lambda x: 0 * x):
        assert found(f, 0.03) < 1e-12
    kink = lambda x: np.abs(x - 0.1)
    assert 0 < found(kink, 0.0) <= 0.2 and found(kink, 0.0, used=0.01) < 1e-12  # a distant one
