"""A program to look at: what is called with what, what is differentiated by, and the loss."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils import checkpoint

from ..._errors import SpanaxError
from .guard import Guard, idle_optimizers
from .modules import Calls
from .record import Record
from .recorder import Intervention, Recorder
from .tensors import floats, is_float, is_live, tensors_in


class Source(NamedTuple):
    """A tensor to differentiate by."""

    name: str
    tensor: torch.Tensor
    trainable: bool


@dataclass
class Run:
    """One run: what was heard of it, its loss, the number of the loss's value, and the tensors at which a derivative ends."""

    record: Record
    loss: torch.Tensor
    value: int
    calls: Calls
    ends: list[torch.Tensor]
    is_live: bool  # does autograd follow the loss?
    repeats: bool | None = None  # is the loss the same when it is run again, if that is known?


class Program:
    """`modules`: those whose parameters and buffers it holds. `sources`: what is differentiated by.

    If there are no parameters at all, the floating-point arguments are what is differentiated by.
    """

    def __init__(
        self,
        program: Any,
        args: tuple,
        kwargs: dict,
        loss: Callable | None,
        parameters: Mapping[str, torch.Tensor] | None,
    ):
        if not callable(program):
            raise SpanaxError(
                f"find_gaps of {type(program).__name__}, which cannot be called", "a torch.nn.Module, or a function"
            )
        if loss is not None and not callable(loss):
            raise SpanaxError(f"loss={loss!r}", "loss=lambda output: ..., a function from the output to one number")
        self.call, self.loss = program, loss
        self.name = getattr(program, "__name__", type(program).__name__)
        held = _held(program, loss, args, kwargs)
        modules = _modules(held)
        self.modules = list(modules.values())
        self._held = [thing for _, thing in held]
        self.args, self.kwargs = args, kwargs
        self.sources = _parameters(modules, parameters)
        if not any(source.trainable for source in self.sources):
            self._follow_arguments()
        self.data = [t for t in tensors_in((self.args, self.kwargs)) if all(t is not s.tensor for s in self.sources)]
        self._weights: list[torch.Tensor] = []

    def _follow_arguments(self) -> None:
        names = _argument_names(self.call, self.args, self.kwargs)
        # Views of their own: the user's tensors stay as they are.
        self.args, self.kwargs = _map_floats(self.args), _map_floats(self.kwargs)
        tensors = floats((self.args, self.kwargs))
        self.sources += [Source(name, tensor, True) for name, tensor in zip(names, tensors, strict=True)]
        if not self.sources:
            raise SpanaxError(
                f"{self.name} has no parameter and no floating-point argument", "parameters={'name': tensor}"
            )

    def guard(self) -> Guard:
        generators = [x for x in _leaves((self.args, self.kwargs)) if isinstance(x, torch.Generator)]
        owners = [thing for thing in self._held if not isinstance(thing, nn.Module | torch.Tensor)]
        tensors = [thing for thing in self._held if isinstance(thing, torch.Tensor)]
        return Guard(
            self.modules, owners, [*(source.tensor for source in self.sources), *self.data, *tensors], generators
        )

    def run(self, guard: Guard, intervene: Intervention | None = None) -> Run:
        """Calls it once, from the same state each time. The caller puts that back when autograd has been gone through."""
        for source in self.sources:
            if source.trainable:
                source.tensor.requires_grad_()
        recorder = Recorder(guard, sys._getframe(0), intervene)
        for number, source in enumerate(self.sources):
            recorder.add_source(source.tensor, number if source.trainable else -1, data=False)
        for tensor in self.data:
            recorder.add_source(tensor, -1, data=True)
        calls = Calls(recorder.outermost)
        with _eagerly(), idle_optimizers(), torch.enable_grad(), calls, recorder, recorder.of_parameters():
            output = self.call(*self.args, **self.kwargs)
            loss = output if self.loss is None else self.loss(output)
            scalar = self._scalar(loss, given=self.loss is not None)
        value = recorder.value_of(scalar)
        return Run(recorder.record, scalar, value, calls, recorder.ends, scalar.requires_grad)

    def _scalar(self, output: Any, given: bool) -> torch.Tensor:
        """The loss: what was given, the output's own, or a fixed random combination of all outputs."""
        own = getattr(output, "loss", None)
        found = own if isinstance(own, torch.Tensor) and not given else output
        if isinstance(found, torch.Tensor) and found.numel() == 1 and is_float(found):
            return found.reshape(()) if found.dim() else found
        if given:
            what = (
                f"of shape {tuple(found.shape)} and {found.dtype}"
                if isinstance(found, torch.Tensor)
                else type(found).__name__
            )
            raise SpanaxError(
                f"loss(output) is {what}, and has to be one floating-point number", "loss=lambda output: output.mean()"
            )
        outputs = floats(found)
        if not outputs:
            raise SpanaxError(
                f"{self.name} returns no floating-point tensor: {type(output).__name__}", "loss=lambda output: ..."
            )
        return self._combined(outputs)

    def _combined(self, outputs: list[torch.Tensor]) -> torch.Tensor:
        # Not the sum: that of a softmax or of normalised features has no derivative.
        if [w.shape for w in self._weights] != [t.shape for t in outputs]:
            generator = torch.Generator("cpu").manual_seed(0)
            weights = [torch.randn(t.shape, generator=generator, device="cpu") for t in outputs]
            self._weights = [w.to(t.device, t.real.dtype) for w, t in zip(weights, outputs, strict=True)]
        parts = [(t.real * w).sum().to(outputs[0].real.dtype) for t, w in zip(outputs, self._weights, strict=True)]
        return functools.reduce(torch.add, parts)


