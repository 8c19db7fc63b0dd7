"""Where the simulator is run: in worker processes, and never twice."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ... import BlackBox, Run, Store, blackbox, processes
from ...bridges import Probing
from .curve import COUNT, Logs, curve

VERSION = "outbreak-1"  # of what the store keeps: a changed simulator gets another


class Lab:
    """Workers and a store, for the black boxes of one program; closed by `with`."""

    def __init__(self, out: Path, workers: int, bounds: tuple[Logs, Logs]):
        self.bounds, self.pool = bounds, processes(workers)
        self.store = Store(out / "runs.db", version=VERSION)
        self.boxes: list[BlackBox] = []

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *error: object) -> None:
        self.pool.shutdown(cancel_futures=True)
        self.store.close()

    def box(self, via: Probing) -> BlackBox:
        """One epidemic, as a function of x and a key, with the derivative of `via`."""
        out, run = jax.ShapeDtypeStruct((COUNT,), float), Run(executor=self.pool, timeout=60)
        box = blackbox(curve, out, via=via, noisy=True, bounds=self.bounds, run=run, store=self.store)
        self.boxes.append(box)
        return box

    def runs(self) -> tuple[int, int]:
        """Epidemics that were asked for, and those of them that were run: the store had the others."""
        stats = [box.stats() for box in self.boxes]
        return sum(one.evaluations + one.hits for one in stats), sum(one.evaluations for one in stats)


def mean(box: BlackBox, runs: int):
    """The mean of `runs` epidemics, with keys of their own; all of them, and all their probes, go to the workers at once."""

    def mean_curve(x: Any, *, key: Key[Array, ""]) -> Float[Array, "28"]:
        return jnp.mean(jax.vmap(lambda k: box(x, key=k))(jax.random.split(key, runs)), axis=0)

    return mean_curve
