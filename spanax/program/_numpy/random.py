"""Random numbers inside a lifted program: if it seeds its generator, NumPy draws them while the program is traced.

Such a program draws the same numbers in every run of plain NumPy, too, so they are constants. If location and scale depend on the
arguments, standard numbers are shifted and scaled, which gives the pathwise derivative. Other distributions whose parameters
depend on the arguments, and generators without a seed, raise: these need `sx.sample`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from .._session import session, unliftable
from .._values.trees import has_unknown, rewrap, unwrap
from .creation import asarray

GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)


class GeneratorState:
    """The cell of a generator's state, which is restored when a traced block is undone."""

    name = "a random generator"

    def __init__(self, generator: Any):
        self.generator, self.key = generator, ("random", id(generator))
        self.born = session().age(generator)

    def read(self) -> Any:
        g = self.generator
        if isinstance(g, np.random.Generator):
            return _Snapshot(g.bit_generator.state)
        return _Snapshot(g.get_state() if isinstance(g, np.random.RandomState) else g.getstate())

    def write(self, value: Any) -> None:
        g = self.generator
        if isinstance(g, np.random.Generator):
            g.bit_generator.state = value.state
        elif isinstance(g, np.random.RandomState):
            g.set_state(value.state)
        else:
            g.setstate(value.state)


class _Snapshot:
    """The state of a generator, as one opaque object: branches and loops must not look inside and join it."""

    def __init__(self, state: Any):
        self.state = state


def random_rule(function: Any) -> Callable | None:
    """The rule for a call that draws from a generator, seeds one or makes one; None for any other function."""
    if isinstance(getattr(function, "__self__", None), GENERATORS):
        return draw
    if function is np.random.seed:
        return seed
    return make_generator if function in (np.random.default_rng, np.random.RandomState, random.Random) else None


def draw(method: Callable, args: tuple, kwargs: dict) -> Any:
    """`generator.method(*args, **kwargs)`."""
    generator, name = method.__self__, method.__name__  # type: ignore[attr-defined]
    now = session()
    age = now.age(generator)
    if name == "seed":
        now.record(GeneratorState(generator), 0)
        now.note_new(generator)
        method(*unwrap(args), **unwrap(kwargs))
        return None
    if not age:
        raise unliftable(
            f"{name}() draws from a generator that the program does not seed: the numbers would be the same in every run",
            "rng = np.random.default_rng(seed) inside the program",
            "the random numbers as an argument",
            "sx.sample with a key",
        )
    # A traced block may run any number of times, but its numbers are drawn once. A generator that the block itself seeds draws
    # the same numbers in each iteration anyway.
    if now.staged and not now.probing and age <= now.blocks[-1].start:
        raise unliftable(
            f"{name}() draws in a branch or a loop that runs as the arguments decide, from a generator made outside of it",
            "all numbers drawn before it",
        )
    now.record(GeneratorState(generator), age)
    # With known arguments NumPy draws, from any of its distributions.
    if not has_unknown((args, kwargs)):
        return rewrap(method(*unwrap(args), **unwrap(kwargs)))
    rule = _RULES.get(name)
    if rule is None:
        raise unliftable(
            f"{name}() draws from a distribution whose parameters depend on the arguments",
            "sx.sample, which has bridges for it",
            "standard numbers, shifted and scaled",
        )
    return rule(generator, *args, **kwargs)


def seed(_: Callable, args: tuple, kwargs: dict) -> None:
    """`np.random.seed(*args)`: seeds the generator behind NumPy's module-level functions."""
    generator = np.random.random.__self__  # type: ignore[attr-defined]
    session().record(GeneratorState(generator), 0)
    session().note_new(generator)
    np.random.seed(*unwrap(args), **unwrap(kwargs))


def make_generator(kind: Callable, args: tuple, kwargs: dict) -> Any:
    """A new generator. Without a seed NumPy draws new numbers in each run, but a compiled program would repeat its own."""
    if (not args and not kwargs) or args == (None,):
        raise unliftable(
            f"{getattr(kind, '__name__', kind)}() without a seed: the numbers would be the same in every run",
            "a seed",
            "the random numbers as an argument",
            "sx.sample with a key",
        )
    return session().note_new(kind(*unwrap(args), **unwrap(kwargs)))


def _location_scale(standard: str, first: str, second: str, *, span: bool = False) -> Callable:
    """The rule for a location-scale family; with `span` the parameters are the two ends of an interval."""

    def rule(generator: Any, low: Any = 0.0, high: Any = 1.0, size: Any = None, **kwargs: Any) -> Any:
        low, high, size = kwargs.get(first, low), kwargs.get(second, high), kwargs.get("size", size)
        shape = np.broadcast_shapes(asarray(low).shape, asarray(high).shape) if size is None else size
        # NumPy transforms standard numbers in the same way, so these are the numbers that it would draw.
        numbers = rewrap(getattr(generator, standard)(shape if shape != () else None))
        return low + (high - low) * numbers if span else low + high * numbers

    return rule


def _exponential(generator: Any, scale: Any = 1.0, size: Any = None) -> Any:
    shape = asarray(scale).shape if size is None else size
    return scale * rewrap(generator.standard_exponential(shape if shape != () else None))


def _lognormal(generator: Any, mean: Any = 0.0, sigma: Any = 1.0, size: Any = None) -> Any:
    return np.exp(_RULES["normal"](generator, mean, sigma, size))


def _permutation(generator: Any, x: Any, axis: int = 0) -> Any:
    return np.take(asarray(x), generator.permutation(asarray(x).shape[axis]), axis)


def _shuffle(generator: Any, x: Any, axis: int = 0) -> None:
    # The permutation depends only on the length, so NumPy shuffles the indices.
    order = np.arange(len(x))
    generator.shuffle(order)
    x[...] = x[order]


def _choice(generator: Any, a: Any, size: Any = None, replace: bool = True, p: Any = None, **kwargs: Any) -> Any:
    # The draw jumps as p changes, so its expectation needs a bridge.
    if has_unknown((size, p)):
        raise unliftable(
            "choice() whose probabilities depend on the arguments", "sx.sample of a Categorical, with a bridge"
        )
    return asarray(a)[generator.choice(len(asarray(a)), size, replace, unwrap(p), **kwargs)]


_RULES: dict[str, Callable] = {
    "normal": _location_scale("standard_normal", "loc", "scale"),
    "gauss": lambda generator, mu=0.0, sigma=1.0: mu + sigma * generator.gauss(0.0, 1.0),
    "uniform": _location_scale("random", "low", "high", span=True),
    "exponential": _exponential,
    "lognormal": _lognormal,
    "permutation": _permutation,
    "shuffle": _shuffle,
    "choice": _choice,
}
