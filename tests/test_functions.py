"""One rule for who is given a `key`: every function that takes a function, with every way in which one may take a key."""

import functools
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import spanax as sx
from spanax import _functions
from spanax._functions import Differentiated, may_take_key, needs_key, positions, takes_key

ONE = jax.random.key(7)
LOOKING = []  # not empty while the rule calls a function to see whether it asks for a key, and when nobody stops


class Reached(BaseException):
    """Raised where a program is run in earnest: nothing is compiled."""


def reached(with_key):
    if not LOOKING:
        raise Reached(with_key)


def program(x, *, key):
    reached(True)
    return x * x + 0.01 * sx.sample(key, dist.Normal(x, 1.0), name="z")


def without(x):
    reached(False)
    return x * x


def optional(x, key=None):
    return without(x) if key is None else program(x, key=key)


def behind_kwargs(*args, **kwargs):
    return program(*args, **kwargs)


def by_item(x, **kwargs):
    return program(x, key=kwargs["key"])


def by_item_at_last(x, **kwargs):
    y = jnp.sin(x)
    return program(y, key=kwargs["key"])


def checked_late(x, **kwargs):
    return program(x, key=kwargs.get("key"))


def ignores_kwargs(x, **kwargs):
    return without(x)


def not_needed(x, **kwargs):
    return optional(x, **kwargs)


def positional_only(x, key=None, /):
    assert key is None
    return without(x)


def has_one(x, key=ONE):
    reached(False)
    return x


def of_a_table(x, key="weights"):
    return without({"weights": x}[key])


def sorting(x, key=abs):
    return without(key(x))


def many_keys(x, *key):
    return without(x)


def keys_by_name(x, **key):
    return program(x, **key)


@functools.wraps(program)
def wrapped(*args, **kwargs):
    return program(*args, **kwargs)


@functools.wraps(program)
def wrapped_with_its_own(x):
    reached(False)
    return x * x


@functools.wraps(without)
def asks_under_another_name(*args, **kwargs):
    return program(*args, key=kwargs.pop("key"))


class Callable:
    def __call__(self, x, key):
        return program(x, key=key)

    def method(self, x, **kwargs):
        return program(x, **kwargs)

    @classmethod
    def of_class(cls, x, *, key):
        return program(x, key=key)


class Unreadable:
    """As a function written in C: its signature cannot be read."""

    __signature__: ClassVar[str] = "none"

    def __init__(self, f):
        self.f = f

    def __call__(self, *args, **kwargs):
        return self.f(*args, **kwargs)


class Module(eqx.Module):
    weight: jax.Array

    def __call__(self, x, *, key):
        return program(self.weight * x, key=key)


RANDOM = {
    "keyword": program,
    "None by default": optional,
    "behind **kwargs": behind_kwargs,
    "kwargs['key']": by_item,
    "kwargs['key'] at last": by_item_at_last,
    "kwargs.get('key')": checked_late,
    "**key": keys_by_name,
    "functools.wraps": wrapped,
    "functools.wraps of another signature": asks_under_another_name,
    "lambda": lambda x, *, key: program(x, key=key),
    "partial": functools.partial(lambda y, x, key: program(x, key=key) + y, 0.0),
    "partial behind **kwargs": functools.partial(behind_kwargs),
    "callable": Callable(),
    "bound method": Callable().method,
    "class method": Callable.of_class,
    "unreadable": Unreadable(program),
    "module": Module(jnp.ones(())),
    "jit": jax.jit(program),
    "jit behind **kwargs": jax.jit(behind_kwargs),
    "filter_jit": eqx.filter_jit(Module(jnp.ones(()))),
    "checkpoint": jax.checkpoint(program),
    "eqx.Partial": eqx.Partial(program),
    "soften": sx.soften(lambda x, *, key: program(x, key=key), 0.1),
    "lru_cache": functools.lru_cache(lambda x, *, key: program(x, key=key)),
}
PLAIN = {
    "no key": without,
    "**kwargs unused": ignores_kwargs,
    "**kwargs, and a default behind": not_needed,
    "positional only": positional_only,
    "a key by default": has_one,
    "a name": of_a_table,
    "a function": sorting,
    "*key": many_keys,
    "wraps what takes one": wrapped_with_its_own,
    "partial with a key": functools.partial(program, key=ONE),
    "partial with a key behind **kwargs": functools.partial(behind_kwargs, key=ONE),
    "partial with a key by position": functools.partial(lambda key, x: program(x, key=key), ONE),
    "jit of partial with a key": jax.jit(functools.partial(program, key=ONE)),
    "eqx.Partial with a key": eqx.Partial(program, key=ONE),
    "unreadable": Unreadable(without),
    "jit": jax.jit(without),
}
ALSO = [  # these are looked at only, not called by every function below
    (jnp.sin, False),
    (np.sin, False),
    (abs, False),
    (float, False),
    (eqx.nn.MLP(1, 1, 1, 1, key=ONE), True),
    (sx.smooth(without), True),
    (sx.expectation(behind_kwargs), True),
    (jax.vmap(program), True),
    (jax.grad(program), True),
    (Callable, False),
]


@pytest.fixture
def looking():
    LOOKING.append(1)
    yield
    LOOKING.clear()


