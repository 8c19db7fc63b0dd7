"""The passes over a program: forward, back, and again where the first ones leave a doubt."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from ..._errors import SpanaxError
from . import words
from .again import derivative_elsewhere, first_not_finite, returning
from .backward import Backward, Crossing, Crossings, gradients
from .flow import Cut, Flow
from .guard import Guard
from .modules import Still, still, targets
from .program import Program, Run
from .record import Step
from .stopping import without_derivative
from .tensors import is_finite, is_zero, largest, numbers


@dataclass
class Analysis:
    """What was found. `grads`: of each source, whether there is a gradient and whether it is 0: "none", "zero", "some"."""

    run: Run
    flow: Flow
    cuts: list[Cut]
    grads: list[str]
    raised: tuple[Step | None, Exception] | None = None
    always_zero: set[int] = field(default_factory=set)
    asleep: set[int] = field(default_factory=set)  # sources whose gradient is 0 at these weights only
    not_finite: tuple[Step | None, str, str] | None = None
    still: list[Still] = field(default_factory=list)


# What a run changes and puts back, generators of random numbers and what is patched in PyTorch, is all threads' own.
_ALONE = threading.RLock()


def analyse(program: Program) -> Analysis:
    # Whatever the caller has switched off: a program is looked at as it is trained.
    with _ALONE, torch.inference_mode(False), torch.enable_grad(), _without_collections():
        guard = program.guard()
        try:
            return _Passes(program, guard).analysis()
        finally:
            guard.rewind()


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Python's search for cycles would go through all that is recorded again and again, and take half of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Passes:
    def __init__(self, program: Program, guard: Guard):
        self.program, self.guard = program, guard
        self.tensors = [source.tensor for source in program.sources]
        self.trainable = {n for n, source in enumerate(program.sources) if source.trainable}

    def analysis(self) -> Analysis:
        run = self._forward()
        kinds, not_finite, error = self._gradients(run)
        crossings = self._back(run)
        # The graph of the first run is not needed any more, and further runs make their own.
        run.loss, run.ends = run.loss.detach(), []
        if not_finite is None:
            not_finite = self._not_finite_value(run)
        flow, always = self._flow(run, kinds, crossings)
        cuts = self._cuts(flow, always)
        raised = (run.record.steps[crossings.raised[0]], crossings.raised[1]) if crossings.raised else None
        if error is not None and raised is None:
            raised = (None, error)
        asleep = self._asleep(kinds)
        modules = [found for module in self.program.modules for found in still(module, run.calls)]
        return Analysis(run, flow, cuts, kinds, raised, always, asleep, not_finite, modules)

    def _gradients(self, run: Run) -> tuple[list[str], tuple[Step | None, str, str] | None, Exception | None]:
        """Which kind of gradient each source gets; the operation whose derivative is not finite, if one is; what was raised."""
        grads, error = gradients(run, self.tensors)
        kinds = [_kind(grad) for grad in grads]
        bad = [grad for grad in grads if grad is not None and _is_spoilt(grad)]
        if not bad or _is_spoilt(run.loss):
            return kinds, None, error
        makes = "nan" if any(bool(numbers(grad).isnan().any()) for grad in bad) else "inf"
        # Without random derivatives: an infinity may come of the one that there is, and of no other.
        spoilt = self._back(run, renew=False).first_spoilt
        return kinds, (run.record.steps[spoilt] if spoilt >= 0 else None, "derivative", makes), error

    def _forward(self) -> Run:
        try:
            return self.program.run(self.guard)
        except SpanaxError:
            raise
        except Exception as error:
            problem = f"{self.program.name} fails when it is called: {type(error).__name__}: {error}"
            raise SpanaxError(problem, "call it by itself first, with the same arguments", where="") from error

    def _back(self, run: Run, renew: bool = True) -> Crossings:
        if run.loss.is_meta:
            return self._without_numbers(run)
        leaves = {id(tensor): number for number, tensor in enumerate(self.tensors)}
        wanted = [t for n, t in enumerate(self.tensors) if n in self.trainable and t.requires_grad]
        return Backward(run.record, leaves).go([*run.ends, run.loss], wanted, renew)

    def _without_numbers(self, run: Run) -> Crossings:
        """No derivative can be looked at: each operation of one tensor is tried with numbers, in a small size."""
        live = [step.number for step in run.record.steps if step.unary and step.enters and not step.custom]
        tried = derivative_elsewhere(self.program, self.guard, live)
        return Crossings({number: Crossing(entered=True) for number, ratio in tried.items() if ratio == 0})

    # -- which operations let nothing through

    def _flow(self, run: Run, kinds: list[str], crossings: Crossings) -> tuple[Flow, set[int]]:
        always, faint = without_derivative(self.program, self.guard, run, crossings)
        alive, zero = ({n for n, kind in enumerate(kinds) if kind == wanted} for wanted in ("some", "zero"))
        names = [source.name for source in self.program.sources]
        twins = targets(names, [tuple(t.shape) for t in self.tensors], self.trainable - alive)
        flow = Flow(run.record, run.value, run.is_live, crossings, alive, zero, self.trainable, faint, twins)
        flow.always = always
        flow.come_back(returning(self.program, self.guard, run, self._exits(run, tests=False)))
        # Whether a test matters takes runs, and is asked where a starved parameter decides it.
        tests = [step for step in self._exits(run, tests=True) if flow.made_of(step) - flow.alive]
        flow.come_back(returning(self.program, self.guard, run, tests))
        return flow, always

    def _exits(self, run: Run, tests: bool) -> list[Step]:
        exits = [step for step in run.record.steps if step.exits and (step.name in words.TESTS) == tests]
        return [step for step in exits if any(run.record.values[use.value].params for use in step.uses)]

    def _cuts(self, flow: Flow, always: set[int]) -> list[Cut]:
        # How a bridge of ours gives a gap its derivative is not for the user to look at, as long as it does.
        found = [cut for cut in flow.cuts() if cut.verdict == "zero" or not cut.step.own]
        return [
            cut
            for cut in found
            if not cut.killed or cut.step.number in always or (cut.starved and (cut.step.unary or cut.step.custom))
        ]

    # -- zero here only

    def _asleep(self, kinds: list[str]) -> set[int]:
        """Sources whose gradient is 0 at these weights and not at others nearby: behind a gate that begins at 0."""
        zero = {n for n in self.trainable if kinds[n] == "zero"}
        if not zero or self.tensors[0].is_meta:
            return set()
        self.guard.rewind()
        self.guard.before_write(self.tensors)
        with torch.no_grad():
            for number in sorted(self.trainable):
                _nudge(self.tensors[number], number)
        try:
            again, _ = gradients(self.program.run(self.guard), self.tensors)
        except Exception:  # other weights may take the program where it fails
            return set()
        return zero & _above_rounding(again)

    def _not_finite_value(self, run: Run) -> tuple[Step | None, str, str] | None:
        if not _is_spoilt(run.loss):
            return None
        found = first_not_finite(self.program, self.guard)
        return (found[0], "value", found[1]) if found else (None, "value", "nan")


def _above_rounding(grads: list[torch.Tensor | None]) -> set[int]:
    """Which gradients are more than what is left of a sum that is 0 but for rounding."""
    least = 10 * max((_noise(grad) for grad in grads if grad is not None), default=0.0)
    return {n for n, grad in enumerate(grads) if grad is not None and largest(grad) > least}


def _is_spoilt(tensor: torch.Tensor) -> bool:
    """Does it hold NaN or an infinity?"""
    return not tensor.is_meta and not is_finite(tensor)


def _kind(grad: torch.Tensor | None) -> str:
    if grad is None:
        return "none"
    return "zero" if not grad.is_meta and is_zero([grad]) else "some"


def _noise(grad: torch.Tensor) -> float:
    """How large a gradient may be by rounding alone, beside this one."""
    return torch.finfo(grad.dtype).eps * largest(grad)


def _nudge(tensor: torch.Tensor, seed: int) -> None:
    """Moves it by 1% of its size; what is 0 throughout by a hundredth."""
    generator = torch.Generator("cpu").manual_seed(seed)
    noise = torch.randn(tensor.shape, generator=generator, device="cpu").to(tensor.device, tensor.dtype)
    size = float(tensor.abs().mean()) if tensor.numel() else 0.0
    tensor.add_(noise * (0.01 * (size or 1.0)))
