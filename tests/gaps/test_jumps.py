"""`find_jumps` against functions whose jumps are known, and `hidden_gradient` against quadrature."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import spanax as sx


def benign(x):
    return jnp.where(x > 0, x, 0.0)


def step(x):
    return jnp.where(x > 0, x + 1.0, x)


def largest_entry(x):
    return x[jnp.argmax(x)]


def interpolated(x):
    return jnp.interp(x, jnp.arange(3.0), jnp.array([0.0, 2.0, 1.0]))


def floor_division(x):
    return 2.0 * (x // 0.37)


def counter(x):
    def body(carry, _):
        level, above = carry
        now = level > 1.0
        return (level + x, now), jnp.where(now & ~above, 3.0, 0.0)

    return jnp.sum(lax.scan(body, (jnp.zeros_like(x), jnp.bool_(False)), length=9)[1])


def passes(x):
    return lax.while_loop(lambda c: c[1] < 10 * x, lambda c: (c[0] + 1.0, c[1] + 1.3), (0.0 * x, 0.0 * x))[0]


def branches(x):
    return lax.cond(jnp.sum(x) > 0.1, lambda x: jnp.sum(x) + 0.5, lambda x: jnp.sum(x), x)


def outside(x):
    like = jax.ShapeDtypeStruct((), x.dtype)
    return jax.pure_callback(lambda x: np.where(np.asarray(x) > 0, 5.0, 0.0).astype(like.dtype), like, x)


def small_on_a_slope(x):
    return 3.0 * x + jnp.where(x > 0.1, 0.02, 0.0)


CONTINUOUS = [(benign, 0.3), (largest_entry, [0.1, 0.2, 0.15]), (interpolated, 1.0), (jnp.abs, 0.1), (jnp.round, 0.2)]
JUMPING = [  # function, arguments, size, operation
    (step, 0.3, 1.0, "comparison"),
    (floor_division, 0.3, 2.0, "floor division"),
    (counter, 0.3, 3.0, "comparison"),
    (passes, 0.7, 1.0, "comparison"),
    (branches, [0.1, 0.2], 0.5, "comparison"),
    (outside, 0.2, 5.0, "host callback"),
    (small_on_a_slope, 0.3, 0.02, "comparison"),
    (jnp.round, 0.3, 1.0, "round"),
]


@pytest.mark.few(4)
@pytest.mark.parametrize("f, x", CONTINUOUS, ids=[f.__name__ for f, _ in CONTINUOUS])
def test_what_is_continuous_has_no_jump(f, x, dtype, key):
    radius = 0.25 if f is jnp.round else 1.0  # so near to 0.2 it is constant
    assert sx.find_jumps(f, jnp.asarray(x, dtype), key=key, radius=radius).jumps == ()


@pytest.mark.few(5)
@pytest.mark.parametrize("f, x, size, operation", JUMPING, ids=[f.__name__ for f, *_ in JUMPING])
def test_jumps_have_their_size_and_their_gap(f, x, size, operation, dtype, key):
    report = sx.find_jumps(f, jnp.asarray(x, dtype), key=key, radius=1.0, lines=10)
    assert report.jumping_lines > 3
    np.testing.assert_allclose(report.largest, size, rtol=0.02)
    assert {jump.gap.operation for jump in report.jumps} == {operation}
    assert operation in str(report) and "jumps on" in str(report)
    assert all(len(line) <= 100 for line in str(report).splitlines())
    assert json.loads(report.to_json())["jumps"][0]["gap"]["operation"] == operation


def test_the_jump_is_at_its_point(x64, key):
    """step jumps at 0, wherever the line comes from."""
    for jump in sx.find_jumps(lambda p: step(p["a"] - 2 * p["b"]), {"a": 0.3, "b": 0.1}, key=key, radius=1.0).jumps:
        a, b = jump.point
        assert abs(a - 2 * b) < 1e-12


def test_a_function_with_a_key_gets_one(key):
    f = lambda x, *, key: jnp.where(x > jax.random.normal(key), 1.0, 0.0)
    assert sx.find_jumps(f, 0.0, key=key, radius=4.0).largest == 1.0


def smoothed_slope(f, x, sigma):
    """d/dx E[f(x + sigma u)] = E[f(x + sigma u) u] / sigma, by the trapezoidal rule."""
    u = np.linspace(-9, 9, 200_001)
    density = np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)
    values = np.asarray(jax.vmap(f)(jnp.asarray(x + sigma * u)))
    return np.trapezoid(values * u * density, u) / sigma


@pytest.mark.few(2)
@pytest.mark.parametrize("f", [jnp.sin, step, benign, floor_division, counter], ids=lambda f: f.__name__)
def test_hidden_share_is_that_of_quadrature(f, x64, key):
    """Within 5 standard errors and 1e-3: a false alarm in fewer than 1e-5 of the keys for all five together."""
    x, sigma = 0.13, 0.2
    u = np.linspace(-9, 9, 20_001)
    density = np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)
    own = np.asarray(jax.vmap(jax.grad(f))(jnp.asarray(x + sigma * u)))
    share = 1 - np.trapezoid(own * density, u) / smoothed_slope(f, x, sigma)
    found = sx.hidden_gradient(f, x, key=key, sigma=sigma, pairs=20_000)
    assert abs(found.share - share) < 5 * found.standard_error + 1e-3, (found, share)
    assert found.standard_error < 0.05


def test_hidden_share_of_many_inputs(x64, key):
    """A sum of x_i over which one step of size 1 lies: known by the normal density."""
    x, sigma, d = jnp.full(20, 0.05), 0.1, 20
    f = lambda x: jnp.sum(x) + jnp.where(jnp.sum(x) > 1.0, 1.0, 0.0)
    jump = (
        1 / (sigma * np.sqrt(d)) / np.sqrt(2 * np.pi)
    )  # the density of the sum at the step, which the arguments stand on
    found = sx.hidden_gradient(f, x, key=key, sigma=sigma, pairs=20_000)
    assert abs(found.share - jump / (1 + jump)) < 5 * found.standard_error + 0.01


def test_what_cannot_be_differentiated_hides_everything(key):
    found = sx.hidden_gradient(lambda x: outside(x), 0.05, key=key, sigma=0.2, pairs=64)
    assert found.share == 1.0 and "100%" in str(found)


def test_bad_arguments_raise(key):
    with pytest.raises(sx.SpanaxError, match=r"radius=-1.*\n  at .*test_jumps"):
        sx.find_jumps(step, 0.3, key=key, radius=-1.0)
    with pytest.raises(sx.SpanaxError, match=r"sigma=0.0"):
        sx.hidden_gradient(step, 0.3, key=key, sigma=0.0)
    with pytest.raises(sx.SpanaxError, match="by shape only"):
        sx.find_jumps(step, jax.ShapeDtypeStruct((), float), key=key, radius=1.0)
    with pytest.raises(sx.SpanaxError, match="PRNG key"):
        sx.hidden_gradient(step, 0.3, key=0, sigma=0.1)


FAINT = {  # a jump that something else on the line might drown
    "beside NaN": (lambda x: jnp.where(x > 0.1, 1.0, 0.0) + jnp.sqrt(x + 0.5), 0.3, 1.0),
    "beside a large result": (lambda x: (jnp.where(x > 0, 1.0, 0.0), 1e6 + x), 0.3, 1.0),
    "beside a result without numbers": (lambda x: (jnp.where(x > 0, 1.0, 0.0), jnp.log(x - 10)), 0.3, 1.0),
    "in a small function": (lambda x: 1e-4 * jnp.where(x > 0, 1.0, 0.0), 0.3, 1e-4),
    "in tiny steps": (lambda x: 1e-6 * jnp.floor(3 * x), 0.3, 1e-6),
    "on a large offset": (lambda x: 1e5 + jnp.where(x > 0, 10.0, 0.0), 0.3, 10.0),
    "of large integers": (lambda x: 2**25 + jnp.where(x > 0, 1, 0), 0.3, 1.0),
    "of an imaginary part": (lambda x: 1j * jnp.where(x > 0, 1.0, 0.0).astype(jnp.complex64), 0.3, 1.0),
    "that is stopped": (lambda x: jax.lax.stop_gradient(jnp.round(3 * x)) + x, 0.3, 1.0),
}


@pytest.mark.parametrize("name", FAINT)
def test_faint_jumps_are_found(name, key):
    f, x, size = FAINT[name]
    report = sx.find_jumps(f, x, key=key, radius=1.0)
    np.testing.assert_allclose(min(report.jumps, key=lambda jump: abs(jump.size - size)).size, size, rtol=0.05)
    json.loads(report.to_json())


SMOOTH = {  # what rounding makes a staircase of, and what is steep or has poles
    "fast sine far away": (lambda t: jnp.sin(2 * jnp.pi * 365 * t[0]), [2024.5], 1.0),
    "large arguments": (lambda t: 10 * jnp.sum(t - jnp.array([300.0, 310.0])), [300.0, 310.0], 0.01),
    "sine at 1e4": (jnp.sin, 1e4, 1.0),
    "steep": (lambda x: jnp.tanh(1e4 * x), 0.3, 1.0),
    "root": (lambda x: jnp.cbrt(x - 3), 3.3, 1.0),
    "pole": (lambda x: 1 / x, 0.3, 1.0),
    "tangent": (jnp.tan, 1.3, 1.0),
    "kink": (lambda x: jnp.abs(x - 0.1) ** 0.5, 0.3, 1.0),
}


@pytest.mark.few(4)
@pytest.mark.parametrize("name", SMOOTH)
def test_no_jump_is_invented(name, key):
    f, x, radius = SMOOTH[name]
    assert sx.find_jumps(f, jnp.asarray(x), key=key, radius=radius).jumps == ()


def test_a_stationary_point_hides_nothing_in_particular(key):
    found = sx.hidden_gradient(lambda x: jnp.sum((x - 1.0) ** 2), jnp.ones(3), key=key, sigma=0.1)
    assert np.isnan(found.share) and "no smoothed slope" in str(found)


def test_low_precision(key):
    assert sx.find_jumps(step, jnp.bfloat16(0.3), key=key, radius=1.0).largest == pytest.approx(1.0, rel=0.1)
    assert abs(sx.hidden_gradient(jnp.sin, jnp.bfloat16(0.1), key=key, sigma=0.2).share) < 0.1
