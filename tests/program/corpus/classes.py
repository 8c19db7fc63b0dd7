"""Objects: classes and dataclasses with state, methods, properties, inheritance, operators."""

import collections
import dataclasses
import enum
import math
import typing

import numpy as np

from ._case import Case


class Spring:
    def __init__(self, stiffness, mass=1.0):
        self.stiffness = stiffness
        self.mass = mass
        self.x, self.v = 1.0, 0.0

    def step(self, h):
        self.v -= h * self.stiffness / self.mass * self.x
        self.x += h * self.v
        if self.x < 0.2:
            self.v = -0.8 * self.v
            self.x = 0.2

    @property
    def energy(self):
        return 0.5 * self.mass * self.v**2 + 0.5 * self.stiffness * self.x**2


def spring_energy(stiffness, mass):
    spring = Spring(stiffness, mass=mass)
    for _ in range(12):
        spring.step(0.13)
    return spring.energy


@dataclasses.dataclass
class Account:
    balance: float
    rate: float = 0.03
    fees: list = dataclasses.field(default_factory=list)

    def __post_init__(self):
        self.opened_with = self.balance

    def year(self, deposit):
        self.balance += deposit
        if self.balance > 1000:
            self.fees.append(0.01 * self.balance)
            self.balance -= self.fees[-1]
        else:
            self.fees.append(0.0)
        self.balance *= 1 + self.rate


def savings(start, deposit):
    account = Account(start, rate=0.05)
    for year in range(4):
        account.year(deposit * (1 + year))
    return account.balance - account.opened_with + sum(account.fees)


class Vector(typing.NamedTuple):
    x: float
    y: float

    def __add__(self, other):
        return Vector(self.x + other.x, self.y + other.y)

    def __rmul__(self, scale):
        return Vector(scale * self.x, scale * self.y)

    def norm(self):
        return math.hypot(self.x, self.y)


def projectile_with_drag(speed, angle):
    position, velocity = Vector(0.0, 1.0), Vector(speed * math.cos(angle), speed * math.sin(angle))
    for _ in range(15):
        if position.y < 0.5:
            velocity = Vector(velocity.x, abs(velocity.y))
        drag = -0.05 * velocity.norm()
        velocity = velocity + 0.05 * (Vector(0.0, -9.81) + drag * velocity)
        position = position + 0.05 * velocity
    return position.norm() + position.x


class Dual:
    """Forward-mode differentiation by operators: gradients of a derivative."""

    def __init__(self, value, slope=0.0):
        self.value, self.slope = value, slope

    def __add__(self, other):
        other = other if isinstance(other, Dual) else Dual(other)
        return Dual(self.value + other.value, self.slope + other.slope)

    def __mul__(self, other):
        other = other if isinstance(other, Dual) else Dual(other)
        return Dual(self.value * other.value, self.slope * other.value + self.value * other.slope)

    __radd__, __rmul__ = __add__, __mul__


def dual_number(x):
    z = Dual(x, 1.0)
    y = 3 * z * z * z + z + 2
    return y.slope * y.value


class Layer:
    def __init__(self, weights):
        self.weights = weights

    def __call__(self, x):
        return self.activation(self.weights @ x)

    def activation(self, z):
        return np.tanh(z)


class ReluLayer(Layer):
    gain = 1.5

    def __init__(self, weights, leak):
        super().__init__(weights)
        self.leak = leak

    def activation(self, z):
        return np.where(z > 0, self.gain * z, self.leak * super().activation(z))


def layered(x, w, leak):
    layers = [Layer(w), ReluLayer(w.T, leak), Layer(2 * w)]
    for layer in layers:
        x = layer(x)
    return x.sum()


class Stack:
    def __init__(self, capacity):
        self.data = np.zeros(capacity)
        self.size = 0

    def push(self, value):
        self.data[self.size] = value
        self.size += 1
        return self

    def pop(self):
        self.size -= 1
        return self.data[self.size]

    def __len__(self):
        return self.size

    def __getitem__(self, i):
        return self.data[i]


def stack_machine(x, y):
    stack = Stack(8)
    stack.push(x).push(y).push(x * y)
    while len(stack) > 1:
        b, a = stack.pop(), stack.pop()
        stack.push(a + b**2 if a > 1 else a * b)
    return stack[0] + stack[1]


