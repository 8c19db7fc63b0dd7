"""How a program is written down, and what is known of it without the finder."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

MARK = "# GAP"


class Run(NamedTuple):
    model: Callable
    args: tuple = ()
    loss: Callable[[Any], torch.Tensor] | None = None
    parameters: dict[str, torch.Tensor] | None = None
    optimizer: torch.optim.Optimizer | None = None

    def value(self) -> torch.Tensor:
        output = self.model(*self.args)
        return output if self.loss is None else self.loss(output)

    def leaves(self) -> dict[str, torch.Tensor]:
        found = dict(self.parameters or {})
        if isinstance(self.model, nn.Module):
            found |= {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        return found


class Program(NamedTuple):
    name: str
    factory: Callable[[], Run]

    def run(self) -> Run:
        torch.manual_seed(0)
        return self.factory()

    def line(self) -> int:
        """Where its gap is: the line of its source with the mark."""
        lines, first = inspect.getsourcelines(self.factory)
        (found,) = [first + i for i, line in enumerate(lines) if line.rstrip().endswith(MARK)]
        return found

    def file(self) -> str:
        return inspect.getfile(self.factory)


def collector(programs: list[Program]) -> Callable[[Callable[[], Run]], Callable[[], Run]]:
    def add(factory: Callable[[], Run]) -> Callable[[], Run]:
        programs.append(Program(factory.__name__, factory))
        return factory

    return add


def square(output: torch.Tensor) -> torch.Tensor:
    return (output**2).mean()


def rows(count: int = 6, width: int = 4) -> torch.Tensor:
    return torch.randn(count, width)


class Between(nn.Module):
    """first, then `step`, then last: what most programs here need around their gap."""

    def __init__(self, step, width=4, hidden=5):
        super().__init__()
        self.first = nn.Linear(width, hidden)
        self.last = nn.Linear(hidden, 2)
        self.step = step

    def forward(self, x):
        return self.last(self.step(self.first(x)))


def between(step) -> Run:
    return Run(Between(step), (rows(),), square)
