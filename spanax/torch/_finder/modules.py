"""Which modules a program calls, where, and which of them are frozen or in evaluation mode."""

from __future__ import annotations

from collections.abc import Sequence
from types import FrameType
from typing import Any, NamedTuple

from torch import nn
from torch.nn.modules import module as hooks

from .places import Place, site


class Call(NamedTuple):
    module: nn.Module
    place: Place


class Calls:
    """A context in which every module's first call is noted."""

    def __init__(self, outermost: FrameType | None):
        self.first: dict[int, Call] = {}
        self._outermost = outermost

    def __enter__(self) -> Calls:
        self._handle = hooks.register_module_forward_pre_hook(self._note)
        return self

    def __exit__(self, *error: Any) -> None:
        self._handle.remove()
        self._outermost = None  # the frame holds all of the run

    def _note(self, module: nn.Module, inputs: Any) -> None:
        if id(module) not in self.first:
            self.first[id(module)] = Call(module, site(self._outermost).place)


class Still(NamedTuple):
    """A sub-network that does not learn, or behaves as after training: its name, where it is first called, and which it is."""

    name: str
    place: Place
    what: str


def still(root: nn.Module, calls: Calls) -> list[Still]:
    """The outermost frozen sub-networks, and those in evaluation mode where the whole is in training mode."""
    found: list[Still] = []
    for name, module in root.named_modules():
        call = calls.first.get(id(module))
        if not name or call is None:
            continue
        for what, holds in (("frozen", _is_frozen(module)), ("eval()", root.training and _is_evaluating(module))):
            inside = any(name.startswith(f"{other.name}.") and other.what == what for other in found)
            if holds and not inside:
                found.append(Still(name, call.place, what))
    return found


def _is_frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


def _is_evaluating(module: nn.Module) -> bool:
    # Only where it makes a difference: a linear layer behaves alike.
    different = [
        m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm | nn.modules.dropout._DropoutNd)
    ]
    return not module.training and bool(different)


def targets(names: Sequence[str], shapes: Sequence[tuple[int, ...]], starved: set[int]) -> set[int]:
    """The parameters of target networks: sub-networks that get no gradient at all, and have a twin of the same form that does."""
    found: set[int] = set()
    prefixes = {name[: i + 1] for name in names for i, letter in enumerate(name) if letter == "."}
    forms = {prefix: _form(prefix, names, shapes) for prefix in prefixes}
    for form in forms.values():
        own = set(form.values())
        if own <= starved and any(
            _is_twin(form, other, shapes) and not starved & set(other.values()) for other in forms.values()
        ):
            found |= own
    return found


def _form(prefix: str, names: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
    return {name.removeprefix(prefix): number for number, name in enumerate(names) if name.startswith(prefix)}


def _is_twin(one: dict[str, int], other: dict[str, int], shapes: Sequence[tuple[int, ...]]) -> bool:
    return one.keys() == other.keys() and all(shapes[one[name]] == shapes[other[name]] for name in one)