class Phase(enum.Enum):
    SOLID = 2.1
    LIQUID = 4.18
    GAS = 2.0


class Material:
    latent: typing.ClassVar = {Phase.SOLID: 33.0, Phase.LIQUID: 226.0}

    def __init__(self, temperature):
        self.temperature = temperature

    @classmethod
    def frozen(cls, below):
        return cls(-below)

    @staticmethod
    def capacity(phase):
        return phase.value

    def heat_to(self, target):
        energy = self.capacity(Phase.SOLID) * (0 - self.temperature)
        energy += self.latent[Phase.SOLID]
        energy += self.capacity(Phase.LIQUID) * min(target, 100.0)
        if target > 100:
            energy += self.latent[Phase.LIQUID] + self.capacity(Phase.GAS) * (target - 100)
        return energy


def heating(below, target):
    return Material.frozen(below).heat_to(target) / 100


class Wave:
    """A field with its own buffers, updated in place."""

    def __init__(self, shape, speed):
        self.now, self.before = shape.copy(), shape.copy()
        self.speed, self.time = speed, 0

    def advance(self):
        after = np.zeros_like(self.now)
        after[1:-1] = 2 * self.now[1:-1] - self.before[1:-1]
        after[1:-1] += self.speed**2 * np.diff(self.now, n=2)
        self.before, self.now = self.now, after
        self.time += 1


def wave_energy(shape, speed):
    wave = Wave(shape, speed)
    while wave.time < 6:
        wave.advance()
    return np.sum((wave.now - wave.before) ** 2) + wave.now[2]


class Pid:
    def __init__(self, kp, ki, kd):
        self.gains = kp, ki, kd
        self.integral = 0.0
        self.last = None

    def __call__(self, error, h):
        kp, ki, kd = self.gains
        self.integral = np.clip(self.integral + error * h, -1.0, 1.0)
        slope = 0.0 if self.last is None else (error - self.last) / h
        self.last = error
        return kp * error + ki * self.integral + kd * slope


def controlled(kp, ki, kd):
    pid, level, cost = Pid(kp, ki, kd), 0.0, 0.0
    for _ in range(25):
        valve = pid(1.0 - level, 0.1)
        valve = 2.0 if valve > 2.0 else max(valve, 0.0)
        level += 0.1 * (valve - 0.5 * level)
        cost += 0.1 * (1.0 - level) ** 2
    return cost


Body = collections.namedtuple("Body", ["mass", "position", "velocity"])


def two_bodies(mass, offset):
    bodies = [Body(mass, np.array([0.0, 0.0]), np.zeros(2)), Body(1.0, offset, np.array([0.0, 1.0]))]
    for _ in range(5):
        r = bodies[1].position - bodies[0].position
        force = bodies[0].mass * bodies[1].mass * r / np.linalg.norm(r) ** 3
        bodies = [
            body._replace(
                position=body.position + 0.1 * body.velocity, velocity=body.velocity + 0.1 * sign * force / body.mass
            )
            for body, sign in zip(bodies, (1, -1), strict=True)
        ]
    return sum(b.mass * b.velocity @ b.velocity for b in bodies)


class Potential:
    def __init__(self, depth, width):
        self.depth, self.width = depth, width

    def __call__(self, r, charge):
        if r < self.width:
            return self.depth * (1 - (r / self.width) ** 2) + charge
        return charge / r * self.width

    def force(self, r, charge):
        h = 1e-2
        return -(self(r + h, charge) - self(r - h, charge)) / (2 * h)


CASES = [
    Case(spring_energy, (4.0, 1.3)),
    Case(savings, (600.0, 200.0)),
    Case(projectile_with_drag, (7.0, 0.6)),
    Case(dual_number, (1.3,)),
    Case(layered, (np.array([0.6, -0.9]), np.array([[0.5, 1.2], [-0.7, 0.3]]), 0.2)),
    Case(stack_machine, (0.8, 1.7)),
    Case(heating, (12.0, 130.0)),
    Case(wave_energy, (np.array([0.0, 0.3, 1.0, 0.4, 0.0]), 0.6)),
    Case(controlled, (2.3, 0.8, 0.05)),
    Case(two_bodies, (3.0, np.array([1.0, 0.2]))),
    Case(Potential(1.3, 0.9), (0.5, 0.7), "callable_object"),
    Case(Potential(1.3, 0.9).force, (1.7, 0.6), "bound_method"),
]
