"""Events against closed forms: a falling and a bouncing ball, a thermostat; and what cannot be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax import SpanaxError, control

G = 9.81


def _falling(g=G):
    def flow(state, t):
        height, speed = state
        return height + speed * t - g * t * t / 2, speed - g * t

    return flow


def _height(state):
    return state[0]


def _slope(g=G):
    return lambda state: (state[1], jnp.full_like(state[1], -g))


def _landing_time(height, g, **options):
    flow = _slope(g) if "step" in options else _falling(g)
    return control.event(flow, _height, (height, jnp.zeros_like(height)), within=3.0, **options).time


def _exact_time(height, g):
    return jnp.sqrt(2 * height / g)


@pytest.mark.parametrize("options", [{}, {"step": 0.3}], ids=["flow", "slope"])
def test_a_fall_in_both_modes_and_to_the_third_order(options, x64):
    at = jnp.array(10.0), jnp.array(G)

    def of(*at):
        return _landing_time(*at, **options)

    for derivative in (
        lambda f: f,
        lambda f: jax.jacrev(f, (0, 1)),
        lambda f: jax.jacfwd(f, (0, 1)),
        lambda f: jax.jacfwd(jax.jacrev(f, (0, 1)), (0, 1)),
        lambda f: jax.grad(jax.grad(jax.grad(f))),
    ):
        got, want = jax.jit(derivative(of))(*at), derivative(_exact_time)(*at)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11), got, want)


def test_the_top_and_control_have_it():
    assert sx.event is control.event


def test_precision_follows_the_state(dtype):
    there = jax.jit(lambda h: control.event(_falling(), _height, (h, jnp.zeros_like(h)), within=3.0))(
        jnp.array(10.0, dtype)
    )
    assert there.time.dtype == there.state[1].dtype == dtype
    np.testing.assert_allclose(there.time, np.sqrt(20 / G), rtol=4 * float(jnp.finfo(dtype).eps))


# -- a ball that bounces


def _bounces(height, restitution, g, count):
    """The times of impacts, by scan, each flight starting where the last one ended."""

    def one(state, _):
        there = control.event(_falling(g), _height, state, within=3.0, reset=lambda s: (s[0], -restitution * s[1]))
        return there.state, there.time

    (_, speed), times = jax.lax.scan(one, (height, jnp.zeros_like(height)), length=count)
    return jnp.cumsum(times), speed


def _exact_bounces(height, restitution, g, count):
    speed = jnp.sqrt(2 * g * height) * restitution ** jnp.arange(count + 1.0)
    flights = jnp.concatenate([speed[:1] / g, 2 * speed[1:-1] / g])
    return jnp.cumsum(flights), speed[-1]


def test_twenty_bounces_to_ten_digits(x64):
    at = 10.0, 0.8, G
    programs = (_bounces, _exact_bounces)
    got, want = (jax.jit(f, static_argnums=3)(*at, 20) for f in programs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10), got, want)
    for mode in (jax.jacrev, jax.jacfwd):
        got, want = (jax.jit(mode(f, (0, 1, 2)), static_argnums=3)(*at, 20) for f in programs)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), got, want)


def test_bounces_under_vmap_grad_and_jit_in_single_precision():
    """Ten bounces of five balls at once: gradients to 4 digits."""
    heights = jnp.linspace(1.0, 10.0, 5)
    total = [lambda h, f=f: f(h, 0.8, G, 10)[0][-1] for f in (_bounces, _exact_bounces)]
    got, want = (jax.jit(jax.vmap(jax.value_and_grad(f)))(heights) for f in total)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), got, want)


def test_saltation(x64):
    """A state a fixed time after the start, with a bounce between: its derivative by the start is the saltation matrix's."""
    restitution, end = 0.8, 2.0

    def late(start):
        there = control.event(
            _falling(), _height, (start[0], start[1]), within=3.0, reset=lambda s: (s[0], -restitution * s[1])
        )
        return jnp.stack(_falling()(there.state, end - there.time))

    start = jnp.array([10.0, 1.0])
    time = float((start[1] + jnp.sqrt(start[1] ** 2 + 2 * G * start[0])) / G)
    before, after = float(start[1] - G * time), -restitution * float(start[1] - G * time)
    reset, normal = np.diag([1.0, -restitution]), np.array([1.0, 0.0])
    slopes = np.array([before, -G]), np.array([after, -G])
    saltation = reset + np.outer(slopes[1] - reset @ slopes[0], normal) / (normal @ slopes[0])
    propagated = [np.array([[1.0, t], [0.0, 1.0]]) for t in (time, end - time)]
    np.testing.assert_allclose(jax.jacrev(late)(start), propagated[1] @ saltation @ propagated[0], rtol=1e-10)


