"""The aiming network, trained before the visitor's eyes: by the derivative of where the throws land."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .... import control
from ...._optimizer import apply_update
from ..._throws import aimer
from ..requests import numbers, whole
from .trebuchet import aim_and_throw, answer, asked

UPDATES = 300  # of 256 throws each: about what it takes to be within a metre
LARGEST = 1e4  # of a weight that a page sends
EVERY = 0.15  # seconds between two shots that are shown


def train(body: dict[str, Any], cancelled: Callable[[], bool], batch: int = aimer.BATCH) -> Iterator[dict[str, Any]]:
    """{wind, target, seed} to records: {stage}, then {update, of, throws, miss_m, shot, done}; the last has the `network`, too.

    `miss_m` is the median miss of the update's `batch` winds and targets, some of them out of reach; `shot` is the throw at the
    wind and target that are asked for.
    """
    (wind, target), seed = asked(body), whole(body, "seed", 0, 2**31 - 1)
    # The first training of a server has to differentiate the simulator and compile that.
    yield {"stage": "compiling"}
    if cancelled():
        return
    first, rest = jax.random.split(jax.random.key(seed))
    arrays, _ = _parts(first)
    update, throw = compile_update(batch), _throw()
    memory, shown = _optimizer().init(arrays), 0.0
    for number, key in enumerate(jax.random.split(rest, UPDATES), 1):
        if cancelled():
            return
        arrays, memory, miss = update(arrays, memory, key)
        done = number == UPDATES
        if done or number == 1 or time.monotonic() > shown + EVERY:
            shown, miss_m = time.monotonic(), round(float(miss), 3)
            shot = answer(wind, target, *throw(arrays, wind, target))
            throws = number * batch
            record = {"update": number, "of": UPDATES, "throws": throws, "miss_m": miss_m, "shot": shot, "done": done}
            yield record | ({"network": _structure().flat(arrays)} if done else {})


def shoot(body: dict[str, Any]) -> dict[str, Any]:
    """{wind, target, network} to what `trebuchet.shoot` answers, aimed by the network of a training's last record."""
    wind, target = asked(body)
    # The page keeps its network: the server remembers no visitor.
    weights = numbers(body, "network", _structure().size, -LARGEST, LARGEST)
    return answer(wind, target, *_throw()(_structure().arrays(weights), wind, target))


class Structure(NamedTuple):
    """What all networks of the page have in common: everything but their weights."""

    size: int
    arrays: Callable[[Any], Any]  # from a list of all weights
    static: Any

    def flat(self, arrays: Any) -> list[float]:
        # Five digits: the shots are the same to a millimetre.
        return [float(f"{x:.5g}") for x in np.asarray(ravel_pytree(arrays)[0], float)]


@functools.cache
def _structure() -> Structure:
    # One for all trainings: a new one would be compiled anew.
    arrays, static = _parts(jax.random.key(0))
    weights, unravel = ravel_pytree(arrays)
    return Structure(weights.size, lambda values: unravel(jnp.asarray(values, weights.dtype)), static)


def _parts(key: Any) -> tuple[Any, Any]:
    # Weights alone change: limits of the machine are constants, and NumPy's.
    return eqx.partition(aimer.Aimer(control.Trebuchet(), key), lambda x: isinstance(x, jax.Array))


@functools.cache
def _optimizer() -> Any:
    import optax

    return optax.adam(optax.cosine_decay_schedule(aimer.RATE, UPDATES), b2=0.99)


def compile_update(batch: int = aimer.BATCH) -> Callable[..., tuple[Any, Any, Any]]:
    """What makes of weights, the optimizer's memory and a key the next of both, and the median miss."""
    # Who asks while it is compiled waits for that, and compiles no second one.
    with _COMPILING:
        return _compiled(batch)


_COMPILING = threading.Lock()


@functools.cache
def _compiled(batch: int) -> Callable[..., tuple[Any, Any, Any]]:
    env, static = control.Trebuchet(wind_std=aimer.WINDS), _structure().static

    def loss(arrays, cases):
        policy = eqx.combine(arrays, static)

        def one(case):
            action = policy(env.observe(case))
            after = env.step(case, action)
            return aimer.missed_by(case, action, after), jnp.abs(after.distance - after.target)

        losses, misses = jax.vmap(one)(cases)
        return losses.mean(), jnp.median(misses)

    # One program for all trainings of a server: `control.train` would compile anew for each visitor.
    @jax.jit
    def update(arrays, memory, key):
        cases = jax.vmap(env.reset)(jax.random.split(key, batch))
        gradient, miss = jax.grad(loss, has_aux=True)(arrays, cases)
        return *apply_update(_optimizer(), gradient, memory, arrays), miss

    arrays, _ = _parts(jax.random.key(0))
    return update.lower(arrays, _optimizer().init(arrays), jax.random.key(0)).compile()


@functools.cache
def _throw() -> Callable[..., Any]:
    static = _structure().static
    return jax.jit(lambda arrays, wind, target: aim_and_throw(eqx.combine(arrays, static), wind, target))
