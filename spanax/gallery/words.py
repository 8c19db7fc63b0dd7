"""Number words: a network trained on BLEU, which is no function of its parameters.

4207 is "four thousand two hundred and seven". A small recurrent network is shown 150 such pairs, and is weak. Of 4,000 further
numbers it is never shown the words: it writes some, and is told a single number, sacrebleu's sentence BLEU. Two things cut the
gradient on that way: a word is drawn, and the next one depends on it; and the score is made by a program that reads text.

The draw needs a bridge. The score does not: a score function asks only how good a sentence was, never how its score would change.
So BLEU may stay a black box, and the one question is what to compare it with, the baseline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int, Key

import spanax as sx

from ._shared.run import Run
from ._words.bleu import rewards
from ._words.result import Sample, Way, collect, report_rows, samples
from ._words.training import Loss, Numbers, Outcome, train, weak_start
from ._words.writer import Writer, greedy, write

UPDATES, QUICK_UPDATES = 500, 200
SEEDS, QUICK_SEEDS = 3, 1
SENTENCES = 5  # scored for each number and update, whatever the way

# BLEU / 100 of the words written for a number. Words are integers, so that no derivative of BLEU is ever asked for: the bridge is
# not used. All sentences of an update go to the host in one call.
bleu = sx.blackbox(rewards, jax.ShapeDtypeStruct((), jnp.float32), via=sx.FiniteDifference(), batched=True)


# What is to be small: minus the BLEU of one sentence, each word drawn given those before.
def cost(
    writer: Writer, digits: Float[Array, " inputs"], number: Int[Array, ""], baseline, *, key: Key[Array, ""]
) -> Float[Array, ""]:
    via = sx.ScoreFunction(baseline=baseline)

    def draw(log_probs: Float[Array, " words"], key: Key[Array, ""]) -> Int[Array, ""]:
        return sx.sample(key, dist.Categorical(logits=log_probs), via=via, name="word")

    return -bleu((write(writer, digits, draw, key), number))


# Self-critical training (Rennie et al. 2017): better than what the network writes if it takes the most probable word each time?
# That is a fifth sentence, which is not drawn, so it may be the baseline of the four that are.
def self_critical(writer, digits, numbers, key):
    def mean_cost(digits, number, key):
        baseline = -bleu((greedy(writer, digits), number))
        return sx.expectation(cost, samples=SENTENCES - 1)(writer, digits, number, baseline, key=key)

    return _mean(mean_cost, digits, numbers, key)


# Leave-one-out (Kool et al. 2019): better than the other four sentences that were drawn for this number?
def leave_one_out(writer, digits, numbers, key):
    def mean_cost(digits, number, key):
        return sx.expectation(cost, samples=SENTENCES)(writer, digits, number, "auto", key=key)

    return _mean(mean_cost, digits, numbers, key)


# No comparison (Williams 1992): every sentence is made more probable, good ones more so. Unbiased as well.
def no_baseline(writer, digits, numbers, key):
    def mean_cost(digits, number, key):
        return sx.expectation(cost, samples=SENTENCES)(writer, digits, number, None, key=key)

    return _mean(mean_cost, digits, numbers, key)


# Over a batch: each number is an expectation of its own, and pays for no other.
def _mean(cost: Callable[..., Float[Array, ""]], digits, numbers, key) -> Float[Array, ""]:
    return jnp.mean(jax.vmap(cost)(digits, numbers, jax.random.split(key, len(numbers))))


# And none of this: as many updates more on the likelihood of the 150 numbers.
WAYS: dict[str, Loss | None] = {
    "self-critical": self_critical,
    "leave-one-out": leave_one_out,
    "no baseline": no_baseline,
    "likelihood": None,
}


@dataclass(frozen=True)
class Settings:
    updates: int
    seeds: int
    seed: int


@dataclass(frozen=True)
class Result:
    """Each way (`interrupted`: some of them), what the first one wrote before and after, and the files written."""

    settings: Settings
    ways: tuple[Way, ...]
    samples: tuple[Sample, ...]
    interrupted: bool
    files: tuple[Path, ...]


def run(
    out: str | Path,
    *,
    quick: bool = False,
    updates: int | None = None,
    seeds: int | None = None,
    seed: int = 0,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Result:
    """Trains from a weak start in each way, and writes words.png and result.json into `out`.

    - `quick`: 200 updates and 1 seed instead of 500 and 3; `updates` and `seeds` override both;
    - `seed`: the first of them: of the numbers, the initial weights and the draws;
    - `on_stage`: called with "seed 0: weak start", "seed 0: self-critical", ..., "drawing".

    Ctrl-C (`KeyboardInterrupt`) ends the training early: what came to its end is reported and drawn, and the result says
    `interrupted`.
    """
    usual = (QUICK_UPDATES, QUICK_SEEDS) if quick else (UPDATES, SEEDS)
    settings = Settings(usual[0] if updates is None else updates, usual[1] if seeds is None else seeds, seed)
    this = Run(out, "words", settings, on_stage, needs=("sacrebleu",), packages=("sacrebleu",))
    ways = collect(_train(this, settings))
    shown, files = samples(ways[0]) if ways else (), ()
    if ways:
        from ._words.picture import picture

        this.stage("drawing")
        files = (picture(this.out / "words.png", ways, shown),)
    # The first way's own, so that they stand where nobody has to search.
    first = {"bleu_before": ways[0].bleu_before, "bleu_after": ways[0].bleu_after} if ways else {}
    report = this.report(**first, ways=report_rows(ways), samples=[asdict(one) for one in shown])
    return Result(settings, ways, shown, this.interrupted, (*files, report))


def _train(this: Run, settings: Settings) -> list[Outcome]:
    outcomes: list[Outcome] = []
    with this.until_interrupted():
        for seed in range(settings.seed, settings.seed + settings.seeds):
            this.stage(f"seed {seed}: weak start")
            numbers = Numbers.of(seed)
            start = weak_start(seed, numbers)
            for name, loss in WAYS.items():
                this.stage(f"seed {seed}: {name}")
                outcomes.append(train(name, loss, start, numbers, seed, settings.updates))
    return outcomes


# What was learnt (figures in docs/gallery.md):
# - A score that is a black box is no gap: a score function never asks for its derivative. Only the draws need a bridge.
# - All three are unbiased, and the baseline decides how far one comes: with leave-one-out BLEU rises twice as much as without a
#   baseline. Self-critical training is close to it, with one draw less for each number.
# - What is trained is the metric, and not what was meant by it. A sentence that stops before a doubtful last word has a better
#   BLEU than one with a wrong last word, so that a writer who is not sure stops: "four thousand two hundred and". Without a
#   baseline BLEU rises, and fewer numbers are right than before.
# - As many updates more on the likelihood of the same 150 numbers gain a third of it: the scores of the others are information.
