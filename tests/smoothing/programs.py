"""Programs with jumps: five of one number, ten of a vector. All in float32 or float64, and all can be vmapped.

Each of the ten is made for a dimension: `MANY[name](d)` gives the function, a starting point and a sigma. Their tables are fixed
random numbers, scaled so that sigma is a realistic step: a small part of the range of x that covers several jumps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax


class Case(NamedTuple):
    f: Callable[[Any], Any]
    x: np.ndarray
    sigma: float


def _random(name, d):
    return np.random.default_rng([*name.encode(), d])


# -- one number ---------------------------------------------------------------------------------------------------


def thermostat(x):
    """Heater on below the set point x, off above: 60 steps of a room, squared discomfort and energy."""

    def step(carry, t):
        room, cost = carry
        heat = lax.cond(room < x, lambda: 2.0, lambda: 0.0)
        room = room + 0.1 * (heat - (room - 0.3 * jnp.sin(t / 6.0)))
        return (room, cost + 0.2 * heat + (room - 0.8) ** 2), None

    start = (jnp.zeros_like(x), jnp.zeros_like(x))
    return lax.scan(step, start, jnp.arange(60, dtype=x.dtype))[0][1] / 60


def threshold(x):
    return jnp.where(x > 0.1, 1.0 + 0.5 * x, 0.2) + 0.3 * jnp.floor(3 * x)


def table(x):
    scores = jnp.stack([jnp.sin(3 * x), jnp.cos(2 * x), 0.5 * x])
    return jnp.asarray([0.3, 1.7, -0.9], x.dtype)[jnp.argmax(scores)]


def counter(x):
    """How often a decaying oscillation crosses the level x upwards: a bool is carried."""

    def step(carry, t):
        above, count = carry
        now = jnp.sin(0.7 * t) * jnp.exp(-t / 30) > x
        return (now, count + jnp.where(now & ~above, 1.0, 0.0)), None

    start = (jnp.zeros_like(x, bool), jnp.zeros_like(x))
    return lax.scan(step, start, jnp.arange(60, dtype=x.dtype))[0][1]


def ball(x):
    """Where a ball thrown at speed x is after 80 steps: it bounces off the floor and off a wall."""

    def step(state, _):
        p, q, v, w = state
        p, q, w = p + 0.05 * v, q + 0.05 * w, w - 0.05 * 9.8
        bounce = q < 0
        q, w = jnp.where(bounce, 0.0, q), jnp.where(bounce, -0.8 * w, w)
        wall = p > 2.0
        return (jnp.where(wall, 2.0, p), q, jnp.where(wall, -0.9 * v, v), w), None

    p, q, *_ = lax.scan(step, (0 * x, 0 * x + 1, x, 0 * x + 2), None, length=80)[0]
    return p + q


ONE = {
    "thermostat": Case(thermostat, np.array(1.0), 0.3),
    "threshold": Case(threshold, np.array(0.15), 0.2),
    "table": Case(table, np.array(0.4), 0.3),
    "counter": Case(counter, np.array(0.4), 0.2),
    "ball": Case(ball, np.array(1.5), 0.2),
}

# -- a vector -----------------------------------------------------------------------------------------------------


def inventory(d):
    """d goods over 40 days: below its reorder point x a good is ordered, for a fixed fee; sales that are missed cost."""
    random = _random("inventory", d)
    demand = random.gamma(2.0, 0.5, (40, d))
    fee, price, lot = random.uniform(1, 3, d), random.uniform(3, 6, d), random.uniform(3, 6, d)

    def f(x):
        def day(carry, demand):
            stock, transit = carry
            stock = stock + transit
            order = jnp.where(stock < x, jnp.asarray(lot, x.dtype), 0.0)
            missed = jnp.maximum(demand - stock, 0)
            stock = jnp.maximum(stock - demand, 0)
            cost = (
                0.1 * stock
                + jnp.asarray(price, x.dtype) * missed
                + jnp.where(order > 0, jnp.asarray(fee, x.dtype), 0.0)
            )
            return (stock, order), jnp.sum(cost)

        start = (jnp.full_like(x, 3), jnp.zeros_like(x))
        return jnp.mean(lax.scan(day, start, jnp.asarray(demand, x.dtype))[1])

    return Case(f, random.uniform(0.5, 2.5, d), 0.3)


def queue(d):
    """d jobs at one counter take x each: waiting costs, a promise broken costs a fee, and so does hurry."""
    random = _random("queue", d)
    gap, promise = random.exponential(1.3, d), random.uniform(0.5, 3, d)

    def f(x):
        def job(wait, inputs):
            service, gap, promise = inputs
            wait = jnp.maximum(wait - gap, 0)
            done = wait + service
            return done, 0.5 * wait + jnp.where(done > promise, 1.0, 0.0) + 0.3 * (1.5 - service) ** 2

        inputs = (x, jnp.asarray(gap, x.dtype), jnp.asarray(promise, x.dtype))
        return jnp.mean(lax.scan(job, jnp.zeros((), x.dtype), inputs)[1])

    return Case(f, random.uniform(0.7, 1.5, d), 0.4)


def tax(d):
    """d incomes under brackets, an allowance that is lost at once, and rounding to whole units."""
    random = _random("tax", d)
    weight = random.uniform(0.5, 1.5, d)

    def f(x):
        due = 0.1 * x + 0.2 * jnp.maximum(x - 2, 0) + jnp.where(x > 3, 0.5, 0.0) + jnp.where(x > 5, 1.0, 0.0)
        kept = x - jnp.floor(4 * due) / 4
        return jnp.sum(jnp.asarray(weight, x.dtype) * (kept - 2.5) ** 2) / d

    return Case(f, random.uniform(1, 6, d), 0.4)


def stumps(d):
    """0-1 loss of d stumps that vote, at thresholds x, on 200 examples of a decision tree's making."""
    random = _random("stumps", d)
    data = random.normal(size=(200, d))
    truth = np.tanh(2 * data) @ random.uniform(0.5, 1.5, d) / np.sqrt(d) + 0.3 * random.normal(size=200) > 0
    vote = random.uniform(0.5, 1.5, d) / np.sqrt(d)

    def f(x):
        votes = jnp.where(jnp.asarray(data, x.dtype) > x[None], 1.0, -1.0).astype(x.dtype) @ jnp.asarray(vote, x.dtype)
        return jnp.mean(((votes > 0) != truth).astype(x.dtype))

    return Case(f, random.normal(size=d) + 0.5, 0.4)


