"""The trebuchet: figures of the published program, an independent simulation, and derivatives against differences."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spanax import SpanaxError
from spanax.control.trebuchet._phases import fold_angle
from spanax.control.trebuchet._sincos import sincos
from spanax.control.trebuchet.env import Shot, Trebuchet, shoot, throw
from spanax.control.trebuchet.machine import Machine

from .throws import reference

LANES = 200


@functools.cache
def _program(integrator, gradients):
    one = functools.partial(shoot, integrator=integrator)
    return jax.jit(jax.vmap(jax.value_and_grad(one, (0, 1, 2)) if gradients else one))


def _many(settings, *, integrator="rk4", gradients=False) -> Any:
    """Distances of settings (n, 3), and their gradients (n, 3) where asked for; one program for any n up to `LANES`."""
    padded = np.concatenate([settings, np.tile([0.0, 45.0, 200.0], (LANES - len(settings), 1))])
    out = _program(integrator, gradients)(*jnp.asarray(padded).T)
    if not gradients:
        return np.asarray(out)[: len(settings)]
    return np.asarray(out[0])[: len(settings)], np.stack(out[1], 1)[: len(settings)]


_throw = jax.jit(throw)


def _settings():
    rng = np.random.default_rng(0)
    return np.stack([rng.normal(0, 5, LANES), rng.uniform(5, 85, LANES), rng.uniform(60, 500, LANES)], 1)


def test_euler_is_the_published_program(x64):
    distances, slopes = _many(np.array([[-2, 45, 200], [1, 45, 98.09]]), integrator="euler", gradients=True)
    np.testing.assert_allclose(distances, [75.10, 73.89], atol=0.005)
    assert np.all(np.abs(slopes[0] - [4.043, -1.008, 0.0537]) < [0.0005, 0.0005, 0.00005])


def test_rk4_is_an_adaptive_integrator_s_result_to_a_millimetre(x64):
    settings = np.concatenate([[[-2, 45, 200], [1, 45, 98.09]], _settings()[:40]])
    distances, slopes = _many(settings, gradients=True)
    np.testing.assert_allclose(distances[:2], [74.35, 72.41], atol=0.005)
    assert np.all(np.abs(slopes[0] - [4.013, -1.002, 0.0674]) < [0.0005, 0.0005, 0.00005])
    np.testing.assert_allclose(distances, [reference(*s)[0] for s in settings], atol=1e-3)
    steps = np.diag([0.01, 0.01, 0.1])
    for at, slope in zip(settings[:6], slopes[:6], strict=True):
        differences = [(reference(*at + h)[0] - reference(*at - h)[0]) / (2 * h.max()) for h in steps]
        np.testing.assert_allclose(slope, differences, rtol=1e-3)


def test_gradients_are_central_differences_at_200_settings(x64):
    settings = _settings()
    distances, slopes = _many(settings, gradients=True)
    np.testing.assert_allclose(distances, _many(settings), rtol=1e-12)
    for i, h in enumerate(np.diag([1e-3, 1e-3, 1e-2])):
        differences = (_many(settings + h) - _many(settings - h)) / (2 * h.max())
        np.testing.assert_allclose(slopes[:, i], differences, rtol=1e-6)


def test_reach(x64):
    """The farthest throws of 500 lb: the reference's at the best of our angles, and flat there."""
    angles = np.arange(8.0, 40.0, 0.5)
    for wind, farthest in ((-15.0, 58.1), (-5.0, 84.9), (5.0, 121.8)):
        distances = _many(np.stack([np.full(64, wind), angles, np.full(64, 500.0)], 1))
        best = int(np.argmax(distances))
        assert 0 < best < 63
        assert reference(wind, angles[best], 500)[0] == pytest.approx(distances[best], abs=1e-3)
        assert abs(_many(np.array([[wind, angles[best], 500.0]]), gradients=True)[1][0, 1]) < 0.2
        assert distances[best] == pytest.approx(farthest, abs=0.1)


