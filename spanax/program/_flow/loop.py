"""One loop of the program: its iterations written out one by one, or as a scan of one traced iteration.

A loop that is written out compiles as many copies of its body; one that stays a loop needs iterations that are alike. Which
of them is decided in `loops`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ..._errors import SpanaxError
from ..._jaxprs import has_loop, operations
from ..._primitives import any_over_vmap
from .._indexing.columns import LoopColumns
from .._session import line, session
from .._values.snapshots import snapshot, varies
from .._values.unsettled import Unusable
from .._values.values import LiftedArray, Number, Slice
from .capture import Capture, capture
from .carry import plan_appended
from .conditionals import Get, Set, if_, truth
from .iterables import Counts, Items, Zipped
from .iteration import BodyTracing, LoopBlock, SettledBody, not_alike
from .scans import scan_known, scan_until

SHORT = 8  # a loop of no more iterations is written out ...
COPIES, SMALL = 32, 200  # ... as long as loops inside loops make no more copies than these, and they no more operations

# What tracing an iteration may end in where the iterations are not alike.
FAILED = (SpanaxError, TypeError, ValueError, IndexError, KeyError, AttributeError, UnboundLocalError)


class Loop:
    def __init__(self, body: Callable, test: Callable | None, get: Get, set_: Set, names: Sequence[str]):
        # The line that is traced now is the loop's; in its iterations it will be another. The code alone would not do: a helper
        # that is called from two places has one body, whose iterations may be alike in one call and not in the other.
        self.where = line()
        self.site = body.__code__, self.where
        self.block = LoopBlock(body, test, get, set_, names, self.site)
        self.whole = False  # may it be written out instead, where it makes a list that cannot be used?

    # -- iterations that are written out

    def run_once(self, item: Any) -> bool:
        """Runs one iteration; returns whether another may follow."""
        block = self.block
        if block.test is None:
            block.body(item)
            return True
        going = truth(block.test())
        if isinstance(going, bool):
            if going:
                block.body(item)
            return going
        # A test that is not known: the body runs under an `if`, and so do all that follow. The state stays as it was where it
        # fails.
        if_(Number(going, bool), lambda: block.body(item), lambda: None, block.get, block.set, block.names)
        return True

    def has_unknown(self) -> bool:
        outputs: list = []
        for value in self.block.get():
            snapshot(value, outputs, session().clock)
        return bool(outputs)

    def is_short(self, items: Items) -> bool:
        """Is the loop short enough to be written out?"""
        copies = items.length * session().copies
        if items.length > SHORT or copies > COPIES:
            return False
        # The size of the body is measured once: a loop inside a loop is asked again at each of the outer one's tracings.
        if ("size", self.site) not in session().hints:
            trial = self.probe(lambda: items.item_at(0))
            size = 0 if trial is None else sum(1 for _ in operations(trial.program.jaxpr))
            session().hints["size", self.site] = size
        return session().hints["size", self.site] * copies <= SMALL

    def probe(self, item: Callable[[], Any]) -> Capture | None:
        """Traces an iteration and undoes it; None if that fails."""
        now = session()
        before, now.probing = now.probing, True
        try:
            return capture(lambda: self.block.body(item()), self.block.get, self.block.set)
        except Exception:  # of whatever kind: run for good, it fails in the same way, and says so
            return None
        finally:
            now.probing = before

    def is_known(self, item: Callable[[], Any]) -> bool:
        """Does an iteration compute with known numbers only?"""
        if session().hints.get(("unknown", self.site)):
            return False
        # Such a loop computes a table or draws a text: its values are constants, and a scan would make traced numbers of them.
        entry = self.block.get()
        trial = self.probe(item)
        if trial is None:
            return False
        shots = [s for s, e in zip(trial.state, entry, strict=True) if s.value is not e]
        shots += [s for _, s in trial.cells.values()]
        known = not any(map(varies, shots)) and not trial.program.effects and trial.raised is None
        session().hints["unknown", self.site] = not known
        return known

    # -- iterations that stay a loop

    def scan_items(self, items: Items, first: int) -> None:
        """Runs the items from `first` on as a scan."""
        # Rows of the arrays that it goes through are the scan's inputs. If the body writes these arrays, the rows are stale,
        # and the items are read from the arrays by their index instead.
        for views in (False, True):
            inputs, make_item = _stack_from(items, first, views)
            going = None if self.block.test is None else truth(self.block.test())
            if going is False:
                return
            rows: list[LiftedArray] = []
            make = functools.partial(_make_watched, make_item, rows)
            columns = LoopColumns(_counts(items), first, items.length)
            settled = BodyTracing(self.block, columns, [column[0] for column in inputs], make, going).settle()
            inputs += columns.scan_inputs()
            written = _written_sources(items, settled.capture)
            if not written and not any(row.touched for row in rows):
                break
        if not all(isinstance(source, LiftedArray) for source in written):
            raise not_alike("it goes through a list that it writes")
        self.scan(settled, inputs, items.length - first, going)

    def scan(self, settled: SettledBody, inputs: list, length: int, going: jax.Array | bool | None) -> None:
        if going is None:
            self.scan_all(settled, inputs, length)
        else:
            self.scan_while(settled, inputs, length, going)

    def scan_all(self, settled: SettledBody, inputs: list, length: int) -> None:
        """Scans all of the items."""
        # What is appended leaves the scan as stacked outputs, and the list gets slices of the stacks: cut only where they are
        # read.
        appended, builders = plan_appended(settled.capture, settled.lengths)

        def step(leaves, row):
            outputs = settled.capture.evaluate(*leaves, *row)
            return settled.plan.outputs(1, outputs), appended.outputs(0, outputs)

        nested = has_loop(settled.capture.program)
        final, ys = scan_known(step, settled.start, inputs, length, nested=nested)
        self.finish(settled, final)
        for cell, makes in builders:
            session().record(cell, cell.born)
            for k in range(len(ys[0]) if ys else 0):
                cell.container.extend(make([Slice(y, k) for y in ys]) for make in makes)

    def scan_while(self, settled: SettledBody, inputs: list, length: int, going: jax.Array | bool) -> None:
        """Scans the items as long as the test holds; a flag in the carry says whether it does."""

        def step(carry, row):
            leaves, runs = carry[:-1], carry[-1]

            def run():
                outputs = settled.capture.evaluate(*leaves, *row)
                new = settled.plan.outputs(1, outputs)
                still = jnp.where(runs, _test_of(settled.capture, outputs), runs)
                return [*(jnp.where(runs, b, a) for a, b in zip(leaves, new, strict=True)), still]

            # Under vmap the branch is taken while any of the batch runs; those that do not keep their state.
            return lax.cond(any_over_vmap(runs), run, lambda: [*leaves, runs]), ()

        final, _ = scan_known(step, [*settled.start, jnp.asarray(going)], inputs, length, nested=True)
        self.finish(settled, final[:-1])

    def scan_test(self, going: jax.Array) -> None:
        """Runs the body while the test holds, up to the bound."""
        settled = BodyTracing(self.block, LoopColumns(range(0)), [], lambda row: None, going).settle()

        def step(leaves):
            outputs = settled.capture.evaluate(*leaves)
            return settled.plan.outputs(1, outputs), _test_of(settled.capture, outputs)

        nested = has_loop(settled.capture.program)
        final, still = scan_until(step, settled.start, going, session().max_iterations, nested=nested)
        self.finish(settled, final)
        session().check(still, self.bound_message(), self.where, *self.bound_remedies())

    def try_scan_test(self, going: jax.Array) -> bool:
        """`scan_test`, where the iterations are alike; False where they are not."""
        # The test is known and holds, but is traced as if it were not. If the body does not fit a loop, the iterations are run
        # one by one as before: nothing of the trial is left, as a block that fails is undone.
        self.whole = True
        try:
            self.scan_test(going)
        except FAILED:
            return False
        finally:
            self.whole = False
        return True

    def bound_message(self) -> str:
        return f"a loop reached its bound of {session().max_iterations} iterations, and its test still held"

    def bound_remedies(self) -> tuple[str, ...]:
        return ("sx.lift(f, max_iterations=...)", "a test that fails sooner, such as a looser tolerance")

    def finish(self, settled: SettledBody, final: Sequence) -> None:
        """Gives names and cells the values that the last iteration has left."""
        state = list(self.block.get())
        for i in settled.carry.names:
            state[i] = settled.makers[i](final)
        # All values are made before the first is written, as making one may read a cell.
        cells = [(cell, settled.makers[key](final)) for key, (cell, _) in settled.carry.cells.items()]
        # A list that grows by an unknown number of elements has no counterpart. Where the loop is short enough, it is written
        # out.
        if self.whole and any(isinstance(value, Unusable) for _, value in cells):
            raise not_alike("a list grows")
        self.block.set(tuple(state))
        for cell, value in cells:
            session().commit(cell, value)
        for array in settled.capture.lost:
            session().lose(array)


def _stack_from(items: Items, first: int, views: bool) -> tuple[list, Callable]:
    """The scan's inputs from the item `first` on, and how an item is made of their rows."""
    stacked = items.stack(views)
    if stacked is None:
        raise not_alike("its items differ in shape or kind")
    return [column[first:] for column in stacked[0]], stacked[1]


def _counts(items: Items) -> range:
    """The values of the loop's index; an empty range if it has none."""
    if isinstance(items, Counts):
        return items.counts
    if isinstance(items, Zipped):
        return next((part.counts for part in items.parts if isinstance(part, Counts)), range(0))
    return range(0)


def _written_sources(items: Items, body: Capture) -> list:
    """The arrays and lists that the loop goes through and its body writes."""
    written = {key[1] for key in body.cells if key != "fault"}
    return [source for source in items.sources() if id(source) in written]


def _test_of(body: Capture, outputs: Sequence) -> jax.Array:
    """Does the test hold after the iteration?"""
    leaf = body.result
    return jnp.asarray(leaf.known if leaf.output is None else outputs[leaf.output], bool).reshape(())


def _make_watched(make: Callable, rows: list, row: Sequence) -> Any:
    """Makes an item, and keeps its rows of arrays to see later whether they were written."""
    item = make(row)
    for part in item if isinstance(item, tuple) else (item,):
        if isinstance(part, LiftedArray) and part.stands_for:
            rows.append(part)
    return item
