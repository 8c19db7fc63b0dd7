"""Programs of others: the gradients of Gymnasium's own classes, of cookbook loops and of textbook algorithms, as they are."""

import copy
import math

import jax
import numpy as np
import pytest

import spanax as sx
from tests.program.arguments import by_argument

from .third_party import algorithms, differential_equations, gymnasium_physics, physics, statistics, trebuchet
from .third_party._program import Program, directions, slope

FAMILIES = (gymnasium_physics, differential_equations, physics, statistics, algorithms, trebuchet)
PROGRAMS = [
    pytest.param(program, id=f"{family.__name__.rpartition('.')[2]}-{program.name}")
    for family in FAMILIES
    for program in family.PROGRAMS
]


@pytest.mark.few(4)
@pytest.mark.parametrize("program", PROGRAMS)
def test_value_and_gradient(program: Program):
    """The value is NumPy's, the gradient that of central differences, along unit or random directions of each argument."""
    args = copy.deepcopy(program.args)
    value, gradient = sx.value_and_gradient(program.function, *args)
    np.testing.assert_allclose(value, program.function(*program.args), rtol=program.value)
    gradient = by_argument(gradient, args)
    for place in program.moving:
        chosen = directions(args[place])
        got = np.array([np.sum(gradient[place] * direction) for direction in chosen])
        expected = np.array([slope(program.function, program.args, place, d, program.step) for d in chosen])
        assert np.shape(gradient[place]) == np.shape(args[place])
        scale = 1e-3 * np.max(np.abs(expected))
        np.testing.assert_allclose(got, expected, rtol=program.gradient, atol=program.gradient * scale)
    for before, after in zip(program.args, args, strict=True):
        np.testing.assert_array_equal(before, after)


def test_what_is_no_number_has_no_gradient():
    program = next(p for p in gymnasium_physics.PROGRAMS if p.name == "cartpole_made_inside")
    assert by_argument(sx.gradient(program.function, *program.args), program.args)[2] is None


@pytest.mark.slow
def test_trebuchet_figures():
    """Those that are published for the Euler integrator: metres, and metres per m/s, per degree, per pound."""
    value, gradient = sx.value_and_gradient(trebuchet.shoot, -2.0, 45.0, 200.0)
    assert round(value, 2) == 75.10
    np.testing.assert_allclose(gradient, (4.043, -1.008, 0.0537), atol=0.0005)


@pytest.mark.slow
def test_trebuchet_agrees_with_the_environment():
    gradient = sx.gradient(trebuchet.shoot, 3.0, 35.0, 150.0)
    shoot = lambda *args: sx.control.shoot(*args, integrator="euler")
    with jax.enable_x64(True):
        expected = jax.grad(shoot, argnums=(0, 1, 2))(3.0, 35.0, 150.0)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


def test_delta_of_black_scholes():
    """The pathwise gradient of the simulation against the closed form.

    Its seed is fixed. One path's delta is exp(-r T) ST / S0 where it pays: its standard deviation is 0.66 here, and both paths of
    an antithetic pair are negatively correlated, so that the standard error of 40,000 paths is below 0.0033.
    """
    S0, K, r, sigma, T = 100.0, 105.0, 0.02, 0.25, 1.5
    delta = sx.gradient(statistics.black_scholes_monte_carlo, S0, K, r, sigma, T)[0]
    d1 = (math.log(S0 / K) + (r + sigma**2 / 2) * T) / (sigma * math.sqrt(T))
    assert abs(delta - (1 + math.erf(d1 / math.sqrt(2))) / 2) < 3 * 0.0033


def test_an_environment_outside_keeps_no_traced_value():
    """A program that writes into an object of the world outside leaves plain numbers there, or what was there before."""
    sx.gradient(gymnasium_physics.cartpole, np.array([0.01, -0.02, 0.03, 0.04]), 10.0)
    assert isinstance(gymnasium_physics.ENV.state, np.ndarray)
    assert isinstance(float(gymnasium_physics.ENV.force_mag), float)
    observation, *_ = gymnasium_physics.ENV.step(1)
    assert np.all(np.isfinite(observation))


def test_the_generator_starts_afresh_in_every_call():
    """A seed inside the program is part of it: two calls agree to the last digit."""
    args = (100.0, 0.3)
    assert sx.gradient(statistics.asian_option, *args) == sx.gradient(statistics.asian_option, *args)
