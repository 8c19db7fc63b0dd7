"""`find_gaps`: which lines of a program cut the gradient, and `assert_alive` for people's own tests."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .._errors import SpanaxError
from .._jaxprs import defined
from .._math.distributions import family
from .._places import Place
from ..stochastic.sampling import parts
from ._analysis.check import SHORT, looked_at, may_run
from ._analysis.cuts import Cut
from ._analysis.finder import Finder
from ._analysis.operations import operation
from ._analysis.remedies import remedies
from ._analysis.traced import Traced, traced
from .not_finite import in_program
from .report import Gap, GapReport, Verdict


def find_gaps(
    f: Callable[..., Any], *args: Any, argnums: int | Sequence[int] = 0, nan: bool = False, **kwargs: Any
) -> GapReport:
    """Which lines of `f` cut the gradient of its result with respect to the arguments `argnums`.

    f is traced once with the given arguments; `argnums` are differentiated as `jax.grad` would (every floating-point leaf of a
    pytree), all else is held fixed. Arguments may be `jax.ShapeDtypeStruct`s. Where f cannot do without a `key` and none is
    given, it gets one. Where the structure leaves a doubt, or the program is short, the gradient is also computed, at the given
    arguments and at random ones, unless f holds a while loop, a callback or another effect (`checked` in the report): zero at
    all of them is `dead` as well; a leaf whose gradient is exactly 0 at the given arguments and at points about 1% away, and
    not elsewhere, keeps its verdict and is in `flat` (a saturated clip, a dead relu). An `expectation(g)` is looked at as g,
    whose `sample` sites count as bridged.

    A gap is an expression of the user's that a tangent enters and does not leave: what softmax or logsumexp do inside is no gap.
    JAX's own rule of each operation decides, not a table. Raises `SpanaxError` where `argnums` has no floating-point leaf.

    `nan`: also run f at the given arguments, whatever it holds, equation by equation where it has to be, and name the operation
    that makes its value or its derivative NaN or infinite (`not_finite` in the report; None where all is finite).

    >>> import jax.numpy as jnp, spanax as sx
    >>> report = sx.find_gaps(lambda x: jnp.round(3 * x) ** 2, 0.7)
    >>> report.verdict, [(gap.operation, gap.kind) for gap in report.gaps]
    ('dead', [('round', 'zero')])
    """
    analysis = analysed(f, args, kwargs, argnums)
    if not nan:
        return analysis.report
    return dataclasses.replace(analysis.report, not_finite=in_program(analysis.program))


class Analysis(NamedTuple):
    """A traced program, its gaps as they were found, and the report."""

    program: Traced
    found: list[tuple[Cut, dict[str, int]]]
    report: GapReport

    def gaps_that(self, changed: set[tuple]) -> tuple[Gap, ...]:
        """The gaps of the report whose values, by (program, equation), are among those that changed; in program order."""
        gaps = [_described(cut, routes, self.program) for cut, routes in self.found if cut.places() & changed]
        keys = [_merge_key(gap) for gap in gaps]
        return tuple(
            sorted((g for g in self.report.gaps if _merge_key(g) in keys), key=lambda g: keys.index(_merge_key(g)))
        )


def analysed(f: Callable, args: tuple, kwargs: dict, argnums: int | Sequence[int]) -> Analysis:
    program = traced(f, args, kwargs, argnums)
    finder = Finder(program.closed, len(program.names))
    found = [(cut, finder.routes(cut)) for cut in _in_order(finder)]
    found = [(cut, routes) for cut, routes in found if routes or cut.kind == "no-rule"]
    verdicts: list[Verdict] = [_verdict(1 << i, finder, found) for i in range(len(program.names))]
    doubtful = [i for i, v in enumerate(verdicts) if v not in ("dead", "independent")]
    if finder.size > SHORT:  # the structure is believed where a tangent takes no branch that a gap steers
        doubtful = [i for i in doubtful if verdicts[i] != "alive" and not finder.result.sure >> i & 1]
    slopes = looked_at(program, finder, doubtful) if doubtful and may_run(program) else None
    if slopes:
        verdicts = ["dead" if i in slopes.nowhere else v for i, v in enumerate(verdicts)]
    report = GapReport(
        verdict=_overall(verdicts),
        per_leaf=dict(zip(program.names, verdicts, strict=True)),
        gaps=tuple(_merged([_described(cut, routes, program) for cut, routes in found])),
        bridged=tuple(_bridged(*site, program) for _, site in sorted(finder.sites.items(), key=lambda item: item[0])),
        checked=slopes is not None,
        function=getattr(f, "__name__", type(f).__name__),
        flat=tuple(name for i, name in enumerate(program.names) if slopes and i in slopes.not_here),
    )
    return Analysis(program, found, report)


def assert_alive(f: Callable[..., Any], *args: Any, argnums: int | Sequence[int] = 0, **kwargs: Any) -> None:
    """Raises `SpanaxError`, with the report in its message, unless the gradient of every leaf flows whole.

    For test suites. Verdicts `alive` and `piecewise` pass; `partial`, `dead` and `independent` do not, nor does a gradient that
    is 0 at and around the given arguments, where that was looked at (`flat` in the report). Arguments as in `find_gaps`.

    >>> import jax.numpy as jnp
    >>> assert_alive(lambda x: jnp.maximum(x, 0.0), 0.7)
    """
    report = find_gaps(f, *args, argnums=argnums, **kwargs)
    cut = [leaf for leaf, verdict in report.per_leaf.items() if verdict not in ("alive", "piecewise")]
    if bad := [*cut, *(leaf for leaf in report.flat if leaf not in cut)]:
        raise SpanaxError(f"no whole gradient reaches {', '.join(bad)}\n{report}", where=defined(f))


# -- verdicts


def _in_order(finder: Finder) -> list[Cut]:
    return [cut for _, cut in sorted(finder.cuts.items(), key=lambda item: (*item[0][0], item[0][1]))]


def _verdict(leaf: int, finder: Finder, found: list[tuple[Cut, dict[str, int]]]) -> Verdict:
    result = finder.result
    if not (result.depends | finder.raises) & leaf:
        return "independent"
    if not result.active & leaf or (finder.raises | result.forward) & leaf:
        return "dead"
    routes = {
        route for cut, by_route in found if cut.kind == "zero" for route, cut_off in by_route.items() if cut_off & leaf
    }
    if "value" in routes:
        return "partial"
    return "piecewise" if routes else "alive"


def _overall(verdicts: Sequence[Verdict]) -> Verdict:
    kinds = set(verdicts) - {"independent"}
    if not kinds:
        return "independent"
    if "dead" in kinds and len(kinds) > 1:
        return "partial"
    return next(v for v in ("dead", "partial", "piecewise", "alive") if v in kinds)


# -- descriptions


def _described(cut: Cut, routes: dict[str, int], program: Traced) -> Gap:
    file, line, source = _where(cut.place, program)
    name = operation(cut.eqns, cut.place, cut.culprit, cut.kind)
    route = "+".join(routes) or "value"
    lost = functools.reduce(int.__or__, routes.values(), 0) or functools.reduce(int.__or__, cut.lost.values(), 0)
    leaf = tuple(name for i, name in enumerate(program.names) if lost >> i & 1)
    return Gap(name, file, line, source, cut.kind, route, leaf, remedies(name, cut.kind, route), note=cut.note)


def _where(place: Place | None, program: Traced) -> tuple[str, int, str]:
    return (place.file, place.line, place.source) if place else (*program.place, "")


def _merge_key(gap: Gap) -> tuple:
    return gap.file, gap.line, gap.operation, gap.kind


def _merged(gaps: Sequence[Gap]) -> list[Gap]:
    """One entry for each operation on a line."""
    merged: dict[tuple, Gap] = {}
    for gap in gaps:
        key = _merge_key(gap)
        if old := merged.get(key):
            routes = dict.fromkeys([*old.route.split("+"), *gap.route.split("+")])
            route, leaf = "+".join(routes), tuple(dict.fromkeys([*old.leaf, *gap.leaf]))
            gap = Gap(
                **{**vars(old), "route": route, "leaf": leaf, "remedies": remedies(old.operation, old.kind, route)}
            )
        merged[key] = gap
    return list(merged.values())


def _bridged(eqn, place: Place | None, leaves: int, program: Traced) -> Gap:
    site = eqn.params["site"]
    distribution, via = parts(site, [0.0] * len(site.static))
    file, line, source = _where(place, program)
    leaf = tuple(name for i, name in enumerate(program.names) if leaves >> i & 1)
    return Gap(f"{_family(distribution)} draw", file, line, source, "bridged", "value", leaf, via=repr(via))


def _family(distribution: Any) -> str:
    return family(distribution).removesuffix("Logits").removesuffix("Probs")
