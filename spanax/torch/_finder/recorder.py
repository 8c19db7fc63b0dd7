"""Listens to one run of a program: every operation that takes a value which depends on what is differentiated by."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode

from . import words
from .guard import Guard
from .places import Place, Site, is_library, line_of, name_of_custom, site
from .record import Record, Step, Use
from .tensors import floats, is_float, is_followed, is_live, storage_key, tensors_in, unwrapped, version

INFERENCE = -1  # stands for the line of a block of inference mode
# What a later run does in the place of an operation: (step, function, its args, its kwargs) -> the result.
Intervention = Callable[[Step, Callable, tuple, dict], Any]


class Recorder(TorchFunctionMode):
    """A mode that writes down what it hears into `record`. `sources`: tensors by whose values others are followed."""

    def __init__(self, guard: Guard, outermost: FrameType, intervene: Intervention | None = None):
        super().__init__()
        self.record, self.guard, self.intervene = Record(), guard, intervene
        self.outermost: FrameType | None = outermost
        self._values: dict[int, tuple[weakref.ref, int]] = {}
        self._written: dict[int, list[int]] = {}  # memory -> values that were written into it, in order
        self._memory: dict[int, tuple[Any, int]] = {}  # memory -> the last value in it
        self._custom: tuple[FrameType, Step] | None = None
        self.ends: list[torch.Tensor] = []
        self._block, self._was_inference = -1, False

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        # Frames hold all tensors of the run, and a frame that holds this one would keep them until the next collection.
        self.outermost, self._custom, self.intervene = None, None, None

    # -- sources and results

    def add_source(self, tensor: torch.Tensor, source: int, data: bool) -> None:
        value = self.record.add_value(-1, source, data=data, params=source >= 0, floating=is_float(tensor))
        self._bind(tensor, value.number)

    def value_of(self, tensor: torch.Tensor) -> int:
        """The number of the value that a tensor holds now; -1 if it depends on nothing."""
        number = self._bound(tensor)
        if number < 0 and tensor.grad_fn is not None:
            number = self._heard_nothing(tensor)
        if number >= 0 and tensor.grad_fn is not None:
            self._claim(tensor.grad_fn, self.record.values[number].step)
        return number

    def _bound(self, tensor: torch.Tensor) -> int:
        entry = self._values.get(id(tensor))
        if entry is not None and entry[0]() is tensor:
            return entry[1]
        # Inside of `torch.func` transformations a tensor is wrapped anew on its way in.
        if (inner := unwrapped(tensor)) is not tensor:
            return self._bound(inner)
        # A new tensor with the memory of a known one, as `torch.autograd.Variable` makes it.
        return self._memory.get(storage_key(tensor), (None, -1))[1] if tensor.grad_fn is None else -1

    def _bind(self, tensor: torch.Tensor, number: int) -> None:
        self._values[id(tensor)] = (weakref.ref(tensor), number)
        if key := storage_key(tensor):
            # As long as this is held, its number is not given to other memory.
            self._memory[key] = (StorageWeakRef(tensor.untyped_storage()), number)
        if (inner := unwrapped(tensor)) is not tensor:
            self._bind(inner, number)

    def _claim(self, node: Any, step: int) -> None:
        """A custom function's node is made after its operations were heard."""
        if step >= 0 and _is_custom(node):
            self.record.owns(node._sequence_nr(), step)
            self.record.steps[step].custom = node._forward_cls.__name__
            self._add_untouched(node, self.record.steps[step])

    def _add_untouched(self, node: Any, step: Step) -> None:
        """The arguments of a custom function that its forward does nothing with: its derivative may go to them all the same."""
        makers = {self._maker(use.value) for use in step.uses}
        for following, _ in node.next_functions:
            number = -1 if following is None else self._of_node(following, step)
            if number is not None and number >= 0 and self._maker(number) not in makers | {(step.number, -1)}:
                step.uses.append(Use(number, True, "value"))
                makers.add(self._maker(number))

    def _maker(self, number: int) -> tuple[int, int]:
        value = self.record.values[number]
        return value.step, value.source

    def _heard_nothing(self, tensor: torch.Tensor) -> int:
        """A tensor that came of no operation heard, as of compiled code: what autograd knows of it."""
        node: Any = tensor.grad_fn
        custom = _is_custom(node)
        step = self.record.add_step(node.name(), line_of(node._forward_cls.forward) if custom else Place("", 0))
        seen: dict[int, Any] = {}  # holds on to the nodes, so that no number is used again
        front = [node]
        while front:
            node = front.pop()
            if node is None or id(node) in seen:
                continue
            seen[id(node)] = node
            if (number := self._of_node(node, step)) is None:
                front += [following for following, _ in node.next_functions]
            elif number >= 0:
                step.uses.append(Use(number, True, "value"))
        data, params = self.record.depends(step)
        number = self.record.add_value(step.number, data=data, params=params).number
        step.made.append(number)
        self._bind(tensor, number)
        return number

    def _of_node(self, node: Any, unheard: Step) -> int | None:
        """The value that a node of autograd made; -1 for a constant, None for a part of what was not heard."""
        if (leaf := getattr(node, "variable", None)) is not None:
            return self._bound(leaf)
        sequence = node._sequence_nr()
        if not self.record.knows(sequence):
            self.record.owns(sequence, unheard.number)
            return None
        owner = self.record.owner(sequence)
        made = self.record.steps[owner].made if owner >= 0 else []
        return made[-1] if made else -1

    # -- listening

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        name = words.name_of(func)
        if name == "_set_grad_enabled":
            return self._switch(func, args)
        if name == "backward":
            self.guard.before_backward()
        kwargs = words.kept_graph(name, args, kwargs)  # the finder goes back through it as well
        if words.gives_no_values(name):
            return func(*args, **kwargs)
        inputs = tensors_in(words.with_values(name, args, kwargs))
        if words.is_write(name, kwargs):
            self.guard.before_write(inputs)
        uses = self._uses(inputs, name)
        if not uses:
            return func(*args, **kwargs)
        return self._step(func, name, args, kwargs, inputs, uses)

    @contextlib.contextmanager
    def of_parameters(self) -> Iterator[None]:
        """Hears `nn.Parameter(x)` too, which is no operation to PyTorch, and whose result has forgotten what x was made of."""
        make = nn.Parameter.__new__

        def heard(cls: type, data: Any = None, requires_grad: bool = True, **options: Any) -> Any:
            if not isinstance(data, torch.Tensor):
                return make(cls, data, requires_grad, **options)
            named = functools.partial(make, cls)
            named.__name__ = "nn.Parameter"  # pyright: ignore[reportAttributeAccessIssue]
            return self.__torch_function__(named, (), (data, requires_grad), options)

        owner: Any = nn.Parameter
        owner.__new__ = staticmethod(heard)
        try:
            yield
        finally:
            owner.__new__ = staticmethod(make)

    def _switch(self, func: Callable, args: tuple) -> Any:
        if args and args[0] is False and torch.is_grad_enabled():
            self._block = len(self.record.blocks)
            self.record.blocks.append(_switching(self.outermost))
        return func(*args)

    def _uses(self, inputs: list[torch.Tensor], name: str) -> list[Use]:
        """The inputs that depend on a source, each once, with what was written into their memory since."""
        uses: dict[tuple[int, bool], Use] = {}
        for tensor in inputs:
            number = self.value_of(tensor)
            role, live = "", is_live(tensor)
            for value in self._with_writes(tensor, number):
                if not is_followed(tensor):
                    self._lose(value)
                role = role or words.role(tensor, name, any(is_float(t) for t in inputs if t is not tensor))
                uses.setdefault((value, live), Use(value, live and self.record.values[value].floating, role))
        return list(uses.values())

    def _with_writes(self, tensor: torch.Tensor, number: int) -> list[int]:
        found = [number] if number >= 0 else []
        if self._written and (key := storage_key(tensor)):
            found += [value for value in self._written.get(key, ()) if value > number]
        return found

    def _lose(self, value: int) -> None:
        """A tensor holds it without a derivative: by memory that it shares, or since its function says that it has none."""
        maker = self.record.values[value].step
        step = self.record.steps[maker] if maker >= 0 else None
        # Inside of a custom function autograd is off, and what it makes there says nothing of what it returns.
        if step is None or (step.custom and not torch.is_grad_enabled()):
            return
        if step.enters and value not in step.lost:
            step.lost.append(value)
            step.cut = True

    def _step(self, func: Callable, name: str, args: tuple, kwargs: dict, inputs: list, uses: list[Use]) -> Any:
        where = site(self.outermost)
        step = self._inside_custom(where, uses) or self._new_step(name, where, uses)
        before = [_state(tensor) for tensor in inputs]
        result = self.intervene(step, func, args, kwargs) if self.intervene else func(*args, **kwargs)
        result = _without_rule(step, result)
        written = [tensor for tensor, was in zip(inputs, before, strict=True) if _is_another(was, _state(tensor))]
        if name == "data.set":  # which leaves no trace in the tensor
            written = inputs[:1]
        self._note_writes(written)
        old = set(map(id, inputs))
        made = [tensor for tensor in tensors_in(result) if id(tensor) not in old]
        self._note_results(step, made + written, inputs)
        return result

    def _new_step(self, name: str, where: Site, uses: list[Use]) -> Step:
        step = self.record.add_step(name, where.place, where.draw)
        step.uses = uses
        step.block = self._current_block()
        step.exits, step.own = name in words.EXITS, where.own
        return step

    def _current_block(self) -> int:
        """Which switching off of autograd an operation is under; -1 for none."""
        inference = torch.is_inference_mode_enabled()
        if inference and not self._was_inference:  # nothing is heard when that mode is entered
            self._block = len(self.record.blocks)
            self.record.blocks.append(Place("", INFERENCE))
        self._was_inference = inference
        return -1 if torch.is_grad_enabled() else self._block

    def _inside_custom(self, where: Site, uses: list[Use]) -> Step | None:
        """The step that a custom function is: what it does inside is its own affair, as its derivative is its author's."""
        if where.custom is None:
            self._custom = None
            return None
        if self._custom is None or self._custom[0] is not where.custom:
            name = name_of_custom(where.custom.f_code)
            self._custom = where.custom, self.record.add_step(name, where.place)
            self._custom[1].custom, self._custom[1].own = name, where.own
        step = self._custom[1]
        step.uses += [use for use in uses if use.value not in step.made and use not in step.uses]
        return step

    def _note_writes(self, written: list[torch.Tensor]) -> None:
        for tensor in written:
            if (key := storage_key(tensor)) and key not in self._written:
                self._written[key] = []

    def _note_results(self, step: Step, outputs: list[torch.Tensor], inputs: list[torch.Tensor]) -> None:
        numbers = [self._note_result(step, tensor) for tensor in outputs]
        if step.enters:
            self._note_cut(step, dict(zip(numbers, outputs, strict=True)))
        if step.cut:
            # Its derivative ends here: what comes before is judged by one that begins here.
            self.ends += [t for t in inputs if t.requires_grad and t.grad_fn is not None]
        self.record.owns_up_to(max(map(_sequence, outputs), default=-1), step.number)
        step.unary = _is_unary(inputs, outputs)

    def _note_cut(self, step: Step, results: dict[int, torch.Tensor]) -> None:
        # What a custom function does inside is not followed, and what it returns is known when it is used.
        lost = {} if step.custom else {n: tensor for n, tensor in results.items() if not is_followed(tensor)}
        step.lost += lost
        step.dtype = next((tensor.dtype for tensor in lost.values()), None)
        step.cut = bool(lost) or step.raises or step.exits

    def _note_result(self, step: Step, tensor: torch.Tensor) -> int:
        data, params = self.record.depends(step)
        value = self.record.add_value(step.number, data=data, params=params, floating=is_float(tensor))
        step.made.append(value.number)
        self._bind(tensor, value.number)
        if self._written and (key := storage_key(tensor)) in self._written:
            self._written[key].append(value.number)
        return value.number


