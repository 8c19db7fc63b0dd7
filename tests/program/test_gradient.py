"""`gradient` and `value_and_gradient`: types, precision, JAX functions, the smoothed gradient."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
from jax import lax

import spanax as sx


def test_published_example():
    assert sx.gradient(lambda x: 3 * x**2 + 2 * x + 1, 5) == 32.0
    assert sx.value_and_gradient(lambda x: 3 * x**2 + 2 * x + 1, 5) == (86.0, 32.0)


def product(*factors):
    total = 1.0
    for factor in factors:
        total = total * np.sum(factor)
    return total


NUMBERS = [
    (2.0, float, None),
    (3, float, None),
    (np.float64(2), np.float64, None),
    (np.float32(2), np.float32, None),
    (np.ones(3), np.ndarray, "float64"),
    (np.ones((2, 2), "float32"), np.ndarray, "float32"),
    (np.array(2.0), np.ndarray, "float64"),
]


def test_types():
    """A gradient has the type, the shape and the dtype of its argument."""
    args = [x for x, _, _ in NUMBERS]
    value, gradients = sx.value_and_gradient(product, *args)
    assert type(value) is float
    for (x, kind, dtype), slope in zip(NUMBERS, gradients, strict=True):
        assert type(slope) is kind and np.shape(slope) == np.shape(x)
        assert dtype is None or slope.dtype == dtype
        np.testing.assert_allclose(slope, value / np.sum(x))


def test_containers():
    def weighted(p, q):
        return p["a"] * p["b"][0] + q[1] * q[0] * 2

    gradients = sx.gradient(weighted, {"a": 1.0, "b": [2.0, "text"]}, (3, np.float64(4)))
    assert gradients == ({"a": 2.0, "b": [1.0, None]}, (8.0, np.float64(6)))
    assert type(gradients[1][0]) is float and type(gradients[1][1]) is np.float64


def test_what_has_no_gradient():
    def program(x, text, flag, none, count, whole, mask):
        for _ in range(count):
            x = 2 * x
        return x * np.sum(whole * mask) if flag and text == "a" and none is None else 0.0

    args = (3.0, "a", True, None, 2, np.array([1, 2, 3]), np.array([True, False, True]))
    assert sx.value_and_gradient(program, *args) == (48.0, 16.0)
    value, gradients = sx.value_and_gradient(lambda y, *args: y * program(*args), 1.0, *args)
    assert (value, gradients) == (48.0, (48.0, 16.0, *[None] * 6))


def test_double_precision_without_x64():
    """1 + 1e-12 is 1 in float32."""
    assert jnp.ones(1).dtype == jnp.float32
    value, slope = sx.value_and_gradient(lambda x: (x - 1) * 1e12, 1 + 1e-12)
    assert (value, slope) == (((1 + 1e-12) - 1) * 1e12, 1e12)
    assert jnp.ones(1).dtype == jnp.float32


def test_arrays_of_jax_keep_their_precision(dtype):
    value, (by_x, by_y) = sx.value_and_gradient(lambda x, y: y * np.sum(x**2), jnp.array([1.0, 2.0], dtype), 3.0)
    assert isinstance(by_x, jax.Array) and by_x.dtype == dtype and value.dtype == dtype
    np.testing.assert_allclose(by_x, [6.0, 12.0])
    assert type(by_y) is float and by_y == 5.0


def test_keys_are_no_numbers(key):
    def noisy(x, key):
        return np.sin(x) * jax.random.uniform(key, ())

    slope = sx.gradient(noisy, 1.0, key)
    with jax.enable_x64(True):
        np.testing.assert_allclose(slope, math.cos(1.0) * jax.random.uniform(key, ()), rtol=1e-12)
    assert type(slope) is float
    assert sx.gradient(lambda y, *args: y * noisy(*args), 1.0, 1.0, key)[2] is None


def test_complex_arguments():
    """JAX's convention: the conjugate of the direction of steepest ascent."""
    assert sx.gradient(lambda z: abs(z) ** 2, 1 + 2j) == 2 - 4j


