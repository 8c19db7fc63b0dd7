"""`edge_derivative` against closed forms: by other means than a line integral."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax.gallery.renderer import edge_derivative

# Both orientations, a thin one, a large one far from the origin, one with a vertical and a horizontal edge.
TRIANGLES = {
    "one way": [[0.1, 0.2], [1.3, 0.4], [0.5, 1.7]],
    "the other": [[0.5, 1.7], [1.3, 0.4], [0.1, 0.2]],
    "thin": [[0.0, 0.0], [3.0, 0.1], [1.0, 0.05]],
    "far": [[-40.0, 70.0], [-10.0, 64.0], [-25.0, 90.0]],
    "right": [[0.0, 0.0], [0.0, 2.0], [1.0, 0.0]],
}
NOT_AN_AREA = {
    "points in a line": [[0.0, 0.0], [1.0, 0.5], [3.0, 1.5]],
    "two are one": [[0.0, 0.0], [0.0, 0.0], [1.0, 2.0]],
    "all are one": [[0.5, 0.5]] * 3,
}


@pytest.fixture(params=TRIANGLES)
def triangle(request, dtype):
    return jnp.array(TRIANGLES[request.param], dtype)


def area(v):
    """By the shoelace formula."""
    x, y = v[:, 0], v[:, 1]
    return jnp.abs(x @ jnp.roll(y, -1) - y @ jnp.roll(x, -1)) / 2


def integral(v, weight):
    """Exact for a weight of second degree: the mean of its values at the middles of the edges, times the area."""
    return area(v) * jnp.mean(jax.vmap(weight)((v + jnp.roll(v, -1, axis=0)) / 2))


def assert_within_a_percent(found, expected):
    assert float(jnp.linalg.norm(found - expected)) <= 0.01 * float(jnp.linalg.norm(expected))


def test_of_the_area(triangle, key):
    found = edge_derivative(triangle, lambda p: 1.0, key=key, samples=100_000)
    assert found.shape == (3, 2) and found.dtype == triangle.dtype
    assert_within_a_percent(found, jax.grad(area)(triangle))


def test_of_the_integral_of_x_under_a_rotation(triangle, key):
    """Turned by t about the origin, the integral of x is that of x cos t - y sin t: it changes by minus that of y."""
    found = edge_derivative(triangle, lambda p: p[0], key=key, samples=100_000)
    turning = jnp.stack([-triangle[:, 1], triangle[:, 0]], axis=1)
    expected = -area(triangle) * jnp.mean(triangle[:, 1])
    assert abs(float(jnp.sum(found * turning) - expected)) <= 0.01 * abs(float(expected))


@pytest.mark.parametrize("weight", [lambda p: p[0] * p[1] - p[1] ** 2, lambda p: 2.0 - p[0] + 0.5 * p[0] ** 2])
def test_of_integrals_of_second_degree(triangle, key, weight):
    found = edge_derivative(triangle, weight, key=key, samples=100_000)
    assert_within_a_percent(found, jax.grad(integral)(triangle, weight))


def test_of_a_weight_that_jumps(key):
    """The part left of x = c in the triangle (0, 0), (b, 0), (0, h) has the area h (c - c^2 / 2 b)."""
    b, h, c = 2.0, 1.5, 0.6
    triangle = jnp.array([[0.0, 0.0], [b, 0.0], [0.0, h]])
    found = edge_derivative(triangle, lambda p: jnp.where(p[0] < c, 1.0, 0.0), key=key, samples=100_000)
    np.testing.assert_allclose(found[1, 0], h * c**2 / (2 * b**2), rtol=0.01)
    np.testing.assert_allclose(found[2, 1], c - c**2 / (2 * b), rtol=0.01)


@pytest.mark.parametrize("samples", [3, 4, 8])
def test_few_samples_are_unbiased(samples):
    """Each of 6 numbers within 4.5 standard errors of 20,000 draws: a false alarm in 25,000."""
    triangle = jnp.array(TRIANGLES["one way"])

    def weight(p):
        return p[0] * p[1] + 1.0

    keys = jax.random.split(jax.random.key(7), 20_000)
    draws = jax.vmap(lambda key: edge_derivative(triangle, weight, key=key, samples=samples))(keys)
    error = jnp.std(draws, axis=0) / len(keys) ** 0.5
    assert np.all(np.abs(jnp.mean(draws, axis=0) - jax.grad(integral)(triangle, weight)) <= 4.5 * error + 1e-6)


@pytest.mark.parametrize("name", NOT_AN_AREA)
def test_without_an_area_it_is_zero(name, dtype, key):
    found = edge_derivative(jnp.array(NOT_AN_AREA[name], dtype), lambda p: 1.0 + p[0], key=key, samples=100)
    np.testing.assert_array_equal(found, jnp.zeros((3, 2), dtype))


def test_the_orientation_changes_nothing_but_the_order(key):
    triangle = jnp.array(TRIANGLES["one way"])

    def weight(p):
        return jnp.exp(p[0]) * p[1]

    there = edge_derivative(triangle, weight, key=key, samples=20_000)
    back = edge_derivative(triangle[::-1], weight, key=key, samples=20_000)
    np.testing.assert_allclose(there, back[::-1], atol=1e-4)


def test_under_transformations_and_strict_promotion(key):
    triangles = jnp.stack([jnp.array(TRIANGLES[name]) for name in TRIANGLES])

    def of(triangle, slope=1.0):
        return edge_derivative(triangle, lambda p: slope * p[1], key=key, samples=64)

    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        together = jax.jit(jax.vmap(of))(triangles)
    np.testing.assert_allclose(together, jnp.stack([of(one) for one in triangles]), rtol=2e-4, atol=1e-5)
    # In parameters of the weight it is linear.
    first = triangles[0]
    np.testing.assert_allclose(jax.jacobian(lambda slope: of(first, slope))(2.0), of(first), rtol=1e-5, atol=1e-6)


def test_a_nan_is_not_hidden(key):
    triangle = jnp.array(TRIANGLES["one way"])
    assert np.all(np.isnan(edge_derivative(triangle.at[0, 0].set(jnp.nan), lambda p: 1.0, key=key)))
    assert np.all(np.isnan(edge_derivative(triangle, lambda p: jnp.nan, key=key)))


GOOD = jnp.array(TRIANGLES["one way"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"vertices": GOOD[:2]}, r"shape \(2, 2\)(.|\n)*3 points of the plane"),
        ({"vertices": jnp.array([[0, 0], [1, 0], [0, 1]])}, "int32(.|\n)*as floats"),
        ({"samples": 2}, "samples=2(.|\n)*3 or more"),
        ({"samples": True}, "samples=True"),
        ({"key": 0}, "PRNG key"),
        ({"weight": lambda p: p}, r"shape \(2,\)(.|\n)*one number"),
    ],
)
def test_mistakes_are_named(arguments, words, key):
    given = {"vertices": GOOD, "weight": lambda p: 1.0, "key": key, "samples": 10, **arguments}
    with pytest.raises(sx.SpanaxError, match=words):
        edge_derivative(given.pop("vertices"), given.pop("weight"), **given)
