"""What a probing bridge promises, tried on a linear and a quadratic function of a pytree."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..._errors import SpanaxError
from ..._pytree import PyTree
from ...blackbox import blackbox
from ...bridges import Probing, Tuned
from .._trials.statistics import require_mean
from ..report import NotApplicable, require
from . import tracing
from .calls import evaluations_in_facts

# Two leaves of different shapes: a bridge that forgets the structure, or mixes the leaves up, shows.
X = {"a": np.array([0.7, -1.2]), "b": np.array(0.4)}
CT = (1.0, -0.5)


def checks(bridge: Probing, key: Key[Array, ""], draws: int, x: PyTree[Any] | None) -> dict[str, Callable[[], None]]:
    trial = ProbingTrial(bridge, key, draws, X if x is None else x)
    named: dict[str, Callable[[ProbingTrial], None]] = {
        "points": _points,
        "points without a key": _key,
        "shape and dtype of a derivative": _shapes,
        "a linear function": _linear,
        "a quadratic function": _quadratic,
        "unbiased for a wave": _mean_over_a_wave,
        "linear in the cotangent": _cotangent,
        "transpose": _transpose,
        "dropped points": _drop_points,
        "usable": _usable,
        "jit and vmap of a derivative": _jit_and_vmap,
        "black box": _black_box,
        "second derivative of a black box": _second_derivative,
        "pilot": _pilot,
        "evaluations of a derivative": _evaluations,
    }
    found = {name: functools.partial(check, trial) for name, check in named.items()}
    return found | tracing.checks(bridge, functools.partial(_use_once, trial))


def _use_once(trial: ProbingTrial, bridge: Probing) -> PyTree[Array]:
    """A derivative with this bridge."""
    return ProbingTrial(bridge, trial.key, 1, trial.point).derivative(quadratic, trial.x(), trial.key)


def flat(tree: PyTree[Array]) -> Float[Array, " size"]:
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def matrix(size: int) -> Float[np.ndarray, "2 size"]:
    return np.sin(1.0 + np.arange(2 * size)).reshape(2, size)


def linear(x: PyTree[Array]) -> dict[str, Array]:
    """Two numbers, one of them in an array; in the dtype of x's first leaf."""
    # Any structure, as one vector: the check brings its own function to the user's point.
    u = flat(x)
    results = jnp.matmul(jnp.asarray(matrix(u.size), u.dtype), u, precision="highest")
    return {"p": results[:1], "q": results[1]}


def quadratic(x: PyTree[Array]) -> dict[str, Array]:
    return jax.tree.map(lambda value: jnp.square(value + 0.7) / 2, linear(x))


def wave(scale: float, x: PyTree[Array]) -> dict[str, Array]:
    """Curved on this scale."""
    return jax.tree.map(lambda value: jnp.sin(value / scale) * scale, linear(x))


def cotangent(dtype: Any, weights=CT) -> dict[str, Array]:
    p, q = (jnp.asarray(w, dtype) for w in weights)
    return {"p": p[None], "q": q}


