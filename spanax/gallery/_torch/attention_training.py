"""Training a network that chooses where to look, and how often it is right."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .attention_result import Look, Outcome
from .digits import Labelled, load, scattered
from .reproducible import reproducible

BATCH, RATE = 128, 6e-3
COPIES = 4  # scenes of each digit that is held out: its place is luck
POINTS = 20  # of a curve


def train(
    name: str,
    new: Callable[[], Any],
    loss: Callable[[Any, Tensor, Tensor], Tensor],
    seed: int,
    steps: int,
    *,
    soft: bool,
) -> Outcome:
    """A `new` network trained with a loss, and how it does on digits that were held out. `soft`: is it used without a choice?"""
    with reproducible(seed):
        digits, held_out = load(seed)
        tested = scattered(Labelled(*(part.repeat_interleave(COPIES, 0) for part in held_out)))
        reader, curve, seconds = new(), [], 0.0
        optimizer = torch.optim.Adam(reader.parameters(), RATE)
        rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for step in range(1, steps + 1):
            began = time.perf_counter()
            optimizer.zero_grad()
            loss(reader, *scattered(digits.batch(BATCH))).backward()
            optimizer.step()
            rate.step()
            # Of the training alone: whoever trains need not test twenty times.
            seconds += time.perf_counter() - began
            if step == steps or step % max(steps // POINTS, 1) == 0:
                curve.append((step, _accuracy(reader, tested, soft)))
        with torch.no_grad():
            look = Look.of(tested.images, reader.scores(tested.images), reader.stride)
        return Outcome(name, seed, curve, seconds, look)


@torch.no_grad()
def _accuracy(reader: Any, tested: Labelled, soft: bool) -> float:
    """Of the network as it is used, which looks where its scores are highest, however it was trained."""
    scenes, labels = tested
    answers = reader.read(scenes, reader.scores(scenes).softmax(-1)) if soft else reader(scenes)
    return float((answers.argmax(-1) == labels).float().mean())
