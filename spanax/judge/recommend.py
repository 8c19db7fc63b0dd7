"""`recommend`: which bridges to take for a program, found within a time budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jaxtyping import Array, Key

from .._checks import check_key, check_positive
from .._errors import SpanaxError
from .._functions import join_keywords, with_key
from .._jaxprs import defined, here
from .._pytree import PyTree
from ..gaps.find import find_gaps
from ..gaps.report import MEANING
from ._measure.arguments import Arguments
from ._measure.candidates import Candidate
from ._measure.groups import groups_of
from ._measure.measure import compare_candidates
from ._measure.sites import Draw, draws_of, leaves_of_draws
from ._search.halving import Trial
from ._search.proposals import Proposal
from ._search.search import Ranking, Search
from ._truth.problem import Problem
from .comparison import Comparison

SEARCH = 0.6  # of the budget; the rest is for comparing the finalists
ACCURACY = 0.1
MOST_REMEDIES = 7
DRAWS = (200, 1000)  # of the finalists, at the least and at the most
TRUTH = 4  # times as many draws as of a finalist are for the reference gradient


def recommend(
    f: Callable[..., Any],
    *args: Any,
    key: Key[Array, ""],
    budget_seconds: float = 30.0,
    argnums: int | Sequence[int] = 0,
    groups: PyTree[str] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> Comparison:
    """Tries the bridges that fit the named draws of `f`, and compares the best of them.

    At each name, whichever of `Pathwise`, `DisARM`, `LeaveOneOut`, `Enumerate` (up to 1,024 values), `ScoreFunction` (with 4
    replicates, for its baseline), `ReinMax`, `GumbelSoftmax` and `StraightThrough` f can be differentiated with is tried, and f
    as it is written. Successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943) keeps what has the shortest time to a
    root mean square error of 10% of the gradient's norm: two unbiased candidates and the best other one, then judged as
    `compare` does it, by the same `groups`. One that is biased by its facts is recommended only if no other is left, and the
    sentence begins with that. With more than 16 combinations of bridges the names are gone through one after the other, while the
    others keep the best bridge so far: the best combination may then be missed.

    A draw without a name keeps the bridge that it has, and a warning says so. On a terminal, progress is shown on stderr.

    **Arguments:**

    - `f`: a program with draws `sx.sample(..., name="z")`, as `sx.expectation` takes it: f(*args, key=key, **kwargs) -> scalar.
    - `*args`: its positional arguments, pytrees.
    - `key`: a PRNG key for all that is random here.
    - `budget_seconds`: for all of it, compilation included; the last comparison is finished in any case. If it ends before every
      candidate was tried, a warning in the result says how many were not.
    - `argnums`: the argument to differentiate by, or several in a tuple, as in `jax.grad`: every floating-point leaf of it.
    - `groups`: of leaves that are judged by themselves, as in `compare`.
    - `kwargs`: f's keyword arguments whose names are options here, such as `{"groups": ...}`.
    - `**keywords`: f's other keyword arguments. They are held fixed.

    **Returns:**

    A `spanax.judge.Comparison`, whose `code` is what to paste.

    **Raises:**

    - `SpanaxError`: no draw has a name; no bridge fits one; f has no draw at all: then with the remedies for its hard steps, if
      it has any.

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> def f(theta, *, key):
    ...     return (sx.sample(key, dist.Bernoulli(logits=theta), name="z") - 0.25) ** 2
    >>> sx.recommend(f, 0.0, key=jax.random.key(0), budget_seconds=1).code
    'sx.expectation(f, via={"z": sx.Enumerate()})'
    """
    where, start = here(), time.perf_counter()
    check_key(key)
    check_positive("recommend(budget_seconds", budget_seconds, "a positive number of seconds")
    kwargs = join_keywords(keywords, kwargs)
    # An expectation hides its program's draws; the search puts other bridges at them.
    f = getattr(f, "expectation_of", f)
    arguments = Arguments.of(f, args, kwargs, argnums, where)
    judged_by = groups_of(arguments, groups, where)
    draws = draws_of(f, args, kwargs, key)
    if not draws:
        raise _without_draws(f, args, with_key(f, jax.random.fold_in(key, 1), args, kwargs), argnums)
    # A bridge is put in by its draw's name: without one it cannot be exchanged.
    unnamed = list(dict.fromkeys(draw.where for draw in draws if draw.name is None))
    if all(draw.name is None for draw in draws):
        raise SpanaxError(
            "no draw has a name, by which its bridge could be replaced", 'name="z" in sx.sample', where=unnamed[0]
        )
    for_search, for_comparison = jax.random.split(key)
    of_draws = leaves_of_draws(f, arguments, key)
    search = Search(f, arguments, draws, for_search, accuracy=ACCURACY, ranked=of_draws)
    with search.progress:
        finalists = search.best(start + SEARCH * budget_seconds)
    finalists, count = _affordable(finalists, start + budget_seconds - time.perf_counter())
    for_truth, for_candidates = jax.random.split(for_comparison)
    problem = Problem(f, arguments, draws, for_truth, count, where, judged_by, of_draws)
    given = [_candidate(proposal, f, draws) for proposal, _ in finalists]
    told = [*search.warnings(budget_seconds), *([_of_unnamed(unnamed)] if unnamed else [])]
    return compare_candidates(given, problem, _truth(*finalists[0]), for_candidates, ACCURACY, told)


def _candidate(proposal: Proposal, f: Callable[..., Any], draws: Sequence[Draw]) -> Candidate:
    """Without its bridges, as a truth that is made of candidates' bridges has one sample only."""
    code, runs = proposal.code(_name(f)), proposal.evaluations(draws)
    return Candidate(proposal.label, proposal.function(f), code, None, runs, proposal.unbiased)