class ProbingTrial:
    """A bridge, a point, and its derivatives there."""

    def __init__(self, bridge: Probing, key: Key[Array, ""], draws: int, x: PyTree[Any]):
        self.bridge, self.key, self.point = bridge, key, x
        self.keys = jax.random.split(key, draws)

    def x(self, dtype: str = "float32") -> PyTree[Array]:
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), self.point)

    def cast(self, dtype: str) -> Probing:
        return jax.tree.map(lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, self.bridge)

    def fit(self, f: Callable, x: PyTree[Array], key: Key[Array, ""]) -> Probing:
        """With its step chosen, where it chooses one."""
        # As a black box does it: the pilot's rows first, and the step that they give for all further rows.
        bridge = self.cast(str(flat(x).dtype))
        if not isinstance(bridge, Tuned) or (P := bridge.pilot(x, key)) is None:
            return bridge
        return bridge.fitted(x, P, jax.vmap(f)(P), f(x))

    def _evaluate(self, f: Callable, x: PyTree[Array], key: Key[Array, ""]) -> tuple[Probing, Any, Any, Any]:
        bridge = self.fit(f, x, key)
        X = bridge.points(x, key)
        return bridge, X, jax.vmap(f)(X), f(x)

    def evaluate(self, f: Callable, x: PyTree[Array], key: Key[Array, ""]) -> tuple[Probing, Any, Any, Any]:
        """The bridge, the points, the values there and at x."""
        return eqx.filter_jit(self._evaluate)(f, x, key)

    def derivative(self, f: Callable, x: PyTree[Array], key: Key[Array, ""]) -> PyTree[Array]:
        bridge, X, Y, y = self._evaluate(f, x, key)
        return bridge.combine(x, X, Y, cotangent(flat(x).dtype), y=y)

    def means(self, f: Callable) -> tuple[np.ndarray, float]:
        """Derivatives of all keys in float64, (n, size), and how far the points are from x at the most."""
        with jax.enable_x64(True):
            # In float64, where differences of close points keep their digits.
            x = self.x("float64")
            X = self.evaluate(f, x, self.key)[1]
            # How far the points are away decides how much of a curved function's derivative may be off.
            moved = jax.tree.map(lambda X, x: np.abs(np.asarray(X) - np.asarray(x)), X, x)
            found = jax.jit(jax.vmap(lambda key: flat(self.derivative(f, x, key))))(self.keys)
            return np.asarray(found), max(float(np.max(m)) for m in jax.tree.leaves(moved))

    def slope(self, f: Callable) -> np.ndarray:
        """The exact one."""
        with jax.enable_x64(True):
            x = self.x("float64")
            return np.asarray(flat(jax.vjp(f, x)[1](cotangent("float64"))[0]))


def _points(trial: ProbingTrial) -> None:
    x = trial.x()
    _, X, _, _ = trial.evaluate(linear, x, trial.key)
    require(jax.tree.structure(X) == jax.tree.structure(x), f"points() has the structure {jax.tree.structure(X)}")
    counts = {len(rows) for rows in jax.tree.leaves(X)}
    require(len(counts) == 1, f"the leaves of points() have {sorted(counts)} rows, not one number of them")
    for rows, leaf in zip(jax.tree.leaves(X), jax.tree.leaves(x), strict=True):
        require(rows.shape[1:] == leaf.shape, f"points() has rows of shape {rows.shape[1:]}, not {leaf.shape}")
        require(np.all(np.isfinite(rows)), "points() is NaN or infinite")
    # A run can be repeated, and a stored one found again, only if the key fixes the points.
    again = trial.evaluate(linear, x, trial.key)[1]
    same = jax.tree.map(np.array_equal, X, again)
    require(all(jax.tree.leaves(same)), "points() differs between two calls with the same key")


def _key(trial: ProbingTrial) -> None:
    bridge = trial.evaluate(linear, trial.x(), trial.key)[0]
    try:
        jax.eval_shape(lambda x: bridge.points(x, None), trial.x())
    except SpanaxError:
        return
    except Exception as error:
        require(False, f"points(x, None) raises {type(error).__name__}, not a SpanaxError: {error}")


def _shapes(trial: ProbingTrial) -> None:
    for dtype in ("float32", "float64"):
        with jax.enable_x64(dtype == "float64"):
            x = trial.x(dtype)
            found = jax.jit(lambda x: trial.derivative(linear, x, trial.key))(x)
            require(jax.tree.structure(found) == jax.tree.structure(x), "combine() has not the structure of x")
            for g, leaf in zip(jax.tree.leaves(found), jax.tree.leaves(x), strict=True):
                alike = g.shape == leaf.shape and g.dtype == leaf.dtype
                require(alike, f"combine() gives {g.dtype}{g.shape} for {leaf.dtype}{leaf.shape}")
                require(np.all(np.isfinite(g)), f"the derivative in {dtype} is NaN or infinite")


def _linear(trial: ProbingTrial) -> None:
    """Averaged over whatever distances, the derivative of a linear function is its slope."""
    found, _ = trial.means(linear)
    require_mean("the derivative of a linear function", found, trial.slope(linear), rounding=1e-6)


