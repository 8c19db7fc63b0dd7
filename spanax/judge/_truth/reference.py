"""The reference gradient that a bias is measured against, and how it was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx

from ..._errors import SpanaxError
from ..._functions import with_key
from ..._jaxprs import defined
from ...bridges import Bridge, Enumerate
from ...gaps.find import find_gaps
from .._measure.candidates import short
from .._measure.gradients import Gradient, gradient_of
from .._measure.sites import bridge_at
from .._measure.statistics import Reference
from .exact import exact
from .problem import Answer, Problem, WorkingCandidate, answer, of_draws
from .unbiased import by_unbiased, unless_quadrature_misses

EXACT = "_spanax_exact"  # attribute of a function of ours that enumerates by itself: how


def find_truth(truth: Any, problem: Problem, tried: Sequence[WorkingCandidate]) -> Answer:
    """The reference, what to tell the reader of it, and warnings. See `compare` for what `truth` may be."""
    if isinstance(truth, str):
        if truth != "auto":
            raise SpanaxError(
                f"truth={truth!r}", 'truth="auto", a gradient, a bridge, or a function', where=problem.where
            )
        return _automatic(problem, tried)
    if isinstance(truth, Bridge) or (
        isinstance(truth, Mapping) and truth and all(isinstance(b, Bridge) for b in truth.values())
    ):
        return _by_bridges(truth, problem)
    # A function first: it is run like a candidate, with more draws.
    if callable(truth) and not isinstance(truth, eqx.Module):  # a gradient may be a module, and that be callable
        name = getattr(truth, "__name__", "the function given")
        reference = problem.mean_of_draws(gradient_of(truth, problem.arguments))
        return answer("given", f"the derivative of {name}{of_draws(reference)}, taken as right", reference, problem)
    reference = Reference(problem.arguments.as_vector(truth, problem.where), None)
    return answer("given", "the gradient that was given, taken as right", reference, problem)


def _by_bridges(truth: Any, problem: Problem) -> Answer:
    via = _everywhere(truth, problem)
    reference = problem.mean_of_draws(problem.gradient(via))
    # The bridges that are really used decide what the truth may be called, not those that were named.
    kinds = [bridge_at(draw, via) for draw in problem.sites]
    said = ", ".join(f"{name}={short(bridge)}" for name, bridge in via.items())
    how = f"the gradient by {said}{of_draws(reference)}"
    if all(isinstance(bridge, Enumerate) for bridge in kinds) and reference.moments is None:
        return answer("enumeration", how, reference, problem)
    if all(bridge.facts.unbiased for bridge in kinds):
        return answer("unbiased bridge", how, reference, problem)
    return answer(
        "given", how, reference, problem, [f"the truth is by a bridge that is biased by its own facts: {said}"]
    )


def _everywhere(truth: Any, problem: Problem) -> Mapping[str, Any]:
    return truth if isinstance(truth, Mapping) else dict.fromkeys([d.name for d in problem.sites if d.name], truth)


def _automatic(problem: Problem, tried: Sequence[WorkingCandidate]) -> Answer:
    # Without draws there is nothing to enumerate: the program's own derivative is all there is.
    if not problem.sites:
        gradient = problem.own(tried)
        return _of_plain(problem, gradient) if gradient.is_random else _of_deterministic(problem, gradient)
    found = exact(problem.f, problem.arguments, problem.sites)
    if found.gradient is not None:
        reference = problem.mean_of_draws(found.gradient)._replace(off=found.off)
        # Quadrature may agree with itself and miss a peak between its nodes: draws are asked as well.
        if found.kind == "quadrature" and (better := unless_quadrature_misses(problem, reference)):
            return better
        if reference.moments is None:
            return answer(found.kind, found.how, reference, problem)
        # Exact in the draws, and still random by what f does with its key otherwise.
        how = f"{found.how}; the mean of {reference.moments.draws:,} keys for what else is random"
        return answer("unbiased bridge", how, reference, problem)
    return by_unbiased(problem, tried, found.how)


def _of_deterministic(problem: Problem, gradient: Gradient) -> Answer:
    if how := getattr(problem.f, EXACT, ""):
        return answer("enumeration", how, problem.mean_of_draws(gradient), problem)
    args, kwargs = problem.arguments.rebuilt(problem.arguments.leaves, problem.arguments.arrays)
    kwargs = with_key(problem.f, problem.key, args, kwargs)
    # A program without draws is its own truth, unless its gradient is cut: then automatic differentiation gives a
    # number, and the wrong one.
    report = find_gaps(problem.f, *args, argnums=problem.arguments.argnums, **kwargs)
    cuts = [gap for gap in report.gaps if gap.kind != "intended"]
    if cuts and report.verdict in ("dead", "partial", "independent"):
        raise SpanaxError(
            f"the derivative of {report.function} is not the truth: it is {report.verdict}, cut by {cuts[0].operation} at "
            f"{cuts[0].place}",
            "truth= the gradient that is right, if you know it",
            "truth= a function whose derivative is right: sx.smooth(f, ...), or an sx.expectation(...)",
            where=problem.where,
        )
    how = f"the derivative of {report.function} itself, which is not random"
    return answer("given", how, problem.mean_of_draws(gradient), problem)


def _of_plain(problem: Problem, gradient: Gradient) -> Answer:
    reference = problem.mean_of_draws(gradient)
    # Zero for every key is the classic silent failure: a draw that nobody marked.
    if not reference.mean.any():
        raise SpanaxError(
            "the derivative of the reference program is zero for every key: it is no truth, or there is nothing to compare",
            "write its draws as sx.sample(key, distribution, name=...)",
            "truth= a gradient, or a function whose derivative is right",
            where=defined(problem.f) or problem.where,
        )
    how = (
        f"the derivative of the program itself{of_draws(reference)}, taken to be unbiased (sx.check_gradient can tell)"
    )
    return answer("unbiased bridge", how, reference, problem)
