"""Small random programs, their Spanax form, and an independent reference in plain NumPy.

A program is a list of statements over a growing list of scalars. The reference runs all assignments of values to
draws at once, as vectors, and sums them with their probabilities; its derivatives are central differences.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from hypothesis import assume, strategies as st
from jax import lax

import spanax as sx

OPERATIONS = {
    "add": lambda m, a, b: a + b,
    "mul": lambda m, a, b: a * b,
    "sin": lambda m, a, b: m.sin(a + 0.3 * b),
    "tanh": lambda m, a, b: m.tanh(a - b),
}


@dataclasses.dataclass(frozen=True)
class Draw:
    kind: str  # "bernoulli" or "categorical"
    by: int
    slot: int  # first of its forced values; a draw in a loop has one for each pass

    @property
    def values(self):
        return 2 if self.kind == "bernoulli" else 3


@dataclasses.dataclass(frozen=True)
class Let:
    operation: str
    a: int
    b: int


@dataclasses.dataclass(frozen=True)
class Cost:
    of: int


@dataclasses.dataclass(frozen=True)
class Cond:
    by: int
    above: float
    yes: tuple
    no: tuple


@dataclasses.dataclass(frozen=True)
class Scan:
    start: int
    block: tuple
    length: int
    reverse: bool


@dataclasses.dataclass(frozen=True)
class Wrap:
    how: str  # "jit", "checkpoint", "custom_jvp"
    block: tuple


class _Builder:
    """Draws statements from hypothesis' data; counts slots so that enumeration stays small."""

    def __init__(self, pick, limit, around=("cond", "scan", "wrap"), wraps=("jit", "checkpoint", "custom_jvp")):
        self.pick, self.limit, self.around, self.wraps = pick, limit, list(around), wraps
        self.slots = []  # number of values of each forced slot

    def size(self):
        return int(np.prod(self.slots, dtype=int)) if self.slots else 1

    def draw_statement(self, n, passes):
        kind = self.pick(st.sampled_from(["bernoulli", "bernoulli", "categorical"]))
        draw = Draw(kind, self.pick(st.integers(0, n - 1)), len(self.slots))
        if self.size() * draw.values**passes > self.limit:
            return None
        self.slots += [draw.values] * passes
        return draw

    def block(self, n, depth, passes, length):
        """Statements, each of which adds one scalar (a cost adds none), starting from n scalars."""
        out = []
        for _ in range(length):
            kinds = ["draw", "draw", "let", "cost"] + self.around * (depth > 0)
            statement = self.statement(self.pick(st.sampled_from(kinds)), n, depth, passes)
            if statement is not None:
                out.append(statement)
                n += not isinstance(statement, Cost)
        out.append(Let(self.pick(st.sampled_from(sorted(OPERATIONS))), n - 1, self.pick(st.integers(0, n - 1))))
        return tuple(out)

    def statement(self, kind, n, depth, passes):
        index = st.integers(0, n - 1)
        if kind == "draw":
            return self.draw_statement(n, passes)
        if kind == "let":
            return Let(self.pick(st.sampled_from(sorted(OPERATIONS))), self.pick(index), self.pick(index))
        if kind == "cost":
            return Cost(self.pick(index))
        if kind == "cond":
            yes, no = (self.block(n, depth - 1, passes, 2) for _ in range(2))
            return Cond(self.pick(index), self.pick(st.sampled_from([-0.45, 0.35, 0.55])), yes, no)
        if kind == "scan":
            length = self.pick(st.integers(2, 3))
            block = self.block(n + 2, depth - 1, passes * length, 2)
            return Scan(self.pick(index), block, length, self.pick(st.booleans()))
        return Wrap(self.pick(st.sampled_from(self.wraps)), self.block(n, depth - 1, passes, 2))


