"""Running a traced program so that the values of its gaps are seen: to tell which of them flips at a jump."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from ..._jaxprs import (
    PLAIN_CALLS,
    ClosedJaxpr,
    Jaxpr,
    JaxprEqn,
    Literal,
    P,
    body,
    cond_branches,
    evaluate,
    evaluate_jaxpr,
    opened,
    scan_parts,
    while_parts,
)
from .cuts import Cut

Path = tuple[int, ...]
Records = dict[tuple[Path, int], Array]  # (program, its equation) -> values; with an axis for each scan around


class Recorder:
    """The values that the gaps of a program cut, at given inputs."""

    def __init__(self, closed: ClosedJaxpr, cuts: Sequence[Cut]):
        self.closed = closed
        self.watched: Mapping[Path, set[Any]] = {}
        for cut in cuts:
            self.watched.setdefault(cut.path, set()).update(cut.lost)
        # Only programs that hold a watched equation are entered; the rest runs as JAX has it, compiled as a whole.
        self.prefixes = {path[:k] for path in self.watched for k in range(len(path) + 1)}

    def __call__(self, *args: Array) -> Records:
        return self.run(self.closed.jaxpr, self.closed.consts, args, ())[1]

    def watches(self, path: Path, eqn: JaxprEqn) -> bool:
        return any(v in self.watched.get(path, ()) for v in eqn.outvars)

    def run(self, jaxpr: Jaxpr, consts: Sequence, args: Sequence, path: Path) -> tuple[list, Records]:
        env = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))
        records: Records = {}
        for i, eqn in enumerate(jaxpr.eqns):
            ins = [v.val if isinstance(v, Literal) else env[v] for v in eqn.invars]
            outs, inner = self.step(eqn, ins, (*path, i))
            env.update(zip(eqn.outvars, outs, strict=True))
            records.update(inner)
            if self.watches(path, eqn):
                # Raveled and cast, so that records can be compared and summed whatever the operation was.
                records[path, i] = jnp.concatenate([jnp.ravel(x).astype(float) for x in outs])
        return [v.val if isinstance(v, Literal) else env[v] for v in jaxpr.outvars], records

    def step(self, eqn: JaxprEqn, ins: list, path: Path) -> tuple[list, Records]:
        if path in self.prefixes:
            if eqn.primitive in PLAIN_CALLS:
                return self.run(*body(eqn), ins, path)
            if eqn.primitive in _INSIDE:
                return _INSIDE[eqn.primitive](self, eqn, ins, path)
        return evaluate(eqn, ins), {}

    def scan(self, eqn, ins, path):
        parts = scan_parts(eqn)
        consts, start, rows = parts.split(ins)

        def step(carry, xs):
            outs, records = self.run(*opened(parts.body), [*consts, *carry, *xs], path)
            carry, ys = parts.split_outs(outs)
            return carry, (ys, records)

        carry, (ys, records) = lax.scan(step, start, rows, length=parts.length, reverse=parts.reverse)
        return [*carry, *ys], records

    def cond(self, eqn, ins, path):
        """Every branch returns the records of all: zeros for those that it does not take."""

        def branch(k, program):
            return lambda ins: self.run(*opened(program), ins, (*path, k))

        # lax.switch wants the same outputs of all branches, and which branch was taken is itself a record that flips.
        branches = [branch(k, program) for k, program in enumerate(cond_branches(eqn))]
        nothing = {}
        for run in branches:
            nothing.update(jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(run, ins[1:])[1]))

        def pad(run):
            def both(ins):
                outs, records = run(ins)
                return outs, {**nothing, **records}

            return both

        return lax.switch(ins[0], list(map(pad, branches)), ins[1:])

    def loop(self, eqn, ins, path):
        """Of a loop whose length is unknown: the sum over its passes, each with a weight of its own."""
        parts = while_parts(eqn)
        test, inner, (tested, consts, first) = opened(parts.test), opened(parts.body), parts.split(ins)

        def run(carry):
            return self.run(*inner, [*consts, *carry], (*path, 1))

        def step(state):
            carry, total, k = state
            outs, records = run(carry)
            # A plain sum would not see two iterations swap their values. cos(k) for whole k never repeats, so a
            # change in any iteration changes the sum, but for coincidences.
            return outs, jax.tree.map(lambda t, x: t + x * jnp.cos(k), total, records), k + 1.0

        shapes = jax.eval_shape(run, first)[1]
        start = (first, jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes), jnp.zeros((), float))
        outs, records, passes = lax.while_loop(lambda state: evaluate_jaxpr(*test, *tested, *state[0])[0], step, start)
        tests = {((*path, 0), i): passes[None] for i, e in enumerate(test[0].eqns) if self.watches((*path, 0), e)}
        return outs, {**records, **tests}  # what the condition compares changes where the number of passes does


_INSIDE = {P.scan_p: Recorder.scan, P.cond_p: Recorder.cond, P.while_p: Recorder.loop}