def _quadratic(trial: ProbingTrial) -> None:
    """It changes by as much as the points are away, times the second derivative."""
    found, moved = trial.means(quadratic)
    size = trial.slope(quadratic).size
    # The largest that the second derivative can add along one axis: its row sum.
    curvature = np.max(np.sum(np.abs(matrix(size).T @ np.diag(CT) @ matrix(size)), 1))
    # The bound is capped: a bridge with huge steps is not to pass with any derivative at all.
    truth = trial.slope(quadratic)
    allowed = curvature * moved / np.max(np.abs(truth))
    require_mean("the derivative of a quadratic function", found, truth, rounding=1e-6 + min(float(allowed), 0.2))


def _mean_over_a_wave(trial: ProbingTrial) -> None:
    """On a function that is curved on the scale of its points."""
    if not trial.bridge.facts.unbiased:
        raise NotApplicable("facts.unbiased is False")
    # Curved on the scale of its own steps: a bias of second order in the step cannot hide.
    f = functools.partial(wave, max(trial.means(linear)[1], 1e-3))
    require_mean("the derivative of sin(x / size of its moves)", trial.means(f)[0], trial.slope(f), rounding=1e-6)


def _evaluations(trial: ProbingTrial) -> None:
    """The rows of `points`, where the facts state a number of them; those of a pilot stand after a comma, or are not stated."""
    x = trial.x()
    found = len(jax.tree.leaves(trial.evaluate(linear, x, trial.key)[1])[0])
    number, text = evaluations_in_facts(trial.bridge, **{"size(x)": flat(x).size}), trial.bridge.facts.evaluations
    if number is None:
        raise NotApplicable(f"facts.evaluations is {text!r}, no product of numbers, fields and size(x)")
    require(number == found, f"facts.evaluations is {text!r}, {number} here, and points() has {found} rows")


def _cotangent(trial: ProbingTrial) -> None:
    x = trial.x()
    bridge, X, Y, y = trial.evaluate(quadratic, x, trial.key)
    # The host gives rows once, and JAX transposes what follows: that is right only where it is linear.
    one, two, both = (
        np.asarray(flat(bridge.combine(x, X, Y, cotangent("float32", ct), y=y)))
        for ct in ((1.0, 0.0), (0.0, 1.0), (2.0, -3.0))
    )
    require(
        np.allclose(2 * one - 3 * two, both, rtol=1e-3, atol=1e-3 * np.max(np.abs(both))), "combine is not linear in ct"
    )


def _transpose(trial: ProbingTrial) -> None:
    """As forward mode needs it: the tangent of the results along v is the transpose of ct -> derivative."""
    x, v = trial.x(), jax.tree.map(jnp.ones_like, trial.x())
    bridge, X, Y, y = trial.evaluate(quadratic, x, trial.key)

    def combine(ct):
        return bridge.combine(x, X, Y, ct, y=y)

    # <combine(ct), v> = <ct, combine^T(v)>, whatever the bridge.
    (tangent,) = jax.linear_transpose(combine, cotangent("float32"))(v)
    along = float(jnp.sum(flat(combine(cotangent("float32"))) * flat(v)))
    forward = float(jnp.sum(flat(tangent) * flat(cotangent("float32"))))
    require(np.isclose(along, forward, rtol=1e-3, atol=1e-4), f"forward mode gives {forward}, reverse mode {along}")


def _drop_points(trial: ProbingTrial) -> None:
    """What a dropped row holds has no influence; with none kept the derivative is NaN."""
    x = trial.x()
    bridge, X, Y, y = trial.evaluate(quadratic, x, trial.key)
    n = len(jax.tree.leaves(X)[0])
    whole = flat(bridge.combine(x, X, Y, cotangent("float32"), y=y))
    same = flat(bridge.combine(x, X, Y, cotangent("float32"), y=y, kept=jnp.ones(n, bool)))
    require(np.allclose(whole, same, rtol=1e-3, atol=1e-4), "with every point kept it is not what it is without `kept`")
    kept = np.arange(n) % n != n - 1
    # NaN times 0 is NaN: a dropped row has to be left out by `where`, not by a weight of 0.
    with_rubbish = [
        flat(
            bridge.combine(
                x, X, _fill_dropped_rows(Y, kept, rubbish), cotangent("float32"), y=y, kept=jnp.asarray(kept)
            )
        )
        for rubbish in (np.nan, 1e6)
    ]
    require(np.array_equal(*with_rubbish, equal_nan=True), "what a dropped row holds changes the derivative")
    if bridge.usable(kept):
        require(np.all(np.isfinite(with_rubbish[0])), "usable() says that enough is left, and the derivative is NaN")
    # NaN, not 0: with no point there is no gradient, and 0 would be a silent wrong one.
    nothing = flat(bridge.combine(x, X, Y, cotangent("float32"), y=y, kept=jnp.zeros(n, bool)))
    require(not np.any(np.isfinite(nothing)), "with no point kept the derivative is not NaN")


