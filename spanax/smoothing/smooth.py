"""`smooth`: a function with jumps, averaged over Gaussian noise on its argument, with an unbiased derivative."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .._checks import check_key
from .._errors import SpanaxError
from .._foreign_arrays import refuse_foreign
from .._functions import at_many_points
from .._math.directions import widest
from .._math.first_order import first_order
from .._primitives import zero_valued
from .._pytree import PyTree
from ..bridges.smoothing import Smoothing
from ._guides.softened_control import softened_gradient
from ._guides.softened_guide import softened_slope
from ._objective import Objective, check_finite, check_point, paired_keys, refuse_derivative
from ._resolution import check_resolution
from .guide import Guide, check_same_form

_DEFAULT = Smoothing()


def smooth(
    f: Callable[..., Any],
    *,
    via: Smoothing = _DEFAULT,
    guide: Guide | PyTree[Array] | None = None,
    control_variate: str | None = "auto",
) -> Callable[..., Any]:
    """The Gaussian average of a function with jumps: g(x, *args, key=key, **kwargs) estimates E[f(x + sigma u)].

    u is standard normal, of the form of x. The value is the mean of f at all points. The derivative with respect to x is unbiased
    for that of the SMOOTHED function, E[f(x + sigma u)], from values of f alone: no derivative of f is taken, so any program will
    do. For f itself it is biased, by O(sigma^2) where f is smooth.

    **The guide.** To lower the variance, a linear guide is subtracted and its mean is added. The estimate stays unbiased for
    every guide that does not depend on `key`, since its coefficient is fitted on other points. That the guide does not depend
    on `key` is not checked: a gradient from the same `key` makes the estimate biased. With `control_variate="auto"`
    (recommended) the guide is

    - `guide=`, if it is given. It costs nothing;
    - otherwise the gradient at x of the softened program (softness = sigma, see `soften`), if f can be softened, the gradient is
      finite, and it is no more than about twice the work of the values. It takes longer to compile.

    `"softened"` subtracts the softened program itself (softness = sigma/2), with its gradients at all points: opt-in, for
    functions of a few numbers. Its coefficient comes from 16 pairs of its own, and is 0 if those say that the softened program is
    wilder than f. If a loop makes its gradients grow, they may not show it, and single estimates are then far off. It is unbiased
    if the softened program is continuous, and refused if softening keeps anything hard.

    Measured on ten programs with jumps (benchmarks/smooth.py), the variance of plain antithetic smoothing (independent
    directions) over that of this, 32 pairs: a moving average along an optimisation 1.4 to 37 in 20 dimensions and 1.4 to 8 in
    100; the softened gradient 1.4 to 15, and 1.05 to 68; no guide 1.5 to 3.4, and 1.1. For one number and 50 pairs the softened
    gradient 1 to 47, `"softened"` 1 to 1,300. Near an optimum there is nothing to guide, and nothing to gain. Time for an
    estimate is .9 to 1.8 of plain's with a moving average, up to 4 with the softened gradient where f is cheap, and 3 to 60
    with `"softened"`.

    **Where it gives 0 or NaN.** If f is flat at all points the derivative is exactly 0: sigma is to be about as wide as the
    way to the next jump. If f only seems flat, its derivative at x (by JAX, if it has one) being so small that it does not
    show in the digits of f, or if its values differ in their last digits only (4 units in the last place), the derivative is
    NaN in a compiled or vmapped program, and an error elsewhere. A NaN value of f makes value and derivative NaN.

    Works under jit, vmap, grad and jacfwd. f is vmapped over all 2 pairs points, which takes as many times its memory; if it
    cannot be vmapped, it runs at one point after the other.

    **Arguments:**

    - `f`: f(x, *args, **kwargs) takes any pytree x of floating-point arrays and returns a floating-point scalar. If it takes a
      `key` that is not given, each pair of points gets one of its own, the same for both (common random numbers), and the
      expectation is over it as well.
    - `via`: a `Smoothing`: sigma, the number of pairs of points, and how their directions depend on each other.
    - `guide`: a past gradient, a pytree like x, or a `Guide` that remembers several.
    - `control_variate`: "auto", "softened", or None for no guide.

    **Returns:**

    A function with f's signature and `key=`, the PRNG key of the noise.

    **Raises:**

    - `SpanaxError`: options that do not fit each other; and, where the result is called or differentiated, values that differ in
      their last digits only; a second derivative; a derivative with respect to anything but x, since values at other x do not
      tell it; an x that holds integers, NaN, infinity, or nothing; a result of f that is not a floating-point scalar; a sigma,
      a guide or a key that does not fit.

    Gaussian smoothing: Nesterov and Spokoiny 2017; the linear guide: see `spanax.Smoothing`.

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> def f(x):
    ...     return jnp.sum(jnp.where(x > 0, 1.0, 0.0))
    >>> slope = jax.grad(sx.smooth(f, via=sx.Smoothing(sigma=0.5, pairs=4096)))(jnp.zeros(2), key=jax.random.key(0))
    >>> print(jnp.round(slope, 1))  # 1/(sigma sqrt(2 pi))
    [0.8 0.8]
    """
    _check_options(via, guide, control_variate)

    @functools.wraps(f)
    def smoothed(x, *args, key: Any = None, **kwargs):
        refuse_foreign(x, args, kwargs)
        check_key(key)
        x = check_point(x)
        at, bridge = lax.stop_gradient(x), _guarded_bridge(via)
        # Three independent keys: the guide must not depend on the directions, or its mean could not be added back.
        for_points, for_runs, for_control = jax.random.split(key, 3)
        program = Objective(f, at, for_runs, args, kwargs)
        X, keys = bridge.points(at, for_points), paired_keys(for_runs, via.pairs)
        Y = at_many_points(program, X, keys)
        if control_variate == "softened":
            slope = softened_gradient(program, bridge, at, X, Y, keys, for_control)
        elif control_variate == "auto" and guide is None:
            slope = bridge.combine(at, X, Y, guide=softened_slope(program, bridge, at, for_control))
        else:
            slope = bridge.combine(at, X, Y, guide=_chosen_guide(guide, at))
        return _with_slope(Y, X, check_resolution(program, at, X, Y, keys[0], slope), x)

    smoothed.__signature__ = _signature(f)  # pyright: ignore[reportAttributeAccessIssue]
    return smoothed


def _check_options(via: Any, guide: Any, control_variate: Any) -> None:
    if not isinstance(via, Smoothing):
        raise SpanaxError(f"smooth(via={via!r})", "sx.Smoothing(sigma=0.1, pairs=32)")
    if not via.antithetic:
        raise SpanaxError(
            "smooth(via=Smoothing(antithetic=False)): that compares with f(x), which smooth does not evaluate",
            "Smoothing(antithetic=True) with half as many pairs, for the same evaluations",
        )
    if via.directions == "coordinate":
        raise SpanaxError(
            'smooth(via=Smoothing(directions="coordinate")): its derivative is that of f smoothed along one coordinate at a '
            "time, not that of the value, E[f(x + sigma u)]",
            'Smoothing(directions="orthogonal")',
        )
    if control_variate not in ("auto", "softened", None):
        raise SpanaxError(f"smooth(control_variate={control_variate!r})", '"auto"', '"softened"', "None, for none")
    if guide is not None and control_variate != "auto":
        raise SpanaxError(
            f"smooth(guide=..., control_variate={control_variate!r}): the guide would not be used",
            'control_variate="auto"',
            "guide=None",
        )


def _guarded_bridge(via: Smoothing) -> Smoothing:
    """The bridge, whose sigma is not to be differentiated, with two blocks of directions at least: one to fit on."""
    # The points depend on sigma, but values at them do not tell the derivative with respect to it, so asking for it
    # raises.
    sigma = jax.tree.map(lambda s: refuse_derivative(s) if hasattr(s, "dtype") else s, via.sigma)
    return Smoothing(sigma, via.pairs, via.directions, blocks=max(via.blocks, 2))


def _chosen_guide(guide: Guide | PyTree[Array] | None, x: PyTree[Array]) -> PyTree[Array] | None:
    a = guide.value if isinstance(guide, Guide) else guide
    if a is None:
        return None
    check_same_form(x, a, "the guide", "x")
    a = lax.stop_gradient(jax.tree.map(jnp.asarray, a))
    check_finite(a, "the guide")
    return a


def _with_slope(
    Y: Float[Array, " points"], X: PyTree[Array], slope: PyTree[Array], x: PyTree[Array]
) -> Float[Array, ""]:
    """The mean of the values, with this derivative with respect to x; NaN where the points are not finite."""
    leaves = jax.tree.leaves(x)
    dtype = widest(leaves)
    # One flat vector, so that forward mode, reverse mode and vmap need a single linear map.
    flat = _flat(leaves, dtype)
    placed = jnp.stack([jnp.all(jnp.isfinite(points)) for points in jax.tree.leaves(X)]).all()
    value = jnp.where(placed, jnp.mean(Y.astype(dtype)), jnp.nan)
    # The slope comes from values at points whose derivative is stopped; that it depends on x is said for the second derivative.
    at = _flat(jax.tree.leaves(slope), dtype) + zero_valued(flat)
    return first_order(_along, "smooth(f)", value, at, flat).astype(Y.dtype)


def _along(at: Float[Array, " size"], dx: Float[Array, " size"]) -> Float[Array, ""]:
    return jnp.vdot(at, dx, precision=lax.Precision.HIGHEST)


def _flat(leaves: list[Array], dtype: jnp.dtype) -> Float[Array, " size"]:
    return jnp.concatenate([leaf.astype(dtype).ravel() for leaf in leaves])


def _signature(f: Callable[..., Any]) -> inspect.Signature | None:
    """That of f, with `key`."""
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):  # it has none to read
        return None
    if "key" in signature.parameters:
        return signature
    parameters = list(signature.parameters.values())
    # Before **kwargs, where Python wants keyword-only parameters.
    place = next((i for i, p in enumerate(parameters) if p.kind is p.VAR_KEYWORD), len(parameters))
    parameters.insert(place, inspect.Parameter("key", inspect.Parameter.KEYWORD_ONLY, default=None))
    return signature.replace(parameters=parameters)
