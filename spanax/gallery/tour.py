"""A step cuts the gradient of a network. It is found, bridged in two ways, judged, and the network learns.

Two handwritten digits: is one of them odd and the other even? A network looks at each digit and draws a bit for it, the answer is
whether the bits differ, and all it is ever told is whether the answer was right. Nobody tells it what a digit is, or what odd is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

import spanax as sx

from ._shared.run import Run
from ._tour.digits import load
from ._tour.training import Learnt, learn, network

STEPS, QUICK_STEPS = 2000, 800
DRAWS, QUICK_DRAWS = 2000, 1000  # gradients of each bridge that `compare` takes
PAIRS = 32  # that these are of


# As anybody writes it, and nothing complains: the draw is an integer, and what follows an integer has no slope.
def cut(network, images, differ, *, key):
    logits = jax.vmap(network)(images)
    bits = jax.random.bernoulli(key, jax.nn.sigmoid(logits)).astype(float)
    return (jnp.abs(bits[0] - bits[1]) - differ) ** 2


# The same program with a draw that says how its gradient is carried across: by the bridge that is named for "bits".
def bridged(network, images, differ, *, key):
    logits = jax.vmap(network)(images)
    bits = sx.sample(key, dist.Bernoulli(logits=logits).to_event(1), name="bits")
    return (jnp.abs(bits[0] - bits[1]) - differ) ** 2


# Two ways across, and how many draws each takes of a pair. Straight-through is what most people write: it takes the slope of what
# follows, as if a bit could be moved a little. The score function asks what each drawn pair of bits has cost, beside the others.
BRIDGES = {"straight-through": (sx.StraightThrough(), 1), "score function": (sx.ScoreFunction(), 8)}
UNBRIDGED = "no bridge"


def mean_loss(via: sx.bridges.Drawing, samples: int = 1) -> Callable[..., Any]:
    """Of a batch: vmap outside, expectation inside, so that each draw pays for its own pair only."""
    return _over_pairs(sx.expectation(bridged, samples=samples, via={"bits": via}))


def _over_pairs(one: Callable[..., Any]) -> Callable[..., Any]:
    def loss(network, images, differ, *, key):
        keys = jax.random.split(key, len(images))
        return jnp.mean(jax.vmap(lambda *pair: one(network, *pair[:2], key=pair[2]))(images, differ, keys))

    return loss


@dataclass(frozen=True)
class Settings:
    steps: int
    draws: int
    seed: int


@dataclass(frozen=True)
class Result:
    """What was found, in this order; where Ctrl-C came first, None, or missing in `learnt`."""

    settings: Settings
    report: sx.gaps.GapReport | None
    comparison: sx.judge.Comparison | None
    learnt: tuple[Learnt, ...]
    interrupted: bool
    files: tuple[Path, ...]


def run(
    out: str | Path,
    *,
    quick: bool = False,
    steps: int | None = None,
    seed: int = 0,
    on_stage: Callable[[str], None] = lambda stage: None,
    on_found: Callable[[Any], None] = lambda found: None,
) -> Result:
    """Tells the story, and writes tour.png and result.json into `out`.

    - `quick`: 800 steps of each training instead of 2,000 (`steps` overrides both), and 1,000 gradients of each bridge instead
      of 2,000;
    - `seed`: of the pairs, the initial weights and the draws;
    - `on_stage`: called with what begins: "no bridge", "find_gaps", "compare", "straight-through", "score function", "drawing";
    - `on_found`: called with each finding as soon as it is there: a `Learnt`, a `GapReport`, a `Comparison`, two `Learnt`s.

    Ctrl-C (`KeyboardInterrupt`) ends it early: what was found until then is reported, and the result says `interrupted`.
    """
    usual = (QUICK_STEPS, QUICK_DRAWS) if quick else (STEPS, DRAWS)
    settings = Settings(usual[0] if steps is None else steps, usual[1], seed)
    this = Run(out, "tour", settings, on_stage, needs=("sklearn",))
    tour, files = Tour(settings, this.stage, on_found), ()
    with this.until_interrupted():
        tour.go()
        files = (tour.draw(this.out / "tour.png"),)
    learnt, report, comparison = tuple(tour.learnt), tour.report, tour.comparison
    path = this.report(
        learnt=[{**asdict(one), "curve": one.curve} for one in learnt],
        gaps=[{"operation": gap.operation, "line": gap.line} for gap in report.gaps] if report else [],
        bridges=[_row(row, comparison.truth.norm) for row in comparison.rows] if comparison else [],
        recommendation=comparison.recommendation if comparison else None,
    )
    return Result(settings, report, comparison, learnt, this.interrupted, (*files, path))


class Tour:
    """The steps of the story, and what each has found."""

    def __init__(self, settings: Settings, stage: Callable[[str], None], found: Callable[[Any], None]):
        self.settings, self.stage, self.found = settings, stage, found
        self.train, self.test = load(settings.seed)
        self.network, self.key = network(jax.random.key(settings.seed)), jax.random.key(settings.seed + 1)
        self.report: sx.gaps.GapReport | None = None
        self.comparison: sx.judge.Comparison | None = None
        self.learnt: list[Learnt] = []
        self.networks: dict[str, Any] = {}

    def go(self) -> None:
        self.learn(UNBRIDGED, _over_pairs(cut))  # 1. it does not learn
        self.find()  # 2. which line is it?
        self.compare()  # 3. two bridges: which is right, and cheapest? Asked before any training
        for name, bridge in BRIDGES.items():
            self.learn(name, mean_loss(*bridge))  # 4. and it learns

    def find(self) -> None:
        self.stage("find_gaps")
        self.report = sx.find_gaps(cut, self.network, self.train.images[0], self.train.differ[0], key=self.key)
        self.found(self.report)

    def compare(self) -> None:
        self.stage("compare")
        # Two bits have four values: here the truth can be had by trying all of them.
        exact, batch = mean_loss(sx.Enumerate()), (self.train.images[:PAIRS], self.train.differ[:PAIRS])
        vias = {name: mean_loss(*bridge) for name, bridge in BRIDGES.items()}
        self.comparison = sx.compare(
            exact, self.network, *batch, key=self.key, vias=vias, draws=self.settings.draws, truth=exact
        )
        self.found(self.comparison)

    def learn(self, name: str, loss: Callable[..., Any]) -> None:
        self.stage(name)
        settings = self.settings
        trained, learnt = learn(name, self.network, loss, self.train, self.test, settings.steps, settings.seed)
        self.networks[name] = trained
        self.learnt.append(learnt)
        self.found(learnt)

    def draw(self, path: Path) -> Path:
        from ._tour.picture import picture

        self.stage("drawing")
        assert self.report is not None and self.comparison is not None
        best = max(self.learnt, key=lambda one: one.test_accuracy).name
        picture(
            path, self.test, self.networks[UNBRIDGED], self.networks[best], self.report, self.comparison, self.learnt
        )
        return path


def _row(row: sx.judge.Row, norm: float) -> dict[str, Any]:
    """The bias is a share of the true gradient's norm."""
    return {
        "name": row.label,
        "verdict": row.verdict,
        "bias": row.bias.estimate / norm,
        "variance": row.variance,
        "seconds_to_10_percent": row.time_to_accuracy,
    }


# What was learnt (figures in docs/gallery.md):
# - A cut gradient is no error: training runs, and nothing moves. `find_gaps` names the line before the first step.
# - A slope is not enough. That of |a - b| pulls together two bits that differ, and cannot say of two equal ones which should
#   change: with straight-through the network stays where it was. `compare` saw that before the training did, in seconds.
# - The score function needs no slope at all, only what each draw has cost. It is noisier, and right.
