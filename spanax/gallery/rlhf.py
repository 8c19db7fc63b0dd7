"""The losses that language models are trained with: is their gradient that of the expected reward?

Nobody can tell on a language model: there is no exact gradient to compare with. Here there is one. A language of 8 tokens and at
most 5 positions has 19,608 sequences, so that the expected reward is a sum, and its gradient is exact. The prompt is a number,
and the answer digits that add up to it: right, 1, or wrong, 0. One prompt is easy, one is hard, and answers have different
lengths, so that what the losses divide by differs from draw to draw.

Each loss is a plain function `loss(logp, old_logp, rewards, mask)` (`policy_losses.py`). `sx.judge.PolicyAudit` draws groups of
sequences for it, and `sx.compare` holds the mean of thousands of its gradients against the exact one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Key

import spanax as sx

from . import policy_losses as losses
from ._rlhf import tools, world
from ._rlhf.result import KnownBias, LossRow, judged, known_biases, report_known, report_rows
from ._shared.run import Run

GROUP = 8
DRAWS, QUICK_DRAWS = 16_000, 1500


# 1. The losses, in a world where a whole answer is right or wrong. A group of 8 answers is drawn for each of the three prompts,
# and the loss is the mean over the prompts. `policies`: the newest first. Those before it draw for PPO, as where a batch is used
# for several steps.
def of_language(policies: list[world.Params]) -> dict[str, Callable]:
    candidate = partial(world.AUDIT.candidate, group=GROUP)
    return {
        "REINFORCE": candidate(losses.reinforce),
        "REINFORCE, mean": candidate(losses.reinforce_with_mean),
        "RLOO": candidate(losses.rloo),
        "GRPO": candidate(losses.grpo),
        "GRPO, no 1/std": candidate(partial(losses.grpo, std=False)),
        "GRPO, no 1/len": candidate(partial(losses.grpo, length=False)),
        "Dr. GRPO": candidate(losses.dr_grpo),
        "DAPO": candidate(losses.dapo),
        # It normalises over the batch: it sees the groups of all prompts as one.
        "REINFORCE++": candidate(losses.reinforce_plus_plus, pooled=True),
        **{f"PPO, {k} behind": candidate(losses.ppo_clip, sampled_by=policies[k]) for k in range(len(policies))},
        "PPO, 4, no clip": candidate(partial(losses.ppo_clip, clip=jnp.inf), sampled_by=policies[4]),
        "OTB": candidate(losses.optimal_token_baseline),
        "OTB, others": candidate(partial(losses.optimal_token_baseline, leave_one_out=True)),
    }


# 2. Tools. Each call of a tool earns something at once, but a loss of that signature sees one number for a whole conversation:
# every call is paid for what was earned before it, and for the other request.
def of_tools() -> dict[str, Callable]:
    candidate = partial(tools.AUDIT.candidate, group=GROUP)
    return {
        "RLOO": candidate(losses.rloo),
        "GRPO": candidate(losses.grpo),
        "OTB, others": candidate(partial(losses.optimal_token_baseline, leave_one_out=True)),
        "by dataflow": sx.expectation(conversation, samples=GROUP),
    }


# 3. The same conversation, written as it happens. `sample` marks a call, `cost` what it earns, and the dataflow says which calls
# come before what was earned: only those are paid for it. The baseline is the mean of the other samples.
def conversation(params: Any, *, key: Any) -> Any:
    keys = iter(jax.random.split(key, tools.REQUESTS * tools.TURNS))
    for _ in range(tools.REQUESTS):
        before = jnp.asarray(tools.START)
        for turn in range(tools.TURNS):
            call = sx.sample(next(keys), dist.Categorical(logits=params[turn, before]), via=sx.ScoreFunction())
            sx.cost(-jnp.asarray(tools.PAYS)[before, call])
            before = call
    return jnp.zeros(())


@dataclass(frozen=True)
class Settings:
    draws: int
    group: int
    seed: int


@dataclass(frozen=True)
class Result:
    """`rows`: of each loss judged; `known`: the biases that are known; `solved`: how often each prompt is answered rightly."""

    settings: Settings
    rows: tuple[LossRow, ...]
    known: tuple[KnownBias, ...]
    solved: tuple[float, ...]
    interrupted: bool
    files: tuple[Path, ...]


def run(
    out: str | Path,
    *,
    quick: bool = False,
    draws: int | None = None,
    seed: int = 0,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Result:
    """Judges each loss, and writes rlhf.png and result.json into `out`.

    - `quick`: 1,500 gradients of each loss instead of 16,000; `draws` overrides both;
    - `seed`: of all draws; the policies are always the same;
    - `on_stage`: called with "learning", "language: RLOO", ..., "tools: RLOO", ..., "drawing".

    Ctrl-C (`KeyboardInterrupt`) ends the work early: the losses that were judged are reported and drawn, and the result says
    `interrupted`.
    """
    settings = Settings((QUICK_DRAWS if quick else DRAWS) if draws is None else draws, GROUP, seed)
    this = Run(out, "rlhf", settings, on_stage)
    rows: list[LossRow] = []
    solved: list[float] = []
    with this.until_interrupted():
        this.stage("learning")
        policies, exact = world.learn()
        solved += world.solved(policies[0])
        # Keys of this kind take half the time to compile, which is most of the work here.
        key = jax.random.key(seed, impl="rbg")
        _judge(this, "language", key, world.AUDIT, policies[0], exact, of_language(policies), rows)
        calls = tools.initial()
        exact = jax.grad(tools.AUDIT.expected_loss)(calls)
        _judge(this, "tools", jax.random.key(seed), tools.AUDIT, calls, exact, of_tools(), rows)
    known, files = known_biases(rows), ()
    if rows:
        from ._rlhf.picture import picture

        this.stage("drawing")
        files = (picture(this.out / "rlhf.png", rows, GROUP),)
    report = this.report(losses=report_rows(rows), known_biases=report_known(known), solved=solved)
    return Result(settings, tuple(rows), known, tuple(solved), this.interrupted, (*files, report))


def _judge(
    this: Run,
    where: str,
    key: Key[Array, ""],
    audit: sx.judge.PolicyAudit,
    params: Any,
    exact: Any,
    ways: Mapping[str, Callable],
    rows: list[LossRow],
) -> None:
    for name, way in ways.items():
        this.stage(f"{where}: {name}")
        # One after the other, so that Ctrl-C keeps what was judged; all parameters are judged as one vector.
        found = sx.compare(
            audit.expected_loss,
            params,
            key=key,
            vias={name: way},
            draws=this.settings.draws,
            truth=exact,
            groups="policy",
        )
        rows.append(judged(where, found))


# What was learnt (figures in docs/gallery.md):
# - A baseline that leaves the own sample out has no bias, whatever it is made of: the mean of the others, or weighted by token.
# - The mean of the group scales the gradient by (G-1)/G, and does nothing else: another learning rate.
# - What is divided by a number that differs from draw to draw is turned: by 1/length 19 degrees, by 1/std 9, by both 21.
# - PPO is off by a few percent while the policy that draws is a step or two behind, and by half of the gradient at four. Most of
#   that is the clip; the rest is that its ratios are those of single tokens.
# - The mean is a poor baseline where wrong answers are improbable ones: without any, the noise is half as large here.
# - Where rewards come turn by turn, the dataflow takes away 60% of the noise: nothing is paid for what came before it.
