"""`lift`: the lifted program as a JAX function; what it reads, changes, prints, and how it fails."""

import copy
import functools
import itertools
import logging
import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax._jaxprs import jaxprs_in_params

from .lines import place

log = logging.getLogger(__name__)


def halved(x):
    """x^2 / 4^n + n, where n is how often x is halved until it is 1 at most."""
    n = 0
    while x > 1:
        x = x / 2
        n += 1
    return x * x + n


# -- JAX's transformations


@pytest.mark.few(1)
def test_transformations(dtype):
    lifted = sx.lift(halved)
    xs = jnp.array([0.5, 5.0, 100.0], dtype)
    n = np.array([0, 3, 7])
    values, slopes = np.asarray(xs) ** 2 / 4.0**n + n, 2 * np.asarray(xs) / 4.0**n
    tolerance = 1e-5 if dtype == jnp.float32 else 1e-13
    close = functools.partial(np.testing.assert_allclose, rtol=tolerance)
    found = jax.vmap(jax.value_and_grad(lifted))(xs)
    assert found[0].dtype == found[1].dtype == dtype
    close(found[0], values)
    close(found[1], slopes)
    close(jax.jit(jax.vmap(lifted))(xs), values)
    close(lifted(xs[1]), values[1])
    close(jax.jit(lifted)(xs[1]), values[1])
    close(jax.jacfwd(lifted)(xs[1]), slopes[1])
    close(jax.jit(jax.hessian(lifted))(xs[1]), 2 / 4.0**3)


def test_jacobian_of_an_array(dtype):
    def polynomial(x):
        out = np.zeros(3)
        for i in range(3):
            out[i] = x ** (i + 1)
        return out

    jacobian = jax.jacrev(sx.lift(polynomial))(jnp.asarray(2.0, dtype))
    np.testing.assert_allclose(jacobian, [1.0, 4.0, 12.0])


def test_results_keep_their_structure():
    def parts(x):
        return {"sum": np.sum(x), "rest": (x[1:], "text", None, 3)}

    found = sx.lift(parts)(np.arange(3.0))
    assert found["sum"] == 3.0 and found["rest"][0].shape == (2,) and found["rest"][1:3] == ("text", None)
    assert isinstance(found["sum"], jax.Array) and found["rest"][3] == 3


def test_arguments_by_name_and_the_name_itself():
    def power(x, *, order=2):
        return x**order

    lifted = sx.lift(power)
    assert (lifted(3.0), lifted(3.0, order=3)) == (9.0, 27.0)
    assert lifted.__name__ == "power" and lifted.__wrapped__ is power


def test_a_wrapped_function_is_not_unwrapped():
    """A decorator, a transformation of JAX or of Spanax is part of the program."""

    def doubled(f):
        @functools.wraps(f)
        def wrapper(*args):
            return 2 * f(*args)

        return wrapper

    square = doubled(lambda x: x * x)
    assert sx.lift(square)(3.0) == sx.lift(sx.lift(square))(3.0) == 18.0
    assert sx.gradient(square, 3.0) == sx.gradient(lambda x: square(x), 3.0) == 12.0
    np.testing.assert_array_equal(sx.lift(jax.vmap(lambda x: jnp.sum(x)))(jnp.ones((3, 2))), [2.0, 2.0, 2.0])
    assert sx.gradient(functools.lru_cache(square), 3.0) == 12.0


# -- memory and bounds


def sizes(jaxpr):
    for eqn in jaxpr.eqns:
        yield from (v.aval.size for v in eqn.outvars)
        for inner in jaxprs_in_params(eqn.params):
            yield from sizes(inner)


@functools.singledispatch
def growth(x):
    return 2 * x


@growth.register
def _(x: float):
    return 5 * x


@growth.register
def _(x: np.ndarray):
    return (7 * x).sum()


class Grower:
    @functools.singledispatchmethod
    def grow(self, x):
        return 2 * x

    @grow.register
    def _(self, x: float):
        return 5 * x


def test_single_dispatch_is_by_the_class_that_the_argument_has_in_python():
    assert sx.value_and_gradient(lambda x: growth(x) * 1.0, 3.0) == (15.0, 5.0)
    value, slope = sx.value_and_gradient(lambda x: growth(x) * 1.0, np.array([1.0, 2.0]))
    assert value == 21.0 and slope.tolist() == [7.0, 7.0]
    with pytest.raises(sx.SpanaxError, match="grow"):
        sx.gradient(lambda x: Grower().grow(x), 3.0)


@pytest.mark.parametrize("bound", [100, 10_000])
def test_reverse_mode_keeps_the_square_root(bound):
    """Of the residuals, and of every array in the program of the gradient."""
    lifted = sx.lift(halved, max_iterations=bound)
    residuals = jax.tree.leaves(jax.vjp(lifted, 5.0)[1])
    assert sum(np.size(x) for x in residuals) <= 6 * math.sqrt(bound)
    assert max(sizes(jax.make_jaxpr(jax.grad(lifted))(5.0).jaxpr)) <= 2 * math.sqrt(bound)