# -- a thermostat


def _period(outside, heater, low, high):
    """Heats until `high`, cools until `low`, by the rate of the difference to the outside; after one round it repeats."""

    def towards(goal):
        return lambda x, t: goal + (x - goal) * jnp.exp(-t)

    up = control.event(towards(outside + heater), lambda x: x - high, low, within=10.0)
    down = control.event(towards(outside), lambda x: x - low, up.state, within=10.0)
    return up.time + down.time


def _exact_period(outside, heater, low, high):
    goal = outside + heater
    return jnp.log((goal - low) / (goal - high)) + jnp.log((high - outside) / (low - outside))


def test_the_period_of_a_thermostat(x64):
    at = 10.0, 20.0, 19.0, 21.0
    for derivative in (lambda f: f, lambda f: jax.jacrev(f, (0, 1, 2, 3)), lambda f: jax.hessian(f, (0, 1, 2, 3))):
        got, want = jax.jit(derivative(_period))(*at), derivative(_exact_period)(*at)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-14), got, want)


def test_a_thermostat_with_its_switch_in_the_state(x64):
    """Integrated, in a scan; the switch is an integer, which does not move between events."""

    def period(outside, heater, low, high):
        def slope(state):
            temperature, is_on = state
            return outside + heater * is_on - temperature, is_on

        def distance(state):
            return jnp.where(state[1] == 1, state[0] - high, state[0] - low)

        def one(state, _):
            there = control.event(slope, distance, state, within=0.5, step=0.02, reset=lambda s: (s[0], 1 - s[1]))
            return there.state, there.time

        _, times = jax.lax.scan(one, (jnp.asarray(low), jnp.asarray(1)), length=4)
        return times[2] + times[3]

    at = 10.0, 20.0, 19.0, 21.0
    got, want = (jax.jit(jax.value_and_grad(f, (0, 1, 2, 3)))(*at) for f in (period, _exact_period))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9), got, want)


# -- where the motion starts


def test_a_start_at_the_event_does_not_count(x64):
    """A throw from the ground returns; a section through a circle is met after a whole turn or a half."""
    there = control.event(_falling(), _height, (0.0, 3.0), within=3.0)
    np.testing.assert_allclose(there.time, 6 / G, rtol=1e-12)

    def turning(state, t):
        x, y = state
        return x * jnp.cos(t) - y * jnp.sin(t), x * jnp.sin(t) + y * jnp.cos(t)

    for direction, want in (("both", np.pi), ("falling", np.pi), ("rising", 2 * np.pi)):
        for noise in (0.0, 1e-12, -1e-12):
            there = control.event(turning, lambda s: s[1], (1.0, noise), within=10.0, direction=direction)  # pyright: ignore[reportArgumentType]
            np.testing.assert_allclose(there.time, want, atol=1e-11)


def test_a_start_at_rest_on_the_event(x64):
    """With neither value nor slope the sign is that after a step: it rises, and comes back."""
    there = control.event(lambda x, t: x + t**2 * (2 - t), lambda x: x, 0.0, within=4.0)
    np.testing.assert_allclose(there.time, 2.0, rtol=1e-12)


def test_a_short_flight_within_the_first_step(x64):
    for speed in (1e-2, 1e-4, 1e-6):
        there = control.event(_falling(), _height, (0.0, speed), within=3.0)
        np.testing.assert_allclose(there.time, 2 * speed / G, rtol=1e-9)


