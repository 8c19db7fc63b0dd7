"""Programs whose helpers return early, or nothing on some ways, and that use what they return at once."""

import collections
import dataclasses
import functools
import math
from typing import Any, NamedTuple

import numpy as np


def first_above(a):
    for _ in range(3):
        a = a * 2.0
        if a > 9.0:
            return a
    return a


def until_above(a):
    while True:
        a = a * 1.5
        if a > 20.0:
            return a


def for_else(a):
    for _ in range(4):
        if a > 10.0:
            return a
        a = a + 1.7
    else:
        return a * 3.0


def maybe(a):
    if a > 3.0:
        return a * 2.0


def pair(a):
    if a > 3:
        return a, 2 * a
    return 3 * a, a


def table(a):
    for _ in range(2):
        if a > 3:
            return {"x": a, "y": [a, 2 * a]}
        a = a + 1
    return {"x": 2 * a, "y": [a, a]}


def recursive(a, n):
    if n == 0:
        return a
    if a > 8:
        return a * 1.1
    return recursive(a * 1.5, n - 1)


def guarded(a):
    try:
        if a > 3:
            return a * 1.25
    finally:
        a = a + 1
    with Here():
        return a


class Here:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False


class Thing:
    def __init__(self, a):
        self.a = a

    def early(self, k):
        if self.a > k:
            return self.a
        return k * self.a

    def __call__(self, x):
        for _ in range(3):
            if x > 5:
                return x + self.a
            x = x * 2
        return x

    @property
    def size(self):
        if self.a > 100:
            return self.a
        return 2 * self.a

    @property
    def found(self):
        if self.a > 3:
            return 2 * self.a
        return None

    def __add__(self, other):
        if self.a > 3:
            return self.a + other
        return other

    def __getitem__(self, i):
        if self.a > 3:
            return self.a * (i + 1)
        return self.a


@dataclasses.dataclass
class Hit:
    t: Any
    at: Any = None


class Pair(NamedTuple):
    first: Any
    second: Any


def hit(a, k):
    if a > k:
        return Hit(a * k, np.array([a, k]))
    return None


def compared(a):
    if first_above(4.0 + 0.0 * a) == 16.0:
        return 5.0 * a
    return a


def loops(a):
    return until_above(a) + for_else(a) * 2 + guarded(a)


def methods(a):
    thing = Thing(a)
    return thing.early(2.0) ** 2 + thing(a) * 2 + thing.size + (thing + 2.0) * thing[2]


def property_or_none(a):
    return 1.0 if Thing(a).found is None else Thing(a).found


def partials_and_lambdas(a):
    return functools.partial(first_above)(a) + (lambda z: first_above(z) * 2)(a) + recursive(a, 4) * 2


def nested(a):
    def inner(z):
        if z > 3:
            return z * a
        return a

    return inner(a) + first_above(first_above(a))


def none_or_more(a):
    found = maybe(a)
    if found is None:
        return 3.0 * a
    return found + 1


def defaults(a):
    chosen = (maybe(a) or 7.0 * a) + (maybe(a - 5) or 2.0 * a)
    return chosen + (1.0 if maybe(a - 5) == None else 2.0) * a + (a if maybe(a) else 2.0)  # noqa: E711


def handed_to_another(a):
    def or_else(x, y):
        return y if x is None else x

    return or_else(maybe(a), 5.0 * a) + or_else(y=maybe(a + 9), x=maybe(a - 5))


def walrus(a):
    if (found := maybe(a)) is not None:
        return found * found
    return a


def unpacked(a):
    x, y = pair(a)
    z = np.zeros(3)
    z[0], z[1] = pair(a)
    z[2] = first_above(a)
    z[1] += first_above(a)
    return x * y + pair(a)[0] + (z * np.array([1, 2, 3.0])).sum() + sum(u * v for u, v in [pair(a), pair(a + 1)])


def looked_up(a):
    return table(a)["x"] * table(a)["y"][1]


def in_containers(a):
    xs = [first_above(a), first_above(a / 2), 1.0]
    known = max({"u": first_above(a), "v": 1.0}.values()) + sum(first_above(z) for z in (a, a + 1))
    return sum(xs) + max(xs) + sorted(xs)[1] + np.sum(xs) + np.mean(np.array(xs)) + known


def kept(a):
    held = {"k": maybe(a), "z": maybe(a - 5)}
    both = Pair(maybe(a), maybe(a - 5))
    one = Hit(maybe(a))
    one.at = maybe(a - 5)
    total = 0.0 if held["k"] is None else held["k"]
    total = total + (1.0 if both.second is None else 2.0) * a + (held.get("z") or 5.0)
    return total + (a if one.at is None else one.at)


def nearest(a):
    best = 100.0 * a
    for found in [hit(a, k) for k in (1.0, 2.0, 9.0)]:
        if found is not None and found.t < best:
            best = found.t
    return best


def gathered(a):
    hits = []
    for k in (1.0, 2.0, 9.0):
        hits.append(hit(a, k))
    total = 0.0 * a
    for i, found in enumerate(hits):
        if found is None:
            continue
        total += found.t * (i + 1) + found.at[0]
    return total


def keyed(a):
    mapped = map(first_above, [a, 2 * a])
    return max((first_above(a), 2.0), key=lambda z: -z if z > 3 else z) + min(mapped) + any([maybe(a), maybe(a - 5)])


class Equal:
    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        if other is None:
            return False
        return self.x == other.x

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self):
        if self.x is None:
            return False
        return bool(self.x > 3)

    def __len__(self):
        return 2

    def __float__(self):
        if self.x is None:
            return 0.0
        return float(self.x)


def what_python_calls_by_itself(a):
    one, two = Equal(maybe(a + 9)), Equal(first_above(a))
    queue = collections.deque([maybe(a), maybe(a - 5)])
    chosen = a if one != two and two != None else 3 * a  # noqa: E711
    first, last = queue.popleft(), queue.pop()
    total = (0.0 if first is None else first) + (3 * a if last is None else last)
    return chosen + total + float(Equal(maybe(a))) + (a if Equal(maybe(a)) else 0.5 * a)


def in_a_long_loop(a):
    total = 0.0
    for i in range(20):
        total += first_above(a + i)
    return total


def local_class(a):
    class Ball:
        def __init__(self, v):
            self.v, self.log = v, []

        def speed(self):
            if self.v > 3:
                return self.v * a
            return self.v

    ball = Ball(a)
    if a > 2:
        ball.log.append(a)
    else:
        ball.log.append(2 * a)
    return ball.speed() + ball.log[0]


def newton(a):
    def solve(f, slope, x):
        for _ in range(30):
            step = f(x) / slope(x)
            x = x - step
            if abs(step) < 1e-12:
                return x
        return None

    root = solve(lambda x: x**3 - a, lambda x: 3 * x**2, 2.0)
    return math.sin(root) + (root if root is not None else 0.0)


RIGHT = [
    *(
        compared,
        loops,
        methods,
        property_or_none,
        partials_and_lambdas,
        nested,
        none_or_more,
        defaults,
        handed_to_another,
    ),
    *(walrus, unpacked, looked_up, in_containers, kept, nearest, gathered, keyed, what_python_calls_by_itself),
    *(in_a_long_loop, local_class, newton),
]
