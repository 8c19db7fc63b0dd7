"""Work in PyTorch that comes out the same for a seed, whatever the caller has set, and leaves all that alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Float32 on the CPU, in one thread, with gradients, and torch's generator at `seed`; afterwards all is as it was."""
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    # Small matrices gain nothing from a second thread, and sums of several threads round differently on another machine.
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    try:
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.device("cpu"),
            torch.random.fork_rng(devices=[]),
        ):
            torch.default_generator.manual_seed(seed)
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