def test_directions(x64):
    for direction, want in (("both", np.pi / 2), ("falling", np.pi / 2), ("rising", 3 * np.pi / 2)):
        there = control.event(lambda x, t: x + t, jnp.cos, 0.0, within=10.0, direction=direction)  # pyright: ignore[reportArgumentType]
        np.testing.assert_allclose(there.time, want, rtol=1e-12)


# -- what cannot be


def test_what_does_not_come_raises_outside_jit_and_is_nan_inside():
    def high(height, within=1.0):
        return control.event(_falling(), _height, (height, 0.0), within=within)

    message = r"does not cross zero within 1: it is 10 at the start and 5\.095(.|\n)*test_event.py(.|\n)*within="
    with pytest.raises(SpanaxError, match=message):
        high(10.0)
    with pytest.raises(SpanaxError, match="does not cross"):
        jax.grad(lambda h: high(h).time)(10.0)
    there = jax.jit(high)(10.0)
    assert not there.event_fired and np.isnan(there.time) and np.isnan(there.state).all()
    assert np.isnan(jax.jit(jax.grad(lambda h: high(h).time))(10.0))
    # the same program, with lanes in which it fires
    times, slopes = jax.vmap(jax.value_and_grad(lambda h: high(h).time))(jnp.array([10.0, 1.0]))
    np.testing.assert_array_equal(np.isnan(times), [True, False])
    np.testing.assert_array_equal(np.isnan(slopes), [True, False])


def test_grazing_is_not_an_event(x64):
    def cubic(shift):
        return control.event(lambda x, t: x + t, lambda x: (x - 1.0 - shift) ** 3, 0.0, within=3.0)

    with pytest.raises(SpanaxError, match=r"grazes(.|\n)*slope"):
        cubic(0.0)
    there = jax.jit(cubic)(0.0)
    assert there.grazing and not there.event_fired and np.isnan(there.time)
    assert np.isnan(jax.jit(jax.grad(lambda s: cubic(s).time))(0.0))


def test_nan_raises():
    with pytest.raises(SpanaxError, match="NaN"):
        control.event(lambda x, t: jnp.sqrt(x - t), lambda x: x + 1, 1.0, within=3.0)
    assert not jax.jit(lambda x: control.event(lambda x, t: x - t, lambda x: x, x, within=3.0).event_fired)(jnp.nan)


def test_without_an_event_the_end_may_be_asked_for(x64):
    """Its derivative is that of the flow over a fixed time."""

    def end(height):
        there = control.event(
            _falling(),
            _height,
            (height, 0.0),
            within=1.0,
            required=False,
            reset=lambda s: (s[0], -s[1] * jnp.sqrt(-s[0] - 9)),
        )
        return there.time, there.state, there.event_fired

    for run in (end, jax.jit(end)):
        time, (height, speed), fired = run(10.0)
        assert time == 1.0 and not fired
        np.testing.assert_allclose([height, speed], [10 - G / 2, -G])
    np.testing.assert_allclose(jax.jacrev(lambda h: end(h)[1])(10.0), [1.0, 0.0])
    np.testing.assert_allclose(jax.grad(lambda h: end(h)[0])(10.0), 0.0)


def _angle(rate, **options):
    def wrapped(angle):
        return (angle - 0.5 + jnp.pi) % (2 * jnp.pi) - jnp.pi

    start = jnp.full_like(rate, 2.0)
    return control.event(lambda angle, t: angle + rate * t, wrapped, start, within=10.0, **options)