@contextlib.contextmanager
def _eagerly() -> Iterator[None]:
    """Compiled parts run as they are written, and what is checkpointed runs at once: else nothing in them would be heard."""

    def run_at_once(function: Callable, preserve_rng_state: bool, *args: Any) -> Any:
        # As the checkpoint itself: it gives no derivative, not even to weights, unless one of its arguments takes one.
        takes = any(is_live(tensor) for tensor in tensors_in(args))
        with contextlib.nullcontext() if takes else torch.no_grad():
            return function(*args)

    # The class is looked up at each call. A program may ask the finder itself: then it is another's run that comes back.
    kind: Any = checkpoint.CheckpointFunction
    outer = vars(kind).get("apply")
    kind.apply = run_at_once
    try:
        # Asking imports the compiler, which takes seconds; if nobody has imported it, nothing is compiled.
        with torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else contextlib.nullcontext():
            yield
    finally:
        if outer is None:
            del kind.apply
        else:
            kind.apply = outer


# -- what there is to differentiate by


def _held(*things: Any) -> list[tuple[str, Any]]:
    """The modules and tensors that a program holds on to, and the object whose method it is, with what each is called."""
    return [found for thing in things for found in _walk("", thing)]


def _walk(name: str, thing: Any, depth: int = 3) -> Iterator[tuple[str, Any]]:
    if isinstance(thing, nn.Module | torch.Tensor):
        yield name, thing
        return
    owner = getattr(thing, "__self__", None)
    if _has_attributes(owner):
        yield name, owner
    for inner_name, inner in _inside(thing) if depth else ():
        yield from _walk(inner_name or name, inner, depth - 1)


def _has_attributes(owner: Any) -> bool:
    return hasattr(owner, "__dict__") and not isinstance(owner, nn.Module | type | types.ModuleType)


