"""Simulations: mechanics, epidemics, queues, chemistry, finance; random draws with a fixed seed inside."""
# ruff: noqa: B007

import numpy as np

from ._case import Case

DT = 0.05


def damped_pendulum(angle, damping):
    omega = 0.0
    for _ in range(40):
        omega += DT * (-9.81 * np.sin(angle) - damping * omega)
        angle += DT * omega
    return angle


def throw(speed, angle, wind):
    """Distance of a ball with drag; the landing is interpolated."""
    x, y = 0.0, 0.0
    vx, vy = speed * np.cos(np.radians(angle)), speed * np.sin(np.radians(angle))
    while y >= 0:
        x_before, y_before = x, y
        relative = vx - wind
        drag = 0.01 * np.sqrt(relative**2 + vy**2)
        vx -= DT * drag * relative
        vy -= DT * (9.81 + drag * vy)
        x += DT * vx
        y += DT * vy
    return x_before + (x - x_before) * y_before / (y_before - y)


def n_body(positions, masses):
    velocities = np.zeros_like(positions)
    for _ in range(5):
        forces = np.zeros_like(positions)
        for i in range(len(masses)):
            for j in range(i):
                r = positions[j] - positions[i]
                pull = masses[i] * masses[j] * r / (r @ r + 0.1) ** 1.5
                forces[i] += pull
                forces[j] -= pull
        velocities += 0.1 * forces / masses[:, None]
        positions += 0.1 * velocities
    return 0.5 * np.sum(masses * np.sum(velocities**2, axis=1))


def epidemic(rate, recovery, threshold):
    s, i, r = 0.99, 0.01, 0.0
    peak, locked_down = 0.0, False
    for day in range(60):
        locked_down = locked_down or i > threshold
        effective = rate * 0.4 if locked_down else rate
        infections = effective * s * i
        recoveries = recovery * i
        s, i, r = s - infections, i + infections - recoveries, r + recoveries
        if i > peak:
            peak = i
    return r + peak


def queue(service, seed=0):
    """Waiting times of one server by Lindley's recursion."""
    rng = np.random.default_rng(seed)
    arrivals = rng.exponential(1.0, size=25)
    services = service * rng.exponential(1.0, size=25)
    waiting, total = 0.0, 0.0
    for arrival, work in zip(arrivals[1:], services, strict=False):
        waiting = max(0.0, waiting + work - arrival)
        total += waiting
    return total / 25


def random_walk(drift, volatility):
    """Draws in a loop."""
    rng = np.random.default_rng(7)
    x, running_max = 1.0, 1.0
    for _ in range(20):
        x *= np.exp(drift * DT + volatility * np.sqrt(DT) * rng.standard_normal())
        running_max = max(running_max, x)
    return running_max - x


def barrier_option(spot, volatility):
    rng = np.random.default_rng(3)
    normals = rng.normal(size=(30, 4))
    prices = spot * np.exp(np.cumsum(-0.5 * volatility**2 * 0.25 + volatility * 0.5 * normals, axis=1))
    alive = prices.min(axis=1) > 70
    payoff = np.maximum(prices[:, -1] - 100, 0) * alive
    return payoff.mean()


def reaction_diffusion(feed, kill):
    rng = np.random.RandomState(1)
    u, v = np.ones((5, 5)), np.zeros((5, 5))
    v[1:4, 1:4] = 0.5 + 0.1 * rng.rand(3, 3)
    for _ in range(8):
        laplacian_u = sum(np.roll(u, s, axis=a) for s in (1, -1) for a in (0, 1)) - 4 * u
        laplacian_v = sum(np.roll(v, s, axis=a) for s in (1, -1) for a in (0, 1)) - 4 * v
        reaction = u * v**2
        u += 0.16 * laplacian_u - reaction + feed * (1 - u)
        v += 0.08 * laplacian_v + reaction - (feed + kill) * v
    return u[2, 2] * 10 + v.sum()


def tank(inflow, gain):
    """A hybrid system: a valve that opens and closes with hysteresis."""
    level, is_open, volume = 0.5, False, 0.0
    for _ in range(60):
        if level > 1.0:
            is_open = True
        elif level < 0.7:
            is_open = False
        outflow = gain * np.sqrt(level) if is_open else 0.0
        level += DT * (inflow - outflow)
        volume += DT * outflow
    return 2 * volume + level


def traffic(desired, headway):
    cars = 4
    position = -10.0 * np.arange(cars)
    speed = np.full(cars, 8.0)
    for step in range(20):
        acceleration = np.empty(cars)
        for c in range(cars):
            if c == 0:
                acceleration[c] = 1.0 - (speed[c] / desired) ** 4
                continue
            gap = position[c - 1] - position[c]
            wanted = 2.0 + headway * speed[c]
            acceleration[c] = 1.0 - (speed[c] / desired) ** 4 - (wanted / gap) ** 2
        speed = np.maximum(speed + 0.2 * acceleration, 0)
        position = position + 0.2 * speed
    return speed.mean() + 0.1 * (position[0] - position[-1])


def reservoir(release, inflows):
    storage, spilled, shortage = 5.0, [], 0.0
    for inflow in inflows:
        storage += inflow - release
        if storage > 8.0:
            spilled.append(storage - 8.0)
            storage = 8.0
        else:
            spilled.append(0.0)
            if storage < 2.0:
                shortage += (2.0 - storage) ** 2
    return sum(spilled) + 3 * shortage + storage


def collisions(restitution, speed):
    """A ball between two walls that counts what it hits."""
    x, v, hits = 0.3, speed, 0
    trace = []
    for _ in range(30):
        x += DT * v
        if x > 1:
            x, v, hits = 2 - x, -restitution * v, hits + 1
        elif x < 0:
            x, v, hits = -x, -restitution * v, hits + 1
        trace.append(x)
    return np.mean(trace) + 0.5 * hits + abs(v)


def ising_mean_field(temperature, field):
    m = np.full(4, 0.5)
    for sweep in range(100):
        old = m.copy()
        for i in range(4):
            m[i] = np.tanh((field + m[i - 1] + m[(i + 1) % 4]) / temperature)
        if np.allclose(m, old, rtol=0, atol=1e-14):
            break
    return m.mean()


CASES = [
    Case(damped_pendulum, (0.8, 0.3)),
    Case(throw, (20.0, 40.0, -2.0)),
    Case(n_body, (np.array([[0.0, 0.0], [1.0, 0.2], [0.3, 1.1]]), np.array([1.0, 0.5, 0.7]))),
    Case(epidemic, (0.5, 0.2, 0.08)),
    Case(queue, (0.8, 0)),
    Case(random_walk, (0.1, 0.4)),
    Case(barrier_option, (100.0, 0.3), step=2e-4),
    Case(reaction_diffusion, (0.04, 0.06)),
    Case(tank, (0.9, 1.6), step=2e-4),
    Case(traffic, (15.0, 0.8)),
    Case(reservoir, (1.1, np.array([2.0, 3.5, 0.4, -2.1, -0.9, 4.0]))),
    Case(collisions, (0.9, 1.7), step=1e-3),
    Case(ising_mean_field, (1.3, 0.2)),
]