@pytest.mark.parametrize(
    "jumping",
    [
        _angle,
        # The derivative of the height by the rate would be missing.
        lambda rate: control.event(
            lambda s, t: (s[0] - rate * t, s[1] + t),
            lambda s: jnp.where(s[0] > 0, 1 + s[1], -1 - s[1]),
            (rate, 0 * rate),
            within=5.0,
        ),
        lambda rate: control.event(
            lambda s: -rate, lambda s: jnp.where(s > 0, 1.0, -1.0) + s, rate, within=5.0, step=0.3
        ),
    ],
    ids=["wrapped", "sign", "step"],
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_a_jump_over_zero_is_not_an_event(jumping, dtype, x64):
    rate = jnp.ones((), dtype)
    with pytest.raises(SpanaxError, match="jumps over zero"):
        jumping(rate)
    event, slope = jax.jit(lambda rate: (jumping(rate), jax.grad(lambda rate: jumping(rate).time)(rate)))(rate)
    assert not event.event_fired
    assert not event.grazing
    assert jnp.isnan(event.time)
    assert jnp.isnan(slope)


def test_a_jump_over_zero_is_no_end_either():
    found, slope = jax.jit(jax.value_and_grad(lambda rate: _angle(rate, required=False).time))(1.0)
    assert jnp.isnan(found)
    assert jnp.isnan(slope)


def test_a_wrapped_angle_in_the_direction_in_which_it_does_not_jump(x64):
    np.testing.assert_allclose(_angle(1.0, direction="rising").time, 2 * np.pi - 1.5, rtol=1e-12)
    slope = jax.grad(lambda rate: _angle(rate, direction="rising").time)(1.0)
    np.testing.assert_allclose(slope, 1.5 - 2 * np.pi, rtol=1e-12)


@pytest.mark.parametrize("options", [{}, {"step": 0.3}], ids=["flow", "slope"])
def test_leaves_without_elements(options):
    flow = _slope() if options else _falling()

    def landing(height):
        state = {"a": jnp.zeros((0, 2)), "b": (height, 0.0)}
        return control.event(
            lambda state, *t: state | {"b": flow(state["b"], *t)}, lambda s: s["b"][0], state, within=3.0, **options
        ).time

    np.testing.assert_allclose(jax.grad(landing)(10.0), jax.grad(_exact_time)(10.0, G), rtol=1e-5)
    with pytest.raises(SpanaxError, match="no floating-point leaf"):
        control.event(lambda s, t: s, lambda s: jnp.sum(s), jnp.zeros(0), within=1.0)


@pytest.mark.parametrize(
    "inside",
    [
        jax.jit,
        jax.checkpoint,
        lambda f: lambda height: jax.lax.cond(height > 0, f, lambda height: height, height),
        lambda f: lambda height: jax.lax.scan(lambda x, _: (x, f(x)), height, None, length=2)[1].mean(),
        lambda f: lambda height: jax.lax.fori_loop(0, 1, lambda _, x: f(x), height),
    ],
    ids=["jit", "checkpoint", "cond", "scan", "fori_loop"],
)
@pytest.mark.parametrize("options", [{}, {"step": 0.5}], ids=["flow", "slope"])
def test_second_derivatives_from_outside_of_what_was_traced(inside, options, x64):
    f = inside(lambda height: _landing_time(height, G, **options))
    want = jax.grad(jax.grad(_exact_time))(10.0, G)
    for second in (jax.grad(jax.grad(f)), jax.jacfwd(jax.jacrev(f)), jax.jacfwd(jax.jacfwd(f))):
        np.testing.assert_allclose(second(10.0), want, rtol=1e-10)


def test_second_and_third_derivatives_of_bounces_in_a_scan(x64):
    def total(height):
        def bounce(state, _):
            found = control.event(
                _falling(), _height, state, within=3.0, checks=4, reset=lambda s: (jnp.zeros_like(s[0]), -0.8 * s[1])
            )
            return found.state, found.time

        return jax.lax.scan(bounce, (height, 0.0), None, length=3)[1].sum()

    # Each flight after the first takes 2 * 0.8 of the one before.
    want = jax.grad(jax.grad(lambda height: (1 + 1.6 + 1.28) * _exact_time(height, G)))
    second = jax.grad(jax.grad(total))
    np.testing.assert_allclose(second(10.0), want(10.0), rtol=1e-9)
    np.testing.assert_allclose(jax.grad(second)(10.0), jax.grad(want)(10.0), rtol=1e-9)
