"""Code that nobody here wrote: the report's verdict against gradients that are computed without it.

A function counts as dead where `jax.grad` of a random weighting of its floating results is exactly zero at every one
of twelve random inputs, or raises. Weighted, since the plain sum of a softmax has no gradient and a softmax has one.
"""

import functools
import importlib
import inspect
import pkgutil
import warnings
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import spanax as sx

SAMPLES = 12
# Packages with everything public in and below them, and how many functions of one array at least must be met there.
PACKAGES = {"jax.nn": 25, "jax.numpy": 200, "jax.scipy": 100}


@pytest.fixture(autouse=True, scope="module")
def ordinary_promotion():
    """Libraries mix types and ranks, which the other tests forbid."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(autouse=True)
def quiet_libraries():
    """Libraries warn, of types that need x64 for example; those warnings are not about gradients."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", sx.SpanaxWarning)
        yield


@functools.cache
def vectors(seed=0):
    rng = np.random.default_rng(seed)
    return [jnp.asarray(1.5 * rng.normal(size=6), jnp.float32) for _ in range(SAMPLES)]


@functools.cache
def positive_definite_matrices():
    rng = np.random.default_rng(1)
    factors = [rng.normal(size=(4, 4)) for _ in range(SAMPLES)]
    return [jnp.asarray(a @ a.T + np.eye(4), jnp.float32) for a in factors]


@functools.cache
def batches():
    rng = np.random.default_rng(2)
    return [jnp.asarray(rng.normal(size=(4, 6)), jnp.float32) for _ in range(SAMPLES)]


def perturbed(tree):
    """The same pytree at twelve places: every floating leaf moves."""
    rng = np.random.default_rng(3)
    move = lambda leaf: leaf + jnp.asarray(0.5 * rng.normal(size=leaf.shape), leaf.dtype)
    return [jax.tree.map(move, tree) for _ in range(SAMPLES)]


# The truth, and the comparison with it.


def weighted_sum(result):
    """A random weighting of all real and imaginary parts of the floating results, the same at each call."""
    rng, total = np.random.default_rng(4), jnp.float32(0)
    for leaf in jax.tree.leaves(result):
        if jnp.issubdtype(jnp.result_type(leaf), jnp.complexfloating):
            parts = [jnp.real(leaf), jnp.imag(leaf)]
        else:
            parts = [leaf] if jnp.issubdtype(jnp.result_type(leaf), jnp.floating) else []
        for real in parts:
            weights = np.asarray(rng.uniform(0.5, 1.5, jnp.shape(real)), np.float32)
            total += jnp.sum(weights * jnp.asarray(real).astype(jnp.float32))
    return total


def is_dead(f, samples):
    gradient = jax.jit(jax.grad(lambda x: weighted_sum(f(x))))
    try:
        return all(not np.any(leaf) for x in samples for leaf in jax.tree.leaves(gradient(x)))  # NaN is not zero
    except Exception:
        return True


def is_constant(f, samples):
    first, second = (jax.tree.leaves(f(x)) for x in samples[:2])
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def complaints(name, f, samples, *others, argnums=0, **kwargs):
    """What is wrong with the report on `f`, differentiated in the argument that the samples are for."""
    place = lambda x: (*others[:argnums], x, *others[argnums:])
    of_one = lambda x: f(*place(x), **kwargs)
    try:
        report = sx.find_gaps(f, *place(samples[0]), argnums=argnums, **kwargs)
        str(report), report.to_json()
    except Exception as error:
        return [f"{name}: find_gaps raised {type(error).__name__}: {str(error).splitlines()[0]}"]
    dead = is_dead(of_one, samples)
    if (report.verdict in ("dead", "independent")) != dead:
        return [f"{name}: the verdict is {report.verdict}, the gradient {'zero or missing' if dead else 'not zero'}"]
    if report.verdict == "independent" and not is_constant(of_one, samples):
        return [f"{name}: the verdict is independent, but the result varies"]
    return []


# jax.nn, jax.numpy and jax.scipy.


def modules(package):
    root = importlib.import_module(package)
    names = [info.name for info in pkgutil.walk_packages(getattr(root, "__path__", []), f"{package}.")]
    return [root, *map(importlib.import_module, names)]


def public_callables(package):
    """Name and function, each function once."""
    seen = set()
    for module in modules(package):
        for name, f in sorted(vars(module).items()):
            if not name.startswith("_") and callable(f) and id(f) not in seen:
                seen.add(id(f))
                yield f"{module.__name__}.{name}", f


