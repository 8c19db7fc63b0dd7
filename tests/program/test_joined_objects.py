"""An object that was there on one way and a new one of its class on the other: their attributes are joined."""

import abc
import copy
import dataclasses
import types
from typing import Any

import jax
import numpy as np

import spanax as sx


class State:
    def __init__(self, x, v):
        self.x, self.v = x, v

    def moved(self, dt):
        return State(self.x + dt * self.v, self.v * 0.9)

    def at_least_three(self):
        if self.x > 3.0:
            return self
        return State(self.x + 0.5, self.v)

    @property
    def energy(self):
        return self.x * self.v


class Slotted:
    __slots__ = ("v", "x")

    def __init__(self, x, v):
        self.x, self.v = x, v


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: Any
    v: Any

    def doubled_below_three(self):
        if self.x > 3:
            return self
        return dataclasses.replace(self, x=self.x * 2)


@dataclasses.dataclass
class Body:
    at: Any
    moon: Any = None


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...


class Square(Shape):
    def __init__(self, side):
        self.side = side

    def area(self):
        return self.side**2


class Node:
    def __init__(self, x, parent=None):
        self.x, self.parent, self.children = x, parent, []

    def add(self, x):
        self.children.append(Node(x, self))


SHARED = State(2.0, 3.0)


def a_method_that_returns_self(a):
    s = State(a, 2.0)
    t = s.at_least_three()
    return t.x * t.v + s.x + t.energy


def bound_before_the_if(a):
    s = State(a, 2 * a)
    if a > 3:  # noqa: SIM108
        t = s
    else:
        t = State(5.0, a)
    return t.x * t.v


def of_several_kinds(a):
    frozen = Frozen(a, np.array([a, 2.0])).doubled_below_three()
    slotted = Slotted(a, 2 * a)
    slotted = slotted if a > 3 else Slotted(1.0, a)
    square = Square(a)
    square = square if a > 3 else Square(a * 2)
    space = types.SimpleNamespace(x=a, y=2.0)
    if a < 3:
        space = types.SimpleNamespace(x=2 * a, y=a)
    return frozen.x * frozen.v[0] + slotted.x * slotted.v + square.area() + space.x * space.y


def objects_inside(a):
    body = Body(np.array([a, 1.0]), Body(np.array([2 * a, 0.0])))
    if a > 3:  # noqa: SIM108
        other = body
    else:
        other = Body(np.array([1.0, a]), Body(np.array([a, a])))
    return (other.at * other.moon.at).sum()


def lists_of_objects(a):
    states = [State(a, 1.0), State(2 * a, 2.0)]
    if a > 3:  # noqa: SIM108
        others = states
    else:
        others = [State(1.0, a), State(2.0, a)]
    return sum(s.x * s.v for s in others)


def one_of_two_that_were_there(a):
    one, two = State(a, 2.0), State(3.0, a)
    best = one if one.x > two.x else two
    nearest = min([one, two, State(2 * a, 3.0)], key=lambda s: abs(s.x - 4.6))
    return best.x * 2 + best.v + nearest.x * nearest.v


def best_so_far(a):
    best: Any = None
    for k in range(4):
        candidate = State(a - k, a * k)
        if best is None or candidate.energy > best.energy:
            best = candidate
    return best.x + best.v


def of_the_world(a):
    s = SHARED if a > 3 else State(a, a)
    return s.x * a + s.v


def written_afterwards(a):
    s = State(a, 2.0)
    t = s if a > 3 else State(1.0, a)
    t.x = t.x * 3
    t.v += a
    return t.x * t.v


def written_inside(a):
    s = State(a, 2.0)
    if a > 3:
        s.x = s.x * 2
        t = s
    else:
        t = State(s.x, 3.0)
    u = t if a > 3.5 else State(5.0, 2 * a)
    return t.x * t.v + u.x * u.v


def an_attribute(a):
    owner = Body(State(a, 2.0))
    held = {"s": State(a, 2.0)}
    if a < 3:
        owner.at = State(a * 3, a)
        held["s"] = State(a * a, a)
    return owner.at.x * owner.at.v + held["s"].energy


def with_parents(a):
    root = Node(a)
    root.add(2 * a)
    if a > 3:
        tree = root
    else:
        tree = Node(1.0 * a)
        tree.add(a * a)
    return tree.x + tree.children[0].x


def copied(a):
    s = State(a, [a, 2.0])
    t = copy.deepcopy(s)
    if a > 3:
        t = s
    return t.x * t.v[0]


def long_loops(a):
    s = State(a, 2.0)
    for _ in range(30):
        s = s.moved(0.1)
    while s.x < 9.0:
        s = State(s.x + 0.3, s.v * 0.9)
    f = Frozen(a, 2.0)
    for _ in range(25):
        f = Frozen(f.x + 0.1 * f.v, f.v * 0.95) if f.x < 8 else f
    return s.x * s.v + f.x * f.v


def kept_or_new_in_a_loop(a):
    s = State(a, 2.0)
    for _ in range(20):
        t = s if s.x > 3 else State(s.x + 1, a)
        s = State(t.x * 1.01, t.v)
    for _ in range(20):
        if s.x > 5.03:
            s.x = s.x - 1
        else:
            s = State(s.x + 0.7, s.v)
    return s.x * s.v


RIGHT = [
    *(a_method_that_returns_self, bound_before_the_if, of_several_kinds, objects_inside, lists_of_objects),
    *(one_of_two_that_were_there, best_so_far, of_the_world, written_afterwards, written_inside, an_attribute),
    *(with_parents, copied, long_loops, kept_or_new_in_a_loop),
]


def all_of_them(a):
    return [f(a) for f in RIGHT]


def test_values_and_derivatives():
    points, step = np.array([2.1, 2.7, 4.05, 6.13]), 1e-6
    with jax.enable_x64(True):
        lifted = sx.lift(all_of_them)
        values, slopes = jax.jit(jax.vmap(lambda a: jax.jvp(lifted, (a,), (1.0,))))(points)
    for i, f in enumerate(RIGHT):
        np.testing.assert_allclose(values[i], [f(a) for a in points], rtol=1e-9, err_msg=f.__name__)
        differences = [(f(a + step) - f(a - step)) / (2 * step) for a in points]
        np.testing.assert_allclose(slopes[i], differences, rtol=1e-6, atol=1e-7, err_msg=f.__name__)


def test_the_world_is_not_changed():
    def write(a):
        s = SHARED if a > 3 else State(a, a)
        s.x = 5.0 * a
        return s.x

    assert sx.gradient(write, 4.0) == 5.0
    assert vars(SHARED) == {"x": 2.0, "v": 3.0}