# -- by which arguments, and in which form


def polynomial(x, n, y):
    return x**n * y


@pytest.mark.parametrize(
    "args, argnums, expected",
    [
        ((2.0, 3, 5.0), 0, 60.0),
        ((2.0, 3, 5.0), -1, 8.0),
        ((2.0, 3, 5.0), (2, 0), (8.0, 60.0)),
        ((2.0, 3, 5.0), [0], (60.0,)),
        ((2.0, 3, 5.0), None, (60.0, 40 * math.log(2), 8.0)),
        ((2.0, 3, 5), None, 60.0),
        ((2.0, 3, 5), 2, 8.0),
        ((2, 3, 5), None, (60.0, 40 * math.log(2), 8.0)),
        ((2, 3, 5), 0, 60.0),
        ((2.0, 3.0, 1), 0, 12.0),
    ],
)
@pytest.mark.parametrize("lifted", [None, False])
def test_argnums(args, argnums, expected, lifted):
    """As JAX has them; without them one argument that holds floats counts alone, and Python's integers where none does."""
    gradient = sx.gradient(polynomial, *args, argnums=argnums, lifted=lifted)
    assert type(gradient) is type(expected)
    np.testing.assert_allclose(gradient, expected, rtol=1e-12)
    assert sx.value_and_gradient(polynomial, *args, argnums=argnums, lifted=lifted)[1] == gradient


def repeated(x, n, text="a"):
    for _ in range(n):
        x = 2 * x
    return x if text == "a" else -x


@pytest.mark.parametrize("argnums", [1, (0, 1), 2, (0, 2)])
@pytest.mark.parametrize("lifted", [True, False])
def test_no_gradient_where_one_was_asked_for(argnums, lifted):
    with pytest.raises(sx.SpanaxError, match=r"argument [12] has no derivative") as caught:
        sx.gradient(repeated, 1.0, 3, "a", argnums=argnums, lifted=lifted)
    assert "test_gradient.py" in caught.value.where


@pytest.mark.parametrize("argnums", [3, -4, (0, 0), (), "x", 1.5])
def test_bad_argnums(argnums):
    with pytest.raises(sx.SpanaxError, match="argnums"):
        sx.gradient(repeated, 1.0, 3, "a", argnums=argnums)


def test_nothing_that_has_a_derivative():
    assert sx.gradient(lambda text: 1.0, "a") == (None,)
    assert sx.gradient(lambda n: float(sum(range(n))), 4) is None
    assert sx.gradient(lambda: 1.0) == ()


def test_only_the_chosen_arguments_are_smoothed(key):
    """The step in y is seen as it is: y is 0 at all points."""
    f = lambda x, y: x**2 * (1.0 if y <= 0 else 5.0)
    value, slope = sx.value_and_gradient(f, 1.0, 0.0, argnums=0, sigma=1e-3, key=key)
    np.testing.assert_allclose((value, slope), (1.0, 2.0), rtol=0.3)  # noise in y would make both three times as large
    assert type(slope) is float


def scaled(x, key=1.0, *, sigma=1.0, power=2):
    return key * sigma * x**power


@pytest.mark.parametrize("lifted", [True, False])
def test_keywords_of_the_function(lifted, key):
    options = {"kwargs": {"sigma": 3.0, "key": 2.0}, "lifted": lifted}
    assert sx.value_and_gradient(scaled, 2.0, power=3, **options) == (48.0, 72.0)
    assert sx.gradient(scaled, 2, power=2, **options) == 24.0
    assert sx.gradient(scaled, 2.0, 5.0, power=3) == (60.0, 8.0)
    smoothed = sx.gradient(scaled, 2.0, power=1, sigma=0.1, key=key, **options)
    np.testing.assert_allclose(smoothed, 6.0, rtol=0.05)


def test_keywords_that_do_not_fit():
    with pytest.raises(sx.SpanaxError, match="power is given twice"):
        sx.gradient(scaled, 2.0, power=3, kwargs={"power": 2})
    with pytest.raises(TypeError, match="sigam"):
        sx.gradient(scaled, 2.0, sigam=0.1)