def endless(x):
    while x > 0:  # <- here
        x = np.sqrt(x) + 1
    return x


def test_bound():
    lifted = sx.lift(endless, max_iterations=50)
    assert lifted(-1.0) == -1.0
    for run in (lifted, jax.grad(lifted), lambda x: sx.gradient(endless, x, max_iterations=50)):
        with pytest.raises(sx.SpanaxError, match="bound of 50 iterations") as caught:
            run(5.0)
        assert place(endless, "<- here") in caught.value.where
        assert any("max_iterations" in remedy for remedy in caught.value.remedies)


COMPILED = [
    jax.jit,
    lambda f: jax.jit(jax.grad(f)),
    lambda f: jax.jit(jax.jacfwd(f)),
    lambda f: jax.jit(jax.hessian(f)),
]


@pytest.mark.few(2)
@pytest.mark.parametrize("compiled", COMPILED)
def test_bound_in_compiled_programs(compiled):
    """The derivatives fail as well, though nobody asks for the value."""
    lifted = sx.lift(endless, max_iterations=50)
    for run, good, bad in [
        (compiled(lifted), -1.0, 5.0),
        (jax.vmap(compiled(lifted)), -jnp.ones(2), jnp.array([-1.0, 5.0])),
    ]:
        jax.block_until_ready(run(good))
        with pytest.raises((RuntimeError, ValueError)) as caught:  # JAX's, as its versions have it
            jax.block_until_ready(run(bad))
        assert "bound of 50 iterations" in str(caught.value) and place(endless, "<- here") in str(caught.value)


# -- faults


def asserted(x, i):
    assert x > 0, "not positive"  # <- here
    return x


def raised(x, i):
    if x > 10:
        raise ValueError("too large")  # <- here
    return x


def indexed(x, i):
    return x * np.arange(3.0)[i]  # <- here


FAULTS = [
    (asserted, -1.0, 0, "not positive"),
    (raised, 11.0, 0, "too large"),
    (indexed, 1.0, 3, "out of bounds"),
]
DOMAINS = [
    (lambda x: math.sqrt(x), -1.0),
    (lambda x: math.log(x), 0.0),
    (lambda x: math.log1p(x), -1.0),
    (lambda x: math.acos(x), 2.0),
    (lambda x: math.acosh(x), 0.5),
    (lambda x: math.atanh(x), 1.0),
    (lambda x: math.pow(x, 0.5), -1.0),
    (lambda x: math.pow(x, -1.0), 0.0),
    (lambda x: math.fmod(1.0, x), 0.0),
]


@pytest.mark.parametrize("function, x, i, text", FAULTS, ids=[f.__name__ for f, *_ in FAULTS])
def test_faults(function, x, i, text):
    lifted = sx.lift(function)
    assert lifted(1.0, jnp.asarray(1)) == 1.0
    for run in (lifted, jax.grad(lifted), lambda x, i: sx.gradient(function, x, i)):
        with pytest.raises(sx.SpanaxError, match=text) as caught:
            run(x, jnp.asarray(i))
        assert place(function, "<- here") in caught.value.where
    with pytest.raises(RuntimeError) as caught:
        jax.block_until_ready(jax.jit(lifted)(x, jnp.asarray(i)))
    assert text in str(caught.value) and place(function, "<- here") in str(caught.value)


@pytest.mark.parametrize("function, x", DOMAINS)
def test_mathematical_domains(function, x):
    with pytest.raises(ValueError) if x else pytest.raises((ValueError, ZeroDivisionError)):
        function(x)
    with pytest.raises(sx.SpanaxError, match="outside of its domain"):
        sx.gradient(function, x)


# -- verification

COUNTER = itertools.count()


def test_verify():
    checked = sx.lift(halved, verify=True)
    assert checked(5.0) == sx.lift(halved)(5.0)
    assert jax.jit(checked)(5.0) == sx.lift(halved)(5.0)  # traced: not compared


def test_verify_fails():
    def numbered(x):
        return x + next(COUNTER)

    with pytest.raises(sx.SpanaxError, match="the function itself") as caught:
        sx.lift(numbered, verify=True)(1.0)
    assert "numbered" in caught.value.where


# -- printing and logging


def talking(x):
    print("x is", x)
    for _ in range(20):
        x = x + 0.1
    if x > 3:
        print(f"large: {x:.2f}")
        log.warning("large: %.1f", x)
    return x


def test_printing_and_logging(capsys, caplog):
    """When the program runs, once in each run, in the branch that is taken."""
    lifted = sx.lift(talking)
    for x in (0.5, 2.0):
        lifted(x)
        jax.effects_barrier()
    printed = capsys.readouterr().out.splitlines()
    assert sorted(printed) == ["large: 4.00", "x is 0.5", "x is 2.0"]
    assert caplog.messages == ["large: 4.0"]


@pytest.mark.parametrize("times", [1, 2])
def test_printing_in_a_gradient(times, capsys):
    for _ in range(times):
        sx.gradient(talking, 2.0)
    jax.effects_barrier()
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(["x is 2.0", "large: 4.00"] * times)


# -- the world around


