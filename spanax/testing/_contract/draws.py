"""What a bridge of a draw promises, tried on Bernoulli, Categorical and Normal draws as far as it takes them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from ..._errors import SpanaxError
from ...bridges import Branching, Drawing, Local, Score
from .._trials.families import CURVED, FAMILIES, LINEAR, Family, Numbers, expected_cost, expected_joint, later
from .._trials.programs import in_a_loop, one_draw, second_derivative, two_draws, two_replicates
from .._trials.statistics import LIMIT, require_mean
from .._trials.trial import DrawTrial
from ..report import NotApplicable, require
from . import calls, tracing

# What a mean may be off beside its noise, as a share of its size: the number of operations in a program, not of draws,
# decides about it.
ROUNDING = {"float32": 2e-5, "float64": 1e-10}


def checks(bridge: Drawing, key: Key[Array, ""], draws: int) -> dict[str, Callable[[], None]]:
    trial = DrawTrial(bridge, key, draws)
    named: dict[str, Callable[[DrawTrial], None]] = {
        "distributions": _distributions,
        "distribution of the draws": _law,
        "same key, same draw": _same_key,
        "value": _value,
        "gradient": functools.partial(_gradient, dtype="float64"),
        "gradient in float32": functools.partial(_gradient, dtype="float32"),
        "gradient at logits of 0": _gradient_at_zero,
        "gradient of a linear cost": _gradient_of_linear,
        "second derivative": _second_derivative,
        "derivative of its own value": _own_derivative,
        "silent zero": _silent_zero,
        "direction": _direction,
        "extreme parameters": _extremes,
        "jit and vmap": _jit_and_vmap,
        "two draws": functools.partial(_joint, program=two_draws),
        "draws in a loop": functools.partial(_joint, program=in_a_loop),
        "two replicates": _replicates,
    }
    found = {name: functools.partial(check, trial) for name, check in named.items()}
    return found | calls.checks(trial) | tracing.checks(bridge, functools.partial(_use_once, trial))


def _use_once(trial: DrawTrial, bridge: Drawing) -> Array:
    """The gradient of one program with this bridge."""
    family, (key, at) = trial.families[0], (trial.keys[0], jnp.asarray(trial.families[0].theta, "float32"))
    return jax.grad(lambda theta: one_draw(bridge, family, theta, jnp.asarray(CURVED, theta.dtype), key))(at)


def _require_unbiased(trial: DrawTrial) -> None:
    if not trial.bridge.facts.unbiased:
        raise NotApplicable("facts.unbiased is False")


def _distributions(trial: DrawTrial) -> None:
    # A bridge may refuse a distribution, but by a SpanaxError, which says what it takes.
    refused = {family.name: trial.refusal(family, 1) for family in FAMILIES}
    for name, error in refused.items():
        require(
            error is None or isinstance(error, SpanaxError),
            f"a {name} draw raises {type(error).__name__}, not a SpanaxError that says what it takes: {error}",
        )
    if all(refused.values()):
        reasons = "; ".join(f"{name}: {str(error).splitlines()[0]}" for name, error in refused.items())
        require(False, f"it takes none of Bernoulli, Categorical and Normal draws ({reasons})")


def _law(trial: DrawTrial) -> None:
    for family in trial.families:
        w = trial.weights(family)
        # A relaxed draw has no law to be held against; what it has is a range, and for categories a sum.
        if not trial.is_hard(family):
            require(np.all((w >= 0) & (w <= 1)), f"a relaxed {family.name} draw leaves [0, 1]")
            sums = family.name != "Categorical" or np.allclose(w.reshape(-1, 3).sum(1), 1)
            require(sums, "relaxed Categorical weights do not sum to 1")
            continue
        with jax.enable_x64(True):
            values, p = map(np.asarray, family.outcomes(jnp.asarray(family.theta, "float64")))
        # First and second moments fix the law of a few 0s and 1s, correlations included; those of a Normal draw, too.
        moments = [np.concatenate([x, (x[:, :, None] * x[:, None]).reshape(len(x), -1)], 1) for x in (w, values)]
        require_mean(f"a {family.name} draw (z, and z z')", moments[0], p @ moments[1], rounding=1e-10)


def _same_key(trial: DrawTrial) -> None:
    for family in trial.families:
        # A generator hidden inside the bridge would make two calls differ; one seeded once, all draws alike.
        distribution = family.make(jnp.asarray(family.theta))
        one, two = (np.asarray(trial.bridge.draw(trial.keys[0], distribution)) for _ in range(2))
        require(np.array_equal(one, two), f"two {family.name} draws with the same key differ")
        require(np.ptp(trial.weights(family), 0).any(), f"{family.name} draws do not depend on the key")


def _exact(f: Callable, theta: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The value, the gradient and the second derivative along `direction` of an exact expectation."""
    with jax.enable_x64(True):
        run = jax.jit(lambda at: (f(at), jax.grad(f)(at), second_derivative(f, at)))
        value, gradient, second = map(np.asarray, run(jnp.asarray(theta, "float64")))
        return value, gradient, second