@dataclasses.dataclass(frozen=True)
class RandomProgram:
    block: tuple
    slots: tuple

    def assignments(self):
        return np.array(list(itertools.product(*(range(n) for n in self.slots))), float).reshape(-1, len(self.slots))


@st.composite
def random_programs(draw, limit=48, depth=2, length=3):
    builder = _Builder(draw, limit)
    block = builder.block(3, depth, 1, length)
    assume(builder.slots)
    return RandomProgram(block, tuple(builder.slots))


@st.composite
def straight_programs(draw, limit=32, starts_with_draw=False):
    """Without scans, and without what a branching bridge cannot run again."""
    builder = _Builder(draw, limit, around=("cond", "wrap"), wraps=("jit", "checkpoint"))
    first = (builder.draw_statement(3, 1),) if starts_with_draw else ()
    block = first + builder.block(3 + len(first), 2, 1, 4)
    assume(builder.slots)
    return RandomProgram(block, tuple(builder.slots))


# -- the Spanax form


class Forced(sx.Score):
    """A score-function draw with a value that is given: for the exact expectation of an estimator."""

    value: jax.Array

    @property
    def facts(self):
        return sx.ScoreFunction(None).facts

    def draw(self, key, distribution):
        like = sx.ScoreFunction(None).draw(key, distribution)
        return self.value.astype(like.dtype)

    def advantage(self, togo, others):
        return togo


def distribution_of(statement, x):
    if statement.kind == "bernoulli":
        return dist.Bernoulli(logits=x)
    return dist.Categorical(logits=jnp.stack([x, jnp.sin(3 * x), 0.5 - x]))


def spanax_form(program, via):
    """f(theta, forced, *, key) for `via(statement, forced value) -> bridge`; forced has one entry for each slot."""

    def f(theta, forced, *, key):
        xs = _run(program.block, [theta[0], theta[1], theta[2]], forced, key, via)
        return xs[-1]

    return f


def _slots_below(block, passes=1):
    for s in block:
        if isinstance(s, Draw):
            yield s, passes
        elif isinstance(s, Cond):
            yield from _slots_below(s.yes + s.no, passes)
        elif isinstance(s, Scan):
            yield from _slots_below(s.block, passes * s.length)
        elif isinstance(s, Wrap):
            yield from _slots_below(s.block, passes)


def _run(block, xs, forced, key, via):
    """`forced`: by first slot of a draw, its values in this scope. `via=None` runs plainly: forced values, no draws, no costs."""
    xs = list(xs)
    for i, s in enumerate(block):
        key_i = jax.random.fold_in(key, i)
        if isinstance(s, Draw):
            z = forced[s.slot][0]
            if via:
                z = sx.sample(key_i, distribution_of(s, xs[s.by]), via=via(s, z))
            xs.append(z.astype(xs[0].dtype))
        elif isinstance(s, Let):
            xs.append(OPERATIONS[s.operation](jnp, xs[s.a], xs[s.b]))
        elif isinstance(s, Cost):
            if via:
                sx.cost(xs[s.of])
        elif isinstance(s, Cond):
            yes, no = _last_of(s.yes, via), _last_of(s.no, via)
            xs.append(lax.cond(xs[s.by] > s.above, yes, no, xs, forced, jax.random.fold_in(key_i, 7)))
        elif isinstance(s, Scan):
            xs.append(_run_scan(s, xs, forced, key_i, via))
        else:
            wrapped = _wrapped(s.how if via else "jit", _last_of(s.block, via), _last_of(s.block, None))
            xs.append(wrapped(xs, forced, key_i))
    return xs


def _last_of(block, via):
    return lambda xs, forced, key: _run(block, xs, forced, key, via)[-1]


def _run_scan(s, xs, forced, key, via):
    inside = {d.slot: forced[d.slot].reshape(s.length, -1) for d, _ in _slots_below(s.block)}

    def body(carry, x):
        i, mine = x
        out = _run(s.block, [*xs, carry, 0.5 * i], mine, jax.random.fold_in(key, i.astype(int)), via)[-1]
        return jnp.tanh(out), None

    return lax.scan(body, xs[s.start], (jnp.arange(s.length, dtype=xs[0].dtype), inside), reverse=s.reverse)[0]


