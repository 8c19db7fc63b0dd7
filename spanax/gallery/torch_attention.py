"""Hard attention in PyTorch: a network that has to choose where to look, and what carries a gradient to the choice.

A scene of 24 by 24 pixels shows a handwritten digit of 8 by 8 somewhere, and pieces of others. The network sees the scene blurred,
chooses 2 of 25 places, gets the 8 by 8 pixels there, and says which digit it is. Choosing is an argmax: the part that chooses
gets no gradient, never learns where to look, and nothing complains. Each bridge gives it one in its own way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import spanax.torch as st  # first: where PyTorch is missing, it says how to install it

# isort: split
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._shared.run import Run
from ._torch.attention_picture import Look, picture
from ._torch.attention_result import Learner, Outcome, collect, report_rows
from ._torch.digits import DIGIT, SIDE, Labelled, load, scattered
from ._torch.reproducible import reproducible

STEPS, QUICK_STEPS = 1500, 500
SEEDS, QUICK_SEEDS = 3, 1
BATCH, RATE = 128, 6e-3
GLIMPSES, STRIDE, DRAWS = 2, 4, 4
PLACES = ((SIDE - DIGIT) // STRIDE + 1) ** 2
COPIES = 4  # scenes of each digit that is held out


class Reader(nn.Module):
    """Looks at `GLIMPSES` of `PLACES` places, and says how plausible each of ten digits is."""

    def __init__(self):
        super().__init__()
        self.where = nn.Sequential(nn.Linear((SIDE // 2) ** 2, 128), nn.ReLU(), nn.Linear(128, GLIMPSES * PLACES))
        self.what, self.place = nn.Linear(DIGIT**2, 128), nn.Parameter(torch.zeros(PLACES, 128))
        self.answer = nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))

    def forward(self, scenes: Tensor) -> Tensor:
        scores = self.scores(scenes)
        places = scores.argmax(-1)
        return self.read(scenes, F.one_hot(places, PLACES).float())

    def scores(self, scenes: Tensor) -> Tensor:
        """How much each glimpse is drawn to each place, (scenes, glimpses, places), from the blurred scene alone."""
        blurred = F.avg_pool2d(scenes[:, None], 2).flatten(1)
        return self.where(blurred).unflatten(-1, (GLIMPSES, PLACES))

    def read(self, scenes: Tensor, weights: Tensor) -> Tensor:
        """The answer from what is at the places, weighted: (..., scenes, glimpses, places), one 1 each if a choice was made."""
        pixels = scenes.unfold(1, DIGIT, STRIDE).unfold(2, DIGIT, STRIDE).flatten(1, 2).flatten(2)
        return self.answer((weights @ torch.relu(self.what(pixels) + self.place)).sum(-2))


# Training as written: the loss falls, as far as it can with glimpses that stay where they are.
def no_bridge(reader: Reader, scenes: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(reader(scenes), labels)


# The ceiling: no choice at all, but a mean of all 25 places. Nothing is cut, and nothing is saved.
def soft_attention(reader: Reader, scenes: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(reader.read(scenes, reader.scores(scenes).softmax(-1)), labels)


# Draw the places, and make what turned out better than the other draws of the same scene more probable. The one way that is
# unbiased, and that needs to know nothing of a place it did not look at.
def score_function(reader: Reader, scenes: Tensor, labels: Tensor) -> Tensor:
    places = torch.distributions.Categorical(logits=reader.scores(scenes))
    drawn = places.sample((DRAWS,))
    answers = reader.read(scenes, F.one_hot(drawn, PLACES).float())
    costs = F.cross_entropy(answers.flatten(0, 1), labels.repeat(DRAWS), reduction="none").view(DRAWS, -1)
    # Each scene is an expectation of its own: a shared one would blame each draw for all scenes.
    return torch.func.vmap(st.surrogate_loss, in_dims=1)(costs, places.log_prob(drawn)).mean()


# Train a relaxed choice, close to one place but not quite there.
def gumbel_softmax(reader: Reader, scenes: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(reader.read(scenes, st.gumbel_softmax(reader.scores(scenes), 1.0)), labels)


# Forward the place that was drawn, backward the derivative of soft attention.
def straight_through(reader: Reader, scenes: Tensor, labels: Tensor) -> Tensor:
    scores = reader.scores(scenes)
    drawn = F.one_hot(torch.distributions.Categorical(logits=scores).sample(), PLACES).float()
    return F.cross_entropy(reader.read(scenes, st.straight_through(drawn, scores.softmax(-1))), labels)


# The same, but of second order: Heun's method where straight-through is Euler's.
def reinmax(reader: Reader, scenes: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(reader.read(scenes, st.reinmax(reader.scores(scenes))), labels)


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
    found: st.GapReport | None
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
    ordinary = (QUICK_STEPS, QUICK_SEEDS) if quick else (STEPS, SEEDS)
    settings = Settings(*(usual if given is None else given for given, usual in zip((steps, seeds), ordinary)), seed)
    this = Run(out, "torch-attention", settings, on_stage, needs=("sklearn",), packages=("torch",))
    found, outcomes, files = None, [], ()
    with this.until_interrupted():
        this.stage("finding the gap")
        found = find(seed)
        for one in range(seed, seed + settings.seeds):
            for name in LOSSES:
                this.stage(f"seed {one}: {name}")
                outcomes.append(train(name, one, settings.steps))
    learners = collect(outcomes)
    if learners:
        this.stage("drawing")
        files = (picture(this.out / "torch-attention.png", learners),)
    report = this.report(verdict=found and found.verdict, starved=found and found.starved, learners=report_rows(learners))
    return Result(settings, found, learners, this.interrupted, (*files, report))


def find(seed: int) -> st.GapReport:
    """Which line cuts the gradient, and of which parameters."""
    with reproducible(seed):
        scenes, labels = scattered(load(seed)[0].batch(16))
        return st.find_gaps(Reader(), scenes, loss=lambda answers: F.cross_entropy(answers, labels))


def train(name: str, seed: int, steps: int) -> Outcome:
    """The network trained in one way, and how often it is right on digits that were held out."""
    with reproducible(seed):
        digits, held_out = load(seed)
        # Each digit at several places: luck with one of them would be noise.
        tested = scattered(Labelled(*(part.repeat_interleave(COPIES, 0) for part in held_out)))
        reader, loss, began, curve = Reader(), LOSSES[name], time.perf_counter(), []
        optimizer = torch.optim.Adam(reader.parameters(), RATE)
        rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for step in range(1, steps + 1):
            optimizer.zero_grad()
            loss(reader, *scattered(digits.batch(BATCH))).backward()
            optimizer.step()
            rate.step()
            if step == steps or step % max(steps // 20, 1) == 0:
                curve.append((step, accuracy(reader, tested, soft=name == "soft attention")))
        seconds = time.perf_counter() - began
        with torch.no_grad():
            return Outcome(name, seed, curve, seconds, Look.of(tested.images, reader.scores(tested.images), STRIDE))


@torch.no_grad()
def accuracy(reader: Reader, tested: Labelled, *, soft: bool) -> float:
    """Of the network as it is used, which looks where its scores are highest, however it was trained."""
    scenes, labels = tested
    answers = reader.read(scenes, reader.scores(scenes).softmax(-1)) if soft else reader(scenes)
    return float((answers.argmax(-1) == labels).float().mean())