class Spring:
    stiffness = 3.0

    def __init__(self, mass):
        self.mass = mass

    def energy(self, x):
        return self.mass * self.stiffness * x


GAIN, TABLE, SPRING, MODULE = 2.0, np.array([1.0, 2.0]), Spring(5.0), types.ModuleType("settings")
MODULE.rate = 4.0  # type: ignore[attr-defined]


def test_nothing_outside_is_changed():
    def writes(a, options, spring):
        np.random.seed(1)
        a[0] = 7 * a[1] + np.random.normal()
        options["k"] = a[0]
        spring.mass = SPRING.mass = a[1]
        TABLE[:] = a[0]
        return np.sum(a) * options["k"] + TABLE[1] + spring.mass + SPRING.mass

    args = np.array([1.0, 2.0]), {"k": 1.0}, Spring(1.0)
    before = copy.deepcopy((args[:2], vars(args[2]), TABLE, vars(SPRING), np.random.get_state()[1]))
    value, gradients = sx.value_and_gradient(writes, *args)
    sx.lift(writes)(*args)
    after = args[:2], vars(args[2]), TABLE, vars(SPRING), np.random.get_state()[1]
    jax.tree.map(np.testing.assert_array_equal, before, after)
    drawn = np.random.RandomState(1).normal()
    a = 14 + drawn
    np.testing.assert_allclose(value, (a + 2) * a + a + 4, rtol=1e-12)
    np.testing.assert_allclose(gradients[0], [0.0, 7 * (2 * a + 2) + a + 7 + 2], rtol=1e-12)
    assert gradients[1:] == ({"k": 0.0}, None)


def local(k):
    def scaled(x):
        return k * x

    def change(new):
        nonlocal k
        k = new

    return scaled, change


SCALED, CHANGE = local(6.0)
HELD = Spring(7.0)
CHANGES = [  # a program, how the world changes, and the slope before and after
    (lambda x: GAIN * x, lambda v: globals().update(GAIN=v), 2.0),
    (lambda x: np.sum(TABLE) * x, lambda v: TABLE.__setitem__(0, v - 2.0), 3.0),
    (lambda x: SPRING.mass * x, lambda v: setattr(SPRING, "mass", v), 5.0),
    (lambda x: Spring.stiffness * x, lambda v: setattr(Spring, "stiffness", v), 3.0),
    (lambda x: MODULE.rate * x, lambda v: setattr(MODULE, "rate", v), 4.0),
    (SCALED, CHANGE, 6.0),
    (functools.partial(lambda spring, x: spring.mass * x, HELD), lambda v: setattr(HELD, "mass", v), 7.0),
    (lambda x: SCALED(x), CHANGE, 6.0),
]


@pytest.mark.parametrize("program, change, slope", CHANGES)
def test_changes_of_the_world_are_seen(program, change, slope):
    lifted = sx.lift(program)
    try:
        for now in (slope, 9.0, slope):
            change(now)
            assert sx.gradient(program, 1.0) == now
            assert lifted(1.0) == now
    finally:
        change(slope)


def test_objects_that_change_are_seen():
    spring = Spring(2.0)
    for mass in (2.0, 4.0):
        spring.mass = mass
        assert sx.gradient(spring.energy, 1.0) == 3 * mass
        assert sx.gradient(lambda s, x: s.mass * x, spring, 1.0) == mass


# -- options


def branching(x):
    return 2 * x if x > 0 else x


def calling(x):
    return 3 * branching(x)


def test_only_itself():
    def twice(x):
        return np.sin(x) + outer(2.0) if x > 0 else 0.0

    def outer(x):
        return x if x > 0 else -x

    assert sx.lift(calling)(2.0) == 12.0
    np.testing.assert_allclose(sx.lift(twice, recursive=False)(1.0), math.sin(1.0) + 2.0, rtol=1e-6)
    with pytest.raises(sx.SpanaxError) as caught:
        sx.lift(calling, recursive=False)(2.0)
    assert place(calling, "branching(x)") in caught.value.where


@pytest.mark.parametrize("bound", [0, -1, 2.5, True])
def test_bad_bounds(bound):
    with pytest.raises(sx.SpanaxError, match="max_iterations"):
        sx.lift(halved, max_iterations=bound)


def test_what_is_no_function():
    with pytest.raises(sx.SpanaxError, match="takes a function"):
        sx.lift(3.0)  # type: ignore[arg-type]


def falls(x):
    """Halved until it is below .3, and how often."""
    times = 0
    for _ in range(40):
        x, times = x / 2 + 0.1, times + 1
        if x < 0.3:
            break
    return x + times


def test_each_point_of_a_batch_leaves_a_loop_at_its_own_iteration(x64):
    """The loop goes on until the last point leaves it: one that has left it stays as it was then."""
    points = np.array([0.5, 3.0, 20.0])
    values, slopes = jax.vmap(jax.value_and_grad(sx.lift(falls)))(jnp.asarray(points))
    np.testing.assert_allclose(values, [falls(x) for x in points], rtol=1e-12)
    np.testing.assert_allclose(slopes, [2.0**-2, 2.0**-5, 2.0**-8], rtol=1e-12)
