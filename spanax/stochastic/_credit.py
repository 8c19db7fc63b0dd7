"""The surrogate: one scalar whose value is the objective and whose derivatives of every order are unbiased.

    J = sum_c c + sum_s sum_i exp(T_s[i]) expm1(l_s[i]) advantage_s(Q_s[i])

over costs c, sites s and iterations i of the loops around s, with l = log p - stop_gradient(log p); T_s[i] the sum of l over
earlier draws that share a cost with s; Q_s[i] the costs that the draw reaches, in the same iteration and in strictly later
iterations of each loop that is crossed on the way. l and T are 0 in value, so J is the sum of the costs. Neither Q nor the
baseline is stopped: that is what makes second derivatives right. It is the loss-aware form of the infinitely
differentiable estimator (Foerster et al. 2018, arXiv:1802.05098; Farquhar et al. 2019, arXiv:1909.10549) with costs by dataflow.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from .._errors import SpanaxError
from .._jaxprs import varying
from ..bridges import Score
from .flow import Flow, Label, Path
from .sampling import attribute_errors


@functools.partial(jax.tree_util.register_dataclass, data_fields=["scores", "bridges", "costs"], meta_fields=[])
@dataclasses.dataclass
class Events:
    """What one run of the program recorded, by path. Each array has a leading axis, in time order, for every scan around it.

    `scores`: l = log p(z) - stop_gradient(log p(z)) of each site; `bridges`: its `Score`; `costs`: the costs.
    """

    scores: dict[Path, Float[Array, "*loops"]] = dataclasses.field(default_factory=dict)
    bridges: dict[Path, Score] = dataclasses.field(default_factory=dict)
    costs: dict[Path, Float[Array, "*loops"]] = dataclasses.field(default_factory=dict)

    def add(self, other: Events) -> None:
        self.scores.update(other.scores)
        self.bridges.update(other.bridges)
        self.costs.update(other.costs)


Others = Callable[[Array], Array | None]  # costs to go -> their mean over the other replicates


def surrogate(
    flow: Flow, events: Events, reach: Callable[[Path], frozenset[Label]], others: Others
) -> Float[Array, ""]:
    """J of the module's docstring. `reach(cost)`: the labels of the draws that the cost answers to."""
    # The formula in one piece, though it branches: sites outside of all loops at once, each site in a loop by itself.
    costs = total = jnp.sum(jnp.stack([jnp.sum(c) for c in events.costs.values()]))
    if not events.scores:
        return total
    credit = _Credit(flow, events, reach)
    # A draw that reaches no cost has an advantage of 0: its score would be noise alone.
    paying = [s for s in credit.sites if credit.crossed[s]]
    apart = [s for s in paying if not credit.loops(s)]
    in_loops = [s for s in paying if credit.loops(s)]
    if apart:
        total = total + credit.of_sites_apart(apart, others)
    for s in in_loops:
        total = total + credit.of_site_in_loop(s, others)
    if further := varying(total) - varying(costs):
        _refuse_mixed_devices(further, flow.site(paying[0]).where)
    return total


def _refuse_mixed_devices(axes: frozenset, where: str) -> NoReturn:
    raise SpanaxError(
        f"the costs are the same on all devices along the mesh axes {sorted(axes)}, and a baseline or a draw that they "
        "answer to is not: JAX would sum the derivative of one and not of the other",
        f"jax.lax.pcast(result, {tuple(sorted(axes))}, to='varying') of what f returns: its derivative is summed as well",
        "jax.lax.pmean of the baseline",
        where=where,
    )


