"""`fit_surrogate`: a network trained on evaluations of a black box, and checked before it may be differentiated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Key

from .._checks import check_key
from .._pytree import PyTree
from ..blackbox import BlackBox, Run, Store
from ._model.arguments import check_arguments, check_module, check_settings, opened, plan_of
from ._model.gathering import gather
from ._model.judging import refuse, report_of
from ._model.space import Space
from ._model.tables import from_table
from .surrogate_model import SurrogateModel


def fit_surrogate(
    fn_or_store: Callable[..., Any] | BlackBox | Store,
    bounds: tuple[PyTree[Any], PyTree[Any]],
    *,
    key: Key[Array, ""],
    evaluations: int | None = None,
    model: Any = None,
    run: Run | None = None,
    store: Store | None = None,
    outside: str = "raise",
    min_agreement: float | None = 0.5,
    noisy: bool = False,
    gradients: Callable[[Any], Any] | None = None,
    name: str | None = None,
    batched: bool = False,
) -> SurrogateModel:
    """A network that stands for a function without a gradient, within bounds: evaluated, trained, and checked before it is used.

    The points are a scrambled Sobol sequence. A fifth of them is never trained on. The network is an ensemble of five, with a
    hidden layer each (see `model`), stopped early. Then fn is probed along random directions at held-out points, which tells how
    far the network's gradient can be trusted, and halved segments tell where it jumps.

    **Arguments:**

    - `fn_or_store`: a function of NumPy arrays, as for `sx.blackbox`; a `BlackBox`; or a `Store`, whose table is then what is
      learned from, with nothing evaluated: the gradient is checked with differences between its points.
    - `bounds`: (lower, upper), each of x's structure, of finite numbers or arrays; a list of numbers is one array. Nothing is
      evaluated outside.
    - `key`: for the points, the probes, the first weights, and the seeds of a noisy fn.
    - `evaluations`: of fn, in all: points, probes, the one that finds the form of the result, and one for each derivative
      that `gradients` or the black box gives. Of a store: how many of its points at most, or None for all.
    - `model`: an Equinox module, or any callable with arrays, to be trained in place of the ensemble. It maps a vector of all
      numbers of x, scaled to [-1, 1], to one of all numbers of y, in standard deviations from their mean.
    - `run`: workers and timeouts, as for `sx.blackbox`; `Run(on_failure="drop")` leaves failed points out, and counts them. This
      and the next four are a black box's own where fn is a `BlackBox`.
    - `store`: keeps each evaluation. What a killed run has evaluated is read from it, and the same key gives the same surrogate.
    - `noisy`: fn gives different values at the same x, and its mean is learned; as for `sx.blackbox`.
    - `name`: in messages and in the store; by default fn's own.
    - `batched`: fn takes many points at once; as for `sx.blackbox`.
    - `outside`: what an x outside the bounds does. "raise" raises; in a compiled program, where the value is not known,
      value and derivative are NaN. "warn" warns, there by a call of the host, and extrapolates. "ignore" extrapolates.
    - `min_agreement`: the derivative of the surrogate raises if the cosine of its gradient with the probes is less. None: it
      never does.
    - `gradients`: a function of x that gives the Jacobian, y's structure of x's structures. It is trained on, as the derivative
      of a `BlackBox` with `Manual` is; it is not taken for granted, for the probes are independent of it.

    **Returns:** a `SurrogateModel`: `model(x)`, `model.report`.

    **Raises:** `SpanaxError`, besides arguments that do not fit:

    - for fewer evaluations than it takes, with the least number;
    - for what cannot be learned: values that held-out points do not confirm, or a gradient unrelated to the probes of a function
      without noise (white noise, a fractal); of such functions fewer than 1 of 1000 pass. A function that jumps is smoothed,
      and the report says over which width;
    - for a function that is constant, and for points that fail (see `Run`).

    Sobol sequence: Owen 1998 (J. Complexity 14, 466). Training: variable projection (Golub and Pereyra 1973, SIAM J. Numer.
    Anal. 10, 413) with derivatives (Czarnecki et al. 2017).

    >>> import jax, numpy as np, spanax as sx
    >>> def simulator(x):
    ...     return {"level": np.sin(2 * x["rate"]) + np.prod(x["load"])}
    >>> bounds = {"rate": 0.0, "load": -np.ones(2)}, {"rate": 1.0, "load": np.ones(2)}
    >>> model = sx.fit_surrogate(simulator, bounds, key=jax.random.key(0), evaluations=200)
    >>> slope = jax.grad(lambda x: model(x)["level"])({"rate": 0.5, "load": np.array([0.2, 0.4])})
    >>> bool(abs(slope["rate"] - 2 * np.cos(1.0)) < 0.1), model.report.cosine > 0.99
    (True, True)
    """
    check_key(key)
    check_settings(outside, min_agreement)
    options = {"run": run, "store": store, "noisy": noisy, "name": name, "batched": batched}
    check_arguments(fn_or_store, gradients, options)
    space = Space.of(bounds)
    if isinstance(fn_or_store, Store):
        fitted = from_table(fn_or_store, space, evaluations, key, model)
    else:
        # Before anything is evaluated: too few are too few whatever fn returns.
        plan = plan_of(fn_or_store, space, evaluations, gradients, noisy)
        for_form, for_rest = jax.random.split(key)
        source = opened(fn_or_store, space, for_form, gradients, options)
        check_module(model, space.size, source.form.size)
        fitted = gather(source, plan, for_rest, model)
    report = report_of(fitted)
    refuse(fitted, report)
    return SurrogateModel(fitted, report, outside, min_agreement)