def _fill_dropped_rows(Y: PyTree[Array], kept: np.ndarray, rubbish: float) -> PyTree[Array]:
    return jax.tree.map(
        lambda rows: jnp.where(kept.reshape((-1,) + (1,) * (rows.ndim - 1)), rows, jnp.asarray(rubbish, rows.dtype)), Y
    )


def _usable(trial: ProbingTrial) -> None:
    bridge, X, _, _ = trial.evaluate(linear, trial.x(), trial.key)
    n = len(jax.tree.leaves(X)[0])
    # A plain bool, on the host: it is asked before anything is compiled.
    all_kept, none_kept = bridge.usable(np.ones(n, bool)), bridge.usable(np.zeros(n, bool))
    require(all_kept is True and none_kept is False, f"usable() is {all_kept} of all points, {none_kept} of none")


def _jit_and_vmap(trial: ProbingTrial) -> None:
    x, key = trial.x(), trial.keys[1]
    bridge = trial.evaluate(quadratic, x, key)[0]
    X = bridge.points(x, key)
    plain = flat(bridge.combine(x, X, jax.vmap(quadratic)(X), cotangent("float32"), y=quadratic(x)))
    compiled = jax.jit(jax.vmap(lambda key: flat(trial.derivative(quadratic, x, key))))(trial.keys[:3])[1]
    require(np.allclose(plain, compiled, rtol=0.02, atol=0.02), f"{plain} as it is, {compiled} under jit and vmap")


def _box(trial: ProbingTrial) -> Any:
    """A function of the host, as a black box by this bridge."""

    def total(x):
        leaves = jax.tree.leaves(x)
        return np.sum([np.sum(np.asarray(leaf, np.float64)) for leaf in leaves])

    return blackbox(total, jax.ShapeDtypeStruct((), np.float32), via=trial.bridge)


def _black_box(trial: ProbingTrial) -> None:
    """The value is the function's, and the derivative finite, under jit."""
    x = trial.x()
    if jnp.iscomplexobj(flat(trial.evaluate(linear, x, trial.key)[1])):
        raise NotApplicable("for functions of complex numbers")
    value, slope = jax.jit(jax.value_and_grad(lambda x: _box(trial)(x, key=trial.key)))(x)
    require(np.isclose(float(value), float(jnp.sum(flat(x))), rtol=1e-5), f"the value is {value}, not f(x)")
    require(np.all(np.isfinite(flat(slope))), "the derivative is NaN or infinite")


def _second_derivative(trial: ProbingTrial) -> None:
    # A derivative from noisy points has no derivative of its own that could be right.
    slope = jax.grad(lambda x: _box(trial)(x, key=trial.key))
    try:
        jax.eval_shape(jax.grad(lambda x: jnp.sum(flat(slope(x)))), trial.x())
    except SpanaxError:
        return
    require(False, "a second derivative does not raise SpanaxError")


def _pilot(trial: ProbingTrial) -> None:
    """What a bridge asks for to choose its step has x's structure; chosen, it asks for nothing more."""
    if not isinstance(trial.bridge, Tuned):
        raise NotApplicable("it chooses no step")
    x = trial.x()
    P = trial.bridge.pilot(x, trial.key)
    if P is None:
        raise NotApplicable("its step is given")
    require(jax.tree.structure(P) == jax.tree.structure(x), "pilot() has not the structure of x")
    require(np.all(np.isfinite(flat(P))), "pilot() is NaN or infinite")
    fitted = trial.fit(quadratic, x, trial.key)
    require(isinstance(fitted, Probing), f"fitted() gives a {type(fitted).__name__}")
    more = fitted.pilot(x, trial.key) if isinstance(fitted, Tuned) else None
    require(more is None, "fitted() gives a bridge whose step is still open")
