"""Rank supervision: a network that is only told the order of some pictures has to learn what they show.

A group of n pictures shows n different digits. The network gives each picture a score, and the pictures are sorted by it. Nobody
says which digit is which: only the ranks, from 1 (the smallest digit) to n. What counts is the rank, and the loss is its mean
squared error over the variance of the ranks: 2 (1 - Spearman's correlation).

The rank of a score is a staircase: flat, and where it is not flat it jumps. `sx.hard.rank` says so (without a bridge its
derivative raises), and takes a bridge. Beside the bridges stand the losses that people have written by hand because there was no
such derivative, and a network that is told more: the digits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp

import spanax as sx

from ._shared.run import Run
from ._sorting.result import Learner, best_bridge, collect, report_rows
from ._sorting.training import Loss, train

STEPS, QUICK_STEPS = 1000, 400
SEEDS, QUICK_SEEDS = 3, 1
SIZES, QUICK_SIZES = (3, 5, 9), (3, 5)


# Each loss is that of some groups, from scores and digits of shape (groups, n). Only the last asks for more than their order.
#
# The loss that is meant, with any bridge. It is 1 where all scores are equal.
def ranks_by(via: sx.bridges.Step) -> Loss:
    def loss(scores, digits, key):
        n = scores.shape[-1]
        told = sx.hard.rank(digits)
        return jnp.mean((sx.hard.rank(scores, via=via, key=key) - told) ** 2) / ((n**2 - 1) / 12)

    return loss


# No sorting: the score itself is to be the rank, although that depends on who else is in the group.
def regressed(scores, digits, key):
    n = scores.shape[-1]
    return jnp.mean((scores - (sx.hard.rank(digits) - (n + 1) / 2) / n) ** 2)


# Cross-entropy of which of two is larger, for all pairs of a group (RankNet, Burges et al. 2005).
def by_pairs(scores, digits, key):
    larger = digits[:, :, None] > digits[:, None, :]
    return jnp.sum(larger * jax.nn.softplus(scores[:, None, :] - scores[:, :, None])) / jnp.sum(larger)


# Likelihood of the order: the largest is drawn by a softmax, then the largest of the rest, ... (ListMLE, Xia et al. 2008).
def as_a_list(scores, digits, key):
    ordered = jnp.take_along_axis(scores, jnp.argsort(digits, -1), -1)
    return jnp.mean(jax.lax.cumlogsumexp(ordered, axis=1) - ordered)


# Supervision of another kind, to compare with: the digit itself is told, which the others never see.
def told_the_digits(scores, digits, key):
    return jnp.mean((scores - (digits - 4.5) / 9) ** 2)


def ways() -> dict[str, Loss]:
    return {
        # The rank of the score under noise on all scores. 0.3 or 3 do as well: the scores find their own scale.
        "Soft": ranks_by(sx.Soft(1.0)),
        # The exact rank, with the derivative of the soft one. Once an order is right nothing is left to learn from it.
        "StraightThrough(Soft)": ranks_by(sx.StraightThrough(sx.Soft(1.0))),
        # The mean of the exact ranks of 32 noisy copies: needs nothing but a program that ranks.
        "Perturbed": ranks_by(sx.Perturbed(0.3, samples=32)),
        # The exact rank, taken for the score itself.
        "StraightThrough": ranks_by(sx.StraightThrough()),
        "ranks, regressed": regressed,
        "order, by pairs": by_pairs,
        "order, as a list": as_a_list,
        "told the digits": told_the_digits,
    }


@dataclass(frozen=True)
class Settings:
    steps: int
    seeds: int
    seed: int
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Result:
    """What came of each way with each size of the groups (`interrupted`: of some), and the files written."""

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
    """Learns the order of digits in eight ways, and writes sorting.png and result.json into `out`.

    - `quick`: 400 steps, 1 seed, groups of 3 and 5 pictures, instead of 1,000, 3, and groups of 3, 5 and 9; `steps` and
      `seeds` override both;
    - `seed`: the first of them: of the split, the initial weights and the groups;
    - `on_stage`: called with "seed 0, 3 pictures: Soft", ..., "drawing".

    Ctrl-C (`KeyboardInterrupt`) ends the training early: what came to its end is reported and drawn, and the result says
    `interrupted`.
    """
    usual, sizes = ((QUICK_STEPS, QUICK_SEEDS), QUICK_SIZES) if quick else ((STEPS, SEEDS), SIZES)
    settings = Settings(usual[0] if steps is None else steps, usual[1] if seeds is None else seeds, seed, sizes)
    this = Run(out, "sorting", settings, on_stage, needs=("sklearn",))
    learners, files = _train(this, settings), ()
    if learners:
        from ._sorting.picture import picture

        this.stage("drawing")
        files = (picture(this.out / "sorting.png", learners),)
    best = best_bridge(learners)
    report = this.report(
        best_bridge=best and best.name, exact_match=best and best.exact_match, learners=report_rows(learners)
    )
    return Result(settings, learners, this.interrupted, (*files, report))


def _train(this: Run, settings: Settings) -> tuple[Learner, ...]:
    outcomes, every = [], ways()
    with this.until_interrupted():
        # One seed after the other: an early end still compares all ways.
        for seed in range(settings.seed, settings.seed + settings.seeds):
            for size in settings.sizes:
                for name, loss in every.items():
                    this.stage(f"seed {seed}, {size} pictures: {name}")
                    outcomes.append(train(name, loss, size, seed, settings.steps))
    return collect(outcomes)


# What was learnt (figures in docs/gallery.md):
# - The loss that is meant, ranks through `Soft` or `Perturbed`, teaches as much as the losses made by hand for an order. It
#   is the definition of the goal, in one line; each of the others took a paper.
# - Exact ranks in the forward pass are weak teachers: the loss is 0 as soon as an order is right, however narrowly, so that
#   nothing asks for a margin. Ranks under noise push scores apart until the noise does not matter.
# - Plain regression on the rank is as good here, because all groups are drawn alike: the rank to be expected grows with the
#   digit. It would not be where the company that a picture comes in says something about it.
