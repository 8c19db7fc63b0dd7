"""Going back: the gradient itself, and which operations let no derivative through."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.autograd.graph import GradientEdge

from .program import Run
from .record import Record
from .tensors import is_finite, is_zero, largest

LEAF = "leaf"
_ROUNDS = 3  # a derivative that is missing behind another one that is missing, and so on


def gradients(run: Run, tensors: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor | None], Exception | None]:
    """Of the loss, by the tensors, and what was raised, if something was: then there are none."""
    wanted = [tensor for tensor in tensors if tensor.requires_grad]
    if not run.loss.requires_grad or not wanted:
        return [None] * len(tensors), None
    try:
        found = iter(torch.autograd.grad(run.loss, wanted, retain_graph=True, allow_unused=True))
    except Exception as error:  # whatever a derivative of the user's own may raise
        return [None] * len(tensors), error
    return [next(found) if tensor.requires_grad else None for tensor in tensors], None


@dataclass
class Crossing:
    """What was seen of one step: did a derivative come in from behind, and by which ways did one go out at the front?

    Ways are named by the step, or the leaf, that they lead to.
    """

    entered: bool = False
    open: set[Any] = field(default_factory=set)
    shut: set[Any] = field(default_factory=set)
    missing: bool = False  # was nothing, not even a 0, given for one of them?
    faint: float = 1.0  # the largest derivative that went out, by the largest one that came in
    spoils: bool = False  # made NaN or an infinity of finite numbers


@dataclass
class Crossings:
    """By step; and which step's derivative raised, with what, if one did."""

    steps: dict[int, Crossing]
    raised: tuple[int, Exception] | None = None
    first_spoilt: int = -1


_End = tuple[int, tuple[Any, int], Any]  # which of a node's edges, the edge, and the way that it is


@dataclass(slots=True)
class _Node:
    """A node of autograd's graph, the step that it belongs to, and its edges to other steps. `is_entry`: does one lead to it?"""

    node: Any
    step: Any
    outside: list[_End]
    is_entry: bool = False

    @property
    def listens(self) -> bool:
        return bool(self.outside) or self.is_entry


