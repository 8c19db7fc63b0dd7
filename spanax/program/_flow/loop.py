"""The rounds of one loop: what they hand on to each other, and what they append to lists."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ..._errors import SpanaxError
from ..._jaxprs import has_loop, operations
from ..._primitives import any_lane
from .._indexing.columns import Columns
from .._session import Cell, LiftError, line, session, unliftable
from .._values.cells import Container
from .._values.structure import Leaf, Node, Plan, Sometimes, join, snapshot, unchanged, unopened, varies
from .._values.unsettled import Unusable
from .._values.values import Array, Number, Slice
from .capture import Capture, capture
from .carry import Carry, End
from .conditionals import Get, Set, if_, truth
from .iterables import Counts, Items, Zipped
from .rounds import known_rounds, rounds_until

SHORT = 8  # a loop of no more rounds is written out ...
COPIES, SMALL = 32, 200  # ... as long as loops inside loops make no more copies than these, and they no more operations

# What tracing a round may end in where the rounds are not alike.
FAILED = (SpanaxError, TypeError, ValueError, IndexError, KeyError, AttributeError, UnboundLocalError)


def not_alike(why: str) -> LiftError:
    return unliftable(
        f"the rounds of a loop are not alike: {why}",
        "values that keep their shape and kind from round to round",
        "a loop of a known number of rounds, which is written out",
    )


class Loop:
    def __init__(self, body: Callable, going: Callable | None, get: Get, set_: Set, names: Sequence[str]):
        self.body, self.going, self.get, self.set, self.names = body, going, get, set_, names
        self.where = line()
        self.site = body.__code__, self.where
        self.whole = False  # may it be written out instead, where it makes a list that cannot be used?
        self.opened: set[int] = session().hints.setdefault(("opened", self.site), set())

    # -- rounds that are written out

    def once(self, item: Any) -> bool:
        """One round; may another follow?"""
        if self.going is None:
            self.body(item)
            return True
        going = truth(self.going())
        if isinstance(going, bool):
            if going:
                self.body(item)
            return going
        if_(Number(going, bool), lambda: self.body(item), lambda: None, self.get, self.set, self.names)
        return True

    def has_unknown(self) -> bool:
        outputs: list = []
        for value in self.get():
            snapshot(value, outputs, session().clock)
        return bool(outputs)

    def is_short(self, items: Items) -> bool:
        """Is it worth while to write its rounds out?"""
        copies = items.length * session().copies
        if items.length > SHORT or copies > COPIES:
            return False
        if ("size", self.site) not in session().hints:
            way = self.probe(lambda: items.known(0))
            session().hints["size", self.site] = 0 if way is None else sum(1 for _ in operations(way.program.jaxpr))
        return session().hints["size", self.site] * copies <= SMALL

    def probe(self, item: Callable[[], Any]) -> Capture | None:
        """A round that is traced, looked at, and undone; None where that fails."""
        now = session()
        before, now.probing = now.probing, True
        try:
            return capture(lambda: self.body(item()), self.get, self.set)
        except Exception:
            return None
        finally:
            now.probing = before

    def is_known(self, item: Callable[[], Any]) -> bool:
        """Does a round compute with known numbers only?"""
        if session().hints.get(("unknown", self.site)):
            return False
        entry = self.get()
        way = self.probe(item)
        if way is None:
            return False
        shots = [s for s, e in zip(way.state, entry, strict=True) if s.value is not e]
        shots += [s for _, s in way.cells.values()]
        known = not any(map(varies, shots)) and not way.program.effects and way.raised is None
        session().hints["unknown", self.site] = not known
        return known

    # -- rounds that stay a loop

    def through(self, items: Items, first: int) -> None:
        """The items from `first` on."""
        for views in (False, True):
            stacked = items.stacked(views)
            if stacked is None:
                raise not_alike("its items differ in shape or kind")
            columns, make = stacked
            columns = [c[first:] for c in columns]
            going = None if self.going is None else truth(self.going())
            if going is False:
                return
            touched: list[Array] = []
            watched = functools.partial(_watched, make, touched)
            self.columns = Columns(_counts(items), first, items.length)
            state, way, carry, plan, makers = self.settle([c[0] for c in columns], watched, going)
            columns += self.columns.cut()
            written = {id(source) for source in items.sources()} & {key[1] for key in way.cells if key != "fault"}
            if not written and not any(row.touched for row in touched):
                break
        if written and not all(isinstance(source, Array) for source in items.sources() if id(source) in written):
            raise not_alike("it goes through a list that it writes")
        self.finish(*self.scan(way, plan, columns, state, items.length - first, going), way, carry, makers)

    def scan(self, way: Capture, plan: Plan, columns: list, state: list, length: int, going: Any):
        appended, builders = _appended(way, self.entry_cells)

        def step(leaves, row):
            outs = way.run(*leaves, *row)
            return plan.outputs(1, outs), appended.outputs(0, outs)

        if going is None:
            return *known_rounds(step, state, columns, length, nested=has_loop(way.program)), builders

        def guarded(carried, row):
            leaves, runs = carried

            def run():
                outs = way.run(*leaves, *row)
                new = plan.outputs(1, outs)
                return [jnp.where(runs, b, a) for a, b in zip(leaves, new, strict=True)], jnp.where(
                    runs, _going(way, outs), runs
                )

            return lax.cond(any_lane(runs), run, lambda: (leaves, runs)), ()

        final, _ = known_rounds(
            lambda c, row: _pair(guarded, c, row), [*state, jnp.asarray(going)], columns, length, nested=True
        )
        return final[:-1], (), builders

    def until(self, going: jax.Array) -> None:
        """While the test holds, up to the bound."""
        self.bounded(going, [], lambda row: None)

    def tried_until(self, going: jax.Array) -> bool:
        self.whole = True
        try:
            self.until(going)
        except FAILED:
            return False
        finally:
            self.whole = False
        return True

    def bounded(self, going: jax.Array, extra: list, make: Callable) -> None:
        self.columns = Columns(range(0))
        state, way, carry, plan, makers = self.settle(extra, make, going)

        def step(leaves):
            outs = way.run(*leaves)
            return plan.outputs(1, outs), _going(way, outs)

        final, still = rounds_until(step, state, going, session().max_iterations, nested=has_loop(way.program))
        self.finish(final, (), [], way, carry, makers)
        session().check(still, self.bound_message(), self.where, *self.bound_remedies())

    def bound_message(self) -> str:
        return f"a loop reached its bound of {session().max_iterations} rounds, and its test still held"

    def bound_remedies(self) -> tuple[str, ...]:
        return ("sx.lift(f, max_iterations=...)", "a test that fails sooner, such as a looser tolerance")

    # -- what the rounds hand on

    def settle(self, extra: list, make: Callable, going: Any):
        """Traces the body until what it is given has the form of what it gives."""
        entry = self.get()
        carry = self.guess(entry)
        for _ in range(9):
            outputs = self.entry_outputs
            plan, makers = self.plan(carry)
            state = plan.outputs(0, outputs)
            columns = [column[0] for column in self.columns.cut()]
            way = capture(
                functools.partial(self.round, entry, carry, makers, make, len(state), len(extra)),
                self.get,
                self.set,
                examples=[*state, *extra, *columns],
                also=[cell for cell, _ in carry.cells.values()],
                opened=self.opened,
            )
            if way.raised:
                raise not_alike("each ends in an error") from way.raised.error
            written = {key[1] for key in way.cells if key[0] == "array"}
            if self.opens(entry, carry, way):
                continue
            if self.is_settled(entry, carry, way, plan, going) & self.columns.settle(written):
                session().hints["carry", self.site] = set(carry.names), [cell for cell, _ in carry.cells.values()]
                return state, way, carry, self.plan(carry)[0], makers
        raise not_alike("values change their form again and again")

    def opens(self, entry: tuple, carry: Carry, way: Capture) -> bool:
        """Do rounds hand on another object than they were given, of the same class? Both are then taken by their attributes."""
        pairs = [(self.entry_state[i], shot) for i, shot in enumerate(way.state)]
        pairs += [(self.cell_shot(cell), shot) for cell, shot in way.cells.values()]
        more = set().union(*map(unopened, pairs)) - self.opened
        self.opened |= more
        if more:
            self.entry_state = [self.shot(value) for value in entry]
            carry.names = {i: [self.entry_state[i]] for i in carry.names}
            for cell, _ in list(carry.cells.values()):
                self.add_cell(carry, cell)
        return bool(more)

    def shot(self, value: Any) -> Any:
        """Of a value as it is before the loop."""
        return snapshot(value, self.entry_outputs, session().clock, self.opened)

    def cell_shot(self, cell: Cell) -> Any:
        return snapshot(cell.read(), [], session().clock, self.opened)

    def guess(self, entry: tuple) -> Carry:
        """Names with numbers that the body assigns; arrays may stay where they are, and be written in place."""
        self.entry_outputs: list = []
        self.entry_state = list(map(self.shot, entry))
        self.entry_cells: dict[Any, Any] = {}
        names, cells = session().hints.get(("carry", self.site), (None, []))
        carry = Carry()
        for i, shot in enumerate(self.entry_state):
            if i in names if names is not None else isinstance(shot, Leaf) and not shot.array:
                carry.names[i] = [shot]
        for cell in cells:
            if session().is_alive(cell.born):
                self.add_cell(carry, cell)
        return carry

    def add_cell(self, carry: Carry, cell: Cell) -> None:
        carry.cells[cell.key] = cell, [self.shot(cell.read())]

    def plan(self, carry: Carry) -> tuple[Plan, dict]:
        plan, makers = Plan(), {}
        for i, shots in carry.names.items():
            makers[i] = join(plan, _two(shots), self.names[i], carried=True)
        for key, (cell, shots) in carry.cells.items():
            makers[key] = join(plan, _two(shots), cell.name, carried=True)
        for key, end in carry.ends.items():
            makers["end", key] = join(plan, _two(end.shots), "the end of a list", carried=True)
        return plan, makers

    def round(
        self, entry: tuple, carry: Carry, makers: dict, make: Callable, count: int, width: int, *given: Any
    ) -> Any:
        leaves, row, rows = given[:count], given[count : count + width], given[count + width :]
        state = list(entry)
        for i in carry.names:
            state[i] = makers[i](leaves)
        self.set(tuple(state))
        for key, (cell, _) in carry.cells.items():
            session().commit(cell, makers[key](leaves))
        for key, end in carry.ends.items():
            session().record(end.cell, end.cell.born)
            end.fresh = makers["end", key](leaves)
            end.cell.container[-end.length :] = end.fresh
        item = make(row)
        self.columns.enter(item, rows)
        session().columns.append(self.columns)
        try:
            self.body(item)
            return None if self.going is None else Number(jnp.asarray(truth(self.going())), bool)
        finally:
            session().columns.pop()

    def is_settled(self, entry: tuple, carry: Carry, way: Capture, plan: Plan, going: Any) -> bool:
        settled = True
        for i, shot in enumerate(way.state):
            if i in carry.names:
                carry.names[i] = [carry.names[i][0], shot]
            elif not unchanged(self.entry_state[i], shot, entry[i]):
                carry.names[i] = [self.entry_state[i], shot]
                settled = False
        for key, (cell, shot) in way.cells.items():
            if key in carry.cells:
                carry.cells[key] = cell, [carry.cells[key][1][0], shot]
            elif not (going is None and self.is_appended(carry, cell, shot, way)):
                self.entry_cells.pop(key, None)
                carry.ends.pop(key, None)
                self.add_cell(carry, cell)
                carry.cells[key] = cell, [carry.cells[key][1][0], shot]
                settled = False
        return settled and self.plan(carry)[0].shape == plan.shape

    def is_appended(self, carry: Carry, cell: Cell, shot: Any, way: Capture) -> bool:
        """Does a round only add to the end of a list, of which it reads the last elements at most?"""
        if not isinstance(cell, Container) or not isinstance(cell.container, list) or id(cell.container) in way.read:
            return False
        end = carry.ends.get(cell.key)
        before = list(cell.container)
        if end:
            before[-end.length :] = end.fresh
        same = len(shot.parts) > len(before) and all(p.value is b for p, b in zip(shot.parts, before, strict=False))
        if not same or not all(isinstance(p, (Leaf, Node, Sometimes)) for p in shot.parts[len(before) :]):
            return False
        self.entry_cells[cell.key] = len(before)
        length = max(len(before) - way.ends.get(id(cell.container), len(before)), 0)
        if length > (end.length if end else 0):
            shots = [snapshot(cell.container[-length:], self.entry_outputs, session().clock)]
            carry.ends[cell.key] = End(cell, length, shots)
        if cell.key in carry.ends:
            end = carry.ends[cell.key]
            end.shots = [end.shots[0], Node(None, list, tuple(range(end.length)), shot.parts[-end.length :])]
        return True

    def finish(self, final: Sequence, ys: Any, builders: list, way: Capture, carry: Carry, makers: dict) -> None:
        state = list(self.get())
        for i in carry.names:
            state[i] = makers[i](final)
        cells = [(cell, makers[key](final)) for key, (cell, _) in carry.cells.items()]
        if self.whole and any(isinstance(value, Unusable) for _, value in cells):
            raise not_alike("a list grows")
        self.set(tuple(state))
        for cell, value in cells:
            session().commit(cell, value)
        for array in way.lost:
            session().lose(array)
        for cell, makes in builders:
            session().record(cell, cell.born)
            for k in range(len(ys[0]) if ys else 0):
                cell.container.extend(make([Slice(y, k) for y in ys]) for make in makes)


def _counts(items: Items) -> range:
    """The values of the loop's index; none where it has none."""
    if isinstance(items, Counts):
        return items.counts
    if isinstance(items, Zipped):
        return next((part.counts for part in items.parts if isinstance(part, Counts)), range(0))
    return range(0)


def _pair(guarded: Callable, carried: list, row: Any):
    (leaves, runs), ys = guarded((carried[:-1], carried[-1]), row)
    return [*leaves, runs], ys


def _two(shots: list) -> list:
    """At the start, and after a round: the form that both fit."""
    return shots if len(shots) > 1 else [shots[0], shots[0]]


def _going(way: Capture, outs: Sequence) -> jax.Array:
    leaf = way.result
    return jnp.asarray(leaf.known if leaf.output is None else outs[leaf.output], bool).reshape(())


def _watched(make: Callable, rows: list, row: Sequence) -> Any:
    """An item; keeps the rows of arrays, to see whether they are written."""
    item = make(row)
    for part in item if isinstance(item, tuple) else (item,):
        if isinstance(part, Array) and part.stands_for:
            rows.append(part)
    return item


def _appended(way: Capture, lengths: dict) -> tuple[Plan, list]:
    """What a round adds to lists, as leaves, and how to make it of them."""
    plan, builders = Plan(), []
    for key, (cell, shot) in way.cells.items():
        if key in lengths:
            new = shot.parts[lengths[key] :]
            builders.append((cell, [join(plan, [part], "an item", carried=True) for part in new]))
    return plan, builders
