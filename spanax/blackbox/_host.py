"""The host's side of a black box: the function, how and where it is evaluated, and what is remembered from call to call."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from .._errors import SpanaxError
from .._math.resolution import Glance
from ._balance import Balance
from .stats import Counter
from .store.store import Store
from .workers.run import Run


@dataclasses.dataclass(eq=False)
class Host:
    """What one black box is to the host, static in the equations of traced programs. There is one for each black box.

    `out`: as the user gave it. `batched`: the function takes all rows at once. `noisy`: rows come with seeds; `seeded`: the
    function takes them. `constant`: its values may be the same at all points. `bounds`: of x, as the user gave them.
    """

    fn: Callable[..., Any]
    out: Any
    name: str
    identity: str  # by which the store knows the function
    run: Run
    store: Store | None
    batched: bool
    noisy: bool
    seeded: bool
    constant: bool = False
    bounds: Any = None
    counter: Counter = dataclasses.field(default_factory=Counter)
    balance: Balance = dataclasses.field(default_factory=Balance)
    glance: Glance = dataclasses.field(default_factory=Glance)
    # The chance that all points since f was last seen to change have missed it: see `check_resolution`.
    unseen: float = 1.0
    # The last error that a call ended with.
    problem: SpanaxError | KeyboardInterrupt | None = None

    def __post_init__(self):
        # For a call of the function with many rows, which are tried again one by one.
        self.once = dataclasses.replace(self.run, retries=0)

    def fingerprint(self) -> tuple[Any, ...]:
        """What it evaluates, for checkpoints: not where, nor what it has counted."""
        version = None if self.store is None else self.store.version
        return self.fn, self.identity, self.batched, self.noisy, self.constant, self.bounds, version

    @property
    def drops(self) -> bool:
        """May it leave out points that fail?"""
        return self.run.on_failure == "drop"
