"""The report of an analysis: gaps by line, in the words of `find_gaps`, and what they starve by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ...gaps.report import ALARMING, Gap, GapReport, NotFinite, Verdict, overall
from . import remedies, words
from .analysis import Analysis
from .flow import Cut
from .places import Place
from .program import Program
from .recorder import INFERENCE


def report_of(program: Program, analysis: Analysis, optimizer: torch.optim.Optimizer | None) -> GapReport:
    return _Description(program, analysis).report(optimizer)


def gap_of(program: Program, analysis: Analysis, cut: Cut) -> Gap:
    return _Description(program, analysis).gap(cut)


class _Description:
    def __init__(self, program: Program, analysis: Analysis):
        self.program, self.found = program, analysis
        self.names = [source.name for source in program.sources]
        self.trainable = [n for n, source in enumerate(program.sources) if source.trainable]
        self.starved = [n for n in self.trainable if n not in analysis.flow.alive]
        values = analysis.run.record.values
        self.reaching = {values[n].source for n in analysis.flow.any}

    def report(self, optimizer: torch.optim.Optimizer | None) -> GapReport:
        gaps = [self.gap(cut) for cut in self._of_one_block()]
        gaps += self._raised() + self._frozen() + self._left_out(optimizer)
        gaps += self._unheard(gaps) + self._unused()
        per_leaf: dict[str, Verdict] = {self.names[n]: self._verdict(n, gaps) for n in self.trainable}
        return GapReport(
            verdict=overall(list(per_leaf.values())),
            per_leaf=per_leaf,
            gaps=tuple(_merged(gaps)),
            bridged=(),
            checked=not self.found.run.loss.is_meta,
            function=self.program.name,
            flat=self._flat(per_leaf),
            not_finite=self._not_finite(),
            starved=tuple(self.names[n] for n in self.starved),
        )

    # -- gaps

    def _of_one_block(self) -> list[Cut]:
        """The first cut of every block without autograd, with all that the block cuts."""
        kept: dict[tuple, Cut] = {}
        for cut in self.found.cuts:
            block = cut.step.block
            key = (
                ("block", block, cut.verdict)
                if block >= 0 and self._is_users(block) and not cut.step.draw
                else ("step", cut.step.number)
            )
            if key in kept:
                kept[key].leaves |= cut.leaves
                kept[key].starved |= cut.starved
            else:
                kept[key] = replace(cut, leaves=set(cut.leaves), starved=set(cut.starved))
        return list(kept.values())

    def _is_users(self, block: int) -> bool:
        place = self.found.run.record.blocks[block]
        return bool(place.file) or place.line == INFERENCE

    def gap(self, cut: Cut) -> Gap:
        step, note = cut.step, ""
        name = words.operation(step.custom or step.name, step.draw, step.dtype)
        if step.block >= 0 and self._is_users(step.block) and not step.draw:
            place = self.found.run.record.blocks[step.block]
            name = "torch.inference_mode block" if place.line == INFERENCE else "torch.no_grad block"
            note = f"autograd is off from {place.file}:{place.line} on" if place.file else ""
        kind = self._kind(cut)
        leaf = tuple(self.names[n] for n in sorted(cut.starved or cut.leaves))
        return _described(name, step.place, kind, cut.route, leaf, note, bool(step.custom))

    def _kind(self, cut: Cut) -> str:
        if cut.step.raises:
            return "no-rule"
        here_only = cut.step.number not in self.found.always_zero and not cut.step.custom
        if cut.killed and here_only and cut.verdict == "zero":
            return "intended" if cut.starved and cut.starved <= self.found.asleep else "saturated"
        return cut.verdict

    def _raised(self) -> list[Gap]:
        if self.found.raised is None:
            return []
        step, error = self.found.raised
        place = step.place if step else Place("", 0)
        name = words.operation(step.custom or step.name, step.draw, step.dtype) if step else "backward"
        # Whoever asks for a gradient gets the exception, whichever parameter it is for.
        leaf = tuple(self.names[n] for n in self.starved)
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        return [_described(name, place, "no-rule", "value", leaf, what, bool(step and step.custom))]

    def _frozen(self) -> list[Gap]:
        gaps = []
        for module in self.found.still:
            leaf = tuple(name for name in self.names if name.startswith(f"{module.name}."))
            gaps.append(_described(f"{module.what} module {module.name}", module.place, "intended", "value", leaf, ""))
        return gaps

    def _left_out(self, optimizer: torch.optim.Optimizer | None) -> list[Gap]:
        if optimizer is None:
            return []
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        left = [n for n in self.trainable if id(self.program.sources[n].tensor) not in held]
        if not left:
            return []
        return [
            _described(
                "left out of the optimizer", Place("", 0), "zero", "value", tuple(self.names[n] for n in left), ""
            )
        ]

    def _unheard(self, gaps: Sequence[Gap]) -> list[Gap]:
        """Parameters that reach the loss and get no gradient, though no operation that was heard cuts it."""
        named = {name for gap in gaps for name in gap.leaf}
        lost = tuple(self.names[n] for n in self.starved if n in self.reaching and self.found.grads[n] == "none")
        lost = tuple(name for name in lost if name not in named)
        return [_described("operation that was not heard", Place("", 0), "zero", "value", lost, "")] if lost else []

    def _unused(self) -> list[Gap]:
        unused = tuple(self.names[n] for n in self.starved if n not in self.reaching)
        return [_described("unused parameter", Place("", 0), "unused", "value", unused, "")] if unused else []

    # -- verdicts

    def _verdict(self, number: int, gaps: Sequence[Gap]) -> Verdict:
        kinds = {gap.kind for gap in gaps if self.names[number] in gap.leaf}
        alarming = bool(kinds & ALARMING)
        if number in self.starved and alarming:
            return "dead"
        # Not of use, or of none but to a target: it gets no gradient, and needs none.
        if number in self.starved and self.found.grads[number] == "none":
            return "independent"
        if alarming:
            return "partial"
        return "piecewise" if "piecewise" in kinds else "alive"

    def _flat(self, per_leaf: dict[str, Verdict]) -> tuple[str, ...]:
        """With a gradient of 0 here and nearby that no operation has for its own."""
        zero = [n for n in self.starved if self.found.grads[n] == "zero" and n not in self.found.asleep]
        return tuple(self.names[n] for n in zero if per_leaf[self.names[n]] != "dead")

    def _not_finite(self) -> NotFinite | None:
        if self.found.not_finite is None:
            return None
        step, of, makes = self.found.not_finite
        place = step.place if step else Place("", 0)
        name = words.operation(step.custom or step.name, step.draw, step.dtype) if step else "?"
        help_ = remedies.not_finite(of, makes)
        return NotFinite(of, makes, name, place.file, place.line, place.source, (), help_, place.function)


def _described(
    name: str, place: Place, kind: str, route: str, leaf: tuple[str, ...], note: str, custom: bool = False
) -> Gap:
    code = remedies.remedies(name, kind, route, custom)
    return Gap(name, place.file, place.line, place.source, kind, route, leaf, code, note=note)  # pyright: ignore[reportArgumentType]


def _merged(gaps: Sequence[Gap]) -> list[Gap]:
    """One entry for each operation on a line; the gravest kind is kept."""
    merged: dict[tuple, Gap] = {}
    for gap in gaps:
        key = gap.file, gap.line, gap.operation, gap.kind
        if old := merged.get(key):
            routes = "+".join(dict.fromkeys([*old.route.split("+"), *gap.route.split("+")]))
            gap = replace(old, route=routes, leaf=tuple(dict.fromkeys([*old.leaf, *gap.leaf])))
        merged[key] = gap
    return list(merged.values())
