"""Work in PyTorch that comes out the same for a seed, and leaves the caller's generator and threads alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """One thread, and torch's generator at `seed`; both are as they were afterwards."""
    threads = torch.get_num_threads()
    # Small matrices gain nothing from a second thread, and sums of several threads round differently on another machine.
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
