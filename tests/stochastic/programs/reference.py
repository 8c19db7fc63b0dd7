"""The exact expectation of a random program, in plain NumPy: all outcomes at once, each scalar a vector over them.

It knows nothing of Spanax. Derivatives of the expectation are central differences; those that a program takes of its own
parts are complex steps.
"""

from __future__ import annotations

import functools

import numpy as np

from .families import FAMILIES, JUMPED, value_of
from .language import (
    OPERATIONS,
    Block,
    Cond,
    Cost,
    Custom,
    Derive,
    Draw,
    Lanes,
    Let,
    Nested,
    RandomProgram,
    Scan,
    Switch,
    Unmarked,
    Wrap,
    outcomes,
)

STEP = 1e-20  # of a complex step


@functools.cache
def _function(source: str):
    return eval(f"lambda jnp, a, b: {source.format(a='a', b='b')}")


def apply(operation: str, a, b):
    return _function(OPERATIONS[operation])(np, a, b)


class Reference:
    def __init__(self, program: RandomProgram):
        self.block, self.slots = program.block, program.slots
        self.outcomes = program.outcomes()

    def run(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """f + costs, and the probability, of each combination of outcomes."""
        n = len(self.outcomes)
        return _Run(self.outcomes, self.slots).total_of(self.block, [np.full(n, t) for t in theta], np.ones(n, bool))

    def expectation(self, theta: np.ndarray) -> float:
        objective, p = self.run(theta)
        return float(np.sum(p * objective))

    def gradient(self, theta: np.ndarray) -> np.ndarray:
        return differences(self.expectation, theta, 1e-5)

    def curvature(self, theta: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """The derivative of the gradient along a direction."""
        along = lambda t: differences(self.expectation, theta + t[0] * direction, 1e-3)
        return differences(along, np.zeros(1), 1e-3)[0]


def differences(f, x: np.ndarray, h: float) -> np.ndarray:
    """Central differences of fourth order."""
    steps = h * np.eye(len(x))
    return np.array([(8 * (f(x + e) - f(x - e)) - f(x + 2 * e) + f(x - 2 * e)) / (12 * h) for e in steps])


class _Run:
    def __init__(self, outcomes: np.ndarray, slots):
        self.outcomes, self.slots = outcomes, slots
        self.total, self.log_p = np.zeros(len(outcomes)), np.zeros(len(outcomes))
        self.used = np.zeros(outcomes.shape, bool)

    def total_of(self, block: Block, xs: list, on: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        result = self.last(block, xs, on, 0)
        spread = np.where(self.used, 0.0, -np.log(np.array(self.slots, float).reshape(-1)))  # unused: all alike
        return result + self.total, np.exp(self.log_p + spread.sum(1))

    def last(self, block: Block, xs: list, on: np.ndarray, at: int) -> np.ndarray:
        """`on`: which combinations come here; `at`: the number of the pass, over all loops around."""
        xs = list(xs)
        for statement in block.statements:
            if isinstance(statement, Cost):
                self.total = self.total + np.where(on, xs[statement.of], 0.0)
            else:
                xs.append(RULES[type(statement)](self, statement, xs, on, at))
        return xs[-1]

    def spend(self, slot: int, at: int, size: int, on: np.ndarray):
        """The outcomes of the slots of one pass."""
        for k in range(size):
            column = slot + at * size + k
            self.used[:, column] |= on
            yield self.outcomes[:, column]

    def weigh(self, on, log_p):
        self.log_p = self.log_p + np.where(on, np.real(log_p), 0.0)

    def draw(self, s: Draw, xs, on, at):
        family, x = FAMILIES[s.family], xs[s.of] if s.plus is None else xs[s.of] + 0.5 * xs[s.plus]
        x = np.sin(x) if s.squash else x
        params = [x] if s.size == 1 else [x, 0.4 - 0.5 * x]
        zs = []
        for index, parameter in zip(self.spend(s.slot, at, s.size, on), params, strict=True):
            with np.errstate(invalid="ignore", divide="ignore"):
                self.weigh(on, family.log_p(index, np.real(parameter)))
            zs.append(value_of(family, index, parameter))
        if s.jump:
            return JUMPED[s.jump](zs[0])
        return zs[0] if s.size == 1 else zs[0] * (1 - 0.6 * zs[1]) + zs[1]

    def unmarked(self, s: Unmarked, xs, on, at):
        (index,) = self.spend(s.slot, at, 1, on)
        p = 0.4 if s.of is None else np.where(np.real(xs[s.of]) > 0.5, 0.7, 0.2)
        self.weigh(on, np.log(np.where(index > 0, p, 1 - p)))
        return index.astype(float)

    def let(self, s: Let, xs, on, at):
        return apply(s.operation, xs[s.a], xs[s.b])

    def cond(self, s: Cond, xs, on, at):
        yes = np.real(xs[s.by]) > s.above
        return np.where(yes, self.last(s.yes, xs, on & yes, at), self.last(s.no, xs, on & ~yes, at))

    def switch(self, s: Switch, xs, on, at):
        index = np.clip(np.trunc(np.real(xs[s.by])), 0, len(s.branches) - 1)
        out = 0.0
        for k, branch in enumerate(s.branches):
            out = np.where(index == k, self.last(branch, xs, on & (index == k), at), out)
        return out

    def scan(self, s: Scan, xs, on, at):
        carry = xs[s.start]
        for i in reversed(range(s.length)) if s.kind == "reverse" else range(s.length):
            if s.kind == "while":
                on = on & (np.real(carry) < s.above)
            new = np.tanh(self.last(s.block, [*xs, carry, np.full(len(on), 0.5 * i)], on, at * s.length + i))
            carry = np.where(on, new, carry) if s.kind == "while" else new
        return carry

    def lanes(self, s: Lanes, xs, on, at):
        each = (
            self.last(s.block, [*xs, np.full(len(on), 0.5 * i - 0.3)], on, at * s.length + i) for i in range(s.length)
        )
        return sum(each)

    def wrap(self, s: Wrap, xs, on, at):
        return self.last(s.block, xs, on, at)

    def custom(self, s: Custom, xs, on, at):
        return apply(s.first, apply("tanh", xs[s.a], self.draw(s.draw, xs, on, at)), xs[s.b])

    def derive(self, s: Derive, xs, on, at):
        return np.imag(self.last(s.block, [*xs, xs[s.of] + STEP * 1j], on, at)) / STEP

    def nested(self, s: Nested, xs, on, at):
        if s.exact is not None:
            return self.enumerated(s, xs)
        outer, self.total = self.total, np.zeros(len(on))
        each = [self.last(s.block, xs, on, at * s.samples + k) for k in range(s.samples)]
        inner, self.total = self.total, outer
        return (sum(each) + inner) / s.samples

    def enumerated(self, s: Nested, xs):
        """Its expectation, for each combination of the outcomes around it."""
        own = outcomes(s.exact)
        n, m = len(self.outcomes), len(own)
        each = [np.repeat(x, m) for x in xs]
        objective, p = _Run(np.tile(own, (n, 1)), s.exact).total_of(s.block, each, np.ones(n * m, bool))
        return np.sum((objective * p).reshape(n, m), 1)


RULES = {
    Draw: _Run.draw,
    Unmarked: _Run.unmarked,
    Let: _Run.let,
    Cond: _Run.cond,
    Switch: _Run.switch,
    Scan: _Run.scan,
    Lanes: _Run.lanes,
    Wrap: _Run.wrap,
    Custom: _Run.custom,
    Derive: _Run.derive,
    Nested: _Run.nested,
}