def events(d):
    """d machines are serviced at ages x: an event at a time, whichever machine is next, until the day or the staff is done."""
    random = _random("events", d)
    fee, wear = random.uniform(0.5, 1.5, d), random.uniform(0.3, 1.0, d)

    def f(x):
        period = jnp.maximum(x, 0.2)

        def event(carry, _):
            due, now, cost = carry
            i = jnp.argmin(due)
            last, now = now, jnp.maximum(due[i], now)
            open_ = now < 4.0
            spent = jnp.asarray(fee, x.dtype)[i] + jnp.asarray(wear, x.dtype)[i] * period[i] ** 2 + 0.1 * (now - last)
            now = jnp.where(open_, now + 0.02, last)
            due = jnp.where(open_, due.at[i].set(now + period[i]), due)
            return (due, now, cost + jnp.where(open_, spent, 0.0)), None

        zero = jnp.zeros((), x.dtype)
        return lax.scan(event, (period, zero, zero), None, length=min(4 * d, 80))[0][2] / d

    return Case(f, random.uniform(1.0, 2.5, d), 0.2)


def schedule(d):
    """A thermostat with d set points over a day of 96 steps: it switches on below, off half a degree above."""
    random = _random("schedule", d)
    steps = 96
    outside = 8 + 4 * np.sin(np.arange(steps) / steps * 2 * np.pi - 2) + random.normal(size=steps)
    wanted, price = 19 + 2 * (np.arange(steps) % 48 > 24), 1 + 0.5 * random.uniform(size=steps)
    slot = np.arange(steps) * d // steps

    def f(x):
        def step(carry, inputs):
            room, on = carry
            outside, wanted, price, point = inputs
            on = jnp.where(room < point, True, jnp.where(room > point + 0.5, False, on))
            heat = lax.cond(on, lambda: 2.4, lambda: 0.0)
            room = room + heat - 0.08 * (room - outside)
            return (room, on), (room - wanted) ** 2 + price * heat

        tables = [jnp.asarray(a, x.dtype) for a in (outside, wanted, price)]
        inputs = (*tables, x[jnp.asarray(slot)])
        start = (jnp.asarray(18.0, x.dtype), jnp.asarray(False))
        return jnp.mean(lax.scan(step, start, inputs)[1])

    return Case(f, 18 + 2 * random.uniform(size=d), 0.5)


