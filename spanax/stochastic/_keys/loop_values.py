"""What a loop carries from iteration to iteration, as numbered values: the same value, a counter, or one of a chain.

This is induction-variable analysis: one abstract iteration from an unknown start shows what the body adds to each variable.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..._jaxprs import aval
from ..flow import Path
from .array_parts import Value, within_chains
from .counts import Linear, Term
from .integers import Bound
from .values import Values, is_key


class Carried(NamedTuple):
    """One variable of a loop: before it, at the start of an unknown iteration, and as the iteration before handed it on."""

    init: Value
    variable: Any
    start: Value
    before: Value

    @classmethod
    def of(cls, values: Values, init: Value, variable: Any, loop: Path) -> Carried:
        # With what the initial value determines: whatever is handed on must determine it too, or it is dropped in
        # `_in_chain`.
        start, before = values.loop_start(init, getattr(aval(variable), "shape", ()), loop)
        return cls(init, variable, start._replace(determines=init.determines), before)

    @property
    def shape(self) -> tuple[int, ...]:
        return getattr(aval(self.variable), "shape", ())

    def at_start(self, values: Values, out: Value, loop: Path) -> Value:
        """What an iteration starts with. `out`: what it hands on if it starts with `self.start`."""
        # Handed on as it came: each iteration starts with the initial value.
        if out.number == self.start.number:
            return self.init
        # Counts before chains: a counter determines its iteration by itself, a chain only through its descent.
        if (count := self._count(values, out, loop)) is not None:
            return count
        return self._in_chain(values, out, loop)

    def length_bound(self, values: Values, test: Value, out: Value) -> Bound | None:
        """The iterations of a while loop, where this is its counter."""
        first, step = self._progression(values, out)
        bound = values.integers.length_bound(test, self.start, first, step) if first is not None else None
        # A counter that wraps around before it fails the test does not bound anything.
        if first is None or bound is None:
            return None
        return bound if first.plus(Linear(step * bound.length)).fits(aval(self.variable).dtype) else None

    def _progression(self, values: Values, out: Value) -> tuple[Linear | None, int]:
        """What it counts from, and the integer that each iteration adds."""
        dtype, after = getattr(aval(self.variable), "dtype", None), values.integers.linear(out)
        if dtype is None or after is None or is_key(aval(self.variable)):
            return None, 0
        old, first = values.integers.as_linear(self.start, dtype), values.integers.as_linear(self.init, dtype)
        # The same step in each iteration: what is added must not vary with anything.
        if old is None or first is None or (step := after.plus(old, -1)).terms or not step.offset:
            return None, 0
        return first, step.offset

    def _count(self, values: Values, out: Value, loop: Path) -> Value | None:
        """The number of an iteration, where each adds the same integer."""
        first, step = self._progression(values, out)
        if first is None:
            return None
        length, dtype = values.lengths[loop], aval(self.variable).dtype
        total = first.plus(Linear(0, frozenset([Term(loop, step, length)] if length != 1 else [])))
        # The last iteration hands on one step more than any starts with; it must not wrap around either.
        ends = total if length is None else total.plus(Linear(step))
        return values.count(total, self.shape) if ends.fits(dtype) and total.fits(dtype) else None

    def _in_chain(self, values: Values, out: Value, loop: Path) -> Value:
        """A value that each iteration makes of the last one, such as a key that it splits."""
        init = self.init
        descends = values.equality.descends(out, self.start)
        # From a single key, descent keeps other coordinates apart in every iteration: children of different keys differ,
        # however deep. Of anything else that holds only for values of the same iteration.
        needed = init.chains if descends and len(init.sources) == 1 else init.chains | {loop}
        both = dict(init.determines)
        determines = within_chains(((c, given | both[c]) for c, given in out.determines if c in both), needed)
        chains = init.chains | ({loop} if descends else set())
        return values.note(self.start._replace(determines=determines, chains=chains))