@functools.cache
def _exact_cost(family: Family, mix=CURVED, theta: Numbers | None = None):
    return _exact(lambda t: expected_cost(family, t, jnp.asarray(mix, t.dtype)), theta or family.theta)


@functools.cache
def _exact_joint(family: Family, program: Callable):
    second = later if program is two_draws else lambda theta, u: theta
    return _exact(lambda t: expected_joint(family, t, second), family.theta)


def _value(trial: DrawTrial) -> None:
    """Of the program itself, wherever the draws are hard."""
    # A relaxed draw changes the program's value, and says so in its facts: only hard draws keep it.
    hard = [family for family in trial.families if trial.is_hard(family)]
    if not hard:
        raise NotApplicable("its draws are relaxed")
    for family in hard:
        require_mean(
            f"the value of a {family.name} program", trial.cost(family)[0], _exact_cost(family)[0], rounding=1e-10
        )


def _gradient(trial: DrawTrial, dtype: str) -> None:
    for family in trial.families:
        # Dtype and finiteness are asked of every bridge, before the mean is asked of those that claim it.
        gradients = trial.cost(family, dtype)[1]
        require(gradients.dtype == dtype, f"the gradient with respect to {dtype} is {gradients.dtype}")
        require(np.all(np.isfinite(gradients)), f"the gradient of a {family.name} program is NaN or infinite")
    _require_unbiased(trial)
    for family in trial.families:
        what = f"the gradient of a {family.name} program"
        require_mean(what, trial.cost(family, dtype)[1], _exact_cost(family)[1], rounding=ROUNDING[dtype])


def _gradient_at_zero(trial: DrawTrial) -> None:
    """Where the usual formulas of log p have a kink: numpyro's Bernoulli.log_prob has a wrong derivative there."""
    _require_unbiased(trial)
    discrete = [family for family in trial.families if family.discrete]
    if not discrete:
        raise NotApplicable("it takes no draws with logits")
    for family in discrete:
        # All logits 0 is where programs start, and where max(x, 0) in a log-probability has no derivative.
        zeros = (0.0,) * len(family.theta)
        what = f"the gradient of a {family.name} program at logits of 0"
        require_mean(what, trial.cost(family, theta=zeros)[1], _exact_cost(family, CURVED, zeros)[1], rounding=1e-10)


def _gradient_of_linear(trial: DrawTrial) -> None:
    """Of a biased bridge that `facts.unbiased_for` calls right there."""
    facts = trial.bridge.facts
    # The two claims that can be held against a linear cost; a text that says more is not understood here.
    if not facts.unbiased and not re.match("f (linear|quadratic)", facts.unbiased_for):
        raise NotApplicable('facts.unbiased_for does not begin with "f linear" or "f quadratic"')
    for family in trial.families:
        what = f"the gradient of a linear cost of {family.name} draws"
        require_mean(what, trial.cost(family, mix=LINEAR)[1], _exact_cost(family, LINEAR)[1], rounding=1e-10)


def _second_derivative(trial: DrawTrial) -> None:
    """Right, or a SpanaxError; for a biased bridge finite, or a SpanaxError."""
    facts = trial.bridge.facts
    for family in trial.families:
        error = trial.refusal(family, 2)
        if error is not None:
            require(isinstance(error, SpanaxError), f"it raises {type(error).__name__}, not a SpanaxError: {error}")
            require(facts.orders == 1, f"facts.orders is {facts.orders}, and it raises: {str(error).splitlines()[0]}")
            continue
        # It has not refused: then it has to be right, or at least a number.
        _, _, found = trial.cost(family)
        require(np.all(np.isfinite(found)), f"the second derivative of a {family.name} program is NaN or infinite")
        if facts.unbiased:
            what = f"the second derivative of a {family.name} program"
            require_mean(what, found, _exact_cost(family)[2], rounding=1e-10)
        else:
            require(facts.orders != 1, "facts.orders is 1, and a second derivative does not raise SpanaxError")


