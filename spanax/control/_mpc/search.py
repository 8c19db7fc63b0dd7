"""From first plans to the best one: Newton steps with damping and a line search, for several plans at once."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from ..wrappers import where
from .problem import Inputs, Problem, Rolled
from .riccati import Law, newton_law

# Shares of a step that are tried, all at once.
SHARES = (1.0, 0.6, 0.3, 0.1, 0.03, 0.005)
LEAST_DAMPING, FIRST_DAMPING, MOST_DAMPING = 1e-6, 1e-3, 1e4
# A relative gain below which the motion's own second derivatives are used: before, they mislead more often than they help.
NEAR = 1e-2
# A cheap first plan may lead to a dear one, and a dear one to the cheapest: after so many steps costs tell which. The best
# quarter goes on, until no more than a few are left.
LAP, LEFT = 3, 8
# A relative gain below which Newton's own steps are left to finish, and at most how many they are.
SETTLED, POLISHING = 1e-4, 20


class Searched(NamedTuple):
    """Where a search is: the motion of its plan, and the iterations so far. `exact`: with the motion's own curvature."""

    rolled: Rolled
    damping: Float[Array, ""]
    exact: Bool[Array, ""]
    settled: Bool[Array, ""]
    iterations: Int[Array, ""]


def begin(problem: Problem, inputs: Inputs, actions: Float[Array, "T m"]) -> Searched:
    """A first plan."""
    no, damping = jnp.zeros((), bool), jnp.asarray(FIRST_DAMPING, actions.dtype)
    return Searched(problem.play(inputs, actions), damping, no, no, jnp.zeros((), jnp.int32))


def improve(problem: Problem, inputs: Inputs, at: Searched) -> Searched:
    """One damped step."""
    law = _law(problem, inputs, at.rolled, at.exact.astype(at.damping.dtype), at.damping)
    rolled = _line_search(problem, inputs, at.rolled, law)
    gain = at.rolled.cost - rolled.cost
    better = gain > 0
    size = jnp.abs(at.rolled.cost)
    damping = jnp.where(better, at.damping / 5, jnp.maximum(at.damping, FIRST_DAMPING) * 5)
    damping = jnp.where(damping < LEAST_DAMPING, 0, damping)
    # Steps by an approximate curvature may stop gaining far from a minimum.
    settled = at.exact & jnp.where(better, gain < SETTLED * size, damping > MOST_DAMPING)
    # A step that does not help may be the fault of the approximate curvature.
    exact = at.exact | ~better | (gain < NEAR * size)
    return Searched(where(better, rolled, at.rolled), damping, exact, settled, at.iterations + 1)


def search(problem: Problem, inputs: Inputs, plans: Float[Array, "K T m"], iterations: int) -> Searched:
    """The best of the local minima that first plans lead to, by at most `iterations` damped steps each.

    They end when they gain next to nothing.
    """

    def more(at: Searched):
        return (at.iterations < iterations) & ~at.settled

    def step(at: Searched) -> Searched:
        return improve(problem, inputs, at)

    at = jax.vmap(lambda actions: begin(problem, inputs, actions))(plans)
    # All at once, so a fixed number of steps: none waits for the slowest.
    done = 0
    while len(at.iterations) > LEFT:
        lap = min(LAP, iterations - done)
        at = best(lax.fori_loop(0, lap, lambda _, at: jax.vmap(step)(at), at), len(at.iterations) // 4)
        done += lap
    at = jax.vmap(lambda at: lax.while_loop(more, step, at))(at)
    return jax.tree.map(lambda x: x[0], best(at, 1))


def best(at: Searched, count: int) -> Searched:
    """Of several searches the cheapest ones; NaN comes last."""
    order = jnp.argsort(at.rolled.cost)
    return jax.tree.map(lambda x: x[order[:count]], at)


class Polished(NamedTuple):
    """The end of it: the motion, the length of the last Newton step, how many there were, and whether it is a minimum."""

    rolled: Rolled
    distance: Float[Array, ""]
    iterations: Int[Array, ""]


def polish(problem: Problem, inputs: Inputs, rolled: Rolled, tolerance: Float[Array, ""]) -> Polished:
    """Newton's own steps, without damping, for as long as they become shorter; infinitely far where the cost bends down.

    Costs say nothing here: close to the minimum their differences are rounding. The length of a step is the distance.
    """

    def look(rolled):
        law = _law(problem, inputs, rolled, 1.0, jnp.zeros((), rolled.cost.dtype))
        return law, jnp.where(law.convex, jnp.max(jnp.abs(law.change)), jnp.inf)

    def more(carry):
        at, _, shrinks = carry
        return shrinks & (at.iterations < POLISHING) & (at.distance > tolerance)

    def one(carry):
        at, law, _ = carry
        moved = _take(problem, inputs, at.rolled, law, 1.0)
        following, distance = look(moved)
        shrinks = distance < at.distance
        closer = Polished(moved, distance, at.iterations + 1)
        return where(shrinks, closer, at), where(shrinks, following, law), shrinks

    law, distance = look(rolled)
    first = Polished(rolled, distance, jnp.zeros((), jnp.int32))
    return lax.while_loop(more, one, (first, law, jnp.isfinite(distance)))[0]


def _law(problem: Problem, inputs: Inputs, rolled: Rolled, curvature: Array | float, damping: Array) -> Law:
    expansion = problem.expand(inputs, rolled, curvature)
    low, high = jnp.asarray(problem.low), jnp.asarray(problem.high)
    return newton_law(expansion, low - rolled.actions, high - rolled.actions, damping)


def _line_search(problem: Problem, inputs: Inputs, rolled: Rolled, law: Law) -> Rolled:
    """The best of several shares of the step."""
    shares = jnp.array(SHARES, rolled.cost.dtype)
    tried = jax.vmap(lambda share: _take(problem, inputs, rolled, law, share))(shares)
    costs = jnp.where(jnp.isnan(tried.cost), jnp.inf, tried.cost)
    return jax.tree.map(lambda x: x[jnp.argmin(costs)], tried)


def _take(problem: Problem, inputs: Inputs, rolled: Rolled, law: Law, share: Array | float) -> Rolled:
    def act(vector, at):
        nominal, action, low, high, change, gain = at
        return jnp.clip(action + share * change + gain @ (vector - nominal), low, high)

    more = rolled.vectors, rolled.actions, problem.low, problem.high, law.change, law.gain
    return problem.roll(inputs, act, more)
