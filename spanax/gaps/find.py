"""`find_gaps`: which lines of a program cut the gradient, and `assert_alive` for people's own tests."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from .._errors import SpanaxError
from .._functions import join_keywords
from .._jaxprs import defined
from .._math.distributions import family
from .._places import Place
from ..stochastic.sampling import parts
from ._analysis.check import SHORT, Slopes, may_run, slopes_of
from ._analysis.cuts import Cut
from ._analysis.finder import Finder
from ._analysis.operations import operation
from ._analysis.remedies import remedies
from ._analysis.traced import Traced, trace
from .not_finite import in_program
from .report import Gap, GapReport, Verdict, overall


def find_gaps(
    f: Callable[..., Any],
    *args: Any,
    argnums: int | Sequence[int] = 0,
    nan: bool = False,
    kwargs: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> GapReport:
    """Which lines of `f` cut the gradient of its result with respect to the arguments `argnums`.

    f is traced once. A gap is an expression in the user's code that a tangent enters and does not leave. JAX's own derivative
    rule of each operation decides, not a table of guilty operations; what softmax or logsumexp do inside is not a gap.

    Where the structure leaves a doubt, or the program is short, the gradient is computed as well, at the given arguments and at
    random ones, unless f holds a while loop, a callback or another effect (`checked` in the report). Zero at all of them is
    `dead` too. A leaf whose gradient is exactly 0 at the given arguments and at points about 1% away, but not elsewhere, keeps
    its verdict and is listed in `flat`: a saturated clip, a dead relu.

    **Arguments:**

    - `f`: a JAX function. An `expectation(g)` is looked at as g, whose `sample` sites count as bridged. If f cannot do without
      a `key` and none is given, it gets one.
    - `*args`: its positional arguments: pytrees of arrays, or of `jax.ShapeDtypeStruct`.
    - `argnums`: the argument to differentiate by, or several in a tuple, as in `jax.grad`: every floating-point leaf of it.
    - `nan`: also run f at the given arguments, equation by equation if need be, and name the operation that makes its value or
      its derivative NaN or infinite (`not_finite` in the report; None if all is finite).
    - `kwargs`: f's keyword arguments whose names are options here, such as `{"argnums": ...}`.
    - `**keywords`: f's other keyword arguments. They are held fixed.

    **Returns:**

    A `spanax.gaps.GapReport`: the verdict, by leaf as well, and the gaps by file and line, with code to paste. It prints as a
    table.

    **Raises:**

    - `SpanaxError`: `argnums` has no floating-point leaf, or f is plain Python or NumPy (`sx.lift` it first).

    >>> import jax.numpy as jnp, spanax as sx
    >>> report = sx.find_gaps(lambda x: jnp.round(3 * x) ** 2, 0.7)
    >>> report.verdict, [(gap.operation, gap.kind) for gap in report.gaps]
    ('dead', [('round', 'zero')])
    """
    analysis = analyse(f, args, join_keywords(keywords, kwargs), argnums)
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
        # Compared by what a reader sees, line and operation, because the report has merged the gaps by that.
        gaps = [_describe(cut, routes, self.program) for cut, routes in self.found if cut.places() & changed]
        keys = [_merge_key(gap) for gap in gaps]
        return tuple(
            sorted((g for g in self.report.gaps if _merge_key(g) in keys), key=lambda g: keys.index(_merge_key(g)))
        )


def analyse(f: Callable, args: tuple, kwargs: dict, argnums: int | Sequence[int]) -> Analysis:
    program = trace(f, args, kwargs, argnums)
    finder = Finder(program.closed, len(program.names))
    found = [(cut, finder.routes(cut)) for cut in _in_order(finder)]
    # What is lost and reaches no result is no gap; an equation without a rule is, because jax.grad raises all the same.
    found = [(cut, routes) for cut, routes in found if routes or cut.kind == "no-rule"]
    verdicts: list[Verdict] = [_verdict(1 << i, finder, found) for i in range(len(program.names))]
    slopes = _look(program, finder, verdicts)
    if slopes:
        verdicts = ["dead" if i in slopes.nowhere else v for i, v in enumerate(verdicts)]
    report = GapReport(
        verdict=overall(verdicts),
        per_leaf=dict(zip(program.names, verdicts, strict=True)),
        gaps=tuple(_merge([_describe(cut, routes, program) for cut, routes in found])),
        bridged=tuple(_describe_site(*site, program) for _, site in sorted(finder.sites.items())),
        checked=slopes is not None,
        function=getattr(f, "__name__", type(f).__name__),
        flat=tuple(name for i, name in enumerate(program.names) if slopes and i in slopes.not_here),
    )
    return Analysis(program, found, report)


def _look(program: Traced, finder: Finder, verdicts: Sequence[Verdict]) -> Slopes | None:
    """The gradient itself, where the structure leaves a doubt; None where it is not computed."""
    doubtful = [i for i, v in enumerate(verdicts) if v not in ("dead", "independent")]
    # Compiling a long program takes long, so its structure is believed where a tangent takes no branch that a gap steers.
    if finder.size > SHORT:
        doubtful = [i for i in doubtful if verdicts[i] != "alive" and not finder.result.sure >> i & 1]
    return slopes_of(program, finder, doubtful) if doubtful and may_run(program) else None


def assert_alive(
    f: Callable[..., Any],
    *args: Any,
    argnums: int | Sequence[int] = 0,
    kwargs: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> None:
    """Fails unless the whole gradient reaches every leaf: for test suites.

    The verdicts `alive` and `piecewise` pass. `partial`, `dead` and `independent` do not, nor does a gradient that is 0 at and
    around the given arguments, if that was computed (`flat` in the report).

    **Arguments:** as those of `find_gaps`

    - `f`: a JAX function.
    - `*args`: its positional arguments.
    - `argnums`: the argument to differentiate by, or several in a tuple, as in `jax.grad`: every floating-point leaf of it.
    - `kwargs`: f's keyword arguments whose names are options here, such as `{"argnums": ...}`.
    - `**keywords`: f's other keyword arguments. They are held fixed.

    **Raises:**

    - `SpanaxError`: some gradient is cut; the message holds the report.

    >>> import jax.numpy as jnp, spanax as sx
    >>> sx.assert_alive(lambda x: jnp.maximum(x, 0.0), 0.7)
    """
    report = find_gaps(f, *args, argnums=argnums, kwargs=join_keywords(keywords, kwargs))
    cut = [leaf for leaf, verdict in report.per_leaf.items() if verdict not in ("alive", "piecewise")]
    if bad := [*cut, *(leaf for leaf in report.flat if leaf not in cut)]:
        raise SpanaxError(f"no whole gradient reaches {', '.join(bad)}\n{report}", where=defined(f))


# -- verdicts


def _in_order(finder: Finder) -> list[Cut]:
    return [cut for _, cut in sorted(finder.cuts.items(), key=lambda item: (*item[0][0], item[0][1]))]


def _verdict(leaf: int, finder: Finder, found: list[tuple[Cut, dict[str, int]]]) -> Verdict:
    # The order matters: what raises or is in forward mode only is dead for jax.grad, even where a tangent flows.
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


# -- descriptions


def _describe(cut: Cut, routes: dict[str, int], program: Traced) -> Gap:
    file, line, source = _where(cut.place, program)
    name = operation(cut.eqns, cut.place, cut.culprit, cut.kind)
    route = "+".join(routes) or "value"
    # A gap without a route is one whose rule raises: it cuts all leaves that enter it.
    lost = functools.reduce(int.__or__, routes.values(), 0) or functools.reduce(int.__or__, cut.lost.values(), 0)
    leaf = tuple(name for i, name in enumerate(program.names) if lost >> i & 1)
    return Gap(name, file, line, source, cut.kind, route, leaf, remedies(name, cut.kind, route), note=cut.note)


def _where(place: Place | None, program: Traced) -> tuple[str, int, str]:
    return (place.file, place.line, place.source) if place else (*program.place, "")


def _merge_key(gap: Gap) -> tuple:
    return gap.file, gap.line, gap.operation, gap.kind


def _merge(gaps: Sequence[Gap]) -> list[Gap]:
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


def _describe_site(eqn, place: Place | None, leaves: int, program: Traced) -> Gap:
    site = eqn.params["site"]
    distribution, via = parts(site, [0.0] * len(site.static))
    file, line, source = _where(place, program)
    leaf = tuple(name for i, name in enumerate(program.names) if leaves >> i & 1)
    return Gap(f"{_family(distribution)} draw", file, line, source, "bridged", "value", leaf, via=repr(via))


def _family(distribution: Any) -> str:
    return family(distribution).removesuffix("Logits").removesuffix("Probs")
