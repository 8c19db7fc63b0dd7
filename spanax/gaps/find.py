"""`find_gaps`: which lines of a program cut the gradient, and `assert_alive` for people's own tests."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._errors import SpanaxError
from .._jaxprs import ClosedJaxpr, JaxprEqn, P, below, defined, evaluate_jaxpr, here
from ..bridges._distributions import family
from ..stochastic.expectation import expectation
from ..stochastic.sampling import parts
from .finder import Cut, Finder
from .places import CALLBACKS, Place, operation
from .remedies import remedies
from .report import Gap, GapReport, Verdict
from .rules import random_like


def find_gaps(f: Callable[..., Any], *args: Any, argnums: int | Sequence[int] = 0, **kwargs: Any) -> GapReport:
    """Which lines of `f` cut the gradient of its result with respect to the arguments `argnums`.

    f is traced once with the given arguments; `argnums` are differentiated as `jax.grad` would (every floating-point leaf of a
    pytree), all else is held fixed. Arguments may be `jax.ShapeDtypeStruct`s. Where the structure leaves a doubt, or the program
    is short, the gradient is also computed, at the given arguments and at random ones, unless f holds a while loop, a callback or
    another effect: zero at all of them is `dead` as well (`checked` in the report). An `expectation(g)` is looked at as g, whose
    `sample` sites count as bridged.

    A gap is an expression of the user's that a tangent enters and does not leave: what softmax or logsumexp do inside is no gap.
    JAX's own rule of each operation decides, not a table. Raises `SpanaxError` where `argnums` has no floating-point leaf.

    >>> import jax.numpy as jnp, spanax as sx
    >>> report = sx.find_gaps(lambda x: jnp.round(3 * x) ** 2, 0.7)
    >>> report.verdict, [(gap.operation, gap.kind) for gap in report.gaps]
    ('dead', [('round', 'zero')])
    """
    return analysed(f, args, kwargs, argnums).report


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


def with_key(f: Callable, key: jax.Array, args: tuple, kwargs: dict) -> dict:
    """The keyword arguments of f, with a key of its own where it takes one."""
    try:
        given = inspect.signature(f).bind_partial(*args, **kwargs).arguments
    except (TypeError, ValueError):
        return kwargs
    return {**kwargs, "key": jax.random.fold_in(key, 1)} if "key" in _parameters(f) and "key" not in given else kwargs


def _parameters(f: Callable) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(f).parameters
    except (TypeError, ValueError):  # it has none to read
        return {}


def analysed(f: Callable, args: tuple, kwargs: dict, argnums: int | Sequence[int]) -> Analysis:
    program = traced(f, args, kwargs, argnums)
    finder = Finder(program.closed, len(program.names))
    found = [(cut, finder.routes(cut)) for cut in _in_order(finder)]
    found = [(cut, routes) for cut, routes in found if routes or cut.kind == "no-rule"]
    verdicts: list[Verdict] = [_verdict(1 << i, finder, found) for i in range(len(program.names))]
    doubtful = [i for i, v in enumerate(verdicts) if v not in ("dead", "independent")]
    if finder.size > _SHORT:  # the structure is believed where a tangent takes no branch that a gap steers
        doubtful = [i for i in doubtful if verdicts[i] != "alive" and not finder.result.sure >> i & 1]
    if any(below(eqn, _may_not_run) for eqn in program.closed.jaxpr.eqns):
        doubtful = []
    if doubtful:
        flat = _flat(program, doubtful, finder)
        verdicts = ["dead" if i in flat else v for i, v in enumerate(verdicts)]
    report = GapReport(
        verdict=_overall(verdicts),
        per_leaf=dict(zip(program.names, verdicts, strict=True)),
        gaps=tuple(_merged([_described(cut, routes, program) for cut, routes in found])),
        bridged=tuple(_bridged(*site, program) for _, site in sorted(finder.sites.items(), key=lambda item: item[0])),
        checked=bool(doubtful),
        function=getattr(f, "__name__", type(f).__name__),
    )
    return Analysis(program, found, report)


def assert_alive(f: Callable[..., Any], *args: Any, argnums: int | Sequence[int] = 0, **kwargs: Any) -> None:
    """Raises `SpanaxError`, with the report in its message, unless the gradient of every leaf flows whole.

    For test suites. Verdicts `alive` and `piecewise` pass; `partial`, `dead` and `independent` do not. Arguments as in
    `find_gaps`.

    >>> import jax.numpy as jnp
    >>> assert_alive(lambda x: jnp.maximum(x, 0.0), 0.7)
    """
    report = find_gaps(f, *args, argnums=argnums, **kwargs)
    bad = [leaf for leaf, verdict in report.per_leaf.items() if verdict not in ("alive", "piecewise")]
    if bad:
        raise SpanaxError(f"no whole gradient reaches {', '.join(bad)}\n{report}", defined(f))


# -- the program


class Traced(NamedTuple):
    """f as a function of the floating-point leaves of `argnums`, and of whatever else is given by shape only."""

    closed: ClosedJaxpr
    names: tuple[str, ...]
    leaves: tuple[Any, ...]  # arrays, or shapes
    others: tuple[jax.ShapeDtypeStruct, ...]
    function: Callable[..., Any]  # f without the expectation around it
    rebuild: Callable[..., tuple[tuple, dict]]  # (leaves, others) -> args, kwargs
    place: tuple[str, int]  # file and line of f

    def concrete(self) -> list[jax.Array]:
        """The leaves, where all arguments are arrays."""
        if self.others or any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in self.leaves):
            raise SpanaxError("arguments that are given by shape only cannot be moved", here(), "arrays")
        return [jnp.asarray(leaf) for leaf in self.leaves]

    def near(self, seed: int, scale: float) -> tuple[list[jax.Array], list[jax.Array]]:
        """The leaves and the others: at random, `scale` times their own size away; random where only the shape was given."""
        random = np.random.default_rng(seed)

        def one(leaf):
            if isinstance(leaf, jax.ShapeDtypeStruct):
                return random_like(leaf, random)
            x = jnp.asarray(leaf)
            return x + random_like(x, random) * (scale * jnp.maximum(1.0, jnp.max(jnp.abs(x), initial=0.0))).astype(
                x.dtype
            )

        return [one(leaf) for leaf in self.leaves], [random_like(s, random) for s in self.others]


def traced(f: Callable, args: tuple, kwargs: dict, argnums: int | Sequence[int]) -> Traced:
    f = getattr(f, "expectation_of", f)
    nums = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    nums = tuple(n + len(args) if n < 0 else n for n in nums)
    if any(not 0 <= n < len(args) for n in nums):
        raise SpanaxError(f"argnums={argnums!r}, and there are {len(args)} positional arguments", here(), "argnums=0")
    flat, tree = jax.tree_util.tree_flatten_with_path((args, kwargs))
    chosen = [k for k, (path, leaf) in enumerate(flat) if _is_chosen(path, nums) and _is_float(leaf)]
    if not chosen:
        raise SpanaxError(
            f"argnums={argnums!r} has no floating-point leaf to differentiate",
            here(),
            "argnums of an argument with floating-point arrays",
        )
    shapes = [k for k, (_, leaf) in enumerate(flat) if isinstance(leaf, jax.ShapeDtypeStruct) and k not in chosen]

    def rebuild(leaves, others):
        values = [leaf for _, leaf in flat]
        for k, x in zip([*chosen, *shapes], [*leaves, *others], strict=True):
            values[k] = x
        return jax.tree.unflatten(tree, values)

    def run(leaves, others):
        args, kwargs = rebuild(leaves, others)
        return [x for x in jax.tree.leaves(f(*args, **kwargs)) if eqx.is_array_like(x)]

    leaves, others = tuple(flat[k][1] for k in chosen), tuple(flat[k][1] for k in shapes)
    names = _parameter_names(f, len(args))
    labels = tuple(_label(flat[k][0], names) for k in chosen)
    closed = jax.make_jaxpr(run)(leaves, others)
    code = getattr(inspect.unwrap(f), "__code__", None)
    return Traced(
        closed, labels, leaves, others, f, rebuild, (code.co_filename, code.co_firstlineno) if code else ("", 0)
    )


def _is_chosen(path: tuple, nums: tuple[int, ...]) -> bool:
    return path[0].idx == 0 and path[1].idx in nums


def _is_float(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return isinstance(leaf, float) if dtype is None else jnp.issubdtype(dtype, jnp.floating)


def _parameter_names(f: Callable, n: int) -> list[str]:
    names = [p.name for p in _parameters(f).values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [names[k] if k < len(names) else f"args[{k}]" for k in range(n)]


def _label(path: tuple, names: list[str]) -> str:
    return names[path[1].idx] + jax.tree_util.keystr(path[2:])


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


_SCALES = (0.0, 1.0, 1.0, 3.0, 10.0, 100.0, 1e3, 1e4)  # how far from the arguments to look
_SHORT = 500  # equations: compiling takes longer than running a longer program bit by bit


def _flat(program: Traced, doubtful: Sequence[int], finder: Finder) -> set[int]:
    """Which of these leaves have no gradient anywhere that we look: at the arguments, and at random ones near them."""
    points = [program.near(seed, scale) for seed, scale in enumerate(_SCALES)]
    leaves, others = ([jnp.stack(xs) for xs in zip(*of_all, strict=True)] for of_all in zip(*points, strict=True))
    try:
        slopes = _slopes(program, doubtful, finder)(leaves, others)
    except Exception:  # a second opinion only: what raises here is not what the structure was asked about
        return set()
    return {i for i, slope in zip(doubtful, slopes, strict=True) if _is_zero(np.asarray(slope))}


def _weighted(outs: Sequence[Any]) -> jax.Array:
    """A sum with random weights of all floating-point results: a plain one is constant for softmax."""
    random, total = np.random.default_rng(0), jnp.zeros(())
    for x in map(jnp.asarray, outs):
        for part in (jnp.real(x), jnp.imag(x)) if jnp.iscomplexobj(x) else (x,):
            if jnp.issubdtype(part.dtype, jnp.floating):
                total += jnp.sum(part.astype(float) * jnp.asarray(random.normal(size=x.shape), float))
    return total


def _is_zero(slopes: np.ndarray) -> bool:
    """At all points where it is a number, and it is at the given arguments or at two others."""
    known = np.asarray(np.isfinite(slopes).reshape(len(slopes), -1).all(1))
    return bool((known[0] or known.sum() > 1) and not np.any(slopes[known]))


def _slopes(program: Traced, doubtful: Sequence[int], finder: Finder) -> Callable[[list, list], Sequence]:
    """Derivatives of a sum of all floating-point results, or of their expectation from one replicate, at several points."""
    bridged = bool(finder.sites)

    def of_result(chosen, leaves, others):
        given = dict(zip(doubtful, chosen, strict=True))
        leaves = [given.get(i, x) for i, x in enumerate(leaves)]
        if bridged:
            args, kwargs = program.rebuild(leaves, others)
            return expectation(program.function)(*args, **kwargs)
        outs = evaluate_jaxpr(program.closed.jaxpr, program.closed.consts, *leaves, *others)
        return _weighted(outs)

    def at_one_point(leaves, others):
        chosen = [leaves[i] for i in doubtful]
        if len(doubtful) > 1 or bridged:
            return jax.grad(of_result)(chosen, leaves, others)
        direction = np.random.default_rng(0).normal(size=chosen[0].shape)  # one leaf: forward mode takes half the time
        return [jax.jvp(lambda x: of_result([x], leaves, others), chosen, [jnp.asarray(direction, chosen[0].dtype)])[1]]

    @jax.numpy_dtype_promotion("standard")
    def at_all(leaves, others):
        return jax.vmap(at_one_point)(leaves, others)

    return jax.jit(at_all) if finder.size <= _SHORT else at_all


def _may_not_run(eqn: JaxprEqn) -> bool:
    """A loop might not end at a random point, and what a callback does out there is the user's affair."""
    return eqn.primitive is P.while_p or eqn.primitive.name in CALLBACKS or bool(eqn.effects)


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