def holds_arrays(result):
    return any(isinstance(leaf, (jax.Array, np.ndarray)) for leaf in jax.tree.leaves(result))


def returns_arrays(f, *args):
    try:
        return holds_arrays(jax.block_until_ready(f(*args)))
    except Exception:
        return False


def traces(f, *args):
    """Whether JAX can trace a call, which is quicker than to run it, and the result is of arrays."""
    found = []
    try:
        jax.eval_shape(lambda *args: found.append(holds_arrays(f(*args))), *args)
        return found == [True]
    except Exception:
        return False


def of_one_array(package):
    """The public functions that can be called with one array, arrays to call them with, and whether they can be traced."""
    for name, f in public_callables(package):
        for samples in (vectors(), positive_definite_matrices()):
            if (traced := traces(f, samples[0])) or returns_arrays(f, samples[0]):
                yield name, f, samples, traced
                break


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.few(1)
def test_functions_of_one_array_in_jax(package):
    wrong, met = [], 0
    for name, f, samples, traced in of_one_array(package):
        if traced:
            met += 1
            wrong += complaints(name, f, samples)
        else:
            with pytest.raises((sx.SpanaxError, TypeError, ValueError)):  # JAX's own errors are TypeErrors
                sx.find_gaps(f, samples[0])
    assert not wrong, "\n".join(wrong)
    assert met >= PACKAGES[package]


# Optax's losses, in the predictions.


def of_two_arrays():
    """Optax's losses that can be called with predictions and targets alone."""
    labels = jnp.asarray([0, 5, 2, 2], jnp.int32)
    second = [(vectors(), vectors(9)[0]), (batches(), jax.nn.softmax(batches()[1])), (batches(), labels)]
    for name, f in inspect.getmembers(optax.losses, inspect.isfunction):
        for samples, targets in second:
            if not name.startswith("_") and traces(f, samples[0], targets):
                yield name, f, samples, targets
                break


@pytest.mark.slow
def test_optax_losses_of_two_arrays():
    wrong, met = [], 0
    for name, f, samples, targets in of_two_arrays():
        met += 1
        wrong += complaints(name, f, samples, targets)
    assert not wrong, "\n".join(wrong)
    assert met >= 20


def test_optax_losses_with_more_arguments():
    x, y, z = vectors(10)[:3]
    labels, none = jnp.zeros((1, 2), jnp.int32) + 1, partial(jnp.zeros, dtype=jnp.float32)
    fenchel_young = optax.losses.make_fenchel_young_loss(jax.nn.logsumexp)
    wrong = [
        *complaints("huber_loss", optax.losses.huber_loss, vectors(), y, delta=0.3),
        *complaints("smooth_labels", optax.losses.smooth_labels, vectors(), 0.1),
        *complaints("sigmoid_focal_loss", optax.losses.sigmoid_focal_loss, vectors(), jax.nn.sigmoid(y), alpha=0.4),
        *complaints("triplet_margin_loss", optax.losses.triplet_margin_loss, batches(), batches()[1], batches()[2]),
        *complaints("cosine_distance", optax.losses.cosine_distance, vectors(), y, epsilon=1e-3, where=x > 0),
        *complaints("ranking", optax.losses.ranking_softmax_loss, vectors(), jnp.abs(y), weights=jnp.abs(z)),
        *complaints("fenchel_young", fenchel_young, vectors(), y),
        *complaints(
            "ctc_loss", optax.losses.ctc_loss, [b[None] for b in batches()], none((1, 4)), labels, none((1, 2))
        ),
    ]
    assert not wrong, "\n".join(wrong)


# Equinox's layers, in the input and in the parameters.


