"""A mixture of 8 experts in PyTorch: which gradient reaches the router that sends each image to one or two of them?

Handwritten digits, each turned by 0 to 3 quarters, and 8 experts with two hidden units each: one alone is bad at it, several are
good, if each is sent what it can do. The choice has no derivative. What everybody does is to multiply the experts' outputs by the
router's probabilities p, and to let it learn from that product.

What would be right? Draw k experts one after the other by p, without replacement, and let l(S) be the loss of the set S, mixed by
its gates: p itself for k = 1 (as Switch Transformer does), p over its sum in S for k = 2 (as Mixtral does). Then
F = sum_S P(S) l(S), a sum over 8 or 56 draws, has an exact gradient, and each way is compared with that.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import spanax.torch as st  # first: where PyTorch is missing, it says how to install it

# isort: split
import torch
from torch import Tensor
from torch.distributions import Categorical

from ._shared.run import Run
from ._torch.mixture import EXPERTS, best, costs, follow, gates
from ._torch.router_result import Cosine, Outcome, Way, collect, report_rows
from ._torch.router_training import compare_gradients, train

STEPS, QUICK_STEPS = 1500, 500
SEEDS, QUICK_SEEDS = 5, 1
DRAWS = 4
BALANCE = 0.3  # nats of loss for each nat of entropy that the shares of the experts lack


# As usual: the router learns from the gates of the experts it chose, and nothing of the others.
def plain(scores: Tensor, says: Tensor, labels: Tensor, k: int) -> Tensor:
    return costs(gates(scores, best(scores, k), k), says, labels).mean()


# Forward the chosen experts, backward the mixture of all (as DenseMixer does), so all have to be run.
def straight_through(scores: Tensor, says: Tensor, labels: Tensor, k: int) -> Tensor:
    weights = st.straight_through(gates(scores, best(scores, k), k), scores.softmax(-1))
    return costs(weights, says, labels).mean()


# No choice at all. It is another model, which has to run 8 experts wherever it is used.
def dense(scores: Tensor, says: Tensor, labels: Tensor, k: int) -> Tensor:
    return costs(scores.softmax(-1), says, labels).mean()


# Draw, and make more probable what did better than the other draws of the same image. Unbiased, and the one of these bridges that
# runs no expert but those drawn. The slope of the gates is kept: it needs no bridge.
def score_function(scores: Tensor, says: Tensor, labels: Tensor, k: int) -> Tensor:
    scores = scores.expand(DRAWS, -1, -1)
    chosen, log_probs = follow(scores, k, lambda left, place: Categorical(logits=left).sample())
    # Each image is an expectation of its own: with a shared one, each draw would pay for all images.
    by_image = torch.vmap(st.surrogate_loss, in_dims=1)
    return by_image(costs(gates(scores, chosen, k), says, labels), log_probs).mean()


# Hard draws forward, and backward Heun's estimate of what another expert would have cost.
def reinmax(scores: Tensor, says: Tensor, labels: Tensor, k: int) -> Tensor:
    left, chosen = scores, torch.zeros_like(scores)
    for _ in range(k):
        one = st.reinmax(left)
        chosen, left = chosen + one, left.masked_fill(one == 1, -torch.inf)
    return costs(gates(scores, chosen, k), says, labels).mean()


# F itself: nothing is drawn, and all experts are run.
def enumerated(scores: Tensor, says: Tensor, labels: Tensor, k: int) -> Tensor:
    draws = torch.tensor(list(itertools.permutations(range(EXPERTS), k)))
    scores = scores.expand(len(draws), -1, -1)
    chosen, log_probs = follow(scores, k, lambda left, place: draws[:, place, None].expand(left.shape[:-1]))
    return (log_probs.sum(-1).exp() * costs(gates(scores, chosen, k), says, labels)).sum(0).mean()


LOSSES = {
    "plain top-k": plain,
    "straight-through": straight_through,
    "dense": dense,
    "score function": score_function,
    "ReinMax": reinmax,
    "enumerated": enumerated,
}


@dataclass(frozen=True)
class Settings:
    steps: int
    seeds: int
    seed: int
    balance: float


@dataclass(frozen=True)
class Result:
    """Each way with top-1 and with top-2 (`interrupted`: some of them), and the files written."""

    settings: Settings
    ways: tuple[Way, ...]
    interrupted: bool
    files: tuple[Path, ...]


def run(
    out: str | Path,
    *,
    quick: bool = False,
    steps: int | None = None,
    seeds: int | None = None,
    seed: int = 0,
    balance: float = BALANCE,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Result:
    """Compares the router's gradients, trains with each of them, and writes torch-router.png and result.json into `out`.

    - `quick`: 500 steps and 1 seed instead of 1,500 and 5; `steps` and `seeds` override both;
    - `seed`: the first of them: of the split, the initial weights and the draws;
    - `balance`: the weight of the term that keeps the experts in use; 0 for none;
    - `on_stage`: called with "seed 0, top-1: gradients", "seed 0, top-1: plain top-k", ..., "drawing".

    Ctrl-C (`KeyboardInterrupt`) ends the work early: what came to its end is reported and drawn, and the result says
    `interrupted`. torch's generator and its number of threads are afterwards as they were.
    """
    usual = (QUICK_STEPS, QUICK_SEEDS) if quick else (STEPS, SEEDS)
    settings = Settings(usual[0] if steps is None else steps, usual[1] if seeds is None else seeds, seed, balance)
    this = Run(out, "torch-router", settings, on_stage, needs=("sklearn",), packages=("torch",))
    ways, files = _compare_and_train(this, settings), ()
    if ways:
        from ._torch.router_picture import picture

        this.stage("drawing")
        files = (picture(this.out / "torch-router.png", ways),)
    report = this.report(ways=report_rows(ways))
    return Result(settings, ways, this.interrupted, (*files, report))


def _compare_and_train(this: Run, settings: Settings) -> tuple[Way, ...]:
    cosines: list[Cosine] = []
    outcomes: list[Outcome] = []
    with this.until_interrupted():
        # One seed after the other: an early end still compares all ways.
        for seed, k in itertools.product(range(settings.seed, settings.seed + settings.seeds), (1, 2)):
            this.stage(f"seed {seed}, top-{k}: gradients")
            cosines += compare_gradients(LOSSES, enumerated, seed, k, settings.balance)
            for name, loss in LOSSES.items():
                this.stage(f"seed {seed}, top-{k}: {name}")
                outcomes.append(train(name, loss, seed, k, settings.steps, settings.balance))
    return collect(cosines, outcomes)


# What was learnt (figures in docs/torch-attention.md):
# - For one expert the right gradient is worth 12 percent of all digits: the gates alone say how much the chosen one should count,
#   and nothing of the others. For two there is less to gain, since two gates that share a sum are compared with each other.
# - A gradient that looks right at the start may not stay so: straight-through differentiates the mixture of all experts, and once
#   they differ, that is another function than the one expert which is used.
# - The score function with 4 draws does as well as enumeration, and runs only the experts that it has drawn.
