"""Retrieval: an argmax between two networks, and what lets both of them learn toward one goal.

Somebody remembers ten words from the code of a function and two of its documentation. By these a retriever picks one of 500
docstrings of Python's standard library. A reader gets that docstring, and nothing of the query, and is asked four times which of
four words stands in the right one. If it got another, it can only guess.

The document is an integer: there is no other way round it for a gradient, and nothing complains. The reader learns to read, and
the retriever stays as it was: TF-IDF, with a learned part that is 0. So a bridge has to say which documents made good answers.
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

from ..gaps import GapReport
from ._retrieval.model import Desk, Networks
from ._retrieval.result import Example, Way, collect, example, report_rows
from ._retrieval.tasks import Query
from ._retrieval.training import Loss, Outcome, shelf, test_queries, train
from ._shared.run import Run

STEPS, QUICK_STEPS = 1000, 350
SEEDS, QUICK_SEEDS = 2, 1
DRAWS = 16


# The goal: that all four answers are right. This is the log-probability of it, where one document is read.
def log_goal(desk: Desk, document: Int[Array, ""], query: Query) -> Float[Array, ""]:
    return jnp.sum(desk.read(document, query)[:, 0])


# As one would write it: the best document, and then its cost. The argmax has no derivative.
def no_bridge(desk: Desk, query: Query, key: Key[Array, ""]) -> Float[Array, ""]:
    document = jnp.argmax(desk.scores(query))
    return -log_goal(desk, document, query)


# Draw 16 documents instead, and make more probable what cost less than the other 15. Both networks learn from the same cost, and
# 16 documents are read, not 500.
def leave_one_out(desk: Desk, query: Query, key: Key[Array, ""]) -> Float[Array, ""]:
    def draw_and_read(scores, *, key):
        document = sx.sample(key, dist.Categorical(logits=scores), via=sx.LeaveOneOut(samples=DRAWS), name="document")
        return -jnp.exp(log_goal(desk, document, query))

    return sx.expectation(draw_and_read)(desk.scores(query), key=key)


# The ceiling: -log of the sum over all documents of P(document) P(right answers | document). All 500 are read for each query, as
# can be done here, where reading is cheap.
def exact_marginal(desk: Desk, query: Query, key: Key[Array, ""]) -> Float[Array, ""]:
    scores = desk.scores(query)
    goals = jax.vmap(lambda document: log_goal(desk, document, query))(jnp.arange(len(scores)))
    return -jax.nn.logsumexp(jax.nn.log_softmax(scores) + goals)


# One hard document forward; backward the slope of reading a mixture of documents, for which all 500 are read as well.
def straight_through(desk: Desk, query: Query, key: Key[Array, ""]) -> Float[Array, ""]:
    def draw_and_read(scores, *, key):
        weights = sx.sample(key, dist.Categorical(logits=scores), via=sx.StraightThrough(), name="document")
        return -jnp.sum(desk.read_mixture(weights, query)[:, 0])

    return sx.expectation(draw_and_read, samples=DRAWS)(desk.scores(query), key=key)


# Out of sync: the retriever has a reward of its own, how many words of the query stand in the document. It does learn, but what
# nobody asked for: long documents. The reader learns from what it is given.
def own_reward(desk: Desk, query: Query, key: Key[Array, ""]) -> Float[Array, ""]:
    has = jnp.pad(desk.shelf.has, ((0, 0), (0, 1)))

    def draw_and_count(scores, *, key):
        document = sx.sample(key, dist.Categorical(logits=scores), via=sx.LeaveOneOut(samples=DRAWS), name="document")
        return -jnp.sum(has[document][query.words])

    return no_bridge(desk, query, key) + sx.expectation(draw_and_count)(desk.scores(query), key=key)


WAYS: dict[str, Loss] = {
    "no bridge": no_bridge,
    "own reward": own_reward,
    "straight-through": straight_through,
    "leave-one-out": leave_one_out,
    "exact marginal": exact_marginal,
}


# Whose gradient is lost, and where? `find_gaps` names the line of the argmax.
def find_the_gap() -> GapReport:
    queries = jax.tree.map(lambda some: some[:3], test_queries())

    def loss(networks: Networks):
        desk = Desk.of(networks, shelf())
        return jnp.mean(jax.vmap(no_bridge, in_axes=(None, 0, None))(desk, queries, jax.random.key(0)))

    return sx.find_gaps(loss, Networks(shelf(), jax.random.key(0)))


@dataclass(frozen=True)
class Settings:
    steps: int
    seeds: int
    seed: int


@dataclass(frozen=True)
class Result:
    """What `find_gaps` says, each way (`interrupted`: some of them), one query as an example, and the files written."""

    settings: Settings
    found: GapReport | None
    ways: tuple[Way, ...]
    example: Example | None
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
    """Finds the gap, trains in each way, and writes retrieval.png and result.json into `out`.

    - `quick`: 350 steps and 1 seed instead of 1,000 and 2; `steps` and `seeds` override both;
    - `seed`: the first of them: of the initial weights, the queries and the draws;
    - `on_stage`: called with "finding the gap", "seed 0: no bridge", ..., "drawing".

    Ctrl-C (`KeyboardInterrupt`) ends the training early: what came to its end is reported and drawn, and the result says
    `interrupted`.
    """
    usual = (QUICK_STEPS, QUICK_SEEDS) if quick else (STEPS, SEEDS)
    settings = Settings(usual[0] if steps is None else steps, usual[1] if seeds is None else seeds, seed)
    this = Run(out, "retrieval", settings, on_stage)
    found, ways = _find_and_train(this, settings)
    shown, files = example(ways), ()
    if ways:
        from ._retrieval.picture import picture

        this.stage("drawing")
        files = (picture(this.out / "retrieval.png", ways, shown),)
    places = [gap.place for gap in found.alarms] if found else []
    report = this.report(gaps=places, ways=report_rows(ways), example=asdict(shown) if shown else None)
    return Result(settings, found, ways, shown, this.interrupted, (*files, report))


def _find_and_train(this: Run, settings: Settings) -> tuple[GapReport | None, tuple[Way, ...]]:
    found, outcomes = None, list[Outcome]()
    with this.until_interrupted():
        this.stage("finding the gap")
        found = find_the_gap()
        # One seed after the other: an early end still compares all ways.
        for seed in range(settings.seed, settings.seed + settings.seeds):
            for name, loss in WAYS.items():
                this.stage(f"seed {seed}: {name}")
                outcomes.append(train(name, loss, seed, settings.steps))
    return found, collect(outcomes)


# What was learnt (figures in docs/gallery.md):
# - Nothing complains about an argmax between two networks: the reader trains, the loss falls a little, and the retriever stays
#   what it was. `find_gaps` names the line.
# - Leave-one-out comes within 3 points of the exact marginal and reads 16 documents instead of 500. What it lacks are queries
#   whose document it never drew: the better the retriever is at the start, the less there is to lack.
# - What is rewarded matters as much as the bridge. The probability that all answers are right is near 0 for all wrong documents.
#   Its logarithm differs widely between them, which says nothing: with it leave-one-out is 2 points worse.
# - Straight-through does nearly as well as the marginal, since reading is nearly linear in the document, and it reads all 500 of
#   them backward. Neither holds where the reader is a large network.
# - A reward of the retriever's own does harm: it prefers long documents, and finds the right one less often than untrained.
