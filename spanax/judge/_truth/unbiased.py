"""The mean of an unbiased bridge, where a program's draws allow no exact gradient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..._errors import SpanaxError
from ...bridges import Drawing
from ...bridges.best import best_bridge, needs_continuity
from .._measure.candidates import is_ours, short
from .._measure.sites import bridge_at
from .._measure.statistics import Bias, Reference, bias
from .._numbers import share
from .problem import Answer, Problem, WorkingCandidate, answer

SAMPLES = 4  # of the score function, with leave-one-out
WEAK = 0.5  # of the truth's norm: a jump that may hide so much is warned of


def by_unbiased(problem: Problem, tried: Sequence[WorkingCandidate], reason: str) -> Answer:
    """The cheapest candidate whose bridges are this package's and unbiased, else the score function with leave-one-out."""
    pool = [t for t in tried if _is_trusted_at_all_sites(t, problem) and np.isfinite(t.price)]
    if not pool:
        return _by_score(problem, reason)
    # Variance times seconds: the least time to a given error, with no regard to what it is compared with.
    best = min(pool, key=lambda t: t.price)
    reference = problem.mean_of_draws(best.gradient)
    how = f"the mean of {_draws(reference)} draws of {best.label}, which is unbiased ({reason})"
    assert best.via is not None
    # A pathwise gradient is unbiased only where the program is continuous, which no trace of it can prove.
    if any(needs_continuity(bridge_at(draw, best.via)) for draw in problem.sites):
        return _unless_it_jumps(problem, best, reference, how, reason)
    return answer("unbiased bridge", how, reference, problem)


def _is_trusted_at_all_sites(candidate: WorkingCandidate, problem: Problem) -> bool:
    via = candidate.via
    return via is not None and all(_is_trusted(bridge_at(draw, via)) for draw in problem.sites)


def _is_trusted(bridge: Drawing) -> bool:
    return bridge.facts.unbiased and is_ours(bridge)


def _draws(reference: Reference) -> str:
    return f"{reference.moments.draws:,}" if reference.moments else "1"


def _by_score(problem: Problem, reason: str) -> Answer:
    """The program's own bridges where they are unbiased and need no continuity, else the score function with leave-one-out."""
    for draw in problem.sites:
        # A draw without a name keeps its bridge, whatever stands in `via`.
        if not draw.name and not _is_trusted(draw.own):
            raise _no_truth(
                problem, f"{reason}; {short(draw.own)} at an unnamed draw is not known to be unbiased", draw.where
            )
    via = _bridges_without_jumps(problem)
    bridges = ", ".join(f"{name}={short(bridge)}" for name, bridge in via.items()) or "its own bridges"
    try:
        # Another stream of keys than the pathwise reference has, since the two are compared as if independent.
        reference = problem.mean_of_draws(problem.gradient(via, SAMPLES), stream=1)
    except SpanaxError as error:
        raise _no_truth(problem, f"{reason}; {bridges}: {error.problem}", error.where) from error
    how = f"the mean of {_draws(reference)} draws of {bridges} with {SAMPLES} samples, which is unbiased ({reason})"
    return answer("unbiased bridge", how, reference, problem)


def _bridges_without_jumps(problem: Problem) -> dict[str, Drawing]:
    """By the name of the draws; one name has one bridge, so that it keeps its own only if that is right at all of its draws."""
    kept = {d.name for d in problem.sites} - {
        d.name for d in problem.sites if not _is_trusted(d.own) or needs_continuity(d.own)
    }
    return {
        draw.name: draw.own if draw.name in kept else best_bridge(draw.distribution, jumps=True)
        for draw in problem.sites
        if draw.name
    }


def unless_quadrature_misses(problem: Problem, reference: Reference) -> Answer | None:
    """The score function's answer, where it says that a quadrature misses something, such as a peak between its nodes."""
    try:
        answer = _by_score(problem, "quadrature misses a part of it")
    except SpanaxError:
        return None
    # Only a difference beyond both errors: the score function is by far the noisier of the two.
    found = _held_against(answer[0], reference, problem)
    return answer if found and found.significant else None


def _held_against(other: Reference, reference: Reference, problem: Problem) -> Bias | None:
    """The bias of `other`, if it is random."""
    if not other.moments:
        return None
    arguments, groups = problem.arguments, tuple(problem.groups.values())
    return bias(other.moments, reference, arguments.parts, arguments.eps, groups, problem.ranked)


def _no_truth(problem: Problem, why: str, where: str) -> SpanaxError:
    return SpanaxError(
        f"no truth to compare with: {why}",
        "a name for every draw: sx.sample(..., name=...)",
        "truth= a gradient, a bridge, or a function whose derivative is right",
        where=where or problem.where,
    )


def _unless_it_jumps(problem: Problem, best: WorkingCandidate, reference: Reference, how: str, reason: str) -> Answer:
    """A pathwise reference, if the score function, which needs no continuity, does not contradict it."""
    try:
        other, of_other, _ = _by_score(problem, reason)
    except SpanaxError as error:
        return answer(
            "unbiased bridge",
            how,
            reference,
            problem,
            [f"{best.label} is the truth if the program has no jump: {error.problem}"],
        )
    found = _held_against(other, reference, problem)
    if found and found.significant:
        return other, of_other, [f"{best.label} misses a part of the gradient: the program jumps in a draw"]
    within = (
        found.overall.high / max(reference.norm(problem.arguments.elements(problem.ranked)), 1e-300) if found else 0.0
    )
    # The score function sees jumps, but is noisy: how much could hide in its noise is said.
    doubts = [f"{best.label} is the truth if the program has no jump: the score function is too noisy to tell"]
    how = f"{how}; the score function, to within {share(within, 1.0)}, does not contradict it"
    return answer("unbiased bridge", how, reference, problem, doubts if within > WEAK else [])