def _affordable(finalists: Ranking, seconds: float) -> tuple[Ranking, int]:
    """As many of the finalists, the best one in any case, and as many draws of each as there is time for."""
    fewest, most = DRAWS
    while True:
        # The comparison traces its candidates anew, so that their compilation counts again.
        each, compiling = [trial.second for _, trial in finalists], [trial.compiling for _, trial in finalists]
        # Seconds for one more draw of all of them: the candidates', and the reference's, which has more draws and may
        # be the slowest.
        one = sum(each) + TRUTH * max(each)
        count = min((seconds - sum(compiling) - max(compiling)) / one, most)
        if count >= fewest or len(finalists) == 1:
            return finalists, int(max(count, fewest))
        # Fewer candidates rather than fewer draws: too few would leave every verdict undecided.
        finalists = finalists[:-1]


def _truth(best: Proposal, trial: Trial) -> Any:
    """The best candidate's bridges, where their mean can stand for the truth and is not exact anyway."""
    # The search has compiled it already, and its mean is right if its bridges are unbiased.
    usable = best.sound and best.samples == 1 and best.via and trial.variance > 0
    return dict(best.via) if usable else "auto"


def _name(f: Callable[..., Any]) -> str:
    name = getattr(f, "__name__", "f")
    return name if name.isidentifier() else "f"


def _of_unnamed(places: Sequence[str]) -> str:
    return f"draws without a name keep their bridge: {', '.join(places)}"


def _without_draws(f: Callable, args: tuple, kwargs: dict, argnums: int | Sequence[int]) -> SpanaxError:
    """For a program without `sx.sample`: what is known about its hard steps."""
    report = find_gaps(f, *args, argnums=argnums, **kwargs)
    problem = "f has no draws (sx.sample) whose bridges could be chosen"
    # What the user stopped on purpose needs no bridge.
    gaps = [gap for gap in report.gaps if gap.kind != "intended"]
    if not gaps:
        remedies = ["jax.grad(f)"] if report.verdict == "alive" else []
        return SpanaxError(f"{problem}, and {MEANING[report.verdict]}", *remedies, where=defined(f))
    listed = ", ".join(f"{gap.operation} at {gap.place}" for gap in gaps)
    remedies = list(dict.fromkeys(remedy for gap in gaps for remedy in gap.remedies))[:MOST_REMEDIES]
    judged = 'sx.compare(f, ..., vias={"soft": g, "smooth": h}), to judge such alternatives'
    return SpanaxError(f"{problem}; its hard steps are: {listed}", *remedies, judged, where=defined(f))
