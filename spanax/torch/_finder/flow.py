"""What follows from a record: which values reach the loss, by which ways, and where a derivative ends that should not.

A cut is an operation that a derivative enters and does not leave. It is an alarm where a trainable parameter learns nothing
because of it, or where a part of the derivative is lost that no other way carries.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .backward import LEAF, Crossings
from .record import Record, Step, Use, Value
from .words import TESTS, selects

# `torch.autograd.grad` is among them: whoever wants to differentiate its result says `create_graph=True`.
EXPLICIT = frozenset("detach detach_ data.get requires_grad_ requires_grad.set grad".split())


@dataclass
class Cut:
    """A step that cuts. `leaves`: the sources whose derivative enters it. `starved`: those of them that get none at all. `route`:
    how what it makes reaches the loss. `verdict`: "zero", "intended" or "piecewise"."""

    step: Step
    entering: list[int]
    leaves: set[int]
    starved: set[int]
    route: str
    verdict: str = "zero"
    killed: bool = False  # autograd goes through it, and its derivative is 0


class Flow:
    """`loss`: the number of its value. `alive`: the sources with a derivative that is not 0; `zero`: with one that is.

    `faint`: steps whose derivative here is as good as 0. `targets`: the parameters of target networks. `returning`: exits whose
    value comes back and changes the loss, though no tensor carries it.
    """

    def __init__(
        self,
        record: Record,
        loss: int,
        live: bool,
        crossings: Crossings,
        alive: set[int],
        zero: Iterable[int],
        trainable: set[int],
        faint: Iterable[int] = (),
        targets: Iterable[int] = (),
    ):
        self.record, self.crossings = record, crossings
        self.trainable, self.faint, self.targets = trainable, set(faint), set(targets)
        self.returning: set[int] = set()
        self.zero = set(zero)
        self.always: set[int] = set()  # the steps whose derivative is 0 whatever goes in
        self._loss, self._is_live = loss, live
        self.come_back(())
        self.flowing = self._flowing()
        # A derivative that is as good as 0 somewhere on all its ways is not one, though its last digits arrive.
        reached = {record.values[n].source for n in self.flowing}
        self.alive = alive & reached if self.faint else alive
        # One whose gradient is 0 though no operation stops it, as where two terms cancel, is starved by no cut.
        self.fed = self.alive | (reached & self.zero)

    def come_back(self, exits: Iterable[int]) -> None:
        """These exits give values to the host by which the loss changes."""
        self.returning |= set(exits)
        self.values = self._reaching(lambda use: use.role == "value")
        self.indices = self._reaching(lambda use: use.role != "branch")
        self.any = self._reaching(lambda use: True)

    def sources(self, step: Step) -> set[int]:
        """The trainable sources whose derivative enters a step."""
        return self._sources(step.enters)

    def made_of(self, step: Step) -> set[int]:
        """The trainable sources that its values depend on, derivative or not."""
        return self._named(self._dependences, [use.value for use in step.uses])

    # The sources of all values are found in one pass, as the bits of a number: a loop has as many cuts as rounds.

    @functools.cached_property
    def _dependences(self) -> list[int]:
        return self._sources_of_all(lambda step, use: True)

    @functools.cached_property
    def _derivatives(self) -> list[int]:
        return self._sources_of_all(self.passes)

    def _sources_of_all(self, takes: Callable[[Step, Use], bool]) -> list[int]:
        found: list[int] = []
        of_step: dict[int, int] = {}
        for value in self.record.values:
            bits = 1 << value.source if value.source in self.trainable else 0
            if value.step >= 0:
                step = self.record.steps[value.step]
                # What a custom function makes goes into it again: of one that is made first, all uses are not known yet.
                if value.step not in of_step or step.custom:
                    ways = [found[use.value] for use in step.uses if use.value < value.number and takes(step, use)]
                    of_step[value.step] = functools.reduce(operator.or_, ways, 0)
                bits |= of_step[value.step]
            found.append(bits)
        return found

    def _named(self, bits_of: list[int], numbers: Iterable[int]) -> set[int]:
        bits = functools.reduce(operator.or_, (bits_of[number] for number in numbers), 0)
        return {source for source in self.trainable if bits >> source & 1}

    # -- what reaches the loss

    def _reaching(self, takes, without: frozenset[int] = frozenset()) -> set[int]:
        """The values that the loss depends on, by uses that `takes` says yes to, and not through the steps `without`."""
        steps, values = self.record.steps, self.record.values

        def uses_of(step: int) -> list[int]:
            return [use.value for use in steps[step].uses if takes(use)] if step >= 0 and step not in without else []

        front = [self._loss] if self._loss >= 0 else []
        for number in self.returning - without:
            role = self._route_of_exit(steps[number])
            front += [use.value for use in steps[number].uses if takes(use._replace(role=role))]
        seen: set[int] = set()
        while front:
            number = front.pop()
            if number not in seen:
                seen.add(number)
                front += uses_of(values[number].step)
        return seen

    def passes(self, step: Step, use: Use) -> bool:
        """Does the derivative of a step's result reach this input?"""
        if not use.live or step.number in self.faint:
            return False
        crossing = self.crossings.steps.get(step.number)
        if crossing is None or not crossing.entered:
            return True
        value = self.record.values[use.value]
        way = value.step if value.step >= 0 else (LEAF, value.source)
        # A custom function's derivative goes to its arguments, and not to what its forward got hold of by itself.
        if way in crossing.open or step.custom:
            return way in crossing.open
        # A view that was made anew has another node than the one that was recorded: then the step as a whole decides.
        return bool(crossing.open) and way not in crossing.shut

    def _flowing(self) -> set[int]:
        """The values whose derivative reaches the loss."""
        front = [self._loss] if self._loss >= 0 and self._is_live else []
        seen: set[int] = set()
        while front:
            number = front.pop()
            if number in seen:
                continue
            seen.add(number)
            step = self.record.values[number].step
            if step >= 0 and not self.record.steps[step].raises:
                here = self.record.steps[step]
                front += [use.value for use in here.uses if self.passes(here, use)]
        return seen

    # -- cuts

    def cuts(self) -> list[Cut]:
        found = [cut for step in self.record.steps if (cut := self._cut(step)) is not None]
        self._excuse(found)
        explicit = [cut for cut in found if is_explicit(cut.step)]
        for cut in explicit:
            cut.verdict = self._judge(cut, is_meant=True)
        # What only goes into cuts that are meant would have no derivative anyway.
        meant = frozenset(cut.step.number for cut in explicit if cut.verdict != "zero")
        beside = self._reaching(lambda use: True, meant)
        for cut in found:
            if not is_explicit(cut.step):
                cut.verdict = self._judge(cut, is_meant=self._is_shadowed(cut.step, beside))
        return found

    def _is_shadowed(self, step: Step, beside: set[int]) -> bool:
        return step.number not in self.returning and beside.isdisjoint(step.made)

    def _excuse(self, found: list[Cut]) -> None:
        """A cut does not starve sources whose derivative goes around it, and is 0 there for what went into other operations.

        So with what a computed index or mask might have selected, and has not this time.
        """
        here = [cut.starved for cut in found if cut.killed and cut.step.number not in self.always]
        flat = self.zero & set().union(*here)
        for cut in found:
            if not cut.killed:
                cut.starved -= flat if cut.route == "value" else self.zero

    def _cut(self, step: Step) -> Cut | None:
        entering = step.enters if step.cut else self._killed(step)
        route = self._route(step) if entering else ""
        leaves = self._sources(entering) if route else set()
        return Cut(step, entering, leaves, leaves - self.fed, route, killed=not step.cut) if leaves else None

    def _killed(self, step: Step) -> list[int]:
        """The values whose derivative enters a step that autograd goes through, and is 0 there."""
        crossing = self.crossings.steps.get(step.number)
        if crossing is None or not crossing.entered:
            return []
        return [use.value for use in step.uses if use.live and not self.passes(step, use)]

    def _route(self, step: Step) -> str:
        """How the results reach the loss; "" where they do not."""
        if step.number in self.returning:
            return self._route_of_exit(step)
        results = set(step.lost or step.made)
        reached = (("value", self.values), ("index", self.indices), ("branch", self.any))
        return next((route for route, numbers in reached if results & numbers), "")

    def _route_of_exit(self, step: Step) -> str:
        if step.name in TESTS:
            return "branch"
        # A whole number that comes back chooses, if a derivative is whole without it: what it starves is an alarm all the same.
        return "value" if any(self.record.values[use.value].floating for use in step.uses) else "index"

    def _sources(self, entering: Iterable[int]) -> set[int]:
        """The trainable sources that a derivative comes from, up to where it is cut already."""
        return self._named(self._derivatives, entering)

    @functools.cached_property
    def _around(self) -> list[int]:
        """Of each value: does one that it is made of reach the loss (bit 0: no parameter), and do these depend on data (bit 1)?

        A value that reaches the loss stands for what it is made of, and a part of a value is another value.
        """
        bits: list[int] = []
        for value in self.record.values:
            own = 2 * value.data + (value.number in self.flowing and value.source < 0)
            ends = value.number in self.flowing or (value.step >= 0 and selects(self.record.steps[value.step].name))
            bits.append(own if ends else self._joined(value, bits, own))
        return bits

    def _joined(self, value: Value, bits: list[int], own: int) -> int:
        """The bits of a value and of those whose derivative comes to it."""
        if value.step >= 0:
            here = self.record.steps[value.step]
            for use in here.uses:
                if use.value < value.number and self.passes(here, use):
                    own |= bits[use.value]
        return own

    # -- what is meant

    def _judge(self, cut: Cut, is_meant: bool) -> str:
        if cut.starved and not self._is_target(cut):
            return "zero"
        if cut.route != "value":
            return "piecewise"
        if is_meant or cut.step.block >= 0 or self._flows_around(cut):
            return "intended"
        return "zero"

    def _flows_around(self, cut: Cut) -> bool:
        """Does the value that enters, or one that it is made of, reach the loss with its derivative by another way?

        A parameter that is also used elsewhere, as in the other steps of a recurrent network, is not such a value, unless the cut
        depends on nothing but parameters: a mask of small weights.
        """
        if any(number in self.flowing for number in cut.entering):
            return True
        bits = [self._around[number] for number in cut.entering]
        return any(bit & 1 for bit in bits) or not any(bit & 2 for bit in bits)

    def _is_target(self, cut: Cut) -> bool:
        """Is it a target network: under `no_grad`, nothing enters but its own parameters, and nothing that learns comes after?"""
        return cut.step.block >= 0 and cut.leaves <= self.targets and not self._learns_after(cut.step)

    def _learns_after(self, step: Step) -> bool:
        """Does what a step makes go through a layer with parameters on its way to the loss?"""
        values, after = self.record.values, set(step.made)
        for later in self.record.steps[step.number + 1 :]:
            if after.isdisjoint(use.value for use in later.uses) or self.any.isdisjoint(later.made):
                continue
            after.update(later.made)
            # A part of the target network itself is under the same cover; what is not learns, or should.
            learning = self.trainable - self.targets if later.block >= 0 else self.trainable
            if any(values[use.value].source in learning for use in later.uses):
                return True
        return False


def is_explicit(step: Step) -> bool:
    return step.name in EXPLICIT or (step.block >= 0 and not step.draw)
