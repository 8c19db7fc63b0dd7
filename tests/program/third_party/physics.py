"""Simulations in the manner of NumPy tutorials: arrays written in place, views, stencils."""

import numpy as np

from ._program import Program

MASSES = np.array([1.0, 0.5, 0.25, 0.1])
START = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.1], [0.0, 2.0, -0.1], [-3.0, 0.0, 0.2]])
VELOCITY = np.array([[0.0, -0.1, 0.0], [0.0, 1.0, 0.0], [-0.7, 0.0, 0.1], [0.0, -0.55, 0.0]])


def accelerations(pos, mass, G, softening):
    """All pairs at once."""
    dx = pos[np.newaxis, :, :] - pos[:, np.newaxis, :]
    inv_r3 = np.sum(dx**2, axis=-1) + softening**2
    inv_r3[inv_r3 > 0] = inv_r3[inv_r3 > 0] ** (-1.5)
    return G * np.einsum("ijk,ij,j->ik", dx, inv_r3, mass)


def n_body(pos, G, softening):
    """Leapfrog in place: kick, drift, kick; the energy's error and a body's place at the end."""
    pos = pos.copy()
    vel = VELOCITY.copy()
    vel -= np.mean(MASSES[:, np.newaxis] * vel, 0) / np.mean(MASSES)
    acc = accelerations(pos, MASSES, G, softening)
    dt = 0.02
    for _ in range(100):
        vel += acc * dt / 2.0
        pos += vel * dt
        acc = accelerations(pos, MASSES, G, softening)
        vel += acc * dt / 2.0
    return 0.5 * np.sum(MASSES * np.sum(vel**2, axis=1)) + pos[3, 0] - pos[1, 1] ** 2


def n_body_in_loops(mass):
    """The same forces by loops over pairs, accumulated in rows."""
    n = len(START)
    x = START.copy()
    v = VELOCITY.copy()
    for _ in range(8):
        force = np.zeros_like(x)
        for i in range(n):
            for j in range(i + 1, n):
                d = x[j] - x[i]
                f = mass[i] * mass[j] * d / (np.dot(d, d) + 0.01) ** 1.5
                force[i] += f
                force[j] -= f
        for i in range(n):
            v[i] += 0.05 * force[i] / mass[i]
        x += 0.05 * v
    return float(np.linalg.norm(x[0] - x[1]))


def smooth_life(cells, birth, width):
    """Game of life on real numbers: neighbours by np.roll, soft rules."""

    def sigmoid(x):
        return 1.0 / (1.0 + np.exp(-x / width))

    for _ in range(5):
        neighbours = np.zeros_like(cells)
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                if (dy, dx) != (0, 0):
                    neighbours += np.roll(np.roll(cells, dy, axis=0), dx, 1)
        born = sigmoid(neighbours - birth) * sigmoid(birth + 1 - neighbours)
        stay = sigmoid(neighbours - (birth - 1)) * sigmoid(birth + 1 - neighbours)
        cells = (1 - cells) * born + cells * stay
    return cells.sum()


def wave(u0, c):
    """Two buffers and a third that take turns; the ends are held by slices."""
    previous, current = u0.copy(), u0.copy()
    following = np.empty_like(current)
    for _ in range(40):
        following[1:-1] = 2 * current[1:-1] - previous[1:-1] + c**2 * (current[2:] - 2 * current[1:-1] + current[:-2])
        following[0] = 0
        following[-1] = 0
        previous, current, following = current, following, previous
    return np.sum(current**2 * np.arange(len(current)))


def ising_mean_field(coupling, field):
    """Fixed point of magnetisations on a grid, swept in place until nothing moves by more than 1e-13."""
    m = np.full((4, 4), 0.1)
    change = 1.0
    sweeps = 0
    while change > 1e-13 and sweeps < 500:
        change = 0.0
        for i in range(4):
            for j in range(4):
                around = m[(i + 1) % 4, j] + m[i - 1, j] + m[i, (j + 1) % 4] + m[i, j - 1]
                new = np.tanh(coupling * around + field * (1 + i - j))
                change = max(change, abs(new - m[i, j]))
                m[i, j] = new
        sweeps += 1
    return m.mean()


def ray(x, y, slope):
    """A ray between two mirrors, until it leaves: `while True` with two ways out."""
    length, bounces = 0.0, 0
    direction = np.array([1.0, slope]) / np.sqrt(1 + slope**2)
    while True:
        wall = 1.0 if direction[1] > 0 else 0.0
        t = (wall - y) / direction[1]
        if x + t * direction[0] > 5.0:
            t = (5.0 - x) / direction[0]
            return length + t + 0.1 * (y + t * direction[1]) + bounces
        x, y = x + t * direction[0], wall
        length += t
        direction = direction * np.array([1.0, -1.0])
        bounces += 1
        if bounces == 20:
            break
    return -length


CELLS = 0.5 + 0.4 * np.sin(np.arange(64.0) ** 1.3).reshape(8, 8)
STRING = np.sin(np.linspace(0, np.pi, 21)) ** 3

PROGRAMS = [
    Program(n_body, (START, 1.0, 0.1), value=1e-11, step=1e-5),
    Program(n_body_in_loops, (MASSES,), step=1e-4),
    Program(smooth_life, (CELLS, 2.3, 0.4), step=1e-4),
    Program(wave, (STRING, 0.7), step=1e-4),
    Program(ising_mean_field, (0.15, 0.05), value=1e-11, step=1e-4),
    Program(ray, (0.1, 0.3, 0.8), step=1e-4),
]
