"""The aiming network, trained before the visitor's eyes: by the derivative of where the throws land."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .... import control
from ...._optimizer import apply_update
from ..._throws import aimer
from ..requests import whole
from .trebuchet import aim_and_throw, answer, asked

UPDATES = 300  # of 256 throws each: about what it takes to be within a metre
EVERY = 0.15  # seconds between two shots that are shown


def train(body: dict[str, Any], cancelled: Callable[[], bool], batch: int = aimer.BATCH) -> Iterator[dict[str, Any]]:
    """{wind, target, seed} to records: {stage}, then {update, of, throws, miss_m, shot}, the last with `done`.

    `miss_m` is the mean miss of the update's `batch` winds and targets, `shot` the throw at the one that is asked for.
    """
    (wind, target), seed = asked(body), whole(body, "seed", 0, 2**31 - 1)
    # The first training of a server has to differentiate the simulator and compile that.
    yield {"stage": "compiling"}
    first, rest = jax.random.split(jax.random.key(seed))
    env = control.Trebuchet(wind_std=aimer.WINDS)
    # Weights alone change: limits of the machine are constants, and NumPy's.
    arrays, static = eqx.partition(aimer.Aimer(env, first), lambda x: isinstance(x, jax.Array))
    update, throw = _update(batch), _throw()
    memory, shown = _optimizer().init(arrays), 0.0
    for number, key in enumerate(jax.random.split(rest, UPDATES), 1):
        if cancelled():
            return
        arrays, memory, miss = update(arrays, static, memory, key)
        done = number == UPDATES
        if done or number == 1 or time.monotonic() > shown + EVERY:
            shown, miss_m = time.monotonic(), round(float(miss), 3)
            shot = answer(wind, target, *throw(arrays, static, wind, target))
            throws = number * batch
            yield {"update": number, "of": UPDATES, "throws": throws, "miss_m": miss_m, "shot": shot, "done": done}


@functools.cache
def _optimizer() -> Any:
    import optax

    return optax.adam(optax.cosine_decay_schedule(aimer.RATE, UPDATES), b2=0.99)


@functools.cache
def _update(batch: int) -> Callable[..., tuple[Any, Any, Any]]:
    env = control.Trebuchet(wind_std=aimer.WINDS)

    def loss(arrays, static, cases):
        policy = eqx.combine(arrays, static)

        def one(case):
            action = policy(env.observe(case))
            after = env.step(case, action)
            return aimer.missed_by(case, action, after), jnp.abs(after.distance - after.target)

        losses, misses = jax.vmap(one)(cases)
        return losses.mean(), misses.mean()

    # One program for all trainings of a server: `control.train` would compile anew for each visitor.
    @eqx.filter_jit
    def update(arrays, static, memory, key):
        cases = jax.vmap(env.reset)(jax.random.split(key, batch))
        gradient, miss = jax.grad(loss, has_aux=True)(arrays, static, cases)
        return *apply_update(_optimizer(), gradient, memory, arrays), miss

    return update


@functools.cache
def _throw() -> Callable[..., Any]:
    return eqx.filter_jit(lambda arrays, static, wind, target: aim_and_throw(eqx.combine(arrays, static), wind, target))