def test_lifted_says_what_names_cannot():
    """A function that names JAX only, and takes branches as the arguments decide."""

    def both(x):
        return jnp.sin(x) if x > 0 else x

    assert sx.gradient(both, 1.0, lifted=True) == pytest.approx(math.cos(1.0))
    assert sx.gradient(lambda x: np.exp(x) if False else jnp.exp(x), 1.0, lifted=False) == pytest.approx(math.e)


def rosenbrock(x, scale=100.0):
    return np.sum(scale * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@pytest.mark.parametrize("method", ["BFGS", "L-BFGS-B", "CG", "SLSQP", "Newton-CG", "trust-constr"])
def test_minimisers_of_scipy(method):
    found = scipy.optimize.minimize(
        lambda x: sx.value_and_gradient(rosenbrock, x),
        [-1.2, 1.0, 0.5],
        jac=True,
        method=method,
    )
    np.testing.assert_allclose(found.x, 1.0, atol=1e-3)


def test_args_of_scipy_minimisers():
    found = scipy.optimize.minimize(
        lambda x, scale: sx.value_and_gradient(rosenbrock, x, scale, argnums=0), np.zeros(2), (10.0,), jac=True
    )
    np.testing.assert_allclose(found.x, 1.0, atol=1e-4)


def test_optimisers_of_optax():
    params = {"x": jnp.array([-1.2, 1.0]), "bias": jnp.array(0.3)}
    loss = lambda p: rosenbrock(p["x"], 2.0) + p["bias"] ** 2
    optimizer = optax.adam(0.1)
    state = optimizer.init(params)
    for _ in range(400):
        value, gradient = sx.value_and_gradient(loss, params)
        with jax.numpy_dtype_promotion("standard"):  # which optax needs
            updates, state = optimizer.update(gradient, state)
        params = optax.apply_updates(params, updates)
    assert value < 1e-4
    np.testing.assert_allclose(params["x"], 1.0, atol=0.02)


# -- JAX functions


def without_source(text):
    """A function that cannot be lifted."""
    scope = {"jnp": jnp, "lax": lax, "jax": jax}
    exec(f"def f(x, n=1):\n    return {text}", scope)
    return scope["f"]


class Layer(eqx.Module):
    weight: jax.Array

    def __call__(self, x):
        return jnp.sum(self.weight * x)


@pytest.mark.parametrize(
    "f, slope",
    [
        (without_source("lax.cond(x > 0, jnp.sin, jnp.cos, x)"), math.cos(2.0)),
        (without_source("jax.nn.softplus(x)"), 1 / (1 + math.exp(-2.0))),
        (jax.jit(without_source("x ** 2")), 4.0),
        (jnp.sinc, math.cos(2 * math.pi) / 2 - math.sin(2 * math.pi) / (4 * math.pi)),
        (eqx.filter_jit(Layer(jnp.ones(()))), 1.0),
        (Layer(jnp.ones(())), 1.0),
        (sx.lift(lambda x: x * math.sin(x)), math.sin(2.0) + 2 * math.cos(2.0)),
    ],
)
def test_functions_of_jax_are_taken_as_they_are(f, slope):
    np.testing.assert_allclose(sx.gradient(f, 2.0), slope, rtol=1e-6)


def test_arguments_of_functions_of_jax():
    """Leaves with a derivative, others, and integers that count or do not."""
    f = without_source('jnp.sum(x["w"]) * sum(2 if x["kind"] == "a" else 1 for _ in range(n)) * x["m"]')
    slope = sx.gradient(f, {"w": np.ones(2), "kind": "a", "m": 1}, 3)
    assert slope["kind"] is None and slope["m"] == 12.0
    np.testing.assert_array_equal(slope["w"], [6.0, 6.0])
    np.testing.assert_allclose(
        sx.gradient(without_source("jnp.power(x, n)"), 2, 3), (12.0, 8 * math.log(2)), rtol=1e-12
    )


# -- options and results that do not fit


@pytest.mark.parametrize(
    "options, text",
    [
        ({"max_iterations": 0}, "max_iterations"),
        ({"sigma": 0.1}, "needs a key"),
        ({"key": jax.random.key(0)}, "key without sigma"),
        ({"sigma": -0.1, "key": jax.random.key(0)}, "sigma"),
        ({"sigma": 0.1, "key": 3}, "key"),
        ({"sigma": 0.1, "key": jax.random.key(0), "pairs": 0}, "pairs"),
        ({"lifted": "no"}, "lifted='no'"),
    ],
)
def test_bad_options(options, text):
    with pytest.raises(sx.SpanaxError, match=text):
        sx.gradient(lambda x: x, 1.0, **options)


@pytest.mark.parametrize("call", [sx.gradient, sx.value_and_gradient])
def test_what_is_no_function(call):
    with pytest.raises(sx.SpanaxError, match=rf"^{call.__name__}\(\) takes a function, not 3"):
        call(3, 1.0)


def test_nothing_to_smooth(key):
    with pytest.raises(sx.SpanaxError, match="nothing to smooth"):
        sx.gradient(lambda text: 1.0, "a", sigma=0.1, key=key)


@pytest.mark.parametrize("result", [lambda x: (x, x), lambda x: np.ones(2) * x, lambda x: None, lambda x: x * 1j])
def test_results_that_are_no_number(result):
    with pytest.raises(sx.SpanaxError, match="a gradient is that of"):
        sx.gradient(result, 1.0)


# -- the smoothed gradient


def votes(levels, weights, label):
    """A sum of steps: automatic differentiation sees none of them."""
    total = 0.0
    for level, weight in zip(levels, weights, strict=True):
        if level > 0:
            total += weight
    return total if label == "for" else -total


def test_smoothed_gradient_of_steps(key):
    """E = sum w Phi(x/sigma), as the noise on w is independent. 1,000 keys, 4 standard errors: of 4 comparisons of slopes
    and one of values one fails in 3 of 10,000 keys."""
    levels, weights, sigma = np.array([0.05, -0.1]), [2.0, 1.0], 0.1
    assert sx.gradient(votes, levels, weights, "for")[0].tolist() == [0.0, 0.0]

    def run(key):
        value, (by_level, by_weight, none) = sx.value_and_gradient(
            votes, levels, weights, "for", sigma=sigma, key=key, pairs=8
        )
        assert none is None
        return jnp.concatenate([by_level, jnp.stack(by_weight), value[None]])

    found = np.asarray(jax.jit(jax.vmap(run))(jax.random.split(key, 1000)))
    z = levels / sigma
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) / sigma
    distribution = [0.5 * (1 + math.erf(t / math.sqrt(2))) for t in z]
    exact = [*(weights * density), *distribution, np.dot(weights, distribution)]
    errors = np.std(found, axis=0) / math.sqrt(1000)
    assert (np.abs(found.mean(axis=0) - exact) < 4 * errors).all()


def test_types_of_the_smoothed_gradient(key):
    def counted(x, scale, n):
        for _ in range(n):
            scale = scale * 1.5
        return scale * np.sum(x > 0)

    value, gradients = sx.value_and_gradient(counted, np.array([0.05], "float32"), 2.0, 3, sigma=0.1, key=key)
    assert type(value) is float and type(gradients[1]) is float and gradients[2] is None
    assert gradients[0].dtype == np.float32 and gradients[0].shape == (1,)
    assert value == sx.value_and_gradient(counted, np.array([0.05], "float32"), 2.0, 3, sigma=0.1, key=key)[0]


def test_faults_at_any_point_of_the_smoothing(key):
    def limited(x):
        assert x < 0.05, "too large"
        return x

    assert sx.gradient(limited, 0.0) == 1.0
    with pytest.raises(sx.SpanaxError, match="too large") as caught:
        sx.gradient(limited, 0.0, sigma=0.1, key=key)
    assert "test_gradient.py" in caught.value.where
