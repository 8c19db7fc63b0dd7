"""What the methods of a bridge of a draw give when they are called, and how often they run the rest of the program."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..._errors import SpanaxError
from ...bridges import Branching, Bridge, Drawing, Local, Score
from ...stochastic import expectation, sample
from .._trials.families import BERNOULLI, Family
from .._trials.trial import DrawTrial
from ..report import NotApplicable, require


def checks(trial: DrawTrial) -> dict[str, Callable[[], None]]:
    named = {
        "shape and dtype of a draw": _draws,
        "advantage or objective": _advantage_or_objective,
        "evaluations": _evaluations,
        "empty draw": _empty,
    }
    return {name: functools.partial(check, trial) for name, check in named.items()}


def _draws(trial: DrawTrial) -> None:
    for family in trial.families:
        for dtype in ("float32", "float64"):
            with jax.enable_x64(dtype == "float64"):
                _require_shape(trial, family, family.make, family.shape, dtype)
                # Its own shape is a promise; others are not, if it says so.
                with contextlib.suppress(SpanaxError):  # it may refuse other shapes
                    _require_shape(trial, family, family.other, family.other_shape, dtype)


def _require_shape(trial: DrawTrial, family: Family, make: Callable, shape: tuple[int, ...], dtype: str) -> None:
    bridge, theta = trial.cast(dtype), jnp.asarray(family.theta, dtype)
    z = jax.eval_shape(lambda key, at: bridge.draw(key, make(at)), trial.keys[0], theta)
    what = f"a {family.name} draw of shape {shape} with {dtype} parameters"
    # Of categories two forms are known: the index, in integers, and one weight for each.
    index = family.name == "Categorical" and jnp.issubdtype(z.dtype, jnp.integer) and z.shape == shape
    weights = family.name == "Categorical" and z.shape == (*shape, 3)
    require(z.shape == shape or weights, f"{what} comes with shape {z.shape}")
    require(index or z.dtype == dtype, f"{what} comes as {z.dtype}")


def _advantage_or_objective(trial: DrawTrial) -> None:
    """A number in the precision of the costs, for each iteration of the loops around the site."""
    with jax.enable_x64(True):
        bridge = trial.cast("float64")
        if isinstance(bridge, Score):
            costs = jax.ShapeDtypeStruct((), "float64")
            # With one replicate there are no others, which an advantage has to bear.
            for others in (None, costs):
                _require_number("advantage()", jax.eval_shape(bridge.advantage, costs, others))
        elif isinstance(bridge, Branching):
            family = trial.families[0]
            rest = functools.partial(_sum, family)
            theta = jnp.asarray(family.theta, "float64")
            found = jax.eval_shape(lambda k, t: bridge.objective(k, family.make(t), rest), trial.keys[0], theta)
            _require_number("objective()", found)
        else:
            raise NotApplicable("for Score and Branching bridges")


def _require_number(what: str, found: Any) -> None:
    shape, dtype = getattr(found, "shape", None), getattr(found, "dtype", None)
    require(shape == () and dtype == "float64", f"{what} gives {dtype}{shape} out of float64 costs of shape ()")


def _sum(family: Family, z: Array) -> Array:
    return family.u(z, jnp.float64)


def evaluations_in_facts(bridge: Bridge, **numbers: int) -> int | None:
    """What `facts.evaluations` comes to before its first comma, such as "2 pairs"; None where it is not a product of numbers.

    A word in it is a field of the bridge that holds an integer, or one of `numbers`.
    """
    # A text, not a number, as the count may depend on the bridge's own fields, such as `pairs`.
    fields = {field.name: getattr(bridge, field.name) for field in dataclasses.fields(bridge)} | numbers
    product = 1
    for word in bridge.facts.evaluations.partition(",")[0].split():
        factor = int(word) if word.isdigit() else fields.get(word)
        # True is an int to Python, and would count as 1 here.
        if isinstance(factor, bool) or not isinstance(factor, int):
            return None
        product *= factor
    return product


def _evaluations(trial: DrawTrial) -> None:
    """Those that the facts state, and for a Branching bridge those that `branches` announces and those that really run."""
    number, text = evaluations_in_facts(trial.bridge), trial.bridge.facts.evaluations
    if not isinstance(trial.bridge, Branching):
        # Such a bridge has no say in how often the program runs: `expectation` repeats it.
        once = number == 1 if isinstance(trial.bridge, Local) else not text.isdigit() or number == 1
        require(
            once, f"facts.evaluations is {text!r}; such a bridge runs the program once a sample: say '1' or 'samples'"
        )
        return
    for family in trial.families:
        found = trial.bridge.branches(family.make(jnp.asarray(family.theta)))
        counted = isinstance(found, int) and not isinstance(found, bool) and found >= 1
        require(counted, f"branches() is {found!r} for a {family.name} draw, not a positive integer")
        require(
            number in (None, found), f"facts.evaluations is {text}, and branches() {found} for a {family.name} draw"
        )
        runs = _runs(trial.bridge, family, trial.keys[0])
        require(
            runs == found, f"branches() is {found}, and objective() runs rest {runs} times for a {family.name} draw"
        )


def _runs(bridge: Branching, family: Family, key: Array) -> int:
    """How often `objective` evaluates `rest`, counted on the host."""
    runs = []

    def count(z):
        runs.append(z)
        return np.zeros((), np.float32)

    @jax.custom_jvp
    def rest(z):
        return jax.pure_callback(count, jax.ShapeDtypeStruct((), "float32"), z, vmap_method="sequential")

    # A callback has no derivative; one of 0 lets `objective` be traced as it would be in a gradient.
    rest.defjvp(lambda primals, tangents: (rest(*primals), jnp.zeros((), "float32")))
    with jax.enable_x64(False):
        jax.block_until_ready(bridge.objective(key, family.make(jnp.asarray(family.theta, "float32")), rest))
        # The callbacks may still be on their way when the value is there.
        jax.effects_barrier()
    return len(runs)


def _empty(trial: DrawTrial) -> None:
    """A program with a draw of no elements has its value, and no NaN."""
    if BERNOULLI not in trial.families:
        raise NotApplicable("it takes no Bernoulli draws")
    value = jax.jit(expectation(functools.partial(_one_more, trial.bridge)))
    try:
        found = float(value(jnp.zeros(0, "float32"), key=trial.keys[0]))
    except Exception as error:
        raise NotApplicable(f"it refuses one: {type(error).__name__}") from error
    # A sum over no elements is 0, so that 1 is left; 0 times infinity would be NaN.
    require(found == 1, f"a program whose value is 1, but for a draw of no elements, gives {found}")


def _one_more(bridge: Drawing, theta: Array, *, key: Array) -> Array:
    return 1 + jnp.sum(sample(key, BERNOULLI.make(theta), via=bridge)).astype(theta.dtype)
