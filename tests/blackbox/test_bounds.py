"""Points inside bounds: of every public probing bridge, all that are evaluated, and what the derivative is there."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax.bridges._probing.bounded_directions import _variance

Shape = jax.ShapeDtypeStruct

BRIDGES = {
    sx.FiniteDifference: [
        sx.FiniteDifference(),
        sx.FiniteDifference(scheme="forward"),
        sx.FiniteDifference(0.3),
        sx.FiniteDifference(0.3, "forward"),
        sx.FiniteDifference(scheme="complex"),
    ],
    sx.SPSA: [sx.SPSA(0.3, samples=6)],
    sx.Smoothing: [
        sx.Smoothing(0.3, pairs=8),
        sx.Smoothing(0.3, pairs=8, antithetic=False),
        sx.Smoothing(0.3, pairs=8, directions="gaussian"),
        sx.Smoothing(0.3, pairs=8, directions="sobol"),
        sx.Smoothing(0.3, pairs=8, directions="coordinate"),
    ],
    sx.Surrogate: [sx.Surrogate(0.3, pairs=8)],
}
ALL = [bridge for bridges in BRIDGES.values() for bridge in bridges]
CASES = [("float32", bridge) for bridge in ALL] + [("float64", bridges[0]) for bridges in BRIDGES.values()]


def test_every_public_probing_bridge_is_here():
    public = {c for c in vars(sx).values() if isinstance(c, type) and issubclass(c, sx.bridges.Probing)}
    assert {c for c in public if not inspect.isabstract(c)} == set(BRIDGES)


class Recorded:
    """sum(exp(x)) over all leaves; keeps every point that it is asked for."""

    def __init__(self):
        self.seen = []

    def __call__(self, x):
        self.seen.append(x)
        return sum(np.sum(np.exp(leaf), dtype=leaf.dtype) for leaf in jax.tree.leaves(x))


BOUNDS = {"a": np.array([0.1, -np.inf, 0.0, -3.0]), "b": -0.1}, {"a": np.array([0.7, 0.3, 1e-3, np.inf]), "b": None}
# In the middle, at a lower or upper bound, near one; between two that are narrower than any step; half free.
PLACES = [
    {"a": [0.4, 0.0, 5e-4, 5.0], "b": 3.0},
    {"a": [0.1, 0.3, 0.0, -3.0], "b": -0.1},
    {"a": [0.7, 0.25, 1e-3, -2.9], "b": 0.0},
]


@pytest.mark.few(4)
@pytest.mark.parametrize(("dtype", "bridge"), CASES, ids=str)
def test_every_point_is_inside(bridge, dtype, key):
    with jax.enable_x64(dtype == "float64"):
        fn = Recorded()
        f = sx.blackbox(fn, Shape((), dtype), via=bridge, bounds=BOUNDS, constant=True)
        xs = {k: jnp.array([p[k] for p in PLACES], dtype) for k in ("a", "b")}
        own = {(*np.asarray(xs["a"][i], float).tolist(), float(xs["b"][i])) for i in range(len(PLACES))}
        keys = jax.random.split(key, len(PLACES))
        slopes = jax.jit(jax.vmap(lambda x, k: jax.grad(f)(x, key=k)))(xs, keys)
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(slopes))
        if bridge is ALL[0]:
            f.check(jax.tree.map(lambda rows: rows[1], xs), key=key, directions=4)
            f.fitted(jax.tree.map(lambda rows: rows[2], xs), key=key)
    assert len(fn.seen) >= 18
    for x in fn.seen:
        a, b = np.real(x["a"]).astype(float), float(np.real(x["b"]))
        if (*a, b) not in own:  # x itself is what the user gave, rounded to its own precision
            assert np.all(a >= BOUNDS[0]["a"]) and np.all(a <= BOUNDS[1]["a"]) and b >= -0.1


def sharp(x):
    """Without a value outside of [0, 1]."""
    assert np.all((x >= 0) & (x <= 1))
    return np.sum(np.sin(3 * x)) + x[0] * x[1]


def slope(x):
    return 3 * np.cos(3 * x) + x[::-1]


@pytest.mark.few(3)
@pytest.mark.parametrize("x", [[0.5, 0.5], [0.0, 1.0], [1.0, 0.0], [1e-4, 0.9999], [0.02, 0.3]])
def test_differences_at_a_bound_are_as_good_as_elsewhere(x, x64):
    """O(h^2) central: f''' = 27 or less, so h^2 f''' / 3 on one side; O(h) forward."""
    x = np.array(x)
    for bridge, error in (
        (sx.FiniteDifference(1e-3), 27e-6 / 3),
        (sx.FiniteDifference(1e-3, "forward"), 9e-3 / 2),
        (sx.FiniteDifference(), 1e-6),
    ):
        f = sx.blackbox(sharp, Shape((), float), via=bridge, bounds=(0, 1))
        np.testing.assert_allclose(jax.jit(jax.grad(f))(jnp.array(x)), slope(x), atol=1.1 * error)


def test_a_parabola_is_differentiated_exactly_at_a_bound(x64):
    f = sx.blackbox(lambda x: x @ x, Shape((), float), via=sx.FiniteDifference(0.25), bounds=(-1.0, [1.0, 1.0, 1.1]))
    x = jnp.array([1.0, -1.0, 1.0])
    np.testing.assert_allclose(jax.grad(f)(x), 2 * x, rtol=1e-13)
    np.testing.assert_allclose(jax.jacfwd(f)(x), 2 * x, rtol=1e-13)
    dropping = sx.blackbox(
        lambda x: np.nan if x[0] == 0.75 else x @ x,
        Shape((), float),
        via=sx.FiniteDifference(0.25),
        bounds=(-1.0, 1.0),
        run=sx.Run(retries=0, on_failure="drop"),
    )
    np.testing.assert_allclose(jax.grad(dropping)(x), [1.5, -2, 2], rtol=1e-13)  # (f(1) - f(0.5)) / 0.5


def test_what_random_directions_are_unbiased_for_at_a_bound(x64, key):
    """The slopes of the best linear fit, by quadrature; 4 standard errors: a false alarm in 2,000 runs for 8 numbers."""
    cells = (np.arange(200_000) + 0.5) / 200_000
    sigma, x = 0.3, np.array([1.0, 0.5])
    u = np.sqrt(2) * np.asarray(jax.scipy.special.erfinv(2 * cells - 1))
    t = np.clip(u, -2, 2)
    middle, t_wide = np.array([1 - 2 * sigma, 0.5]), np.clip(u, -0.5 / sigma, 0.5 / sigma)
    expected = [
        np.mean(np.exp(m + sigma * s) * s) / (sigma * np.mean(s**2)) for m, s in zip(middle, (t, t_wide), strict=True)
    ]

    def fn(X):
        return np.sum(np.exp(X), axis=1)

    for via in (
        sx.Smoothing(sigma, pairs=4),
        sx.Smoothing(sigma, pairs=4, antithetic=False),
        sx.Smoothing(sigma, pairs=4, directions="coordinate"),
        sx.SPSA(sigma, samples=4),
    ):
        f = sx.blackbox(fn, Shape((), float), via=via, bounds=([-5.0, 0.0], 1.0), batched=True)
        keys = jax.random.split(key, 4000)
        found = np.asarray(jax.jit(jax.vmap(lambda k, f=f: jax.grad(f)(jnp.array(x), key=k)))(keys))
        if isinstance(via, sx.SPSA):
            centre = np.array([1 - sigma, 0.5])
            expected = [(np.exp(m + sigma) - np.exp(m - sigma)) / (2 * sigma) for m in centre]
        assert np.all(np.abs(found.mean(0) - expected) < 4 * found.std(0) / np.sqrt(len(keys))), via


def test_a_linear_function_is_right_anywhere(key, x64):
    """Of orthogonal antithetic directions in one dimension the slope is exact but for the length of u."""
    assert abs(float(_variance(jnp.array(jnp.inf))) - 1) < 1e-12
    u = np.random.default_rng(0).normal(size=10**6)
    for t in (1e-3, 0.04, 0.06, 0.7, 2.0, 5.0):
        np.testing.assert_allclose(_variance(jnp.array(t)), np.mean(np.clip(u, -t, t) ** 2), rtol=4e-3)


@pytest.mark.slow
def test_points_that_have_room_are_the_same_as_without_bounds(key):
    for via in (sx.SPSA(0.1, samples=4), sx.Smoothing(0.01, pairs=4), sx.FiniteDifference(0.1), sx.FiniteDifference()):
        x, found = jnp.array([0.2, 0.7]), []
        for bounds in (None, (-100.0, 100.0)):
            fn = Recorded()
            f = sx.blackbox(fn, Shape((), "float32"), via=via, bounds=bounds)
            found.append((jax.grad(f)(x, key=key), {p.tobytes() for p in fn.seen}))
        np.testing.assert_allclose(found[0][0], found[1][0], rtol=2e-4)
        assert found[0][1] == found[1][1]


def box(bounds=(0.0, 1.0), via=None, fn=None):
    return sx.blackbox(
        fn or Recorded(), Shape((), "float32"), via=via or sx.FiniteDifference(0.1), bounds=bounds, name="f"
    )


def test_x_outside_is_refused():
    for x, where in (([0.5, 1.5], "x[1] = 1.5, between 0 and 1"), ([-0.25, 0.5], "x[0] = -0.25, between 0 and 1")):
        for call in (box(), jax.grad(box()), jax.jit(jax.grad(box())), lambda x: jax.jit(jax.vmap(box()))(x[None])):
            with pytest.raises(Exception, match="'f': x lies outside its bounds") as error:
                jax.block_until_ready(call(jnp.array(x)))
            assert where in str(error.value) and "jnp.clip" in str(error.value)
    manual = box(via=sx.Manual(vjp=lambda x, y, ct: ct * np.exp(x)))
    np.testing.assert_allclose(jax.grad(manual)(jnp.ones(2)), np.e, rtol=1e-6)
    with pytest.raises(sx.SpanaxError, match="outside its bounds"):
        jax.grad(manual)(jnp.array([1.1, 1.0]))


def test_x_at_a_bound_that_its_precision_rounds_is_inside():
    fn = Recorded()
    f = box((0.1, 0.7), fn=fn)
    slopes = jax.grad(f)(jnp.array([0.1, 0.7], jnp.float32))
    np.testing.assert_allclose(slopes, np.exp([0.1, 0.7]), rtol=0.01)


class Own(sx.bridges.Probing):
    facts = sx.FiniteDifference(1.0).facts

    def points(self, x, key):
        return x[None] + 1

    def combine(self, x, X, Y, ct=1.0, *, y, kept=None):
        return x * ct

    def usable(self, kept):
        return True


class Careless(Own, sx.bridges.Bounded):
    def within(self, box):
        return self


REFUSED = {
    "one number": (lambda: box(1.0), "bounds=1.0"),
    "three": (lambda: box((0.0, 1.0, 2.0)), "bounds="),
    "text": (lambda: box(("a", 1.0)), "bounds="),
    "NaN": (lambda: box((np.nan, 1.0)), "hold a NaN"),
    "traced": (lambda: jax.jit(lambda low: box((low, 1.0))(jnp.ones(2)))(0.0), "are traced"),
    "shape": (lambda: box((np.zeros(3), 1.0))(jnp.ones(2)), r"lower has the shape \(3,\), and x \(2,\)"),
    "structure": (lambda: box((0.0, {"a": 1.0}))(jnp.ones(2)), "upper has the structure"),
    "crossed": (lambda: box((1.0, 0.0))(jnp.ones(2)), "above its upper one"),
    "no room": (lambda: jax.grad(box((np.array([0.0, 1.0]), 1.0)))(jnp.ones(2)), "leave no room"),
    "own bridge": (lambda: box(via=Own()), "does not say how its points stay inside"),
    "careless bridge": (lambda: jax.grad(box(via=Careless()))(jnp.ones(2)), "a point of its derivative lies outside"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    call, message = REFUSED[case]
    with pytest.raises(sx.SpanaxError, match=message) as error:
        call()
    assert "test_bounds.py" in error.value.where


@pytest.mark.slow
def test_what_is_fixed_by_its_bounds_may_be_given():
    f = box(({"a": 0.0, "b": 2.0}, {"a": 1.0, "b": 2.0}))
    slopes = jax.grad(lambda a: f({"a": a, "b": jnp.float32(2.0)}))(jnp.float32(1.0))
    np.testing.assert_allclose(slopes, np.e, rtol=0.02)