def _wrapped(how, fn, plain):
    if how == "jit":
        return jax.jit(fn)
    if how == "checkpoint":
        return jax.checkpoint(fn)
    wrapped = jax.custom_jvp(fn)
    wrapped.defjvp(lambda primals, tangents: jax.jvp(lambda xs: plain(xs, *primals[1:]), primals[:1], tangents[:1]))
    return wrapped


def slot_arrays(program, values):
    """The vector of forced values as a dictionary by the first slot of each statement."""
    return {d.slot: values[d.slot : d.slot + n] for d, n in _slots_below(program.block)}


# -- the reference


class Reference:
    """All assignments at once: each scalar is a vector over assignments."""

    def __init__(self, program):
        self.program, self.values = program, program.assignments()

    def run(self, theta):
        """f + costs, and the log-probability of each assignment (unused slots: uniform)."""
        n = len(self.values)
        self.total, self.log_p = np.zeros(n), np.zeros(n)
        self.used = np.zeros(self.values.shape, bool)
        xs = self.block(self.program.block, [np.full(n, t) for t in theta], np.ones(n, bool), 0, {})
        unused = np.sum(
            np.where(self.used, 0.0, -np.log(np.array(self.program.slots or [1.0])[: self.values.shape[1]])), 1
        )
        return xs[-1] + self.total, self.log_p + unused

    def expectation(self, theta):
        objective, log_p = self.run(theta)
        return np.sum(np.exp(log_p) * objective)

    def block(self, block, xs, on, at, offsets):
        xs = list(xs)
        for s in block:
            if isinstance(s, Draw):
                xs.append(self.draw(s, xs[s.by], on, offsets.get(s.slot, 0)))
            elif isinstance(s, Let):
                xs.append(OPERATIONS[s.operation](np, xs[s.a], xs[s.b]))
            elif isinstance(s, Cost):
                self.total = self.total + np.where(on, xs[s.of], 0.0)
            elif isinstance(s, Cond):
                yes = xs[s.by] > s.above
                a = self.block(s.yes, xs, on & yes, at, offsets)[-1]
                b = self.block(s.no, xs, on & ~yes, at, offsets)[-1]
                xs.append(np.where(yes, a, b))
            elif isinstance(s, Scan):
                carry = xs[s.start]
                order = range(s.length - 1, -1, -1) if s.reverse else range(s.length)
                for i in order:
                    inner = {d.slot: offsets.get(d.slot, 0) + i * n for d, n in _slots_below(s.block)}
                    carry = np.tanh(self.block(s.block, [*xs, carry, np.full_like(carry, 0.5 * i)], on, at, inner)[-1])
                xs.append(carry)
            else:
                xs.append(self.block(s.block, xs, on, at, offsets)[-1])
        return xs

    def draw(self, s, x, on, offset):
        z = self.values[:, s.slot + offset]
        if s.kind == "bernoulli":
            log_p = -np.logaddexp(0, np.where(z > 0, -x, x))
        else:
            logits = np.stack([x, np.sin(3 * x), 0.5 - x])
            log_p = logits[z.astype(int), np.arange(len(x))] - np.log(np.sum(np.exp(logits), 0))
        self.log_p = self.log_p + np.where(on, log_p, 0.0)
        self.used[:, s.slot + offset] |= on
        return z


def finite_gradient(f, theta, h=1e-5):
    eye = np.eye(len(theta)) * h
    return np.array([(f(theta + e) - f(theta - e)) / (2 * h) for e in eye])


def finite_hessian(f, theta, h=1e-4):
    return finite_gradient(lambda t: finite_gradient(f, t, h), np.asarray(theta), h)