def _inside(thing: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(thing, functools.partial):
        return [("", thing.func), *(("", arg) for arg in thing.args), *thing.keywords.items()]
    if isinstance(thing, list | tuple):
        return [("", element) for element in thing]
    if isinstance(thing, dict):
        return [(str(name), element) for name, element in thing.items()]
    return _of_function(thing) if callable(thing) else ()


def _of_function(function: Any) -> list[tuple[str, Any]]:
    owner = getattr(function, "__self__", None)
    found = [("", owner)] if isinstance(owner, nn.Module) else []
    # A method's object, and one that is called itself.
    for thing in (owner, function):
        if _has_attributes(thing) and not isinstance(thing, types.FunctionType):
            found += list(vars(thing).items())
    try:
        used = inspect.getclosurevars(inspect.unwrap(function))
    except (TypeError, ValueError):  # not a Python function
        return found
    names = {name: value for name, value in used.globals.items() if isinstance(value, nn.Module)}
    return [*found, *used.nonlocals.items(), *names.items()]


def _modules(held: list[tuple[str, Any]]) -> dict[str, nn.Module]:
    """The modules among them by name, without those that are parts of others."""
    found: dict[str, nn.Module] = {}
    for name, module in held:
        if isinstance(module, nn.Module) and not any(module is m for root in found.values() for m in root.modules()):
            name = name or type(module).__name__
            found[name if name not in found else f"{name}{len(found)}"] = module
    return found


def _parameters(modules: Mapping[str, nn.Module], given: Mapping[str, torch.Tensor] | None) -> list[Source]:
    if given is not None:
        return _given(given)
    if any(nn.parameter.is_lazy(p) for module in modules.values() for p in module.parameters()):
        raise SpanaxError("parameters that have no shape yet (a LazyModule)", "call the model once first: model(*args)")
    # The names are those of `named_parameters` where there is one module.
    return [
        Source(name if len(modules) == 1 else f"{variable}.{name}", parameter, parameter.requires_grad)
        for variable, module in modules.items()
        for name, parameter in module.named_parameters()
    ]


def _given(parameters: Mapping[str, torch.Tensor]) -> list[Source]:
    if not isinstance(parameters, Mapping):
        raise SpanaxError(f"parameters={type(parameters).__name__}", "parameters=dict(model.named_parameters())")
    if wrong := [str(name) for name, t in parameters.items() if not isinstance(t, torch.Tensor)]:
        raise SpanaxError(f"parameters: {', '.join(wrong)}: not a tensor", "parameters=dict(model.named_parameters())")
    # Plain tensors are to be differentiated by, unless others among them say that they are: these are frozen.
    none = not any(tensor.requires_grad for tensor in parameters.values())
    return [
        Source(str(name), t, t.requires_grad or (none and is_float(t) and t.is_leaf)) for name, t in parameters.items()
    ]


def _argument_names(program: Any, args: tuple, kwargs: dict) -> list[str]:
    """Of each floating-point tensor among the arguments."""
    function = program.forward if isinstance(program, nn.Module) else program
    try:
        names = [p.name for p in inspect.signature(function).parameters.values() if p.kind <= p.POSITIONAL_OR_KEYWORD]
    except (TypeError, ValueError):
        names = []
    names += [f"args[{number}]" for number in range(len(names), len(args))]
    found: list[str] = []
    for name, arg in [*zip(names, args, strict=False), *kwargs.items()]:
        tensors = floats(arg)
        found += [name] if isinstance(arg, torch.Tensor) and tensors else [f"{name}[{n}]" for n in range(len(tensors))]
    return found


def _map_floats(tree: Any) -> Any:
    """The same nested arguments with leaves of their own in place of the floating-point tensors."""
    if isinstance(tree, torch.Tensor):
        return tree.detach().requires_grad_() if is_float(tree) else tree
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*map(_map_floats, tree))
    if isinstance(tree, list | tuple):
        return type(tree)(map(_map_floats, tree))
    if isinstance(tree, dict):
        return type(tree)((name, _map_floats(value)) for name, value in tree.items())
    return tree


def _leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, list | tuple):
        for element in tree:
            yield from _leaves(element)
    elif isinstance(tree, dict):
        yield from _leaves(list(tree.values()))
    else:
        yield tree
