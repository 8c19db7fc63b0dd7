"""The arguments of a fit, checked before anything is evaluated, and the black box that they make up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Key

from ..._checks import check_whole, is_number
from ..._errors import SpanaxError
from ...blackbox import BlackBox, Run, Store, blackbox
from ...blackbox.discover import discover
from ...bridges import FiniteDifference, Manual
from .outside import CHOICES
from .plan import Plan
from .source import Form, FromJacobian, Source
from .space import Space


def check_settings(outside: Any, min_agreement: Any) -> None:
    """Of the surrogate that comes of the fit."""
    if outside not in CHOICES:
        raise SpanaxError(f"outside={outside!r}", *(f'outside="{choice}"' for choice in CHOICES))
    if min_agreement is not None and not (is_number(min_agreement) and 0 <= min_agreement <= 1):
        problem = f"min_agreement={min_agreement!r}"
        raise SpanaxError(problem, "a cosine between 0 and 1", "None: its derivative never raises")


def check_arguments(fn: Any, gradients: Any, options: dict[str, Any]) -> None:
    """Raises `SpanaxError` for what nothing can be evaluated with."""
    given = {"gradients": gradients, **options}
    if isinstance(fn, BlackBox | Store):
        what = "a black box" if isinstance(fn, BlackBox) else "a store, from which nothing is evaluated,"
        for name, value in given.items():
            if value not in (None, False):
                raise SpanaxError(
                    f"fit_surrogate of {what} with {name}={value!r}", f"{name} where it is made, or left out"
                )
    elif not callable(fn):
        raise SpanaxError(f"fit_surrogate({fn!r})", "a function of NumPy arrays", "sx.blackbox(...)", "sx.Store(...)")
    elif gradients is not None and not callable(gradients):
        raise SpanaxError(f"fit_surrogate(gradients={gradients!r})", "a function of x that gives the Jacobian")
    if not isinstance(options["run"], Run | None) or not isinstance(options["store"], Store | None):
        raise SpanaxError(
            "fit_surrogate(run=..., store=...)", "sx.Run(executor=sx.processes(4))", 'sx.Store("runs.db", "1")'
        )


def check_module(module: Any, inputs: int, outputs: int) -> None:
    """Is it something that can be trained, of the right sizes?"""
    if module is None:
        return
    problem = "model="
    arrays = jax.tree.leaves(eqx.filter(module, eqx.is_inexact_array))
    remedy = (
        f"an Equinox module from ({inputs},) numbers to ({outputs},): eqx.nn.MLP({inputs}, {outputs}, 32, 2, key=key)"
    )
    if not callable(module) or not arrays:
        raise SpanaxError(f"{problem}{module!r}, which has no arrays to train", remedy)
    try:
        out = jax.eval_shape(eqx.filter_closure_convert(module, jnp.zeros(inputs)), jnp.zeros(inputs))
    except (TypeError, ValueError) as error:
        raise SpanaxError(f"{problem}... does not take a vector of {inputs} numbers: {error}", remedy) from error
    if not (hasattr(out, "shape") and np.prod(out.shape) == outputs and jnp.issubdtype(out.dtype, jnp.floating)):
        raise SpanaxError(f"{problem}... returns {out} where fn has {outputs} numbers", remedy)


def plan_of(fn: Any, space: Space, evaluations: Any, gradients: Any, noisy: bool) -> Plan:
    """How the evaluations are divided. Raises `SpanaxError` for too few."""
    form, derivative = 1, int(gradients is not None)
    if isinstance(fn, BlackBox):
        # Its form is declared.
        form, noisy, derivative = 0, fn.host.noisy, derivative_cost(fn, space.size)
    if evaluations is None:
        evaluations = 0
    check_whole("fit_surrogate(evaluations", evaluations, 0)
    return Plan.of(evaluations, space.size, noisy=noisy, derivative=derivative, form=form)


def derivative_cost(box: BlackBox, size: int) -> int:
    """Evaluations that the user's own derivative of one output takes; a `jvp` gives one column at a time."""
    if not isinstance(box.via, Manual):
        return 0
    return 1 if box.via.vjp is not None else size


def opened(
    fn: Any, space: Space, key: Key, gradients: Callable | None, options: dict[str, Any], form: Form | None = None
) -> Source:
    """The black box with the form of its results: as `form` says, or as the first evaluation does, in the middle of the box."""
    via: Any = FiniteDifference() if gradients is None else Manual(vjp=FromJacobian(gradients))
    X, _ = space.rows(np.zeros((1, space.size)))
    x = jax.tree.map(lambda leaf: leaf[0], X)
    if isinstance(fn, BlackBox):
        box, asked = fn, 0
    elif form is not None:
        outs = [jax.ShapeDtypeStruct(s, np.dtype(d)) for s, d in zip(form.shapes, form.dtypes, strict=True)]
        box, asked = blackbox(fn, jax.tree.unflatten(form.tree, outs), via=via, **options), 0
    else:
        box, asked = discover(fn, x, via=via, key=key, **options), 1
    out = box.host.out
    if callable(out):
        out = out(jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), x))
    found = Form.of(out)
    if form is not None and found != form:
        raise SpanaxError(
            f"the results of {box.host.name!r} are not of the form that the surrogate was fitted to: {found.names} "
            f"of {found.dtypes}, and it has {form.names} of {form.dtypes}",
            "the function of the fit, in the precision of the fit",
        )
    return Source(box, space, found, derivative_cost(box, space.size), asked)