def layers(key):
    """Name, layer, how it is called, and an input's shape."""
    plain = lambda layer, x: layer(x)
    keyed = lambda layer, x: layer(x, key=key)
    attend = lambda layer, x: layer(x, x, x)
    step = lambda layer, x: layer(x, jnp.ones(3))
    lstm = lambda layer, x: layer(x, (jnp.ones(3), jnp.ones(3)))
    look_up = lambda layer, x: layer(jnp.int32(2)) * x
    nn = eqx.nn
    yield "Linear", nn.Linear(6, 3, key=key), plain, (6,)
    yield "Conv1d", nn.Conv1d(2, 3, 3, key=key), plain, (2, 6)
    yield "Conv2d", nn.Conv2d(2, 3, 3, key=key), plain, (2, 6, 6)
    yield "ConvTranspose1d", nn.ConvTranspose1d(2, 3, 3, key=key), plain, (2, 6)
    yield "GRUCell", nn.GRUCell(6, 3, key=key), step, (6,)
    yield "LSTMCell", nn.LSTMCell(6, 3, key=key), lstm, (6,)
    yield "LayerNorm", nn.LayerNorm(6), plain, (6,)
    yield "RMSNorm", nn.RMSNorm(6), plain, (6,)
    yield "GroupNorm", nn.GroupNorm(2, 4), plain, (4, 6)
    yield "MultiheadAttention", nn.MultiheadAttention(2, 6, key=key), attend, (4, 6)
    yield "RotaryPositionalEmbedding", nn.RotaryPositionalEmbedding(6), plain, (4, 6)
    yield "MLP", nn.MLP(6, 3, 8, 2, key=key), plain, (6,)
    yield "MLP of signs", nn.MLP(6, 3, 8, 2, jnp.sign, key=key), plain, (6,)
    yield "MLP rounded at its end", nn.MLP(6, 3, 8, 1, final_activation=jnp.round, key=key), plain, (6,)
    yield "Embedding", nn.Embedding(4, 6, key=key), look_up, (6,)
    yield "Dropout", nn.Dropout(0.5), keyed, (6,)
    yield "Dropout at inference", nn.Dropout(0.5, inference=True), plain, (6,)
    yield "PReLU", nn.PReLU(), plain, (6,)
    yield "AvgPool1d", nn.AvgPool1d(2, 2), plain, (2, 6)
    yield "AvgPool2d", nn.AvgPool2d(2, 2), plain, (2, 6, 6)
    yield "MaxPool1d", nn.MaxPool1d(2, 2), plain, (2, 6)
    yield "MaxPool2d", nn.MaxPool2d(2, 2), plain, (2, 6, 6)
    yield "AdaptiveMaxPool1d", nn.AdaptiveMaxPool1d(2), plain, (2, 6)
    yield "Sequential", nn.Sequential([nn.Linear(6, 6, key=key), nn.Lambda(jnp.floor)]), plain, (6,)


@pytest.mark.slow
def test_equinox_layers(key):
    wrong = []
    for name, layer, call, shape in layers(key):
        params, static = eqx.partition(layer, eqx.is_inexact_array)
        f = lambda params, x, call=call, static=static: call(eqx.combine(params, static), x)
        inputs = perturbed(jnp.zeros(shape, jnp.float32))
        wrong += complaints(f"{name}, in its input", f, inputs, params, argnums=1)
        if jax.tree.leaves(params):
            wrong += complaints(f"{name}, in its parameters", f, perturbed(params), inputs[0])
    assert not wrong, "\n".join(wrong)


# Gymnasium's functional environments, in the state and in the action.


def environments():
    """Name, environment, a state and an action of floats, its settings."""
    phys2d = pytest.importorskip("gymnasium.envs.phys2d", reason="needs gymnasium[jax]", exc_type=ImportError)
    cart, pendulum = phys2d.CartPoleFunctional(), phys2d.PendulumFunctional()
    of_barto = cart.get_default_params(sutton_barto_reward=True)
    yield "CartPole", cart, jnp.zeros(4), jnp.float32(0.4), cart.default_params
    yield "CartPole of Sutton and Barto", cart, jnp.zeros(4), jnp.float32(0.4), of_barto
    yield "Pendulum", pendulum, jnp.zeros(2), jnp.zeros(1), pendulum.default_params


def test_gymnasium_environments():
    wrong = []
    for name, env, state, action, settings in environments():
        states, actions = perturbed(state), perturbed(action)
        after, rest = states[1], (None, settings)  # no random numbers
        wrong += complaints(f"{name}.transition, state", env.transition, states, actions[0], *rest)
        wrong += complaints(f"{name}.transition, action", env.transition, actions, states[0], *rest, argnums=1)
        wrong += complaints(f"{name}.reward, state", env.reward, states, actions[0], after, *rest)
        wrong += complaints(f"{name}.reward, action", env.reward, actions, states[0], after, *rest, argnums=1)
        wrong += complaints(f"{name}.reward, next", env.reward, states, states[0], actions[0], *rest, argnums=2)
        wrong += complaints(f"{name}.observation", env.observation, states, *rest)
    assert not wrong, "\n".join(wrong)
