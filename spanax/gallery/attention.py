"""Hard attention: a network that sees 27 of a digit's 64 pixels has to learn where to look, and a look has no derivative.

A picture of 8x8 pixels shows a handwritten digit. The network takes three glimpses of 3x3 pixels. It draws the place of each, one
of 36, by scores that it computes from what it has seen so far, and after the third it says which digit it is. Before the first it
knows nothing: no blurred overview, only a start that it has learnt and that is the same for every picture.

What it says has a derivative; where it looked has none: an index that was drawn. Each bridge gives the scores one in its own way,
and each is one word in the same program. The baselines are to look at random, to learn three places that are the same for every
picture, and to look everywhere (soft attention, which sees all 64 pixels and is no choice at all).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

import spanax as sx

from ._attention.reader import PLACES, Choose, Reader
from ._attention.result import Learner, Outcome, collect, figures, report_rows
from ._shared.digits import Pictures, load
from ._shared.fitting import fit
from ._shared.run import Run

STEPS, QUICK_STEPS = 1500, 400
SEEDS, QUICK_SEEDS = 3, 1
BATCH, RATE, DRAWS = 64, 5e-3, 4


# The whole model of a look. What the draw's bridge is, the program does not know.
def drawn(via: sx.bridges.Drawing) -> Choose:
    import numpyro.distributions as dist

    return lambda key, scores: sx.sample(key, dist.Categorical(logits=scores), via=via, name="look")


# In use nothing is drawn: the network looks where its score is highest.
def best(key: Key[Array, ""], scores: Float[Array, " places"]) -> Int[Array, ""]:
    return jnp.argmax(scores)


def anywhere(key: Key[Array, ""], scores: Float[Array, " places"]) -> Int[Array, ""]:
    return jax.random.randint(key, (), 0, PLACES)


def everywhere(key: Key[Array, ""], scores: Float[Array, " places"]) -> Float[Array, " places"]:
    return jax.nn.softmax(scores)


@dataclass(frozen=True)
class Way:
    """How places are chosen in training and in use.

    - `draws`: of all three looks, for each picture and step;
    - `blind`: are the places to be the same for every picture?
    """

    choose: Choose
    look: Choose = best
    draws: int = 1
    blind: bool = False

    # The loss of one picture, its expectation, and only then the mean over pictures: each draw answers to its own picture.
    def loss(self, reader: Reader, digits: Pictures, key: Key[Array, ""]) -> Float[Array, ""]:
        def one(reader: Reader, image: Float[Array, "8 8"], label: Int[Array, ""], *, key: Key[Array, ""]):
            answer, _ = reader(image, self.choose, key)
            return -jax.nn.log_softmax(answer)[label]

        estimate = sx.expectation(one, samples=self.draws)
        pick, draw = jax.random.split(key)
        some = jax.random.randint(pick, (BATCH,), 0, len(digits.labels))
        keys = jax.random.split(draw, BATCH)
        costs = jax.vmap(lambda image, label, key: estimate(reader, image, label, key=key))
        return jnp.mean(costs(digits.images[some], digits.labels[some], keys))


# One program for all pictures, compiled once for all networks that look in the same way.
@eqx.filter_jit
def read(reader: Reader, look: Choose, images: Float[Array, "n 8 8"], key: Key[Array, ""]):
    """The answers, (pictures, 10), and the weights of the places, (pictures, glimpses, places)."""
    return jax.vmap(lambda image, key: reader(image, look, key))(images, jax.random.split(key, len(images)))


def ways() -> dict[str, Way]:
    return {
        # The rest of the network learns, and the places are luck.
        "random places": Way(anywhere, anywhere),
        # Unbiased, but blind: what three places would be best, if one could not choose by what one sees?
        "fixed places": Way(drawn(sx.ScoreFunction()), draws=DRAWS, blind=True),
        # Unbiased: makes likelier what cost little. It needs to know nothing of a place that it did not look at.
        "score function": Way(drawn(sx.ScoreFunction(baseline=None)), draws=DRAWS),
        # The same, and the mean of the picture's other draws is what a draw is compared with.
        "leave-one-out": Way(drawn(sx.ScoreFunction()), draws=DRAWS),
        # Trains a mixture of all places, close to one of them; used with one.
        "Gumbel-softmax": Way(drawn(sx.GumbelSoftmax(temperature=1.0))),
        # Forward the place that was drawn, backward the derivative of the mean over places.
        "straight-through": Way(drawn(sx.StraightThrough())),
        # The same, of second order.
        "ReinMax": Way(drawn(sx.ReinMax())),
        "soft attention": Way(everywhere, everywhere),
    }


@dataclass(frozen=True)
class Settings:
    steps: int
    seeds: int
    seed: int


@dataclass(frozen=True)
class Result:
    """What came of each way (`interrupted`: of some), and the files written."""

    settings: Settings
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
    """Trains the network in eight ways, and writes attention.png and result.json into `out`.

    - `quick`: 400 steps and 1 seed instead of 1,500 and 3; `steps` and `seeds` override both;
    - `seed`: the first of them: of the split, the initial weights and the draws;
    - `on_stage`: called with "seed 0: random places", ..., "drawing".

    Ctrl-C (`KeyboardInterrupt`) ends the training early: what came to its end is reported and drawn, and the result says
    `interrupted`.
    """
    usual = (QUICK_STEPS, QUICK_SEEDS) if quick else (STEPS, SEEDS)
    settings = Settings(usual[0] if steps is None else steps, usual[1] if seeds is None else seeds, seed)
    this = Run(out, "attention", settings, on_stage, needs=("sklearn",))
    learners, files = _train(this, settings), ()
    if learners:
        from ._attention.picture import picture

        this.stage("drawing")
        files = (picture(this.out / "attention.png", learners),)
    report = this.report(**figures(learners), learners=report_rows(learners))
    return Result(settings, learners, this.interrupted, (*files, report))


def _train(this: Run, settings: Settings) -> tuple[Learner, ...]:
    outcomes = []
    with this.until_interrupted():
        every = ways()
        # One seed after the other: an early end still compares all ways.
        for seed in range(settings.seed, settings.seed + settings.seeds):
            for name, way in every.items():
                this.stage(f"seed {seed}: {name}")
                outcomes.append(train(name, way, seed, settings.steps))
    return collect(outcomes)


def train(name: str, way: Way, seed: int, steps: int) -> Outcome:
    digits, held_out = (part.in_jax() for part in load(seed))
    first, train_key, key = jax.random.split(jax.random.key(seed), 3)

    def accuracy(reader: Reader) -> float:
        answers, _ = read(reader, way.look, held_out.images, key)
        return float(jnp.mean(jnp.argmax(answers, -1) == held_out.labels))

    fitted = fit(way.loss, accuracy, Reader(blind=way.blind, key=first), digits, steps=steps, rate=RATE, key=train_key)
    return Outcome.of(name, seed, fitted, held_out, *read(fitted.network, way.look, held_out.images, key))


# What was learnt (figures in docs/gallery.md):
# - Where to look is worth 12 points over luck, and every bridge learns it; which one matters no more than the seed. The biased
#   ones, with one draw, are the faster; they ask what another place would have shown, so they need all 36. The score functions
#   need no more than what they looked at: they are for looks that cost something.
# - Look at what was learnt, and not only at how well it does: a policy that could choose by what it has seen ends with three
#   places that are the same for nearly every picture, and `fixed places`, which cannot, is as good. Digits of 8x8 pixels fill
#   their frame. Where the digit may be anywhere, as in `torch-attention`, choosing by what is seen is what counts.