class _Credit:
    """Who pays for what: for each site the costs that it reaches, and the earlier sites whose scores multiply its own."""

    def __init__(self, flow: Flow, events: Events, reach: Callable[[Path], frozenset[Label]]):
        self.flow, self.events = flow, events
        self.sites, self.costs = list(events.scores), list(events.costs)
        # site -> cost -> the loops crossed on the way from the draw to the cost (None: the same iteration)
        self.crossed: dict[Path, dict[Path, set[Path | None]]] = {s: {} for s in self.sites}
        for cost in self.costs:
            for site, loop in reach(cost):
                if site in self.crossed:
                    self.crossed[site].setdefault(cost, set()).add(loop)

    def loops(self, path: Path) -> tuple[Path, ...]:
        return self.flow.loops.get(path, ())

    def shared_loops(self, a: Path, b: Path) -> int:
        """How many loops, from the outermost, are around both."""
        # A common prefix, and not a count of equal entries: two loops inside one loop are not shared.
        pairs = zip(self.loops(a), self.loops(b), strict=False)
        return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))

    def meet(self, a: Path, b: Path) -> bool:
        """Do two draws share a cost?"""
        # Without one, the product of their scores has expectation 0 in every derivative, and is left out: it is noise.
        return not self.crossed[a].keys().isdisjoint(self.crossed[b])

    def pays(self, sites: Sequence[Path]) -> np.ndarray:
        """(sites, costs): does the draw reach the cost, with no loop around both?"""
        return np.array([[c in self.crossed[s] and not self.shared_loops(s, c) for c in self.costs] for s in sites])

    def before(self, sites: Sequence[Path]) -> np.ndarray:
        """(sites, all sites): is the other draw earlier, with a cost in common and no loop around both?"""
        return np.array(
            [[r < s and self.meet(r, s) and not self.shared_loops(r, s) for r in self.sites] for s in sites]
        )

    def outside_loops(self, sites: Sequence[Path]) -> tuple[Array, Array]:
        """Costs to go and past scores of the sites, from everything that shares no loop with them.

        One constant matrix each: sums written out pair by pair would make compilation quadratic in the draws.
        """
        return _pick(self.pays(sites), self.events.costs), _pick(self.before(sites), self.events.scores)

    def of_sites_apart(self, sites: Sequence[Path], others: Others) -> Float[Array, ""]:
        """The terms of all sites outside of loops, at once."""
        togo, past = self.outside_loops(sites)
        mean = others(togo)  # one collective over the replicates for all sites
        score = jnp.stack([self.events.scores[s] for s in sites])
        advantage = [self.advantage(s, togo[i], None if mean is None else mean[i]) for i, s in enumerate(sites)]
        # exp(T) expm1(l) and not exp(T + l) - exp(T): both are 0 in value, but expm1 keeps its digits, and its first
        # derivative is the score itself.
        return jnp.sum(jnp.exp(past) * jnp.expm1(score) * jnp.stack(advantage))

    def of_site_in_loop(self, s: Path, others: Others) -> Float[Array, ""]:
        """The terms of one site, over all iterations of the loops around it."""
        score, loops = self.events.scores[s], self.loops(s)
        (togo,), (past,) = self.outside_loops([s])
        for cost, crossed in self.crossed[s].items():
            if common := self.shared_loops(s, cost):
                later = [loop in crossed for loop in loops]
                togo = togo + _over_iterations(
                    self.events.costs[cost], common, score.ndim, _later, None in crossed, later
                )
        # A draw's own earlier iterations are among the earlier draws: r == s is not left out.
        for r in self.sites:
            if (common := self.shared_loops(s, r)) and self.meet(r, s):
                past = past + _over_iterations(
                    self.events.scores[r], common, score.ndim, _earlier, r < s, [True] * score.ndim
                )
        # A cost outside of all loops is one number for all iterations, and a baseline may still be one for each.
        togo = jnp.broadcast_to(togo, score.shape)
        return jnp.sum(jnp.exp(past) * jnp.expm1(score) * self.advantage(s, togo, others(togo)))

    def advantage(self, s: Path, togo: Array, mean: Array | None) -> Array:
        """What the site's bridge makes of its costs to go, which must keep their shape: a larger one would be summed."""
        with attribute_errors(self.flow.site(s)):
            advantage = self.events.bridges[s].advantage(togo, mean)
            if jnp.shape(advantage) != togo.shape:
                raise SpanaxError(
                    f"an advantage of shape {list(jnp.shape(advantage))} out of costs of shape {list(togo.shape)}",
                    "a bridge whose advantage has the shape of `togo`",
                )
        return advantage


def _pick(chosen: np.ndarray, arrays: dict[Path, Array]) -> Float[Array, " sites"]:
    """The totals of the arrays that each row of a matrix chooses, summed; a constant where it chooses none."""
    if not chosen.any():
        return jnp.zeros(len(chosen), next(iter(arrays.values())).dtype)
    # Sums over the loops first: a matrix of constants times a vector, whatever the loops are.
    totals = jnp.stack([jnp.sum(x) for x in arrays.values()])
    return jnp.sum(jnp.where(chosen, totals, 0.0), 1)  # no product: an infinite cost is nobody else's


def _over_iterations(
    x: Array, common: int, ndim: int, other: Callable, same: bool, crossed: Sequence[bool]
) -> Array | float:
    """x summed over the same iteration of all `common` outer loops, if `same`, and over `other` ones of each crossed loop.

    The result has `ndim` loop axes (some of length 1).
    """
    # Of the cases "the same" and "beyond", each iteration of x must be counted exactly once: twice would be a wrong gradient.
    innermost = common - 1
    inclusive = same and crossed[innermost]  # the same iteration and those beyond it are one inclusive sum
    total = _align(x, common, ndim) if same and not inclusive else 0.0
    # Iterations are ordered like the digits of a number: in the same iterations of the loops outside of k, and in others of k,
    # all iterations of the loops inside k count.
    for k in range(common):
        if crossed[k]:
            iterations = jnp.sum(x, tuple(range(k + 1, x.ndim)))
            total = total + _align(other(iterations, k, inclusive=inclusive and k == innermost), k + 1, ndim)
    return total


def _align(x: Array, n: int, ndim: int) -> Array:
    """Sums all axes after the first n away, and adds axes of length 1 up to `ndim`."""
    x = jnp.sum(x, tuple(range(n, x.ndim)))
    return x.reshape(x.shape + (1,) * (ndim - n))


def _later(x: Array, axis: int, *, inclusive: bool) -> Array:
    """The sum over strictly later iterations, or also over this one."""
    # Shifted, not `through - x`: a difference of infinite costs is NaN.
    through = lax.cumsum(x, axis, reverse=True)
    if inclusive or not x.shape[axis]:
        return through
    beyond = lax.slice_in_dim(through, 1, None, axis=axis)
    return jnp.concatenate([beyond, jnp.zeros_like(lax.slice_in_dim(x, 0, 1, axis=axis))], axis)


def _earlier(x: Array, axis: int, *, inclusive: bool) -> Array:
    """The sum over strictly earlier iterations, or also over this one."""
    through = lax.cumsum(x, axis)
    if inclusive or not x.shape[axis]:
        return through
    before = lax.slice_in_dim(through, 0, -1, axis=axis)
    return jnp.concatenate([jnp.zeros_like(lax.slice_in_dim(x, 0, 1, axis=axis)), before], axis)