@pytest.mark.parametrize("name", RANDOM)
def test_takes_a_key(name, looking):
    f = RANDOM[name]
    assert takes_key(f, (1.0,), {})
    assert may_take_key(f)
    assert not takes_key(f, (1.0,), {"key": ONE})
    assert needs_key(f, (1.0,), {}) == (f is not optional)


@pytest.mark.parametrize("name", PLAIN)
def test_takes_no_key(name, looking):
    assert not takes_key(PLAIN[name], (1.0,), {})
    assert not needs_key(PLAIN[name], (1.0,), {})


def test_library_functions_and_keys_by_position(looking):
    for f, expected in ALSO:
        args = () if f is Callable else (jnp.ones(1),) if isinstance(f, eqx.Module) else (1.0,)
        assert takes_key(f, args, {}) is expected, f
    assert not takes_key(optional, (1.0, ONE), {})
    assert not takes_key(Callable(), (1.0, ONE), {})
    assert not takes_key(max, (1.0, 2.0), {})


class Line(sx.control.Env):
    """The policy is asked at observations that stay at 1."""

    @property
    def action_space(self):
        return sx.control.Box(-1.0, 1.0)

    @property
    def observation_space(self):
        return sx.control.Box(-1.0, 1.0)

    def reset(self, key):
        return jnp.ones(())

    def step(self, state, action):
        return state

    def observe(self, state):
        return state

    def reward(self, state, action, next_state):
        return action

    def done(self, state):
        return jnp.zeros((), bool)


def square(x):
    return x * x


ENTRIES = {
    "find_gaps": lambda f: sx.find_gaps(f, 1.0),
    "find_jumps": lambda f: sx.find_jumps(f, 1.0, key=ONE, radius=0.1, lines=1),
    "hidden_gradient": lambda f: sx.hidden_gradient(f, 1.0, key=ONE, sigma=0.1, pairs=4),
    "smooth": lambda f: sx.smooth(f)(1.0, key=ONE),
    "compare": lambda f: sx.compare(square, 1.0, key=ONE, vias={"f": f}, draws=100),
    "compare, truth": lambda f: sx.compare(f, 1.0, key=ONE, vias={"f": square}, draws=100),
    "check_gradient": lambda f: sx.check_gradient(f, 1.0, key=ONE, draws=100),
    "rollout": lambda f: sx.control.rollout(Line(), f, jnp.ones(()), 2, key=ONE),
    "expectation": lambda f: sx.expectation(f)(1.0, key=ONE),
}


CACHED = {"jit", "jit behind **kwargs", "filter_jit", "lru_cache", "jit of partial with a key"}
EVERY = {**RANDOM, **{f"{name}, plain": f for name, f in PLAIN.items()}}


@pytest.mark.parametrize("entry", ENTRIES)
def test_one_rule_for_all(entry, monkeypatch):
    look = _functions._error_of_call

    def looked(*args):
        LOOKING.append(1)
        try:
            return look(*args)
        finally:
            LOOKING.pop()

    monkeypatch.setattr(_functions, "_error_of_call", looked)
    for name, f in EVERY.items():
        if name.removesuffix(", plain") in CACHED:
            continue  # traced once, and not again
        random = not name.endswith(", plain")
        if entry == "expectation" and not random:
            with pytest.raises(sx.SpanaxError, match="takes no `key`"):
                ENTRIES[entry](f)
            continue
        with pytest.raises(Reached) as stopped:
            ENTRIES[entry](f)
        bound = name.lower().startswith(("partial with a key", "eqx.partial with a key"))
        assert stopped.value.args[0] is ((random and not (entry == "find_gaps" and f is optional)) or bound), name


class MineError(TypeError):
    pass


def fails(x, **kwargs):
    raise MineError("of another kind, key or not")


def fails_later(x, **kwargs):
    noise = jax.random.normal(kwargs["key"])
    raise MineError(f"after {noise.shape}")


@pytest.mark.parametrize("f", [fails, fails_later, Unreadable(fails)])
@pytest.mark.parametrize("entry", ENTRIES)
def test_what_f_raises_is_not_swallowed(entry, f):
    kind = sx.SpanaxError if entry.startswith("compare") and "truth" not in entry else MineError
    with pytest.raises(kind, match=r"of another kind|after"):
        ENTRIES[entry](f)


def test_positions_and_leaves():
    assert positions((0, -1), 3, "") == (0, 2)
    for bad in ((), (0, 0), (0, -3), 3, -4, 0.5, "x", None):
        with pytest.raises(sx.SpanaxError, match="argnums="):
            positions(bad, 3, "")
    params = {"w": jnp.ones((2, 1)), "n": 3, "rate": 0.5}
    at = Differentiated.of(lambda params, x: x, (params, jnp.ones(2)), {"c": 1.0}, 0, "")
    assert at.names == ("params['rate']", "params['w']")
    args, kwargs = at.rebuilt([7.0, 8.0], {0: 9})
    assert args[0] == {"w": 8.0, "n": 9, "rate": 7.0}
    assert kwargs == {"c": 1.0}
    with pytest.raises(sx.SpanaxError, match="no floating-point leaf"):
        Differentiated.of(lambda n: n, (3,), {}, 0, "")
