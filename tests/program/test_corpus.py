"""Programs in plain Python and NumPy: the values are NumPy's, and the gradients are central differences."""

import dataclasses
import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from tests.program.arguments import by_argument

from .corpus._case import copies

FAMILIES = """
    control_flow loops inplace numpy_functions linear_algebra python_features classes numerics simulation statistics
    robots pipelines
""".split()
CASES = [case for family in FAMILIES for case in importlib.import_module(f".corpus.{family}", __package__).CASES]
NAMED = {str(case): case for case in CASES}
# Which argument of a program is mapped over, and values on several sides of its branches.
MAPPED = [
    ("income_tax", 0, [9_000.0, 15_000.0, 38_000.0, 90_000.0]),
    ("bracket_table", 0, [5_000.0, 20_000.0, 60_000.0, 200_000.0]),
    ("sphere_drag", 0, [0.3, 0.8, 3.0]),
    ("huber_inside", 0, [-2.0, -0.5, 0.4, 3.0]),
    ("soft_threshold", 0, [-1.0, 0.1, 2.0]),
    ("triangular_density", 0, [0.5, 1.5, 3.0, 5.0]),
    ("thermostat", 0, [10.0, 16.0, 19.0, 23.0]),
    ("quadratic_root", 2, [-1.0, 1.5, 4.0]),
    ("sqrt_where_positive", 0, [-1.5, -0.4, 0.6, 2.0]),
    ("local_function", 0, [-1.5, 0.1, 0.9]),
    ("counter", 0, [-0.8, 0.5, 1.7]),
    ("newton_sqrt", 0, [0.5, 2.0, 70.0]),
    ("kepler", 1, [0.1, 0.4, 0.8]),
    ("halvings", 0, [0.7, 3.0, 13.0]),
    ("table_lookup", 0, [0.2, 0.9, 1.6, 3.1]),
    ("throw", 1, [20.0, 40.0, 70.0]),
    ("tank", 0, [0.3, 0.9, 1.4]),
]


def same_gradient(case, gradient, differences):
    scale = max(np.max(np.abs(difference)) for difference in differences)
    for mine, theirs in zip(gradient, differences, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=case.gradient_rtol, atol=0.01 * case.gradient_rtol * scale)


def test_there_are_enough_programs():
    assert len(CASES) == len(NAMED) >= 200


@pytest.mark.few(40)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_value_and_gradient(case, x64):
    program = case.function if case.is_scalar else lambda *args: np.sum(case.function(*args))
    args = copies(case.args)
    value, gradient = sx.value_and_gradient(program, *args)
    gradient = by_argument(gradient, args)
    np.testing.assert_allclose(value, case.total(*case.args), rtol=case.rtol)
    same_gradient(case, gradient[: len(case.numbers)], case.differences())
    for mine, given in zip(gradient, case.args, strict=True):
        assert mine is None or np.shape(mine) == np.shape(given)
    assert all(mine is None for mine in gradient[len(case.numbers) :])
    for arg, given in zip(args, case.args, strict=True):
        np.testing.assert_array_equal(arg, given)


@pytest.mark.few(30)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_jitted_value(case, x64):
    lifted = functools.partial(sx.lift(case.function), **case.options)
    numbers = copies(case.numbers)
    np.testing.assert_allclose(jax.jit(lifted)(*numbers), case.value, rtol=case.rtol)
    for arg, given in zip(numbers, case.numbers, strict=True):
        np.testing.assert_array_equal(arg, given)


@pytest.mark.few(6)
@pytest.mark.parametrize("name, k, grid", MAPPED, ids=[name for name, _, _ in MAPPED])
def test_vmap_is_a_loop(name, k, grid, x64):
    """Values and gradients: under vmap both branches run, and what is not taken may be infinite or NaN."""
    case = NAMED[name]
    lifted = functools.partial(sx.lift(case.function), **case.options)

    def at(x):
        return lifted(*case.numbers[:k], x, *case.numbers[k + 1 :])

    values, slopes = jax.vmap(jax.value_and_grad(at))(jnp.asarray(grid))
    apart = [dataclasses.replace(case, args=(*case.args[:k], x, *case.args[k + 1 :])) for x in grid]
    np.testing.assert_allclose(values, [one.value for one in apart], rtol=1e-12)
    same_gradient(case, [slopes], [np.array([one.differences()[k] for one in apart])])