def test_angles_are_folded(x64):
    angles = np.array([45.0, 135.0, 405.0, -315.0, 90.0, -45.0, 225.0, 0.0, 180.0, 270.0])
    np.testing.assert_array_equal(jax.vmap(fold_angle)(jnp.asarray(angles)), [45, 45, 45, 45, 90, -45, -45, 0, 0, -90])
    distances, slopes = _many(np.stack([np.zeros(10), angles, np.full(10, 200.0)], 1), gradients=True)
    np.testing.assert_allclose(distances[[1, 2, 3]], distances[0], rtol=1e-12)
    np.testing.assert_allclose(slopes[[1, 2], 1], [-slopes[0, 1], slopes[0, 1]], rtol=1e-9)
    assert distances[5] < 0 < distances[0]  # below 0 degrees it throws backwards


def test_what_does_not_come_off_raises_outside_jit_and_is_nan_inside(x64):
    light = (0.0, 45.0, 20.0)
    for call in (shoot, jax.grad(shoot, 1)):
        with pytest.raises(SpanaxError, match=r"does not lift(.|\n)*20 lb(.|\n)*test_trebuchet.py(.|\n)*heavier"):
            call(*light)
    value, slopes = _many(np.array([light, [0.0, 45.0, 200.0]]), gradients=True)
    np.testing.assert_array_equal(np.isnan(value), [True, False])
    np.testing.assert_array_equal(np.isnan(slopes), [[True] * 3, [False] * 3])
    inside = _throw(*light)
    assert np.isnan(inside.distance)
    np.testing.assert_array_equal(inside.event_fired, False)
    assert np.isnan(inside.event_times).all()
    assert set(np.asarray(inside.phase[inside.valid])) == {0}  # what did happen is there


def test_a_throw_is_the_whole_motion(x64):
    far = _throw(-2.0, 45.0, 200.0)
    distance, times = reference(-2.0, 45.0, 200.0)
    assert far.distance == pytest.approx(distance, abs=1e-3)
    np.testing.assert_allclose(far.event_times, times, atol=1e-5)
    assert far.event_fired.all()
    rows = np.asarray(far.valid)
    t, phase, path, velocity = (np.asarray(x)[rows] for x in (far.times, far.phase, far.projectile, far.velocity))
    assert t[0] == 0 and np.all(np.diff(t) > 0)
    np.testing.assert_allclose(t[[np.argmax(phase == i) for i in (1, 2, 3)]], far.event_times, rtol=1e-12)
    foot = 5 * 0.3048
    np.testing.assert_allclose(path[phase == 0, 1], -foot, atol=1e-5)  # it slides on the ground
    np.testing.assert_allclose(path[-1], [float(far.distance), -foot], rtol=1e-9)
    released = velocity[np.argmax(phase == 2)]
    assert np.degrees(np.arctan2(released[1], released[0])) == pytest.approx(45, abs=1e-6)
    machine = [np.asarray(x)[rows] for x in (far.arm_tip, far.arm_tail, far.weight)]
    tip, tail, weight = machine
    held = phase < 2
    for ends, length in ((tip - tail, 6.792 + 1.75), (weight - tail, 2.0), ((path - tip)[held], 6.833)):
        np.testing.assert_allclose(np.linalg.norm(ends, axis=1), length * 0.3048, rtol=1e-12)
    steps = np.diff(path, axis=0) / np.diff(t)[:, None]  # the velocities are the path's
    np.testing.assert_allclose(steps[held[1:]], (velocity[:-1] + velocity[1:])[held[1:]] / 2, atol=0.25)


def test_the_trajectory_can_be_differentiated(x64):
    def seen(weight):
        far = _throw(-2.0, 45.0, weight)
        return far.event_times, far.projectile[30], far.velocity[-2]

    slopes = jax.jit(jax.jacfwd(seen))(200.0)
    h = 1e-3
    for slope, more, less in zip(slopes, seen(200 + h), seen(200 - h), strict=True):
        np.testing.assert_allclose(slope, (more - less) / (2 * h), rtol=1e-5, atol=1e-9)


