"""Random numbers inside a lifted program: those of a generator that it seeds are drawn, as NumPy does, while it is traced."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from .._session import session, unliftable
from .._values.trees import has_unknown, rewrapped, unwrapped
from .creation import asarray

GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)


class State:
    """The cell of a generator's state."""

    name = "a random generator"

    def __init__(self, generator: Any):
        self.generator, self.key = generator, ("random", id(generator))
        self.born = session().age(generator)

    def read(self) -> Any:
        g = self.generator
        if isinstance(g, np.random.Generator):
            return _Fixed(g.bit_generator.state)
        return _Fixed(g.get_state() if isinstance(g, np.random.RandomState) else g.getstate())

    def write(self, value: Any) -> None:
        g = self.generator
        if isinstance(g, np.random.Generator):
            g.bit_generator.state = value.state
        elif isinstance(g, np.random.RandomState):
            g.set_state(value.state)
        else:
            g.setstate(value.state)


class _Fixed:
    def __init__(self, state: Any):
        self.state = state


def draw(method: Callable, args: tuple, kwargs: dict) -> Any:
    """`generator.method(*args, **kwargs)`."""
    generator, name = method.__self__, method.__name__  # type: ignore[attr-defined]
    now = session()
    age = now.age(generator)
    if name == "seed":
        now.record(State(generator), 0)
        now.born(generator)
        method(*unwrapped(args), **unwrapped(kwargs))
        return None
    if not age:
        raise unliftable(
            f"{name}() draws from a generator that the program does not seed: the numbers would be the same in every run",
            "rng = np.random.default_rng(seed) inside the program",
            "the random numbers as an argument",
            "sx.sample with a key",
        )
    if now.staged and not now.probing and age <= now.blocks[-1].start:
        raise unliftable(
            f"{name}() draws in a branch or a loop that runs as the arguments decide, from a generator made outside of it",
            "all numbers drawn before it",
        )
    now.record(State(generator), age)
    if not has_unknown((args, kwargs)):
        return rewrapped(method(*unwrapped(args), **unwrapped(kwargs)))
    rule = _RULES.get(name)
    if rule is None:
        raise unliftable(
            f"{name}() draws from a distribution whose parameters depend on the arguments",
            "sx.sample, which has bridges for it",
            "standard numbers, shifted and scaled",
        )
    return rule(generator, *args, **kwargs)


def seed(*args: Any, **kwargs: Any) -> None:
    """`np.random.seed`: of the generator behind NumPy's own functions."""
    generator = np.random.random.__self__  # type: ignore[attr-defined]
    session().record(State(generator), 0)
    session().born(generator)
    np.random.seed(*unwrapped(args), **unwrapped(kwargs))


def made(kind: Callable, args: tuple, kwargs: dict) -> Any:
    """A new generator; without a seed it would differ in every run, and be the same in each of the compiled program."""
    if (not args and not kwargs) or args == (None,):
        raise unliftable(
            f"{getattr(kind, '__name__', kind)}() without a seed: the numbers would be the same in every run",
            "a seed",
            "the random numbers as an argument",
            "sx.sample with a key",
        )
    return session().born(kind(*unwrapped(args), **unwrapped(kwargs)))


def _located(standard: str, first: str, second: str, *, span: bool = False) -> Callable:
    """Location and scale of standard numbers."""

    def rule(generator: Any, low: Any = 0.0, high: Any = 1.0, size: Any = None, **kwargs: Any) -> Any:
        low, high, size = kwargs.get(first, low), kwargs.get(second, high), kwargs.get("size", size)
        shape = np.broadcast_shapes(asarray(low).shape, asarray(high).shape) if size is None else size
        drawn = rewrapped(getattr(generator, standard)(shape if shape != () else None))
        return low + (high - low) * drawn if span else low + high * drawn

    return rule


def _exponential(generator: Any, scale: Any = 1.0, size: Any = None) -> Any:
    shape = asarray(scale).shape if size is None else size
    return scale * rewrapped(generator.standard_exponential(shape if shape != () else None))


def _lognormal(generator: Any, mean: Any = 0.0, sigma: Any = 1.0, size: Any = None) -> Any:
    return np.exp(_RULES["normal"](generator, mean, sigma, size))


def _permutation(generator: Any, x: Any, axis: int = 0) -> Any:
    return np.take(asarray(x), generator.permutation(asarray(x).shape[axis]), axis)


def _shuffle(generator: Any, x: Any, axis: int = 0) -> None:
    order = np.arange(len(x))
    generator.shuffle(order)
    x[...] = x[order]


def _choice(generator: Any, a: Any, size: Any = None, replace: bool = True, p: Any = None, **kwargs: Any) -> Any:
    if has_unknown((size, p)):
        raise unliftable(
            "choice() whose probabilities depend on the arguments", "sx.sample of a Categorical, with a bridge"
        )
    return asarray(a)[generator.choice(len(asarray(a)), size, replace, unwrapped(p), **kwargs)]


_RULES: dict[str, Callable] = {
    "normal": _located("standard_normal", "loc", "scale"),
    "gauss": lambda generator, mu=0.0, sigma=1.0: mu + sigma * generator.gauss(0.0, 1.0),
    "uniform": _located("random", "low", "high", span=True),
    "exponential": _exponential,
    "lognormal": _lognormal,
    "permutation": _permutation,
    "shuffle": _shuffle,
    "choice": _choice,
}
