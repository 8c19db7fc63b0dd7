"""`check_bridge`: the public contract of bridges, as named checks."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key

from .._checks import check_key, check_whole
from .._errors import SpanaxError
from .._pytree import PyTree
from ..bridges import Bridge, Drawing, Manual, Probing, Step
from ._contract import draws as _draws, general, host, probing, steps
from .report import ContractError, Outcome, Report, outcome, outcomes, require


def check_bridge(
    bridge: Bridge,
    *,
    key: Key[Array, ""] | None = None,
    draws: int = 20_000,
    f: Callable[[Any], Any] | None = None,
    x: PyTree[Any] | None = None,
) -> Report:
    """Checks everything that a bridge promises, and returns a `Report` of 18 (`Manual`) to 50 named checks (of draws and steps).

    - every bridge: complete facts, a docstring with a source, a repr that can be read, a pytree that jit takes, pickling,
      immutability; fields that may be traced; no check changes a global setting, and no tracer is kept;
    - of a draw (`Local`, `Score`, `Branching`), on Bernoulli, Categorical and Normal draws as far as it takes them: draws,
      value and gradient as `facts.unbiased` says, against enumeration and quadrature, in float32 and float64, and at logits of 0;
      second derivatives right, or a `SpanaxError`; two draws, draws in a scan, two replicates; finite at logits of 50 and scales
      of 1e-3 and 1e3; no silent zero; the same under jit and vmap; as many runs as it states. Of a biased bridge: a linear cost
      grows along its gradient, which is right where `facts.unbiased_for` begins with "f linear" or "f quadratic", and a relaxed
      draw has the derivative of its own value, unless it says "nothing";
    - of a hard operation (`Step`), on floor, round, greater, argmax and sort likewise;
    - of a whole function (`Probing`): points, derivatives of a linear and a quadratic function, dropped points, transposing,
      a black box; at `x`, a pytree of floats, or at one with two leaves;
    - `Manual`: linear, and the derivative of `f` at `x`; nothing of that without them.

    It takes 2 to 20 seconds of one core, most of them to compile. Not checked: draws of other distributions, that pickle finds
    the class of a bridge, or a function that it holds, by its name, and third derivatives.

    Means are allowed 5 standard errors, so that a right bridge fails in fewer than 1 of 1,000 runs: in 0 of 268, with keys of
    their own, over 39 settings of our bridges, where the largest of 8,400 means was 3.5 standard errors off. A mean so noisy
    that half of its truth could be missing fails as well, with the advice to take more.

    **Arguments:**

    - `bridge`: an instance of any class derived from `sx.bridges.Bridge`.
    - `key`: a PRNG key for all that is random here. The default is fixed, and so is the answer.
    - `draws`: independent estimates that each mean is taken over, 1,000 at the least; a tenth of it of a `Probing` bridge, a
      hundredth of a `Step`.
    - `f`: the function whose derivative a `Manual` bridge is; for no other bridge.
    - `x`: a pytree of finite floats, the point at which a `Probing` or `Manual` bridge is checked; for no other bridge.

    **Returns:**

    A `spanax.testing.Report`, none of whose checks failed.

    **Raises:**

    - `ContractError`, which is a `SpanaxError` and an `AssertionError`: with every check that failed and what it saw.
    - `SpanaxError`: `bridge` is not an instance of a bridge, or `f` or `x` are for another kind.

    >>> import spanax as sx
    >>> report = check_bridge(sx.StraightThrough(), draws=2_000)
    >>> report.failed, "extreme parameters" in report.passed
    ((), True)
    """
    _check_arguments(bridge, draws, f, x)
    # A fixed key: a test that fails today fails tomorrow as well, and on every machine.
    key = jax.random.key(0) if key is None else key
    check_key(key)
    # Importing it changes the filters of warnings, which the check of global settings would take for the bridge's doing.
    importlib.import_module("numpyro.distributions")
    before, fields = general.settings(), jax.tree.flatten(bridge)
    found = outcomes(general.checks(bridge))
    found += _of_draws_and_steps(bridge, key, draws)
    # A bridge may be of several kinds: each of them is checked.
    if isinstance(bridge, Probing):
        found += outcomes(probing.checks(bridge, key, draws // 10, x))
    if isinstance(bridge, Manual):
        found += outcomes(host.checks(bridge, key, f, x))
    # Compared here, before the checks below could change anything themselves.
    same = general.settings() == before
    found += (
        outcome("unchanged by its use", lambda: general.require_unchanged(bridge, fields)),
        outcome(
            "global settings", lambda: require(same, "JAX's, NumPy's or Python's settings or random state changed")
        ),
    )
    report = Report(_text_of(bridge), found)
    if report.failed:
        raise ContractError(report)
    return report


def _of_draws_and_steps(bridge: Bridge, key: Key[Array, ""], draws: int) -> tuple[Outcome, ...]:
    """A bridge of both has to take one of them."""
    parts = []
    if isinstance(bridge, Drawing):
        parts.append(outcomes(_draws.checks(bridge, key, draws)))
    if isinstance(bridge, Step):
        parts.append(outcomes(steps.checks(bridge, key, max(draws // 100, 100))))
    # The first check of each kind fails where it takes none of the draws, or none of the operations.
    taken = [part for part in parts if part[0].problem is None]
    return sum(taken or parts, ())


def _check_arguments(bridge: Any, draws: Any, f: Any, x: Any) -> None:
    if not isinstance(bridge, Bridge):
        # The class instead of an instance is the most common slip.
        instance = (
            f"{bridge.__name__}()"
            if isinstance(bridge, type)
            else "an instance of a class derived from sx.bridges.Bridge"
        )
        raise SpanaxError(f"check_bridge({bridge!r}): that is not a bridge", f"check_bridge({instance})")
    check_whole("check_bridge(draws", draws, 1000)
    if f is not None and not (callable(f) and isinstance(bridge, Manual)):
        raise SpanaxError(f"check_bridge(f={f!r})", "the function whose derivative a Manual bridge is; for no other")
    if x is not None:
        _check_point(bridge, x)


def _check_point(bridge: Bridge, x: Any) -> None:
    if not isinstance(bridge, Manual | Probing):
        raise SpanaxError("check_bridge(x=...)", "a point for a Probing or Manual bridge; for no other")
    # Checked here, as an integer or a NaN would fail later, in the bridge, and look like its fault.
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(x)]
    usable = (np.issubdtype(leaf.dtype, np.floating) and bool(np.all(np.isfinite(leaf))) for leaf in leaves)
    if not any(leaf.size for leaf in leaves) or not all(usable):
        raise SpanaxError(f"check_bridge(x={x!r})", "a pytree of finite floats, such as np.array([0.5, 2.0])")


def _text_of(bridge: Bridge) -> str:
    try:
        return repr(bridge)
    except Exception:  # a check of its own says so
        return type(bridge).__name__