class Backward:
    """Goes back from the loss and from every place where a derivative ends, with random derivatives there.

    So each operation is judged by itself: a derivative that another one has stopped already is made anew at random. Hooks at the
    nodes of autograd's graph see what comes in and goes out. Of the several nodes of an operation, those inside need none.
    """

    def __init__(self, record: Record, leaves: dict[int, int]):
        self._record, self._leaves = record, leaves
        self.found = Crossings({})
        self._generator: dict[torch.device, torch.Generator] = {}
        self._last = -1
        self._ends: dict[tuple[Any, int], torch.Tensor] = {}
        self._renew = True
        self._nodes: list[_Node] = []

    def go(self, roots: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor], renew: bool = True) -> Crossings:
        """`renew`: go on with random derivatives where one ends."""
        self._renew = renew
        roots = [root for root in roots if root.grad_fn is not None]
        if not roots or not wanted:
            return self.found
        self._nodes = self._graph(roots)
        handles = self._listen(renew)
        try:
            self._pull(roots, wanted, list(map(self._random if renew else torch.ones_like, roots)))
            self._go_on(wanted)
        finally:
            _remove(handles)
        return self.found

    def _listen(self, renew: bool) -> list[Any]:
        listening = [node for node in self._nodes if node.listens or not renew]
        return [node.node.register_hook(functools.partial(self._after, node)) for node in listening]

    def _graph(self, roots: Sequence[torch.Tensor]) -> list[_Node]:
        """The nodes that belong to steps."""
        front: list[Any] = [root.grad_fn for root in roots]
        ends = set(map(id, front))
        found: dict[int, _Node] = {}
        while front:
            node = front.pop()
            if id(node) not in found:
                found[id(node)] = self._node(node)
                front += _before(node)
        for node in found.values():
            ends.update(id(edge[0]) for _, edge, _ in node.outside)
        for key in ends:
            found[key].is_entry = True
        return _of_steps(found.values())

    def _node(self, node: Any) -> _Node:
        step = self._step_of(node)
        ways = [(k, edge, self._step_of(edge[0])) for k, edge in enumerate(node.next_functions) if edge[0] is not None]
        return _Node(node, step, [end for end in ways if end[2] != step])

    def _go_on(self, wanted: Sequence[torch.Tensor]) -> None:
        for _ in range(_ROUNDS):
            ends, self._ends = self._ends, {}
            if ends:
                self._pull([GradientEdge(*end) for end in ends], wanted, list(ends.values()))

    def _pull(self, roots: Sequence, wanted: Sequence[torch.Tensor], cotangents: Sequence[torch.Tensor]) -> None:
        def go() -> None:
            torch.autograd.grad(roots, list(wanted), cotangents, retain_graph=True, allow_unused=True)

        try:
            go()
        except Exception as error:  # whatever a derivative of the user's own may raise
            if self.found.raised is None:
                self.found.raised = self._culprit(go), error

    def _culprit(self, go: Callable[[], None]) -> int:
        """The step whose derivative raises: the last one that begins."""

        def note(step: int, grad_outputs: Sequence[torch.Tensor | None]) -> None:
            self._last = step

        handles = [n.node.register_prehook(functools.partial(note, n.step)) for n in self._nodes]
        try:
            with contextlib.suppress(Exception):
                go()
        finally:
            _remove(handles)
        return self._last

    def _random(self, like: torch.Tensor) -> torch.Tensor:
        if like.is_meta:
            return torch.empty_like(like)
        # Its own generator: the user's random numbers stay as they were.
        if like.device not in self._generator:
            self._generator[like.device] = torch.Generator(like.device).manual_seed(0)
        return torch.randn(like.shape, dtype=like.dtype, device=like.device, generator=self._generator[like.device])

    def _step_of(self, node: Any) -> Any:
        """The number of a step, (LEAF, number of the source), or None where neither is known."""
        if node is None:
            return None
        if (leaf := getattr(node, "variable", None)) is not None:
            return LEAF, self._leaves.get(id(leaf), -1)
        owner = self._record.owner(node._sequence_nr())
        return owner if owner >= 0 else None

    def _after(self, node: _Node, grad_inputs: Sequence, grad_outputs: Sequence) -> Any:
        stopped = [end for end in node.outside if is_zero([grad_inputs[end[0]]])]
        # A derivative that goes out has come in: then there is no need to look.
        if len(stopped) == len(node.outside) and is_zero(grad_outputs):
            return self._stopped_within(node)
        crossing = self.found.steps.setdefault(node.step, Crossing())
        crossing.entered = True
        self._look_for_nan(crossing, node.step, grad_inputs, grad_outputs)
        for end in node.outside:
            if end not in stopped:
                crossing.open.add(end[2])
                if self._record.steps[node.step].unary:
                    crossing.faint = min(crossing.faint, _ratio(grad_inputs[end[0]], grad_outputs))
        return self._gone_on(crossing, stopped, grad_inputs) if stopped else None

    def _gone_on(self, crossing: Crossing, stopped: list[_End], grad_inputs: Sequence) -> tuple | None:
        """The derivatives that go out, with random ones in the place of those that are 0."""
        new = list(grad_inputs)
        for number, edge, way in stopped:
            grad = grad_inputs[number]
            if grad is None or grad.numel():
                crossing.shut.add(way)
                crossing.missing |= grad is None
                new[number] = self._anew(edge, grad)
        return tuple(new) if self._renew else None

    def _stopped_within(self, node: _Node) -> None:
        """One of the nodes that an operation consists of has stopped the derivative before it came to this one of them."""
        crossing = self.found.steps.get(node.step)
        if crossing is not None and crossing.entered:
            crossing.shut.update(way for _, _, way in node.outside)

    def _anew(self, edge: tuple[Any, int], grad: torch.Tensor | None) -> torch.Tensor | None:
        """A random derivative in the place of one that is 0 or missing."""
        if grad is not None:
            return self._random(grad)
        # Autograd does not let a hook put something in the place of nothing: it is gone on from in a pass of its own.
        if self._renew and (like := _form(*edge)) is not None:
            self._ends[edge] = self._random(like)
        return None

    def _look_for_nan(self, crossing: Crossing, step: int, grad_inputs: Sequence, grad_outputs: Sequence) -> None:
        if not self._renew and self.found.first_spoilt < 0 and _is_finite(grad_outputs) and not _is_finite(grad_inputs):
            crossing.spoils, self.found.first_spoilt = True, step


def _remove(handles: Sequence[Any]) -> None:
    for handle in handles:
        handle.remove()


def _before(node: Any) -> list[Any]:
    return [following for following, _ in node.next_functions if following is not None]


def _of_steps(nodes: Iterable[_Node]) -> list[_Node]:
    return [node for node in nodes if isinstance(node.step, int)]


def _ratio(grad: torch.Tensor, grad_outputs: Sequence[torch.Tensor | None]) -> float:
    biggest = max((largest(g) for g in grad_outputs if g is not None), default=0.0)
    return largest(grad) / biggest if biggest > 0 else 1.0


def _is_finite(grads: Sequence[torch.Tensor | None]) -> bool:
    return all(grad is None or is_finite(grad) for grad in grads)


def _form(node: Any, slot: int) -> torch.Tensor | None:
    """A tensor like the derivative that is missing."""
    try:
        form = node._input_metadata[slot]
        return torch.empty(form.shape, dtype=form.dtype, device=form.device)
    except (AttributeError, IndexError, TypeError, RuntimeError):  # PyTorch tells it from 2.5 on, of some nodes
        return None