def _own_derivative(trial: DrawTrial) -> None:
    """A relaxed draw is a smooth function of its parameters: its derivative is that of the value that it gives."""
    relaxed = [f for f in trial.families if not trial.is_hard(f)] if isinstance(trial.bridge, Local) else []
    if not relaxed or "nothing" in trial.bridge.facts.unbiased_for:
        raise NotApplicable("it claims no more than a value that is hard" if not relaxed else "facts claim none")
    for family in relaxed:
        # One direction with unequal parts, so that swapped or missing elements show.
        v = 0.7 ** np.arange(len(family.theta))
        central = []
        for step in (0.02, 0.01):
            up, down = (trial.cost(family, theta=tuple(family.theta + s * step * v))[0] for s in (1, -1))
            central.append((up - down) / (2 * step))
        # Richardson's extrapolation of two central differences, with the same keys: the noise of a relaxed draw cancels,
        # and what is left of the step is of fourth order.
        change = (4 * central[1] - central[0]) / 3
        what = f"the derivative of a relaxed {family.name} program less the change of its value"
        # In units of the change itself: some relaxed gradients are tiny by design.
        scale = float(np.sqrt(np.mean(change**2)))
        found = trial.cost(family)[1] @ v - change
        require_mean(what, found / scale, np.zeros(()), rounding=1e-3, scale=1.0)


def _silent_zero(trial: DrawTrial) -> None:
    for family in trial.families:
        gradients = trial.cost(family, mix=LINEAR)[1]
        # The worst of wrong gradients is the one that trains nothing and raises nothing.
        require(np.any(gradients != 0), f"the gradient of a linear cost of {family.name} draws is 0 in every draw")


def _direction(trial: DrawTrial) -> None:
    """Biased or not: a linear cost increases along the mean gradient."""
    for family in trial.families:
        truth = _exact_cost(family, LINEAR)[1]
        along = trial.cost(family, mix=LINEAR)[1] @ truth
        # One-sided: the bridge has to point up, by more than its noise, and may be of any length.
        error = LIMIT * np.std(along) / np.sqrt(len(along))
        require(
            np.mean(along) > error,
            f"the gradient of a linear cost of {family.name} draws does not point where the cost grows",
        )


def _extremes(trial: DrawTrial) -> None:
    for family in trial.families:
        for dtype in ("float32", "float64"):
            for theta in family.extremes:
                for what, x in zip(("value", "gradient"), trial.cost(family, dtype, theta), strict=False):
                    short = ", ".join(f"{t:g}" for t in theta)
                    require(
                        np.all(np.isfinite(x)),
                        f"the {what} of a {family.name} program at ({short}) in {dtype} is NaN or infinite",
                    )


def _jit_and_vmap(trial: DrawTrial) -> None:
    """The value and the gradient of one key: without jit, and in the compiled batch of all."""
    family = trial.families[0]
    values, gradients = trial.cost(family, "float32")
    with jax.enable_x64(False):
        f = trial.estimate(one_draw, family, jnp.asarray(CURVED), key=trial.keys[1])
        value, gradient = jax.value_and_grad(f)(jnp.asarray(family.theta))
    close = np.allclose(value, values[1], rtol=1e-4, atol=1e-5)
    close = close and np.allclose(gradient, gradients[1], rtol=1e-3, atol=1e-4)
    require(
        close,
        f"a {family.name} program gives {value:.5g}, {gradient} as it is, and {values[1]:.5g}, {gradients[1]} "
        "under jit and vmap with the same key",
    )


def _joint(trial: DrawTrial, program: Callable) -> None:
    """Of two draws; a key that is used twice inside the bridge shows here."""
    if program is in_a_loop and isinstance(trial.bridge, Branching):
        raise NotApplicable("a Branching bridge cannot run what follows a loop again")
    family = trial.families[0]
    values, gradients = trial.gradients(program, family)[:2]
    require(np.all(np.isfinite(gradients)), "the gradient is NaN or infinite")
    _require_unbiased(trial)
    value, gradient, _ = _exact_joint(family, program)
    require_mean(f"the value of two {family.name} draws", values, value, rounding=1e-10)
    require_mean(f"the gradient of two {family.name} draws", gradients, gradient, rounding=1e-10)


def _replicates(trial: DrawTrial) -> None:
    """`expectation(samples=2)`, where a baseline may be made of the other replicate."""
    if not isinstance(trial.bridge, Score):
        raise NotApplicable("for Score bridges")
    _require_unbiased(trial)
    family = trial.families[0]
    # Leave-one-out needs a second replicate: with one its baseline is never used.
    _, gradients = trial.gradients(two_replicates, family, mix=CURVED)[:2]
    require_mean("the gradient with 2 replicates", gradients, _exact_cost(family)[1], rounding=1e-10)