def _state(tensor: torch.Tensor) -> tuple[int, bool]:
    return version(tensor), tensor.requires_grad


def _is_another(was: tuple[int, bool], now: tuple[int, bool]) -> bool:
    """Was a tensor written to, or is it no longer followed by autograd?"""
    return was[0] != now[0] or was[1] > now[1]


def _without_rule(step: Step, result: Any) -> Any:
    """What autograd has no rule for raises when it goes back. Cut there, the rest can be looked at."""
    if isinstance(result, torch.Tensor) and type(result.grad_fn).__name__ == "NotImplemented":
        step.raises = True
        return result.detach()
    return result


def _is_custom(node: Any) -> bool:
    return isinstance(node, torch.autograd.function.BackwardCFunction)


def _sequence(tensor: torch.Tensor) -> int:
    """The number of the node that made a tensor; -1 for leaves and nodes without a number."""
    inner = unwrapped(tensor)
    node = inner.grad_fn
    if node is None or type(node).__name__ == "NotImplemented" or not inner.requires_grad:
        return -1
    return node._sequence_nr()


def _is_unary(inputs: list[torch.Tensor], outputs: list[torch.Tensor]) -> bool:
    if len(inputs) != 1 or len(outputs) != 1 or not floats(inputs) or inputs[0].is_nested or outputs[0].is_nested:
        return False
    return inputs[0].shape == outputs[0].shape


# Between a `with`, or the call of a decorated method, and the switch. What else of PyTorch's switches does so for itself.
_BETWEEN = tuple(
    os.path.join("torch", *path.split("/"))
    for path in "autograd/grad_mode.py utils/_contextlib.py nn/modules/module.py".split()
)
_BETWEEN += (os.path.join("_finder", "recorder.py"),)


def _switching(outermost: FrameType | None) -> Place:
    """The line that switches autograd off: the user's own `with`, or the call of a decorated function; none of a library."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame is not outermost:
        file = frame.f_code.co_filename
        if not is_library(file):
            return Place(file, frame.f_lineno, frame.f_code.co_name)
        if not file.endswith(_BETWEEN):
            return Place("", 0)  # a library's own, as in a sampler
        frame = frame.f_back
    return Place("", 0)