def test_it_works_in_both_precisions(dtype):
    at = jnp.array([-2.0, 45.0, 200.0], dtype)
    value = _program("rk4", False)(*jnp.tile(at[:, None], (1, LANES)))
    assert value.dtype == dtype
    np.testing.assert_allclose(value, 74.3515, atol=2e-3)
    env = Trebuchet()
    state = Shot(at[0], jnp.array(80.0, dtype), jnp.array(0.0, dtype))
    after = env.step(state, at[1:])
    assert after.distance.dtype == env.reward(state, at[1:], after).dtype == env.observe(after).dtype == dtype
    np.testing.assert_allclose(env.reward(state, at[1:], after), float(after.distance) - 80, rtol=1e-5)


def test_the_machine_can_be_differentiated(x64):
    """The slope by the sling's length against differences, under jit, with the rest of the machine constant."""

    @jax.jit
    @jax.value_and_grad
    def by_sling(sling):
        return shoot(-2.0, 45.0, 200.0, machine=eqx.tree_at(lambda m: m.sling, Machine(), sling))

    value, slope = by_sling(6.833)
    assert float(value) == pytest.approx(74.3515, abs=1e-3)
    assert float(slope) == pytest.approx(float(by_sling(6.834)[0] - by_sling(6.832)[0]) / 0.002, rel=1e-5)


def test_second_derivatives_are_differences_of_first_ones(x64):
    at = np.array([-2.0, 45.0, 200.0])
    second = jax.jit(jax.grad(jax.grad(shoot, 1), 1))(*at)
    h = np.array([0.0, 1e-3, 0.0])
    slopes = _many(np.array([at + h, at - h]), gradients=True)[1]
    assert float(second) == pytest.approx((slopes[0] - slopes[1])[1] / 2e-3, rel=1e-6)


def test_arrays_and_unknown_integrators_raise():
    with pytest.raises(SpanaxError, match=r"numbers(.|\n)*vmap"):
        shoot(jnp.zeros(2), 45.0, 200.0)
    with pytest.raises(SpanaxError, match="integrator='midpoint'"):
        shoot(0.0, 45.0, 200.0, integrator="midpoint")  # pyright: ignore[reportArgumentType]


def test_sine_and_cosine(dtype):
    x = jnp.asarray(np.random.default_rng(0).uniform(-50, 50, 20_000), dtype)
    ours = jax.jit(jax.vmap(sincos))(x)
    close = 1.5 * float(jnp.finfo(dtype).eps)
    for got, want in zip(ours, (np.sin, np.cos), strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(np.asarray(got, float), want(np.asarray(x, np.longdouble)).astype(float), atol=close)
    slope = jax.grad(lambda x: sincos(x)[0])(x[0])
    np.testing.assert_allclose(slope, ours[1][0], atol=close)


def test_the_environment_s_targets_and_specs(key):
    env = Trebuchet()
    states = jax.vmap(env.reset)(jax.random.split(key, 4000))
    # 4000 draws: standard errors .08 of the wind's mean, .056 of its spread, .37 of the target's mean; six of them
    assert abs(float(states.wind.mean())) < 0.5 and abs(float(states.wind.std()) - 5) < 0.35
    assert abs(float(states.target.mean()) - 60) < 2.3
    assert 20 <= states.target.min() < 20.5 and 99.5 < states.target.max() <= 100
    assert env.max_steps == 1
    low, high = env.action_space.low, env.action_space.high
    corners = np.array([[w, a, m] for w in (-15, 0, 15) for a in (low[0], high[0]) for m in (low[1], high[1])])
    assert np.isfinite(_many(corners.astype(np.float32))).all()