def policy(d):
    """A greedy policy of d weights on 60 situations with 5 actions: the reward of whatever scores highest."""
    random = _random("policy", d)
    features = random.normal(size=(60, 5, d))
    target = random.normal(size=d)
    reward = features @ target / np.sqrt(d) + 0.5 * random.normal(size=(60, 5))

    def f(x):
        best = jnp.argmax(jnp.asarray(features, x.dtype) @ x, axis=-1)
        return -jnp.mean(jnp.take_along_axis(jnp.asarray(reward, x.dtype), best[:, None], axis=-1))

    return Case(f, target + 1.5 * random.normal(size=d), 0.3)


def quantised(d):
    """A small network of d weights on a grid of eighths, with activations on a grid: squared error on 40 examples."""
    random = _random("quantised", d)
    data = random.normal(size=(40, d))
    target = np.tanh(data @ random.normal(size=d) / np.sqrt(d))

    def f(x):
        weights = jnp.round(8 * x) / 8
        hidden = jnp.asarray(data, x.dtype) @ weights / np.sqrt(d)
        return jnp.mean((jnp.round(4 * jnp.tanh(hidden)) / 4 - jnp.asarray(target, x.dtype)) ** 2)

    return Case(f, 1 + random.normal(size=d), 0.3)


def balls(d):
    """d balls thrown at speeds x bounce off the floor and off a wall: squared distances to the target after 60 steps."""
    random = _random("balls", d)
    target = random.uniform(0.5, 1.9, d)

    def f(x):
        def step(state, _):
            p, q, v, w = state
            p, q, w = p + 0.05 * v, q + 0.05 * w, w - 0.05 * 9.8
            bounce, wall = q < 0, p > 2.0
            q, w, v = jnp.where(bounce, 0.0, q), jnp.where(bounce, -0.8 * w, w), jnp.where(bounce, 0.9 * v, v)
            return (jnp.where(wall, 2.0, p), q, jnp.where(wall, -0.9 * v, v), w), None

        start = (jnp.zeros_like(x), jnp.ones_like(x), x, jnp.full_like(x, 2))
        p, q, *_ = lax.scan(step, start, None, length=60)[0]
        return jnp.mean((p - jnp.asarray(target, x.dtype)) ** 2 + q)

    return Case(f, random.uniform(0.8, 1.8, d), 0.2)


def alarms(d):
    """d thresholds at which alarms ring: each has a price and a use, and the total is paid in whole units."""
    random = _random("alarms", d)
    level, price, use = random.normal(size=d), random.uniform(0.5, 1.5, d), random.uniform(0.5, 1.5, d)

    def f(x):
        ringing = x > jnp.asarray(level, x.dtype)
        paid = jnp.floor(3 * jnp.sum(jnp.where(ringing, jnp.asarray(price, x.dtype), 0.0))) / 3
        return (paid - jnp.sum(jnp.where(ringing, jnp.asarray(use, x.dtype) * x, 0.3 * x))) / d

    return Case(f, level + 0.3 * random.normal(size=d), 0.3)


MANY = {
    make.__name__: make for make in (inventory, queue, tax, stumps, events, schedule, policy, quantised, balls, alarms)
}
