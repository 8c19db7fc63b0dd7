"""Where the simulator is run, and how often."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ... import BlackBox, Run, Store, blackbox
from ...bridges import Probing
from .curve import COUNT, Logs, curve

Simulate = Callable[..., Float[Array, "... 28"]]


@dataclasses.dataclass
class Lab:
    """Makes black boxes of the simulator, which share workers and a store, and counts their runs together."""

    bounds: tuple[Logs, Logs]
    run: Run | None = None
    store: Store | None = None
    boxes: dict[Probing, BlackBox] = dataclasses.field(default_factory=dict)
    compiled: dict[tuple[Probing, int], Simulate] = dataclasses.field(default_factory=dict)

    def box(self, via: Probing) -> BlackBox:
        """One epidemic as a function of x and a key, with the derivative of `via`."""
        if via not in self.boxes:
            out = jax.ShapeDtypeStruct((COUNT,), float)
            box = blackbox(curve, out, via=via, noisy=True, bounds=self.bounds, run=self.run, store=self.store)
            self.boxes[via] = box
        return self.boxes[via]

    def many(self, via: Probing, number: int) -> Simulate:
        """`number` epidemics with keys of their own, which go to the workers together, with all their probes."""
        box = self.box(via)

        def curves(x: Any, *, key: Key[Array, ""]) -> Float[Array, "{number} 28"]:
            return jax.vmap(lambda k: box(x, key=k))(jax.random.split(key, number))

        # Compiled whole, and once for all fits: as single operations it takes seconds each time.
        return self.compiled.setdefault((via, number), jax.jit(curves))

    def mean(self, via: Probing, number: int) -> Simulate:
        curves = self.many(via, number)
        return lambda x, *, key: jnp.mean(curves(x, key=key), axis=0)

    def runs(self) -> tuple[int, int]:
        """Epidemics that were asked for, and those of them that were run: the store had the others."""
        stats = [box.stats() for box in self.boxes.values()]
        return sum(one.evaluations + one.hits for one in stats), sum(one.evaluations for one in stats)
