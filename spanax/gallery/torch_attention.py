"""Hard attention in PyTorch: a network that has to choose where to look, and what carries a gradient to the choice.

A scene of 24 by 24 pixels shows a handwritten digit of 8 by 8 somewhere, and pieces of others. The network sees the scene
blurred, chooses 2 of 25 places, gets the 8 by 8 pixels there, and says which digit it is. Choosing is an argmax: the part that
chooses gets no gradient, never learns where to look, and nothing complains. Each bridge gives it one in its own way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import spanax.torch as st  # first: where PyTorch is missing, it says how to install it

# isort: split
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy, one_hot

from ..gaps import GapReport
from ._shared.run import Run
from ._torch.attention_result import Learner, collect, report_rows
from ._torch.attention_training import train
from ._torch.digits import DIGIT, SIDE, load, scattered
from ._torch.reproducible import reproducible

STEPS, QUICK_STEPS = 1500, 500
SEEDS, QUICK_SEEDS = 3, 1
GLIMPSES, STRIDE, DRAWS = 2, 4, 4
PLACES = ((SIDE - DIGIT) // STRIDE + 1) ** 2


class Reader(nn.Module):
    """Looks at `GLIMPSES` of `PLACES` places, and says how plausible each of ten digits is."""

    stride = STRIDE  # between two places, in pixels

    def __init__(self):
        super().__init__()
        self.where = nn.Sequential(nn.Linear((SIDE // 2) ** 2, 128), nn.ReLU(), nn.Linear(128, GLIMPSES * PLACES))
        self.what, self.place = nn.Linear(DIGIT**2, 128), nn.Parameter(torch.zeros(PLACES, 128))
        self.answer = nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))

    def forward(self, scenes: Tensor) -> Tensor:
        scores = self.scores(scenes)
        places = scores.argmax(-1)
        return self.read(scenes, one_hot(places, PLACES).float())

    def scores(self, scenes: Tensor) -> Tensor:
        """How much each glimpse is drawn to each place, (scenes, glimpses, places), from the blurred scene alone."""
        blurred = avg_pool2d(scenes[:, None], 2).flatten(1)
        return self.where(blurred).unflatten(-1, (GLIMPSES, PLACES))

    def read(self, scenes: Tensor, weights: Tensor) -> Tensor:
        """The answer from what is at the places, weighted: (..., scenes, glimpses, places), one 1 each if a choice was made."""
        pixels = scenes.unfold(1, DIGIT, STRIDE).unfold(2, DIGIT, STRIDE).flatten(1, 2).flatten(2)
        return self.answer((weights @ torch.relu(self.what(pixels) + self.place)).sum(-2))


# Training as written: the loss falls, as far as it can with glimpses that stay where they are.
def no_bridge(reader: Reader, scenes: Tensor, labels: Tensor) -> Tensor:
    return cross_entropy(reader(scenes), labels)


# The ceiling: no choice at all, but a mean of all 25 places. Nothing is cut, and nothing is saved.
def soft_attention(reader: Reader, scenes: Tensor, labels: Tensor) -> Tensor:
    return cross_entropy(reader.read(scenes, reader.scores(scenes).softmax(-1)), labels)


# Draw the places, and make what turned out better than the other draws of the same scene more probable. The one way that is
# unbiased, and that needs to know nothing of a place it did not look at.
def score_function(reader: Reader, scenes: Tensor, labels: Tensor) -> Tensor:
    places = torch.distributions.Categorical(logits=reader.scores(scenes))
    drawn = places.sample((DRAWS,))
    answers = reader.read(scenes, one_hot(drawn, PLACES).float())
    costs = cross_entropy(answers.flatten(0, 1), labels.repeat(DRAWS), reduction="none").view(DRAWS, -1)
    # Each scene is an expectation of its own: a shared one would blame each draw for all scenes.
    return torch.func.vmap(st.surrogate_loss, in_dims=1)(costs, places.log_prob(drawn)).mean()


# Train a relaxed choice, close to one place but not quite there.
def gumbel_softmax(reader: Reader, scenes: Tensor, labels: Tensor) -> Tensor:
    return cross_entropy(reader.read(scenes, st.gumbel_softmax(reader.scores(scenes), 1.0)), labels)


# Forward the place that was drawn, backward the derivative of soft attention.
def straight_through(reader: Reader, scenes: Tensor, labels: Tensor) -> Tensor:
    scores = reader.scores(scenes)
    drawn = one_hot(torch.distributions.Categorical(logits=scores).sample(), PLACES).float()
    return cross_entropy(reader.read(scenes, st.straight_through(drawn, scores.softmax(-1))), labels)


# The same, but of second order: Heun's method where straight-through is Euler's.
def reinmax(reader: Reader, scenes: Tensor, labels: Tensor) -> Tensor:
    return cross_entropy(reader.read(scenes, st.reinmax(reader.scores(scenes))), labels)


LOSSES: dict[str, Callable[[Reader, Tensor, Tensor], Tensor]] = {
    "no bridge": no_bridge,
    "score function": score_function,
    "Gumbel-softmax": gumbel_softmax,
    "straight-through": straight_through,
    "ReinMax": reinmax,
    "soft attention": soft_attention,
}


@dataclass(frozen=True)
class Settings:
    steps: int
    seeds: int
    seed: int


@dataclass(frozen=True)
class Result:
    """What the finder says of the network, what came of each way of training (`interrupted`: of some), the files written."""

    settings: Settings
    found: GapReport | None
    learners: tuple[Learner, ...]
    interrupted: bool
    files: tuple[Path, ...]


def run(
    out: str | Path,
    *,
    quick: bool = False,
    steps: int | None = None,
    seeds: int | None = None,
    seed: int = 0,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Result:
    """Finds the gap, trains the network in six ways, and writes torch-attention.png and result.json into `out`.

    - `quick`: 500 steps and 1 seed instead of 1,500 and 3; `steps` and `seeds` override both;
    - `seed`: the first of them: of the split, the initial weights, the scenes and the draws;
    - `on_stage`: called with "finding the gap", "seed 0: no bridge", ..., "drawing".

    Ctrl-C (`KeyboardInterrupt`) ends the training early: the ways that came to their end are reported and drawn, and the
    result says `interrupted`. torch's generator and its number of threads are afterwards as they were.
    """
    usual = (QUICK_STEPS, QUICK_SEEDS) if quick else (STEPS, SEEDS)
    settings = Settings(usual[0] if steps is None else steps, usual[1] if seeds is None else seeds, seed)
    this = Run(out, "torch-attention", settings, on_stage, needs=("sklearn",), packages=("torch",))
    found, learners = _find_and_train(this, settings)
    files = ()
    if learners:
        from ._torch.attention_picture import picture

        this.stage("drawing")
        files = (picture(this.out / "torch-attention.png", learners),)
    dead = found and {"verdict": found.verdict, "starved": found.starved, "lines": [gap.source for gap in found.alarms]}
    report = this.report(found=dead, learners=report_rows(learners))
    return Result(settings, found, learners, this.interrupted, (*files, report))


def _find_and_train(this: Run, settings: Settings) -> tuple[GapReport | None, tuple[Learner, ...]]:
    found, outcomes = None, []
    with this.until_interrupted():
        this.stage("finding the gap")
        found = find(settings.seed)
        # One seed after the other: an early end still compares all ways.
        for seed in range(settings.seed, settings.seed + settings.seeds):
            for name, loss in LOSSES.items():
                this.stage(f"seed {seed}: {name}")
                outcomes.append(train(name, Reader, loss, seed, settings.steps, soft=name == "soft attention"))
    return found, collect(outcomes)


def find(seed: int) -> GapReport:
    """Which line cuts the gradient, and of which parameters."""
    with reproducible(seed):
        scenes, labels = scattered(load(seed)[0].batch(16))
        return st.find_gaps(Reader(), scenes, loss=lambda answers: cross_entropy(answers, labels))


# What was learnt (figures in docs/torch-attention.md):
# - Nothing complains about a dead choice: the loss falls, because the rest learns to make do with glimpses that miss. `find_gaps`
#   names the line before the first step.
# - Any of the bridges is worth nearly three times the accuracy of none. Which one matters less: they end within a few percent of
#   each other, and of soft attention, which reads every place, always.
# - The biased ones ask what another place would have given, so they need all 25. The score function needs no more than the 8 it
#   has drawn, and is noisier: it is for looks that are expensive, or followed by something without a derivative.
